//! Damaged clips have one content. Sources of every codec are mutated and converted; whatever was stored gives the same frames in every
//! epoch, order and window, with any number of workers, by the loader and by a reader of single clips, and `verify` finds it sound.
//!
//! `FRAMEFEED_FUZZ_CLIPS` is the number of mutated clips (40 by default), `FRAMEFEED_FUZZ_SEED` chooses others, and
//! `FRAMEFEED_FUZZ_KEEP` names a folder that takes the sources of those that fail.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../src/testing.rs"]
mod testing;

use framefeed::{
    CheckLevel, ClipReader, ConvertOptions, ConvertReport, Dataset, DecodeLimits, ErrorPolicy, Loader, Placement,
    Shuffle, StorageOptions, VerifyLevel, VerifyOptions, Window, convert, crc32c, verify_dataset,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// All clips have this size, and those of one codec come from one encoder: so a decoder goes on from one to the next.
const SIZE: (u32, u32) = (64, 48);
const EPOCHS: u64 = 8;

/// A small generator of numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end.max(1)
    }
}

/// Name with its container, and encoder.
type Source = (&'static str, &'static [&'static str]);

const X265: &str = "log-level=none:keyint=10:min-keyint=10:bframes=3:pools=1:frame-threads=1:info=0";
const X264: &str = "keyint=12:min-keyint=12:bframes=3:slices=2:threads=1";

const SOURCES: [Source; 14] = [
    ("h264.mp4", &["-c:v", "libx264", "-x264-params", X264]),
    ("hevc.mp4", &["-c:v", "libx265", "-x265-params", X265]),
    ("h264.h264", &["-c:v", "libx264", "-x264-params", X264]),
    ("hevc.hevc", &["-c:v", "libx265", "-x265-params", X265]),
    ("vp9.webm", &["-c:v", "libvpx-vp9", "-g", "12", "-cpu-used", "8", "-b:v", "200k"]),
    ("mpeg4.avi", &["-c:v", "mpeg4", "-g", "12", "-bf", "2", "-b:v", "200k"]),
    ("av1.mp4", &["-c:v", "libaom-av1", "-g", "12", "-cpu-used", "8", "-b:v", "100k", "-lag-in-frames", "12"]),
    ("mpeg2.ts", &["-c:v", "mpeg2video", "-g", "12", "-bf", "2", "-b:v", "300k"]),
    ("h264.ts", &["-c:v", "libx264", "-x264-params", X264]),
    ("hevc_long.mkv", &["-c:v", "libx265", "-x265-params", "log-level=none:bframes=4:pools=1:frame-threads=1"]),
    ("mjpeg.avi", &["-c:v", "mjpeg", "-q:v", "6"]),
    ("vp8.webm", &["-c:v", "libvpx", "-g", "12", "-cpu-used", "8", "-b:v", "200k"]),
    ("h264_long.mkv", &["-c:v", "libx264", "-x264-params", "bframes=2:ref=4:threads=1"]),
    ("mpeg2.mpg", &["-c:v", "mpeg2video", "-g", "15", "-b:v", "300k"]),
];

/// A sound video; `take` chooses its pictures.
fn sound((name, encode): Source, take: usize) -> PathBuf {
    let picture = ["testsrc2", "mandelbrot", "testsrc"][take % 3];
    let input = format!("{picture}=size={}x{}:rate=25,hue=h={}", SIZE.0, SIZE.1, take * 40);
    let frames = (20 + take % 4 * 7).to_string();
    let args = ["-f", "lavfi", "-i", &input, "-frames:v", &frames, "-pix_fmt", "yuv420p"];
    testing::make(name, &[&args[..], encode].concat())
}

/// The video with every so-manieth packet left out.
fn without_packets(path: &Path, name: &str, step: usize, first: usize) -> PathBuf {
    let drop = format!("noise=amount=0:drop=eq(mod(n\\,{step})\\,{first})");
    let args = ["-i", path.to_str().unwrap(), "-c", "copy", "-bsf:v", &drop];
    testing::make(&format!("dropped_{name}"), &args)
}

/// Changes, removes or clears bytes behind the headers.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let place = |bytes: &[u8], random: &mut Random| {
        let first = bytes.len() / 12;
        first + random.below(bytes.len() - first)
    };
    match random.below(4) {
        0 | 1 => {
            for _ in 0..=random.below(6) {
                let place = place(bytes, random);
                bytes[place] = random.next() as u8;
            }
        }
        2 => {
            let start = place(bytes, random);
            let end = (start + 1 + random.below(40)).min(bytes.len());
            bytes.drain(start..end);
        }
        _ => {
            let start = place(bytes, random);
            let end = (start + 1 + random.below(200)).min(bytes.len());
            bytes[start..end].fill(0);
        }
    }
}

