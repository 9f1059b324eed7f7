//! What the loader adds to decoding: its frames per CPU second against bare libavcodec on exactly the packets that it plans,
//! in turn. One decode thread; files are in the page cache.
//!
//! ```text
//! cargo bench --bench decode -- --dataset data/ [--frames 16] [--strides 1,4] [--placement random] [--side 256]
//!                               [--fit stretch] [--rounds 5] [--epochs 2] [--whole]
//! ```
//!
//! The windows are those of the loader, at random places where nothing else is asked for. libavcodec opens one decoder for each clip, is fed the packets of
//! the clip's plan from memory and gives its frames; nothing is made of them. Before anything is timed, each wanted frame must
//! have come out of it, and the loader must give the same windows in each round.
//!
//! With `--whole` each clip is decoded from begin to end by `ClipReader::for_each_chunk`, at full resolution to RGB.

#![allow(unsafe_code, reason = "libavcodec is called directly")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "a decoder's whole life is one block")]

#[path = "common/mod.rs"]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod common;

use common::{Arguments, Failure, cpu};
use ffmpeg_next::ffi;
use framefeed::{
    ClipReader, Dataset, DecodeLimits, DecodePlan, Fit, Loader, Placement, Shuffle, StorageOptions, StreamInfo,
    TransformOptions, Window,
};
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// A window as the loader gave it, and what libavcodec needs for it.
struct Job {
    frames: Vec<u32>,
    stream: StreamInfo,
    /// Number and bytes of each packet, with the padding that libavcodec asks for behind them.
    packets: Vec<(i64, Vec<u8>)>,
    /// Packets that wanted frames come from.
    wanted: BTreeSet<i64>,
}

const PADDING: usize = ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;

fn windows(loader: &Loader, epochs: u64, mut each: impl FnMut(&str, &[u32])) -> Result<(), Failure> {
    for epoch in 0..epochs {
        loader.set_epoch(epoch);
        for batch in loader {
            let batch = batch?;
            let video = batch.video.as_ref().ok_or("no video in the batch")?;
            each(&batch.keys[0], &video.frames);
        }
    }
    Ok(())
}

fn job(dataset: &Dataset, key: &str, frames: &[u32]) -> Result<Job, Failure> {
    let record = dataset.find(key)?.ok_or("a key of a batch is in the dataset")?;
    let (shard, stream) = dataset.stream(record)?;
    let plan = DecodePlan::new(&stream, frames)?;
    let file = std::fs::File::open(shard.path())?;
    let mut packets = Vec::new();
    for &number in plan.packets() {
        let entry = stream.packets.get(number as usize).ok_or("the plan names packets of the stream")?;
        let mut bytes = vec![0; entry.size as usize + PADDING];
        file.read_exact_at(&mut bytes[..entry.size as usize], entry.offset)?;
        packets.push((i64::from(number), bytes));
    }
    let wanted = frames.iter().map(|&frame| i64::from(stream.frame_packets[frame as usize])).collect();
    Ok(Job { frames: frames.to_vec(), stream, packets, wanted })
}

/// Decodes a job's packets; returns how many of the wanted frames came out.
fn decode(job: &Job) -> usize {
    let name = std::ffi::CString::new(job.stream.codec.as_str()).expect("no NUL in a codec's name");
    let mut given = 0;
    // SAFETY: calls as libavcodec documents them, on objects that are made and freed here, one thread.
    unsafe {
        let descriptor = ffi::avcodec_descriptor_get_by_name(name.as_ptr());
        let decoder = ffi::avcodec_find_decoder((*descriptor).id);
        let mut context = ffi::avcodec_alloc_context3(decoder);
        let extradata = job.stream.extradata.as_slice();
        let copy = ffi::av_mallocz(extradata.len() + PADDING).cast::<u8>();
        std::ptr::copy_nonoverlapping(extradata.as_ptr(), copy, extradata.len());
        (*context).extradata = copy;
        (*context).extradata_size = extradata.len() as i32;
        (*context).width = job.stream.width as i32;
        (*context).height = job.stream.height as i32;
        (*context).has_b_frames = i32::from(job.stream.reorder_frames);
        (*context).thread_count = 1;
        assert!(ffi::avcodec_open2(context, decoder, std::ptr::null_mut()) >= 0, "the decoder opens");
        let (mut packet, mut frame) = (ffi::av_packet_alloc(), ffi::av_frame_alloc());
        let mut drain = || {
            while ffi::avcodec_receive_frame(context, frame) >= 0 {
                given += usize::from(job.wanted.contains(&(*frame).pts));
            }
        };
        for (number, bytes) in &job.packets {
            (*packet).data = bytes.as_ptr().cast_mut();
            (*packet).size = (bytes.len() - PADDING) as i32;
            (*packet).pts = *number;
            ffi::avcodec_send_packet(context, packet);
            drain();
        }
        ffi::avcodec_send_packet(context, std::ptr::null());
        drain();
        ffi::av_packet_free(&raw mut packet);
        ffi::av_frame_free(&raw mut frame);
        ffi::avcodec_free_context(&raw mut context);
    }
    given
}

