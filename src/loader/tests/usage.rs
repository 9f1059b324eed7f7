//! The loader as scripts use it: looks before, in and after an epoch, epochs that are set, validation, records of many sizes.

use super::{LENGTHS, TestSet, content, keys, video};
use crate::decode::DecodeLimits;
use crate::loader::{Batches, ClipReader, ErrorPolicy, LastBatch, Loader, Redraw, Shuffle};
use crate::media::{Codec, StreamInfo};
use crate::order::{ShortPolicy, Window};
use crate::storage::StorageOptions;
use crate::transform::FrameFormat;
use crate::{ErrorKind, LoaderState};

type Seen = (u64, Vec<u64>, Vec<String>);
type Peek = Box<dyn FnMut(&Loader)>;

fn next(batches: &mut Batches) -> Option<Seen> {
    batches.next().map(|batch| {
        let batch = batch.unwrap();
        (batch.epoch, batch.positions, batch.keys)
    })
}

/// What a loader gives over four iterations, resumed in the middle. `peek` is called wherever a script may look at it.
fn sequence(loader: &Loader, peek: &mut dyn FnMut(&Loader)) -> (Vec<Seen>, Vec<LoaderState>) {
    let (mut seen, mut states) = (Vec::new(), Vec::new());
    let mut run = |seen: &mut Vec<Seen>, states: &mut Vec<LoaderState>, at_most: usize| {
        peek(loader);
        let mut batches = loader.iter();
        peek(loader);
        for _ in 0..at_most {
            let Some(batch) = next(&mut batches) else { break };
            peek(loader);
            seen.push(batch);
            states.push(loader.state());
        }
        drop(batches);
        peek(loader);
        states.push(loader.state());
    };
    run(&mut seen, &mut states, 9);
    run(&mut seen, &mut states, 2);
    let state = states.last().unwrap().clone();
    loader.load_state(&state).unwrap();
    run(&mut seen, &mut states, 9);
    loader.load_state(&state).unwrap();
    loader.set_epoch(state.epoch);
    run(&mut seen, &mut states, 9);
    (seen, states)
}

#[test]
fn looking_at_a_loader_changes_nothing_it_gives() {
    let set = TestSet::new();
    let build = || set.builder().seed(3).build().unwrap();
    let (expected, states) = sequence(&build(), &mut |_| ());
    // The rest of the epoch that was resumed, twice.
    let rest: Vec<_> = expected.iter().filter(|seen| seen.0 == 1).map(|seen| seen.1.clone()).collect();
    assert_eq!(rest, [vec![0, 1, 2], vec![3, 4, 5], vec![6], vec![6]]);
    let mut held = Vec::new();
    let mut peeks: Vec<Peek> = vec![
        Box::new(|loader| drop(loader.iter())),
        Box::new(|loader| {
            drop((loader.iter(), loader.iter()));
            assert!(loader.len() == 3 && !loader.describe().is_empty());
            loader.stats();
        }),
        Box::new(|loader| {
            let state = loader.state();
            let batches = loader.iter();
            assert_eq!(loader.state(), state);
            drop(batches);
            assert_eq!(loader.state(), state);
        }),
        // Iterators that stay.
        Box::new(move |loader| held.push(loader.iter())),
    ];
    for peek in &mut peeks {
        let (seen, told) = sequence(&build(), peek);
        assert_eq!(seen, expected);
        assert_eq!(told, states);
    }
}

#[test]
fn an_iterator_takes_its_place_with_its_first_batch() {
    let set = TestSet::new();
    let loader = set.builder().build().unwrap();
    let (mut early, mut late) = (loader.iter(), loader.iter());
    assert_eq!(next(&mut late).unwrap().0, 0);
    assert_eq!(next(&mut early).unwrap().0, 1);
    let mut waiting = loader.iter();
    let state = LoaderState { epoch: 5, position: 3, ..loader.state() };
    loader.load_state(&state).unwrap();
    let (epoch, positions, _) = next(&mut waiting).unwrap();
    assert_eq!((epoch, positions), (5, vec![3, 4, 5]), "resumed before anything was handed out");
    // Those that began before go on, and move nothing.
    assert_eq!(next(&mut early).unwrap().1, [3, 4, 5]);
    assert_eq!((loader.state().epoch, loader.state().position), (5, 6));
}