/// A folder with `count` mutated videos, and sound ones of each kind.
fn fuzzed(folder: &Path, count: usize, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for (number, source) in SOURCES.into_iter().enumerate() {
        for take in 0..2 {
            let path = sound(source, number + take);
            std::fs::copy(
                &path,
                folder.join(format!("sound{take}_{}", source.0.replace('.', "_"))).with_extension(extension(&path)),
            )
            .unwrap();
        }
    }
    for number in 0..count {
        let source = SOURCES[number % SOURCES.len()];
        let mut path = sound(source, random.below(6));
        if number / SOURCES.len() % 4 == 3 && extension(&path) != "mpg" {
            path = without_packets(&path, source.0, 4 + random.below(6), 1 + random.below(4));
        }
        let mut bytes = std::fs::read(&path).unwrap();
        if number / SOURCES.len() % 8 != 3 {
            mutate(&mut bytes, &mut random);
        }
        let name = format!("m{number:04}_{}", source.0.replace('.', "_"));
        std::fs::write(folder.join(name).with_extension(extension(&path)), bytes).unwrap();
    }
}

fn extension(path: &Path) -> &str {
    path.extension().unwrap().to_str().unwrap()
}

/// Each frame's contents, by key and number of the frame.
#[derive(Default)]
struct Contents(BTreeMap<(String, u32), BTreeSet<u32>>);

impl Contents {
    fn add(&mut self, key: &str, frame: u32, content: &[u8]) {
        self.0.entry((key.to_owned(), frame)).or_default().insert(crc32c(content));
    }

    /// Keys of clips with a frame of several contents.
    fn several(&self) -> BTreeSet<&str> {
        self.0.iter().filter(|(_, contents)| contents.len() > 1).map(|((key, _), _)| key.as_str()).collect()
    }
}

/// Reads all epochs with a loader; what it could not decode is added to `refused`.
fn load(dataset: &Dataset, window: Window, workers: usize, contents: &mut Contents, refused: &mut BTreeSet<String>) {
    let loader = Loader::builder(dataset.clone())
        .window(window)
        .size(SIZE.1, SIZE.0)
        .shuffle(Shuffle::On)
        .seed(workers as u64)
        .decode_workers(workers)
        .on_error(ErrorPolicy::Skip)
        .epochs(EPOCHS)
        .build()
        .unwrap();
    let mut batches = loader.iter();
    for batch in batches.by_ref() {
        let batch = batch.unwrap();
        refused.extend(batch.skipped.iter().map(|skipped| skipped.reason.clone()));
        let video = batch.video.as_ref().unwrap();
        let frame_bytes = video.clip_bytes() / video.num_frames();
        for (row, key) in batch.keys.iter().enumerate() {
            let frames = video.frames.chunks(video.num_frames()).nth(row).unwrap();
            let data = video.data.chunks(video.clip_bytes()).nth(row).unwrap();
            for (frame, content) in frames.iter().zip(data.chunks(frame_bytes)) {
                contents.add(key, *frame, content);
            }
        }
    }
    refused.extend(batches.left_out().iter().map(|skipped| skipped.reason.clone()));
}

