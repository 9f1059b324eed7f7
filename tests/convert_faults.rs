//! Conversions of sources on a file system whose device fails: no error of the machine is taken for the end of a source or for
//! its failure, nothing is published meanwhile, and the next run of the same conversion finishes it with the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod faulty_fs;
mod support;

use faulty_fs::{Failing, FaultyFs, Request, Trouble};
use framefeed::{ConvertOptions, ConvertReport, EarlierFailures, Error, ErrorKind, Profile, convert};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{published, testing};
use testing::Fixture;

/// Long enough to take many reads.
const CLIP: Fixture = Fixture {
    name: "faults.mp4",
    size: (320, 240),
    frames: 60,
    encode: &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "4", "-x264-params", "keyint=12:bframes=2"],
};

const ERRORS: [i32; 3] = [libc::EIO, libc::ETIMEDOUT, libc::ESTALE];

/// The clip in another container.
fn remuxed(folder: &Path, name: &str, args: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-i"]).arg(CLIP.path()).args(["-c", "copy"]).args(args).arg(&path);
    assert!(command.status().unwrap().success());
    path
}

/// Files on the faulty file system, and datasets beside it.
struct Bench {
    dir: tempfile::TempDir,
    fs: FaultyFs,
    num_outs: usize,
}

impl Bench {
    fn new(files: &[(&str, PathBuf)]) -> Option<Self> {
        let copies: Vec<(String, PathBuf)> =
            files.iter().map(|(name, path)| ((*name).to_owned(), path.clone())).collect();
        let fs = FaultyFs::mount_copies(&copies, &Trouble::default())?;
        Some(Self { dir: tempfile::tempdir().unwrap(), fs, num_outs: 0 })
    }

    fn new_out(&mut self) -> PathBuf {
        self.num_outs += 1;
        self.dir.path().join(format!("out-{}", self.num_outs))
    }

    /// What an undisturbed conversion publishes, and its report.
    fn expected(&mut self, options: &dyn Fn(&Path) -> ConvertOptions) -> (BTreeMap<String, String>, ConvertReport) {
        self.fs.set(&Trouble::default());
        let out = self.new_out();
        let report = convert(&options(&out), &(), &|| false).unwrap();
        (published(&out), report)
    }

    fn fail(&mut self, request: Request, file: Option<&str>, after: u64, error: i32) {
        let failing = Failing { request, file: file.map(str::to_owned), after, error };
        self.fs.set(&Trouble { failing: Some(failing), ..Trouble::default() });
    }
}

#[track_caller]
fn assert_is_of_the_machine(error: &Error, names: &str, out: &Path) {
    assert_eq!(error.kind(), ErrorKind::Io, "{}", error.report());
    assert!(error.report().contains(names), "{names} is not in: {}", error.report());
    assert!(!out.join("manifest.json").exists());
}

fn finished_shards(out: &Path) -> usize {
    let shards = std::fs::read_dir(out.join("shards")).into_iter().flatten();
    shards.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "tar")).count()
}

/// Lets every read in turn, and all after it, fail; then the same conversion is to finish.
fn each_read_in_turn(file: PathBuf, step: usize, adjust: impl Fn(ConvertOptions) -> ConvertOptions) {
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let Some(mut bench) = Bench::new(&[(name.as_str(), file)]) else { return };
    let source = bench.fs.dir().join(&name);
    let options = |out: &Path| adjust(ConvertOptions::new([&source], out));
    let (expected, undisturbed) = bench.expected(&options);
    assert!(undisturbed.failed.is_empty(), "{undisturbed:?}");
    let mut num_failed = 0;
    for (after, error) in (0..).step_by(step).zip(ERRORS.into_iter().cycle()) {
        let out = bench.new_out();
        bench.fail(Request::Read, None, after, error);
        match convert(&options(&out), &(), &|| false) {
            Ok(_) => {
                assert_eq!(published(&out), expected, "read {after} did not come");
                break;
            }
            Err(error) => assert_is_of_the_machine(&error, &name, &out),
        }
        num_failed += 1;
        assert_eq!(finished_shards(&out), 0);
        bench.fs.set(&Trouble::default());
        let report = convert(&options(&out), &(), &|| false).unwrap();
        assert_eq!((report.failed, report.warnings), (undisturbed.failed.clone(), undisturbed.warnings.clone()));
        assert_eq!(published(&out), expected, "read {after} failed with {error}");
        std::fs::remove_dir_all(&out).unwrap();
    }
    assert!(num_failed >= 5, "only {num_failed} reads of {name}");
}

#[test]
fn mp4_with_its_index_behind() {
    each_read_in_turn(CLIP.path(), 1, |options| options);
}

#[test]
fn mp4_with_its_index_in_front() {
    let dir = tempfile::tempdir().unwrap();
    each_read_in_turn(remuxed(dir.path(), "front.mp4", &["-movflags", "+faststart"]), 1, |options| options);
}

#[test]
fn mp4_in_fragments() {
    let dir = tempfile::tempdir().unwrap();
    let file = remuxed(dir.path(), "fragments.mp4", &["-movflags", "+frag_keyframe+empty_moov"]);
    each_read_in_turn(file, 1, |options| options);
}

