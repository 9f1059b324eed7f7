//! `framefeed convert --on-change` from end to end: a source whose picture changes on the way becomes a clip for each piece,
//! one clip, or none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use std::path::{Path, PathBuf};
use support::{convert, keys, on, record, testing};

const X264: [&str; 4] = ["-c:v", "libx264", "-x264-params", "keyint=10:min-keyint=10:scenecut=0:bframes=2"];

fn part(name: &str, size: &str, encode: &[&str]) -> PathBuf {
    let source = format!("testsrc2=size={size}:rate=25:duration=0.8");
    testing::make(name, &[&["-f", "lavfi", "-i", &source], &X264[..], encode].concat())
}

/// The three parts, and the transport stream in which one follows the other.
fn parts(folder: &Path) -> ([PathBuf; 3], PathBuf) {
    let parts = [
        part("piece_a.ts", "160x120", &["-colorspace", "bt709"]),
        part("piece_b.ts", "320x180", &["-colorspace", "bt709"]),
        part("piece_c.ts", "320x180", &["-colorspace", "smpte170m"]),
    ];
    let path = folder.join("in").join("film.ts");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, parts.iter().flat_map(|part| std::fs::read(part).unwrap()).collect::<Vec<u8>>()).unwrap();
    (parts, path)
}

#[test]
fn each_piece_is_a_clip_of_the_packets_of_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let (parts, path) = parts(folder.path());
    std::fs::write(path.with_extension("txt"), "a film\n").unwrap();
    std::fs::copy(&parts[0], path.with_file_name("plain.ts")).unwrap();
    let (source, out) = (path.parent().unwrap(), folder.path().join("ds"));
    let report = convert(source, &out, &["--on-change", "split"]).json();
    assert_eq!(
        (&report["clips"], &report["failed"], &report["reencoded"]),
        (&json!(4), &json!([]), &json!([])),
        "{report}"
    );
    let keys = keys(&out);
    assert_eq!(keys.len(), 4);
    // A video that does not change keeps its plain key.
    assert_eq!(keys.iter().filter(|key| *key == "plain").count(), 1, "{keys:?}");
    let pieces = keys.iter().filter(|key| key.starts_with("film"));
    for (key, part) in pieces.zip(&parts) {
        assert_eq!(record(&out, key).caption.as_deref(), Some("a film"));
        let mp4 = folder.path().join("piece.mp4");
        on("extract", &out, &[key, "-f", "-o", mp4.to_str().unwrap()]).fails(0, &[]);
        let planes = |path: &Path| testing::shown_planes(path, "yuv420p");
        assert!(planes(&mp4) == planes(part), "{key}: other frames than {}", part.display());
    }
    let check = on("verify", &out, &["--decode", "--json"]).json();
    assert_eq!((&check["problems"], &check["records"]), (&json!([]), &json!(4)));
    let again = convert(source, &out, &["--on-change", "split"]).json();
    assert_eq!((&again["up_to_date"], &again["clips_converted"]), (&json!(true), &json!(0)));
}

#[test]
fn every_profile_follows_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = parts(folder.path());
    for profile in ["copy", "train", "raw"] {
        let run = |policy: &str| {
            let out = folder.path().join(format!("{profile}-{policy}"));
            convert(&path, &out, &["--profile", profile, "--on-change", policy])
        };
        let split = run("split").json();
        assert_eq!((&split["clips"], &split["failed"]), (&json!(3), &json!([])), "{profile}: {split}");
        let one = run("reencode").json();
        assert_eq!((&one["clips"], &one["failed"]), (&json!(1), &json!([])), "{profile}: {one}");
        assert_eq!(one["frames"], split["frames"]);
        let words = "the picture changes at frame 20: size 160x120 to 320x180 (and once more later)";
        assert!(one["warnings"].to_string().contains(words), "{profile}: {}", one["warnings"]);
        run("refuse").fails(1, &["the picture changes at frame 20: size 160x120 to 320x180"]);
    }
}