/// CPU and wall time of `work`.
fn time(work: impl FnOnce() -> Result<(), Failure>) -> Result<[Duration; 2], Failure> {
    let (wall, before) = (Instant::now(), cpu());
    work()?;
    Ok([cpu().saturating_sub(before), wall.elapsed()])
}

fn bench(dataset: &Dataset, stride: u32, options: &Options) -> Result<(), Failure> {
    let window = Window::strided(options.frames, stride).placement(options.placement);
    let builder = Loader::builder(dataset.clone()).batch_size(1).window(window).size(options.side, options.side);
    let loader = builder.fit(options.fit).decode_workers(1).shuffle(Shuffle::On).build()?;
    let mut jobs = Vec::new();
    windows(&loader, options.epochs, |key, frames| jobs.push(job(dataset, key, frames)))?;
    let jobs = jobs.into_iter().collect::<Result<Vec<_>, _>>()?;
    println!("\nstride {stride}, placement {}, fit {}", options.placement.as_str(), options.fit);
    compare(&jobs, options.rounds, || {
        let mut expected = jobs.iter().map(|job| job.frames.as_slice());
        windows(&loader, options.epochs, |_, frames| assert_eq!(expected.next(), Some(frames), "other windows"))
    })
}

/// Times bare libavcodec on all jobs and `ours`, in turn, after libavcodec gave every wanted frame once.
fn compare(jobs: &[Job], rounds: usize, mut ours: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    let all_by_libavcodec = || {
        for job in jobs {
            assert_eq!(decode(job), job.wanted.len(), "libavcodec lacks a frame");
        }
        Ok(())
    };
    all_by_libavcodec()?;
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        times.0.push(time(all_by_libavcodec)?);
        times.1.push(time(&mut ours)?);
    }
    report(jobs, &times.0, &times.1);
    Ok(())
}

/// Frames of the tensors that a whole clip comes in.
const CHUNK: u32 = 2;

fn bench_whole(dataset: &Dataset, options: &Options) -> Result<(), Failure> {
    let transform = TransformOptions::new();
    let mut reader = ClipReader::new(dataset, &StorageOptions::new())?;
    let mut jobs = Vec::new();
    for record in 0..dataset.len() {
        let frames: Vec<u32> = (0..dataset.stream(record)?.1.num_frames() as u32).collect();
        jobs.push(job(dataset, dataset.row(record)?.key, &frames)?);
    }
    println!("\nwhole clips");
    compare(&jobs, options.rounds, || {
        for (record, job) in jobs.iter().enumerate() {
            let (num_frames, mut given) = (job.frames.len(), 0);
            let limits = DecodeLimits::default();
            reader.for_each_chunk(
                record,
                0..num_frames as u32,
                CHUNK,
                &transform,
                &limits,
                &|| false,
                &mut |clip| {
                    given += clip.shape[0];
                    Ok(())
                },
            )?;
            assert_eq!(given, num_frames);
        }
        Ok(())
    })
}

fn report(jobs: &[Job], bare: &[[Duration; 2]], ours: &[[Duration; 2]]) {
    let delivered = jobs.iter().map(|job| job.frames.len()).sum::<usize>();
    let decoded = jobs.iter().map(|job| job.packets.len()).sum::<usize>();
    println!(
        "  {} clips, {delivered} frames delivered, {decoded} packets decoded ({:.2} for each)",
        jobs.len(),
        decoded as f64 / delivered as f64
    );
    for (unit, name) in ["CPU", "wall"].iter().enumerate() {
        let rate = |runs: &[[Duration; 2]]| median(runs.iter().map(|run| delivered as f64 / run[unit].as_secs_f64()));
        let ratio =
            median(bare.iter().zip(ours).map(|(bare, ours)| bare[unit].as_secs_f64() / ours[unit].as_secs_f64()));
        println!(
            "  frames delivered per {name} second: loader {:.0}, bare libavcodec {:.0}; median of the ratios {ratio:.3}",
            rate(ours),
            rate(bare)
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Options {
    frames: u32,
    placement: Placement,
    fit: Fit,
    side: u32,
    rounds: usize,
    epochs: u64,
}

fn main() -> Result<(), Failure> {
    if common::is_test() {
        return Ok(());
    }
    let given = Arguments::parse(&["whole"])?;
    let options = Options {
        frames: given.number("frames", "16")?,
        placement: Placement::parse(&given.list("placement", "random").concat())?,
        fit: Fit::parse(&given.list("fit", "stretch").concat())?,
        side: given.number("side", "256")?,
        rounds: given.number("rounds", "5")?,
        epochs: given.number("epochs", "2")?,
    };
    let dataset = Dataset::open(given.path("dataset").ok_or("--dataset must be set")?)?;
    if given.has("whole") {
        return bench_whole(&dataset, &options);
    }
    given.numbers("strides", "1,4")?.iter().try_for_each(|&stride| bench(&dataset, stride, &options))
}
