//! Threads end, memory goes round, nothing hangs.

use super::{TestSet, content, video};
use crate::ErrorKind;
use crate::loader::{Limit, Loader, Next};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn leaving_an_iteration_at_any_moment_ends_its_threads() {
    let set = TestSet::new();
    let loader = set.builder().decode_workers(4).epochs(50).prefetch_batches(3).build().unwrap();
    for round in 0..60_u64 {
        let mut batches = loader.iter();
        let run = Arc::downgrade(&batches.run);
        for _ in 0..round % 5 {
            batches.next().unwrap().unwrap();
        }
        std::thread::sleep(Duration::from_micros(round * 97 % 3000));
        let start = Instant::now();
        drop(batches);
        assert!(start.elapsed() < Duration::from_secs(5));
        // Every thread held the run; dropping waited for all of them.
        assert_eq!(run.strong_count(), 0, "round {round}");
    }
}

#[test]
fn a_loader_with_a_processor_limit_pauses_gives_the_same_and_ends_at_once() {
    let set = TestSet::new();
    let free = set.builder().build().unwrap();
    let limited = set.builder().cpu_limit(0.05).build().unwrap();
    let batches = |loader: &Loader| -> Vec<_> { loader.iter().map(|batch| content(&batch.unwrap())).collect() };
    assert_eq!(batches(&free), batches(&limited));
    assert_eq!(free.stats().paused_nanos, 0);
    assert!(limited.stats().paused_nanos > 0);
    assert!(limited.describe().contains("0.05 cores at most"), "{}", limited.describe());
    // After a clip its worker would pause for a hundred times as long.
    let builder = set.builder().cpu_limit(0.01).epochs(1000).decode_workers(1).size(720, 1280);
    let least = builder.batch_size(1).build().unwrap();
    let mut iteration = least.iter();
    iteration.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    drop(iteration);
    let stats = least.stats();
    let worked = stats.decode_nanos + stats.transform_nanos + stats.assemble_nanos;
    assert!(stats.paused_nanos < 50 * worked, "{stats:?}");
}

#[test]
fn batches_outlive_iteration_and_loader() {
    let set = TestSet::new();
    let loader = set.builder().build().unwrap();
    let batches: Vec<_> = loader.iter().map(|batch| batch.unwrap()).collect();
    let before: Vec<Vec<u8>> = batches.iter().map(|batch| video(batch).data.to_vec()).collect();
    drop(loader);
    drop(set);
    assert!(batches.iter().zip(&before).all(|(batch, before)| *video(batch).data == before[..]));
}

#[test]
fn memory_is_flat_over_many_epochs() {
    let set = TestSet::new();
    let loader = set.builder().prefetch_batches(3).build().unwrap();
    for epoch in 0..20 {
        for batch in &loader {
            drop(batch.unwrap());
        }
        let memory = loader.stats().batch_memory;
        assert!(memory.num_allocated <= 5, "epoch {epoch}: {memory:?}");
        assert_eq!(memory.num_allocated + memory.num_recycled, 3 * (epoch + 1));
    }
}

#[test]
fn memory_is_flat_also_where_iterations_are_left_and_batches_fail() {
    let set = TestSet::new();
    set.damage("clip-002");
    let loader = set.builder().prefetch_batches(3).build().unwrap();
    for round in 0..30 {
        for batch in loader.iter().take(round % 4) {
            drop(batch);
        }
    }
    let memory = loader.stats().batch_memory;
    assert!(memory.num_allocated <= 5, "{memory:?}");
    assert!(memory.num_recycled > 20, "{memory:?}");
}

#[test]
fn a_panic_in_a_thread_ends_the_iteration_with_an_error() {
    let set = TestSet::new();
    let loader = set.builder().epochs(1000).build().unwrap();
    let mut batches = loader.iter();
    batches.next().unwrap().unwrap();
    batches.spawn("ff-test".to_owned(), |_| panic!("as told"));
    let error = batches.by_ref().find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.message().contains("as told"), "{error}");
    assert!(batches.next().is_none());
}

#[test]
fn a_slow_consumer_finds_a_bounded_number_of_batches_and_is_told_that_it_is_the_limit() {
    let set = TestSet::new();
    let loader = set.builder().batch_size(1).prefetch_batches(4).epochs(3).build().unwrap();
    for batch in &loader {
        batch.unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let stats = loader.stats();
        assert!(stats.ready_batches <= 4, "{stats:?}");
    }
    let stats = loader.stats();
    assert_eq!((stats.batches_delivered, stats.frames_delivered), (21, 84));
    assert_eq!(stats.limited_by(), Limit::Consumer, "{stats:?}");
    assert!(stats.needed_bytes > 0 && stats.read_bytes >= stats.needed_bytes);
    assert!(stats.frames_decoded >= stats.frames_delivered);
    assert_eq!(stats.tensor_bytes, 21 * 4 * 3 * 16 * 16);
    assert_eq!((stats.held_bytes, stats.queued_clips), (0, 0));
}

#[test]
fn waiting_with_a_timeout_gives_up_in_time_and_loses_nothing() {
    let set = TestSet::new();
    let loader = set.builder().build().unwrap();
    let mut batches = loader.iter();
    let (mut delivered, mut timeouts) = (0, 0);
    loop {
        match batches.next_within(Duration::from_micros(50)) {
            Next::Batch(batch) => delivered += batch.unwrap().len(),
            Next::Timeout => timeouts += 1,
            Next::End => break,
        }
    }
    assert_eq!(delivered, 7);
    assert!(timeouts > 0);
}

#[test]
fn two_iterations_of_one_loader_run_side_by_side() {
    let set = TestSet::new();
    let loader = set.builder().build().unwrap();
    let (mut first, mut second) = (loader.iter(), loader.iter());
    for _ in 0..3 {
        assert_eq!(first.next().unwrap().unwrap().epoch, 0);
        assert_eq!(second.next().unwrap().unwrap().epoch, 1);
    }
    assert!(first.next().is_none() && second.next().is_none());
}

#[test]
fn describe_names_engine_workers_and_budgets() {
    let text = TestSet::new().builder().build().unwrap().describe();
    for expected in ["7 of 7 records", "2 threads", "256 MiB", "errors: raise", "storage: "] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_timeout_beyond_the_clock_is_no_deadline() {
    let set = TestSet::new();
    let loader = set.builder().build().unwrap();
    let mut batches = loader.iter();
    assert!(matches!(batches.next_within(Duration::MAX), Next::Batch(Ok(_))));
}