/// Reads single frames, runs of frames and whole records in a random order with one reader.
fn read(dataset: &Dataset, random: &mut Random, contents: &mut Contents, refused: &mut BTreeSet<String>) {
    let mut reader = ClipReader::new(dataset, &StorageOptions::default()).unwrap();
    for _ in 0..dataset.len() * 4 {
        let row = random.below(dataset.len());
        let key = dataset.row(row).unwrap().key.to_owned();
        let count = dataset.record(row).unwrap().stream.num_frames() as u32;
        let first = random.below(count as usize) as u32;
        let frames: Vec<u32> = match random.below(3) {
            0 => vec![first],
            1 => (first..count).step_by(1 + random.below(3)).collect(),
            _ => (0..count).collect(),
        };
        match reader.frames(row, &frames, &DecodeLimits::default()) {
            Ok(decoded) => {
                for (frame, decoded) in frames.iter().zip(&decoded) {
                    contents.add(&key, *frame, &decoded.planes.concat());
                }
            }
            Err(error) => {
                refused.insert(error.report());
            }
        }
    }
}

fn converted(folder: &Path, out: &Path, check: CheckLevel) -> ConvertReport {
    let options = ConvertOptions::new([folder], out).check(check);
    convert(&options, &(), &|| false).unwrap()
}

fn wrong(folder: &Path, out: &Path, check: CheckLevel, seed: u64) -> Vec<String> {
    let report = converted(folder, out, check);
    eprintln!(
        "{check:?}: {} clips, {} encoded anew, {} failed",
        report.clips,
        report.reencoded.len(),
        report.failed.len()
    );
    let mut wrong = Vec::new();
    for reencoded in report.reencoded.iter().filter(|clip| clip.key.starts_with("sound")) {
        // What an MP4 does not hold is encoded anew, damaged or not.
        if !reencoded.reason.contains("cannot hold") {
            wrong.push(format!("{check:?}: {}: encoded anew: {}", reencoded.key, reencoded.reason));
        }
    }
    let dataset = Dataset::open(out).unwrap();
    let mut refused = BTreeSet::new();
    let (mut loaded, mut read_alone) = (Contents::default(), Contents::default());
    for workers in 1..=4 {
        for window in [Window::strided(8, 1).placement(Placement::Start), Window::strided(3, 2)] {
            load(&dataset, window, workers, &mut loaded, &mut refused);
        }
    }
    read(&dataset, &mut Random(seed | 1), &mut read_alone, &mut refused);
    for (by, contents) in [("loader", &loaded), ("reader", &read_alone)] {
        wrong.extend(contents.several().iter().map(|key| format!("{check:?}: {key}: several contents by the {by}")));
    }
    wrong.extend(refused.into_iter().map(|reason| format!("{check:?}: {reason}")));
    let options = VerifyOptions::default().level(VerifyLevel::Frames);
    let verified = verify_dataset(out, &options, &|_, _| (), &|| false).unwrap();
    for problem in &verified.problems {
        let key = problem.record.clone().unwrap_or_default();
        wrong.push(format!("{check:?}: {key}: verify: {}", problem.reason));
    }
    wrong
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Cuts a stream at its start codes; each unit with its own.
fn units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = (0..stream.len()).filter(|&at| stream[at..].starts_with(&[0, 0, 1])).collect();
    starts.iter().zip(starts.iter().skip(1).chain([&stream.len()])).map(|(&start, &end)| &stream[start..end]).collect()
}

#[test]
fn a_picture_that_lacks_a_slice_is_found_by_either_check() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["-f", "lavfi", "-i", "testsrc2=size=192x160:rate=25", "-frames:v", "30", "-pix_fmt", "yuv420p"];
    let encode = ["-c:v", "libx265", "-x265-params", "log-level=none:slices=2:ctu=16:pools=1:frame-threads=1"];
    let stream = std::fs::read(testing::make("slices.hevc", &[&args[..], &encode].concat())).unwrap();
    let units = units(&stream);
    // Slices that are not their picture's first.
    let is_second = |unit: &[u8]| unit[3] >> 1 & 0x3f < 32 && unit[5] & 0x80 == 0;
    let seconds: Vec<usize> = (0..units.len()).filter(|&index| is_second(units[index])).collect();
    assert_eq!(seconds.len(), 30, "each picture has two slices");
    for (number, lost) in [0, 9, 29].into_iter().enumerate() {
        let videos = folder.path().join(format!("videos{number}"));
        std::fs::create_dir(&videos).unwrap();
        let kept = units.iter().enumerate().filter(|&(index, _)| index != seconds[lost]).flat_map(|(_, unit)| *unit);
        std::fs::write(videos.join("lost.hevc"), kept.copied().collect::<Vec<u8>>()).unwrap();
        std::fs::write(videos.join("whole.hevc"), &stream).unwrap();
        for check in [CheckLevel::Full, CheckLevel::Fast] {
            let out = folder.path().join(format!("{number}{check:?}"));
            let report = converted(&videos, &out, check);
            let reencoded: Vec<&str> = report.reencoded.iter().map(|clip| clip.key.as_str()).collect();
            assert_eq!((report.clips, reencoded), (2, vec!["lost"]), "slice {lost}, {check:?}");
        }
    }
}