#[test]
fn matroska() {
    let dir = tempfile::tempdir().unwrap();
    each_read_in_turn(remuxed(dir.path(), "a.mkv", &[]), 1, |options| options);
}

#[test]
fn transport_stream() {
    let dir = tempfile::tempdir().unwrap();
    each_read_in_turn(remuxed(dir.path(), "a.ts", &[]), 1, |options| options);
}

#[test]
fn elementary_stream() {
    let dir = tempfile::tempdir().unwrap();
    each_read_in_turn(remuxed(dir.path(), "a.h264", &["-bsf:v", "h264_mp4toannexb"]), 2, |options| options);
}

#[test]
fn pieces_of_a_video() {
    let dir = tempfile::tempdir().unwrap();
    let file = remuxed(dir.path(), "pieces.mkv", &[]);
    each_read_in_turn(file, 7, |options| options.split_seconds(Some(0.8)));
}

#[test]
fn profiles_that_decode_the_source() {
    for profile in [Profile::Train, Profile::Raw] {
        each_read_in_turn(CLIP.path(), 3, |options| options.profile(profile));
    }
}

#[test]
fn errors_that_pass_and_short_answers_are_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    for file in [CLIP.path(), remuxed(dir.path(), "b.mkv", &[]), remuxed(dir.path(), "b.ts", &[])] {
        let Some(mut bench) = Bench::new(&[("a.video", file)]) else { return };
        let source = bench.fs.dir().join("a.video");
        let options = |out: &Path| ConvertOptions::new([&source], out);
        let (expected, undisturbed) = bench.expected(&options);
        for trouble in [
            Trouble { longest_answer: Some(3000), ..Trouble::default() },
            Trouble { passing: vec![libc::EINTR, libc::EIO], ..Trouble::default() },
            Trouble { passing: vec![libc::ESTALE], longest_answer: Some(40_000), ..Trouble::default() },
        ] {
            bench.fs.set(&trouble);
            let out = bench.new_out();
            let report = convert(&options(&out), &(), &|| false).unwrap();
            assert_eq!((report.failed, report.warnings), (Vec::new(), undisturbed.warnings.clone()), "{trouble:?}");
            assert_eq!(published(&out), expected, "{trouble:?}");
        }
    }
}

#[test]
fn what_can_be_read_is_converted_and_kept_while_one_file_cannot() {
    let names = ["a.mp4", "b.mp4", "c.mp4", "d.mp4"];
    let files: Vec<_> = names.iter().map(|&name| (name, CLIP.path())).collect();
    let Some(mut bench) = Bench::new(&files) else { return };
    let folder = bench.fs.dir().to_owned();
    // A shard for each clip, and one for all.
    for (shard_bytes, shards) in [(1, 3), (1 << 30, 0)] {
        let options = |out: &Path| ConvertOptions::new([&folder], out).shard_bytes(shard_bytes).jobs(2);
        let (expected, _) = bench.expected(&options);
        let out = bench.new_out();
        bench.fail(Request::Read, Some("b.mp4"), 3, libc::EIO);
        for _ in 0..2 {
            let error = convert(&options(&out), &(), &|| false).unwrap_err();
            assert_is_of_the_machine(&error, "b.mp4", &out);
            assert!(!error.report().contains("c.mp4"), "{}", error.report());
            assert_eq!(finished_shards(&out), shards);
        }
        // `--retry-failed` is for what failed for other reasons.
        let retry = options(&out).earlier_failures(EarlierFailures::Retry);
        assert_is_of_the_machine(&convert(&retry, &(), &|| false).unwrap_err(), "b.mp4", &out);
        bench.fs.set(&Trouble::default());
        let report = convert(&options(&out), &(), &|| false).unwrap();
        assert_eq!((report.clips_reused, report.clips_converted, report.failed), (3, 1, Vec::new()));
        assert_eq!(published(&out), expected);
    }
}

#[test]
fn a_file_system_that_cannot_be_looked_at_or_opened_is_no_reason_to_leave_a_video_out() {
    let dir = tempfile::tempdir().unwrap();
    let caption = dir.path().join("a.txt");
    std::fs::write(&caption, "a caption").unwrap();
    let Some(mut bench) = Bench::new(&[("a.mp4", CLIP.path()), ("a.txt", caption), ("b", CLIP.path())]) else { return };
    let folder = bench.fs.dir().to_owned();
    let options = |out: &Path| ConvertOptions::new([&folder], out).split_seconds(Some(1.0));
    let (expected, undisturbed) = bench.expected(&options);
    assert_eq!(undisturbed.sources, 2);
    let mut num_failed = 0;
    for (request, file, after) in [
        (Request::List, None, 0),
        (Request::Look, Some("a.mp4"), 0),
        (Request::Look, Some("a.txt"), 0),
        (Request::Look, Some("a.json"), 0),
        (Request::Look, Some("b"), 0),
        (Request::Look, Some("a.mp4"), 2),
        (Request::Open, Some("a.txt"), 0),
        (Request::Read, Some("a.txt"), 0),
        // It has no extension: whether it is a video is told by its first bytes.
        (Request::Open, Some("b"), 0),
        (Request::Read, Some("b"), 0),
        (Request::Open, Some("a.mp4"), 0),
        (Request::Open, Some("a.mp4"), 1),
        (Request::Open, Some("a.mp4"), 2),
        (Request::Open, Some("a.mp4"), 3),
    ] {
        for error in [libc::EIO, libc::ETIMEDOUT] {
            let out = bench.new_out();
            bench.fail(request, file, after, error);
            let failed = convert(&options(&out), &(), &|| false);
            let error = failed.expect_err(&format!("{request:?} of {file:?} after {after} failed with {error}"));
            assert_is_of_the_machine(&error, "", &out);
            num_failed += 1;
            bench.fs.set(&Trouble::default());
            let report = convert(&options(&out), &(), &|| false).unwrap();
            assert_eq!(published(&out), expected, "{request:?} of {file:?} failed: {report:?}");
        }
    }
    assert_eq!(num_failed, 28);
}