#[test]
fn the_epoch_that_was_resumed_goes_on_when_it_is_set() {
    let set = TestSet::new();
    let build = || set.builder().build().unwrap();
    let loader = build();
    let whole: Vec<_> = {
        let mut batches = loader.iter();
        std::iter::from_fn(|| next(&mut batches)).collect()
    };
    let resumed = build();
    resumed.load_state(&LoaderState { epoch: 0, position: 3, ..loader.state() }).unwrap();
    for epoch in 0..3 {
        resumed.set_epoch(epoch);
        let mut batches = resumed.iter();
        let seen: Vec<_> = std::iter::from_fn(|| next(&mut batches)).collect();
        assert!(seen.iter().all(|seen| seen.0 == epoch));
        if epoch == 0 {
            assert_eq!(seen, whole[1..]);
        } else {
            assert_eq!(seen.iter().map(|seen| seen.1.len()).sum::<usize>(), 7);
        }
    }
}

#[test]
fn a_closed_loader_says_so_and_its_threads_have_ended() {
    let set = TestSet::new();
    let loader = set.builder().epochs(1000).build().unwrap();
    let (mut running, mut waiting) = (loader.iter(), loader.iter());
    next(&mut running).unwrap();
    let state = loader.state();
    loader.close();
    for batches in [&mut running, &mut waiting, &mut loader.iter()] {
        assert_eq!(batches.next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        assert!(batches.next().is_none());
        assert!(batches.run.threads().is_empty());
    }
    loader.close();
    assert_eq!((loader.state(), loader.len(), loader.is_closed()), (state, 3000, true));
}

#[test]
fn validation_gives_the_same_frames_at_each_pass_and_training_others() {
    let set = TestSet::new();
    let passes = |builder: crate::LoaderBuilder| -> Vec<Vec<(String, Vec<u32>)>> {
        let loader = builder.seed(8).build().unwrap();
        let pass = || {
            let mut rows = Vec::new();
            for batch in &loader {
                let batch = batch.unwrap();
                let frames = video(&batch).frames.chunks(4).map(<[u32]>::to_vec);
                rows.extend(batch.keys.iter().cloned().zip(frames));
            }
            rows.sort();
            rows
        };
        (0..3).map(|_| pass()).collect()
    };
    let are_equal = |passes: &[Vec<_>]| passes[0] == passes[1] && passes[1] == passes[2];
    let validation = passes(set.builder().shuffle(Shuffle::Off));
    assert!(are_equal(&validation));
    assert!(!are_equal(&passes(set.builder().shuffle(Shuffle::Off).redraw(Redraw::On))));
    assert!(!are_equal(&passes(set.builder())));
    // By record: neither the order nor the batches matter.
    assert_eq!(passes(set.builder().redraw(Redraw::Off)), validation);
    assert_eq!(passes(set.builder().shuffle(Shuffle::Off).batch_size(5)), validation);
    assert_eq!(passes(set.builder().shuffle(Shuffle::Off).batch_size(1).decode_workers(4)), validation);
}

#[test]
fn validation_has_the_same_substitutes_at_each_pass() {
    let set = TestSet::new();
    set.damage("clip-002");
    let builder = set.builder().shuffle(Shuffle::Off).on_error(ErrorPolicy::Substitute);
    let loader = builder.build().unwrap();
    let pass =
        || loader.iter().map(|batch| batch.unwrap()).map(|batch| (batch.keys, batch.records)).collect::<Vec<_>>();
    assert_eq!(pass(), pass());
}

#[test]
fn the_one_sound_record_stands_in_for_all_others() {
    let lengths = [12_u32; 40];
    let set = TestSet::with(&lengths, 1);
    for index in (0..40).filter(|index| *index != 23) {
        set.damage(&format!("clip-{index:03}"));
    }
    let run = |workers| {
        let builder = set.builder().batch_size(8).decode_workers(workers).on_error(ErrorPolicy::Substitute);
        let loader = builder.build().unwrap();
        let batches: Vec<_> = loader.iter().map(Result::unwrap).collect();
        assert!(batches.iter().flat_map(|batch| &batch.keys).all(|key| key == "clip-023"));
        assert_eq!(loader.stats().substituted, 39);
        batches.iter().map(content).collect::<Vec<_>>()
    };
    let alone = run(1);
    assert_eq!(alone.len(), 5);
    assert_eq!(alone, run(3));
}

#[test]
fn clips_out_of_time_are_raised_under_every_policy_and_other_budgets_decide_by_it() {
    let set = TestSet::new();
    let errors = |limits: DecodeLimits, policy| {
        let loader = set.builder().limits(limits).on_error(policy).build().unwrap();
        let errors: Vec<_> = loader.iter().filter_map(Result::err).collect();
        (errors, loader.stats().skipped)
    };
    let default = DecodeLimits::default;
    for policy in [ErrorPolicy::Raise, ErrorPolicy::Skip, ErrorPolicy::Substitute] {
        let (errors, skipped) = errors(default().timeout(Some(std::time::Duration::ZERO)), policy);
        assert_eq!((errors.len(), skipped), (3, 0));
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::LimitExceeded && !error.is_data_error()));
        assert!(errors[0].message().contains("processor time") && errors[0].record().is_some());
    }
    for limits in [default().max_packets(2), default().max_bytes(600), default().max_decoded_frames(3)] {
        let (errors, skipped) = errors(limits, ErrorPolicy::Skip);
        assert!(skipped > 0, "{limits:?}");
        assert!(errors.iter().all(|error| error.message().contains("nothing is left")), "{errors:?}");
    }
}

