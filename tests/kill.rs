//! Conversions that are killed or interrupted, and finished by the same command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::{Videos, convert, framefeed, on, published};

const ARGS: [&str; 4] = ["--shard-size", "150KB", "--jobs", "2"];
const TRAIN: [&str; 8] = ["--shard-size", "10KB", "--jobs", "2", "--profile", "train", "--short-side", "64"];

fn start(source: &Path, out: &Path, args: &[&str]) -> Child {
    let mut command = framefeed(["convert"]);
    command.arg(source).arg("--out").arg(out).args(args);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// `FRAMEFEED_KILLS` says how often to kill; a few times by default.
fn num_kills() -> u64 {
    std::env::var("FRAMEFEED_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Kills the conversion at many moments, and lets the same command finish it.
fn survives_kills(args: &[&str]) {
    let videos = Videos::several();
    let undisturbed = videos.dir.path().join("undisturbed");
    let started = Instant::now();
    convert(&videos.source(), &undisturbed, args).json();
    let whole = started.elapsed();
    let expected = published(&undisturbed);
    let mut kills = 0;
    for round in 0..num_kills() {
        let out = videos.dir.path().join(format!("killed-{round}"));
        // Multiples of the golden ratio: moments spread evenly over the run, and others in every round.
        for attempt in 0..3 {
            let moment = whole.mul_f64(((round * 3 + attempt) as f64 * 0.618_034).fract());
            let mut child = start(&videos.source(), &out, args);
            std::thread::sleep(moment);
            child.kill().unwrap();
            let status = child.wait().unwrap();
            kills += u32::from(status.signal() == Some(9));
            assert!(status.success() || !out.join("manifest.json").exists() || published(&out) == expected);
        }
        convert(&videos.source(), &out, args).json();
        assert_eq!(published(&out), expected, "round {round}");
        let leftovers: Vec<_> = std::fs::read_dir(out.join(".framefeed/tmp")).unwrap().collect();
        assert!(leftovers.is_empty(), "{leftovers:?}");
        let again = convert(&videos.source(), &out, args).json();
        assert_eq!(again["up_to_date"], serde_json::json!(true));
    }
    assert!(num_kills() < 3 || kills > 0, "no run was long enough to be killed");
    on("verify", &undisturbed, &["--decode"]).fails(0, &[]);
}

#[test]
fn killed_at_any_moment_the_same_command_finishes_with_the_same_bytes() {
    survives_kills(&ARGS);
}

#[test]
fn killed_while_clips_are_encoded_for_training_the_same_command_finishes_with_the_same_bytes() {
    survives_kills(&TRAIN);
}

#[test]
fn a_clip_that_was_converted_before_the_kill_is_not_converted_again() {
    let videos = Videos::several();
    let mut child = start(&videos.source(), &videos.out(), &ARGS);
    let tmp = videos.out().join(".framefeed/tmp");
    let saved = || {
        let units = std::fs::read_dir(&tmp).into_iter().flatten().flatten();
        let clips = units.flat_map(|unit| std::fs::read_dir(unit.path()).into_iter().flatten().flatten());
        clips.map(|clip| clip.path()).find(|path| path.extension().is_some_and(|e| e == "json"))
    };
    let found = loop {
        if let Some(path) = saved() {
            break Some(path);
        }
        if child.try_wait().unwrap().is_some() {
            break None;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let Some(tables) = found.filter(|path| path.exists()) else {
        eprintln!("SKIPPED: the run was too quick to be killed half-way");
        return;
    };
    // A new modification time would tell that the clip was written again; the shard would take it all the same.
    let before = std::fs::metadata(tables.with_extension("mp4")).unwrap().modified().unwrap();
    let watch = std::thread::spawn({
        let mp4 = tables.with_extension("mp4");
        move || {
            let mut last = before;
            while let Ok(meta) = std::fs::metadata(&mp4) {
                last = meta.modified().unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            last
        }
    });
    let report = convert(&videos.source(), &videos.out(), &ARGS).json();
    assert_eq!(watch.join().unwrap(), before);
    let clips = |name: &str| report[name].as_u64().unwrap();
    assert!(clips("clips_reused") >= 1, "{report}");
    assert_eq!(clips("clips_reused") + clips("clips_converted"), clips("clips"));
}

#[test]
fn an_interrupted_run_says_so_publishes_nothing_and_goes_on() {
    for (signal, name) in [(2, "INT"), (15, "TERM")] {
        let videos = Videos::several();
        let child = start(&videos.source(), &videos.out(), &ARGS);
        let plan = videos.out().join(".framefeed/plan.json");
        let started = Instant::now();
        while !plan.exists() && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let killed = std::process::Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
        assert!(killed.unwrap().success());
        let said = support::Said::from(child.wait_with_output().unwrap());
        if said.code == Some(0) {
            eprintln!("SKIPPED: the run was done before signal {signal}");
            continue;
        }
        said.fails(130, &["interrupted", "hint: ", "same command"]);
        assert!(!videos.out().join("manifest.json").exists());
        convert(&videos.source(), &videos.out(), &ARGS).json();
        let undisturbed = videos.dir.path().join("undisturbed");
        convert(&videos.source(), &undisturbed, &ARGS).json();
        assert_eq!(published(&videos.out()), published(&undisturbed));
    }
}
