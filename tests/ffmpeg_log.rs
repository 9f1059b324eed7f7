//! What FFmpeg says in a process in which others use it too: its log level and callback are one for all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unsafe_code, reason = "calls libavutil as another user of it in the same process does")]

#[path = "../src/testing.rs"]
mod testing;

use ffmpeg_next::ffi;
use framefeed::{
    ClipDecoder, ConvertOptions, Dataset, DecodeLimits, DecodePlan, DecoderOptions, PacketSource, Result, convert,
};
use std::ffi::{c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

const SCENE: &str = "FRAMEFEED_TEST_LOG_SCENE";

/// A video with packets that do not decode.
fn damaged(dir: &Path) -> PathBuf {
    let mut bytes = std::fs::read(testing::H264.path()).unwrap();
    let data = bytes.windows(4).position(|name| name == b"mdat").unwrap() + 4;
    for at in (data + 3000..bytes.len().min(data + 9000)).step_by(97) {
        bytes[at] ^= 0x55;
    }
    let path = dir.join("damaged.mp4");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn converted(dir: &Path, name: &str) -> Dataset {
    let source = damaged(dir);
    let report = convert(&ConvertOptions::new([source], dir.join(name)), &(), &|| false).unwrap();
    assert!(!report.warnings.is_empty(), "{report:?}");
    Dataset::open(dir.join(name)).unwrap()
}

/// Packets that no decoder likes.
struct Garbage;

impl PacketSource for Garbage {
    fn packet(&self, _index: u32) -> Result<&[u8]> {
        Ok(&[0, 0, 0, 40, 0x65, 0xff, 0xff, 0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }
}

fn decode_garbage(dataset: &Dataset) {
    let stream = dataset.record(0).unwrap().stream;
    let plan = DecodePlan::new(&stream, &[0, 1, 2]).unwrap();
    let mut decoder = ClipDecoder::new(DecoderOptions::default());
    let _ = decoder.decode(&stream, &plan, &Garbage, &DecodeLimits::default(), &|| false, &mut |_, _| Ok(()));
}

fn say_as_another(level: c_int) {
    // SAFETY: no context, and a format without arguments.
    unsafe { ffi::av_log(std::ptr::null_mut(), level, c"of another\n".as_ptr()) };
}

static HEARD: AtomicUsize = AtomicUsize::new(0);

#[cfg(all(target_arch = "x86_64", not(windows)))]
type Arguments = *mut ffi::__va_list_tag;
#[cfg(not(all(target_arch = "x86_64", not(windows))))]
type Arguments = ffi::va_list;

/// Another user's callback. As usual it drops what is above its level.
unsafe extern "C" fn of_another(_: *mut c_void, level: c_int, _: *const c_char, _: Arguments) {
    if level <= ffi::AV_LOG_TRACE {
        HEARD.fetch_add(1, Ordering::Relaxed);
    }
}

fn set_callback_of_another() {
    // SAFETY: a function of this program.
    unsafe { ffi::av_log_set_callback(Some(of_another)) };
}

fn set_level(level: c_int) {
    // SAFETY: sets a number.
    unsafe { ffi::av_log_set_level(level) };
}

fn level() -> c_int {
    // SAFETY: reads a number.
    unsafe { ffi::av_log_get_level() }
}

#[test]
#[ignore = "no test, but the process that the tests below start"]
fn scene() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    match scene.as_str() {
        "level" => {
            set_level(ffi::AV_LOG_VERBOSE);
            let dataset = converted(dir, "a");
            decode_garbage(&dataset);
            assert_eq!(level(), ffi::AV_LOG_VERBOSE);
            say_as_another(ffi::AV_LOG_VERBOSE);
        }
        "callback before decoding" => {
            // Made by another process, so that nothing was converted in this one.
            let dataset = Dataset::open(std::env::var_os("FRAMEFEED_TEST_LOG_SET").unwrap()).unwrap();
            set_callback_of_another();
            decode_garbage(&dataset);
            assert_eq!(HEARD.load(Ordering::Relaxed), 0);
            say_as_another(ffi::AV_LOG_INFO);
            assert_eq!(HEARD.load(Ordering::Relaxed), 1);
        }
        "callback after a conversion" => {
            let first = converted(dir, "a");
            set_callback_of_another();
            let second = converted(dir, "b");
            // Complaints were not heard, and the clip is what it was all the same.
            let shards =
                [&first, &second].map(|set| std::fs::read(set.root().join(&set.manifest().shards[0].file)).unwrap());
            assert!(shards[0] == shards[1]);
            let heard = HEARD.load(Ordering::Relaxed);
            say_as_another(ffi::AV_LOG_INFO);
            assert_eq!(HEARD.load(Ordering::Relaxed), heard + 1);
        }
        "wanted" => {
            let dataset = converted(dir, "a");
            eprintln!("CONVERTED");
            decode_garbage(&dataset);
        }
        other => panic!("no scene {other}"),
    }
}

/// What a process in which `scene` is played says on stderr.
fn play(scene: &str, envs: &[(&str, &Path)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "scene", "--ignored", "--nocapture"]).env(SCENE, scene).env_remove("FRAMEFEED_FFMPEG_LOG");
    let output = command.envs(envs.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{scene}: {said}{}", String::from_utf8_lossy(&output.stdout));
    said
}

#[test]
fn the_level_stays_others_are_heard_and_we_are_not() {
    let said = play("level", &[]);
    assert_eq!(said.matches("of another").count(), 1, "{said}");
    assert!(!said.contains(" @ 0x"), "{said}");
}

#[test]
fn decoding_leaves_the_callback_of_another_alone_and_tells_it_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = converted(dir.path(), "set");
    play("callback before decoding", &[("FRAMEFEED_TEST_LOG_SET", dataset.root())]);
}

#[test]
fn a_callback_that_is_set_after_a_conversion_stays_and_later_conversions_give_the_same() {
    play("callback after a conversion", &[]);
}

#[test]
fn what_ffmpeg_says_is_printed_where_it_is_asked_for_also_after_a_conversion() {
    let said = play("wanted", &[("FRAMEFEED_FFMPEG_LOG", Path::new("error"))]);
    let (before, after) = said.split_once("CONVERTED").unwrap();
    assert!(before.contains(" @ 0x") && after.contains(" @ 0x"), "{said}");
    assert!(!play("wanted", &[]).contains(" @ 0x"));
}