/// Frames of a clip that differ from those of the clip as a whole where they are decoded alone, or from there on.
fn frames_that_differ(dataset: &Dataset) -> Vec<(String, u32)> {
    let mut reader = ClipReader::new(dataset, &StorageOptions::default()).unwrap();
    let mut differ = Vec::new();
    for row in 0..dataset.len() {
        let key = dataset.row(row).unwrap().key.to_owned();
        let count = dataset.record(row).unwrap().stream.num_frames() as u32;
        let mut read = |frames: &[u32]| -> Vec<u32> {
            let frames = reader.frames(row, frames, &DecodeLimits::default()).unwrap();
            frames.iter().map(|frame| crc32c(&frame.planes.concat())).collect()
        };
        let whole = read(&(0..count).collect::<Vec<_>>());
        for frame in 0..count {
            let alone = read(&[frame])[0];
            let every_third: Vec<u32> = (frame..count).step_by(3).collect();
            let thirds = read(&every_third).into_iter().eq(every_third.iter().map(|&frame| whole[frame as usize]));
            if alone != whole[frame as usize] || !thirds {
                differ.push((key.clone(), frame));
            }
        }
    }
    differ
}

#[test]
fn a_stream_that_lost_a_picture_has_one_content_though_its_decoder_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let videos = folder.path().join("videos");
    std::fs::create_dir(&videos).unwrap();
    let args = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25", "-frames:v", "36", "-pix_fmt", "yuv420p"];
    let encode = ["-c:v", "libx264", "-x264-params", "keyint=12:scenecut=0:bframes=5:b-pyramid=normal:ref=4"];
    let whole = testing::make("pyramid.ts", &[&args[..], &encode].concat());
    for lost in 13..24 {
        // The GOP in the middle is not among those whose disposable pictures a proof leaves out.
        let drop = format!("noise=amount=0:drop=eq(n\\,{lost})");
        let args = ["-i", whole.to_str().unwrap(), "-c", "copy", "-bsf:v", &drop];
        let name = format!("pyramid_without_{lost}.ts");
        std::fs::copy(testing::make(&name, &args), videos.join(name)).unwrap();
    }
    for check in [CheckLevel::Full, CheckLevel::Fast] {
        let out = folder.path().join(format!("{check:?}"));
        let report = converted(&videos, &out, check);
        assert_eq!((report.clips, report.failed.len()), (11, 0));
        assert_eq!(frames_that_differ(&Dataset::open(&out).unwrap()), [], "{check:?}");
    }
}

#[test]
fn a_damaged_clip_has_one_content_whatever_is_decoded_around_it() {
    let (count, seed) = (number("FRAMEFEED_FUZZ_CLIPS", 40) as usize, number("FRAMEFEED_FUZZ_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let sources = folder.path().join("videos");
    std::fs::create_dir(&sources).unwrap();
    fuzzed(&sources, count, seed);
    let mut found = Vec::new();
    for check in [CheckLevel::Full, CheckLevel::Fast] {
        found.extend(wrong(&sources, &folder.path().join(format!("{check:?}")), check, seed));
    }
    if let Some(keep) = std::env::var_os("FRAMEFEED_FUZZ_KEEP").filter(|_| !found.is_empty()) {
        for entry in std::fs::read_dir(&sources).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            if found.iter().any(|message| message.contains(stem)) {
                std::fs::copy(&path, Path::new(&keep).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    assert!(found.is_empty(), "{} of {count} clips:\n{}", found.len(), found.join("\n"));
}