#[test]
fn what_this_build_cannot_do_is_raised_under_every_policy() {
    // A matrix that is no linear function of R'G'B', and a codec that FFmpeg 5.1 cannot decode.
    let changes: [fn(&mut StreamInfo); 2] = [|stream| stream.color.matrix = 14, |stream| stream.codec = Codec::Vvc];
    for change in changes {
        raised_as_unsupported(&TestSet::changed(&[12, 12], 1, |record| {
            if record.key == "clip-001" {
                change(&mut record.stream);
            }
        }));
    }
}

fn raised_as_unsupported(set: &TestSet) {
    for policy in [ErrorPolicy::Raise, ErrorPolicy::Skip, ErrorPolicy::Substitute] {
        let loader = set.builder().batch_size(1).on_error(policy).build().unwrap();
        let outcomes: Vec<_> = loader.iter().collect();
        assert_eq!(outcomes.len(), 2);
        let errors: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!((errors[0].kind(), errors[0].record()), (ErrorKind::Unsupported, Some("clip-001")));
    }
}

#[test]
fn records_of_many_sizes_come_one_by_one_in_their_own() {
    let set = TestSet::new();
    let native = || {
        let window = Window::strided(3, 1);
        Loader::builder(set.dataset()).window(window).shuffle(Shuffle::On).decode_workers(2)
    };
    let loader = native().build().unwrap();
    assert_eq!(loader.sample_shape(), None);
    assert!(loader.describe().contains("of the record's size"), "{}", loader.describe());
    let mut reader = ClipReader::new(&set.dataset(), &StorageOptions::new()).unwrap();
    let check = |loader: &Loader, reader: &mut ClipReader| {
        let (mut num_rows, mut shapes) = (0, std::collections::BTreeSet::new());
        for batch in loader {
            let batch = batch.unwrap();
            let clips = video(&batch);
            let options = loader.transform_options();
            let clip =
                reader.tensor(batch.records[0] as usize, &clips.frames, options, &DecodeLimits::default()).unwrap();
            assert_eq!(clips.shape[1..], clip.shape);
            assert!(*clips.data == *clip.data);
            shapes.insert(clip.shape);
            num_rows += batch.len();
        }
        assert_eq!((num_rows, shapes.len()), (7, 2));
    };
    check(&loader, &mut reader);
    check(&native().format(FrameFormat::Yuv420).build().unwrap(), &mut reader);
    let error = native().batch_size(2).build().unwrap_err();
    assert!(error.message().contains("size must be set, or batch_size be 1"), "{error}");
    // A substitute may be of another size.
    for key in ["clip-000", "clip-002", "clip-004", "clip-006"] {
        set.damage(key);
    }
    let mut reader = ClipReader::new(&set.dataset(), &StorageOptions::new()).unwrap();
    let loader = native().on_error(ErrorPolicy::Substitute).build().unwrap();
    let mut num_rows = 0;
    for batch in &loader {
        let batch = batch.unwrap();
        let clips = video(&batch);
        assert_eq!(clips.shape, [1, 3, 3, 80, 64]);
        let (record, limits) = (batch.records[0] as usize, DecodeLimits::default());
        let clip = reader.tensor(record, &clips.frames, loader.transform_options(), &limits).unwrap();
        assert!(*clips.data == *clip.data);
        num_rows += batch.len();
    }
    assert_eq!(num_rows, 7);
}

