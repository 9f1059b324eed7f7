//! Reads one file by one engine for some seconds and prints the rate and what it cost: one line of JSON. For the choice of
//! defaults (`src/storage/mod.rs` quotes the figures); a comparison with fio runs it and fio in turn.
//!
//! ```sh
//! cargo bench --bench storage -- FILE [engine=uring] [direct=on] [block=1048576] [depth=32] [random=0] [seconds=3]
//!     [threads=4] [split=4194304] [in_flight=67108864] [mode=interrupts] [register=off] [slots=off]
//! ```
//!
//! Every read is whole or the program ends: a read that fails gives no figure.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use framefeed::{DirectIo, EngineKind, ReadRequest, RegisterBuffers, RingMode, Slot, Storage, StorageOptions};

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let Some(path) = words.next() else {
        println!("usage: cargo bench --bench storage -- FILE [name=value ...]");
        return;
    };
    let given: HashMap<String, String> = words
        .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let text = |name: &str, default: &str| given.get(name).cloned().unwrap_or_else(|| default.to_owned());
    let number = |name: &str, default: usize| given.get(name).map_or(default, |value| value.parse().expect(name));
    let (block, depth, seconds) = (number("block", 1 << 20), number("depth", 32), number("seconds", 3));
    let options = StorageOptions::new()
        .engine(text("engine", "uring").parse::<EngineKind>().expect("engine"))
        .direct_io(if text("direct", "on") == "on" { DirectIo::On } else { DirectIo::Off })
        .depth(depth)
        .pread_threads(number("threads", 4))
        .split_bytes(number("split", 4 << 20))
        .max_in_flight_bytes(number("in_flight", 64 << 20))
        .ring_mode(match &*text("mode", "interrupts") {
            "polled" => RingMode::Polled,
            "submission" => RingMode::SubmissionThread,
            _ => RingMode::Interrupts,
        })
        .register_buffers(if text("register", "off") == "on" { RegisterBuffers::On } else { RegisterBuffers::Off });
    let storage = Storage::new(&options).expect("a storage");
    let into_slots = text("slots", "off") == "on";
    let plan = Plan { path: Path::new(&path), block, seconds, is_random: number("random", 0) == 1, into_slots };
    let (num_reads, wall, cpu) = measure(&storage, &plan);
    let gigabytes = num_reads as f64 * block as f64 / 1e9;
    println!(
        "{{\"gb_per_s\": {:.3}, \"cpu_s_per_gb\": {:.4}, \"reads\": {num_reads}, \"engine\": \"{}\"}}",
        gigabytes / wall,
        cpu / gigabytes,
        storage.describe()
    );
}

struct Plan<'a> {
    path: &'a Path,
    block: usize,
    seconds: usize,
    is_random: bool,
    into_slots: bool,
}

/// Keeps the engine full until the time is over; gives reads, seconds, and seconds of CPU of the whole process.
fn measure(storage: &Storage, plan: &Plan) -> (u64, f64, f64) {
    let file = storage.open(plan.path).expect("the file");
    let mut engine = storage.engine().expect("an engine");
    let num_blocks = file.len() / plan.block as u64;
    assert!(num_blocks > 0, "the file is shorter than a block");
    let (mut random, mut next) = (1_u64, 0_u64);
    let mut offset = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        next += 1;
        (if plan.is_random { random >> 20 } else { next } % num_blocks) * plan.block as u64
    };
    let mut slots: Vec<Slot> = Vec::new();
    if plan.into_slots {
        // As in a batch: parts of one buffer.
        let mut rest = Slot::zeroed(engine.capacity() * plan.block).expect("a buffer");
        for _ in 0..engine.capacity() {
            let (slot, tail) = rest.split_at(plan.block);
            slots.push(slot);
            rest = tail;
        }
    }
    let (begin, cpu_before) = (Instant::now(), cpu_seconds());
    let end = begin + Duration::from_secs(plan.seconds as u64);
    let mut num_reads = 0;
    loop {
        while engine.in_flight() < engine.capacity() && Instant::now() < end {
            let request = match slots.pop() {
                Some(slot) => ReadRequest::into_slot(0, &file, offset(), slot),
                None => ReadRequest::new(0, &file, offset(), plan.block),
            };
            engine.submit(request).expect("the engine takes the read");
        }
        let Some(completion) = engine.wait(None).expect("the engine works") else { break };
        let outcome = completion.result.expect("the read succeeds");
        assert_eq!(outcome.len(), plan.block);
        if plan.into_slots {
            slots.push(outcome.into_slot().expect("a slot"));
        }
        num_reads += 1;
    }
    (num_reads, begin.elapsed().as_secs_f64(), cpu_seconds() - cpu_before)
}

/// User and system time of this process so far: fields 14 and 15 of its `stat`, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
    [11, 12].iter().map(|&field| fields[field].parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}