/// Three clips, a shard for each; the file `b.mp4` may not be opened at first, which is its failure and no error of the machine.
fn with_a_failure(bench: &mut Bench, out: &Path) -> ConvertOptions {
    let folder = bench.fs.dir().to_owned();
    let options = ConvertOptions::new([&folder], out).shard_bytes(1);
    bench.fail(Request::Open, Some("b.mp4"), 0, libc::EACCES);
    let report = convert(&options, &(), &|| false).unwrap();
    assert_eq!((report.clips, report.failed.len()), (2, 1), "{report:?}");
    assert!(report.failed[0].reason.contains("Permission denied"), "{report:?}");
    options
}

fn three_clips() -> Option<Bench> {
    Bench::new(&["a.mp4", "b.mp4", "c.mp4"].map(|name| (name, CLIP.path())))
}

#[test]
fn what_failed_is_tried_again_where_that_is_asked_for_and_other_shards_stay() {
    let Some(mut bench) = three_clips() else { return };
    let folder = bench.fs.dir().to_owned();
    let (expected, _) = bench.expected(&|out| ConvertOptions::new([&folder], out).shard_bytes(1));
    let out = bench.new_out();
    let options = with_a_failure(&mut bench, &out);
    let without = published(&out);
    // It fails again, or is not asked for: nothing changes.
    let retry = options.clone().earlier_failures(EarlierFailures::Retry);
    assert_eq!(convert(&retry, &(), &|| false).unwrap().failed.len(), 1);
    assert_eq!(published(&out), without);
    bench.fs.set(&Trouble::default());
    assert!(convert(&options, &(), &|| false).unwrap().up_to_date);
    assert_eq!(published(&out), without);

    let report = convert(&retry, &(), &|| false).unwrap();
    assert_eq!((report.clips, report.clips_converted, report.clips_reused), (3, 1, 2));
    assert_eq!(published(&out), expected);
    assert!(convert(&options, &(), &|| false).unwrap().up_to_date);
}

#[test]
fn a_shard_stays_whose_other_clips_cannot_be_converted_any_more() {
    let Some(mut bench) = three_clips() else { return };
    let folder = bench.fs.dir().to_owned();
    let out = bench.new_out();
    let options = ConvertOptions::new([&folder], &out);
    bench.fail(Request::Open, Some("b.mp4"), 0, libc::EACCES);
    assert_eq!(convert(&options, &(), &|| false).unwrap().clips, 2);
    let before = published(&out);
    bench.fail(Request::Open, Some("a.mp4"), 0, libc::EACCES);
    let retry = options.clone().earlier_failures(EarlierFailures::Retry);
    let report = convert(&retry, &(), &|| false).unwrap();
    assert_eq!((report.clips, report.failed.len()), (2, 1), "{report:?}");
    assert_eq!(published(&out), before);
    bench.fs.set(&Trouble::default());
    assert_eq!(convert(&retry, &(), &|| false).unwrap().clips, 3);
}

#[test]
fn an_error_of_the_machine_while_failures_are_tried_again_leaves_the_dataset_as_it_was() {
    let Some(mut bench) = three_clips() else { return };
    let out = bench.new_out();
    let options = with_a_failure(&mut bench, &out);
    let before = published(&out);
    bench.fail(Request::Read, Some("b.mp4"), 2, libc::EIO);
    let retry = options.clone().earlier_failures(EarlierFailures::Retry);
    let error = convert(&retry, &(), &|| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(published(&out), before);
    framefeed::Dataset::open(&out).unwrap();
}

#[test]
fn failures_are_not_tried_again_where_columns_have_tensors_for_the_clips_there_are() {
    let Some(mut bench) = three_clips() else { return };
    let out = bench.new_out();
    let options = with_a_failure(&mut bench, &out);
    support::add_column(&out, "latents");
    let before = published(&out);
    bench.fs.set(&Trouble::default());
    let retry = options.earlier_failures(EarlierFailures::Retry);
    let error = convert(&retry, &(), &|| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.report().contains("latents"), "{}", error.report());
    assert_eq!(published(&out), before);
}