#[test]
fn records_that_are_left_out_are_told_and_listed() {
    let set = TestSet::new();
    let loader = set.builder().window(Window::strided(5, 3)).build().unwrap();
    let summary = loader.short_warning().unwrap();
    let told = "3 of 7 records are too short for 5 frames at stride 3, which needs 13 frames, and are no samples";
    assert!(summary.starts_with(told), "{summary}");
    let excluded = loader.excluded().unwrap();
    let mut found: Vec<_> = excluded.iter().map(|excluded| (excluded.key.as_str(), excluded.reason.as_str())).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("clip-000", "has 12 frames, 5 frames at stride 3 needs 13 frames"),
            ("clip-002", "has 9 frames, 5 frames at stride 3 needs 13 frames"),
            ("clip-004", "has 4 frames, 5 frames at stride 3 needs 13 frames"),
        ]
    );
    let all = [set.builder(), set.builder().window(Window::strided(5, 3).short(ShortPolicy::Loop))];
    for builder in all {
        let loader = builder.build().unwrap();
        assert!(loader.short_warning().is_none() && loader.excluded().unwrap().is_empty());
        assert_eq!(keys(&loader).len(), LENGTHS.len());
    }
}

#[test]
fn a_window_that_fits_nothing_says_what_it_needs_and_what_there_is_in_one_unit() {
    let set = TestSet::new();
    let message = |window: Window| set.builder().window(window).build().unwrap_err().message().to_owned();
    assert_eq!(
        message(Window::strided(16, 4)),
        "window: 16 frames at stride 4 needs 61 frames, and no record has it: the longest has 31 frames"
    );
    // 31 frames at 25 a second.
    assert_eq!(
        message(Window::at_fps(16, 8.0).unwrap()),
        "window: 16 frames at 8 per second needs more than 1.875 s, and no record has it: the longest has 1.24 s"
    );
}

#[test]
fn batches_larger_than_the_dataset_are_refused_where_only_full_ones_are_wanted() {
    let set = TestSet::new();
    let build = |batch_size| set.builder().batch_size(batch_size).last_batch(LastBatch::Drop).build();
    let error = build(8).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("batch_size is 8") && error.message().contains("only 7 samples"), "{error}");
    assert_eq!(build(7).unwrap().iter().count(), 1);
}
