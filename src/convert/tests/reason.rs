//! Sources that are no use say why, in words that name the cause.

use super::clip::convert_to;
use crate::convert::*;
use crate::testing::make;
use std::path::{Path, PathBuf};

const SOURCE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1"];

fn from_test_picture(name: &str, encode: &[&str]) -> PathBuf {
    make(name, &[&SOURCE, encode].concat())
}

/// The error of converting `path`, of that kind and with those words in its message.
fn fails(path: &Path, kind: ErrorKind, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let error = convert_to(path, &folder.path().join("clip.mp4"), None, None).unwrap_err();
    assert!(error.kind() == kind && error.message().contains(words), "{}: {}", path.display(), error.report());
    assert_eq!(error.path(), Some(path));
}

#[test]
fn encrypted_videos_say_so() {
    let key =
        ["-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb", "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8"];
    let x264 = ["-c:v", "libx264", "-encryption_scheme", "cenc-aes-ctr"];
    for (name, more) in [("cenc.mp4", &[][..]), ("cenc_fragments.mp4", &["-movflags", "frag_keyframe+empty_moov"][..])]
    {
        let path = from_test_picture(name, &[&x264[..], &key, more].concat());
        fails(&path, ErrorKind::Unsupported, "the video is encrypted");
    }
    // A transport stream whose video packets are marked and mangled, as a broadcaster's are.
    let folder = tempfile::tempdir().unwrap();
    let plain = from_test_picture("scrambled.ts", &["-c:v", "libx264"]);
    let mut bytes = std::fs::read(plain).unwrap();
    for packet in bytes.chunks_exact_mut(188).filter(|packet| packet[1] & 0x1f == 1 && packet[2] == 0) {
        packet[3] |= 0x80;
        let start = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
        packet.iter_mut().skip(start).for_each(|byte| *byte = byte.wrapping_mul(167) ^ 0x5a);
    }
    let path = folder.path().join("scrambled.ts");
    std::fs::write(&path, bytes).unwrap();
    fails(&path, ErrorKind::Unsupported, "the video is encrypted");
}

/// Puts `child` at the end of the first box that `path` leads to, whose own content begins with `skip` bytes that are no boxes.
fn with_box(bytes: &[u8], path: &[(&[u8; 4], usize)], child: &[u8]) -> Vec<u8> {
    let Some(((name, skip), rest)) = path.split_first() else { return [bytes, child].concat() };
    let mut out = Vec::new();
    let (mut at, mut is_done) = (0, false);
    while at + 8 <= bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let this = &bytes[at..at + size];
        if &this[4..8] == *name && !is_done {
            is_done = true;
            let content = [&this[8..8 + skip], &with_box(&this[8 + skip..], rest, child)].concat();
            out.extend(u32::try_from(content.len() + 8).unwrap().to_be_bytes());
            out.extend(&this[4..8]);
            out.extend(content);
        } else {
            out.extend(this);
        }
        at += size;
    }
    assert!(is_done, "{}", String::from_utf8_lossy(*name));
    out
}

/// `mp4`, whose index is at its end, with a record of Dolby Vision.
fn dolby_vision(mp4: &Path, entry: [u8; 4], profile: u8, has_base: u8, compatibility: u8) -> Vec<u8> {
    let mut record = vec![0, 0, 0, 32];
    record.extend(if profile > 7 { b"dvvC" } else { b"dvcC" });
    record.extend([1, 0, profile << 1, 6 << 3 | 4 | has_base, compatibility << 4]);
    record.resize(32, 0);
    let path: [(&[u8; 4], usize); 7] =
        [(b"moov", 0), (b"trak", 0), (b"mdia", 0), (b"minf", 0), (b"stbl", 0), (b"stsd", 8), (&entry, 78)];
    with_box(&std::fs::read(mp4).unwrap(), &path, &record)
}

#[test]
fn dolby_vision_without_a_base_layer_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dolby.mp4");
    let hevc =
        ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1", "-x265-params", "log-level=none:pools=1"];
    let hevc = from_test_picture("dolby_hevc.mp4", &hevc);
    let av1 = from_test_picture("dolby_av1.mp4", &["-c:v", "libaom-av1", "-cpu-used", "8", "-pix_fmt", "yuv420p10le"]);
    for (source, entry, profile, compatibility) in [(&hevc, b"hvc1", 5, 0), (&av1, b"av01", 10, 0)] {
        std::fs::write(&path, dolby_vision(source, *entry, profile, 1, compatibility)).unwrap();
        fails(&path, ErrorKind::Unsupported, &format!("Dolby Vision profile {profile} without a base layer"));
    }
    std::fs::write(&path, dolby_vision(&hevc, *b"hvc1", 7, 0, 6)).unwrap();
    fails(&path, ErrorKind::Unsupported, "enhancement layer");
    for (source, entry, profile, compatibility) in [
        (&hevc, b"hvc1", 8, 4),
        (&hevc, b"hvc1", 8, 1),
        (&hevc, b"hvc1", 7, 6),
        (&av1, b"av01", 10, 1),
        (&av1, b"av01", 10, 4),
    ] {
        std::fs::write(&path, dolby_vision(source, *entry, profile, 1, compatibility)).unwrap();
        let output = convert_to(&path, &folder.path().join("clip.mp4"), None, None).unwrap();
        assert_eq!((output.stream.num_frames(), output.reencoded), (25, None), "{profile}.{compatibility}");
    }
}

#[test]
fn an_edit_list_that_hides_all_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    let plain = from_test_picture("hidden.mp4", &["-c:v", "libx264"]);
    for (name, duration, media_time) in [("empty.mp4", 0_u32, -1_i32), ("behind.mp4", 1000, 1 << 30)] {
        let mut bytes = std::fs::read(&plain).unwrap();
        let at = bytes.windows(4).position(|kind| kind == b"elst").unwrap() + 12;
        bytes[at..at + 4].copy_from_slice(&duration.to_be_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&media_time.to_be_bytes());
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        fails(&path, ErrorKind::Unsupported, "its index names 25 samples, and its edit list hides all of them");
    }
}

#[test]
fn animated_webp_is_named() {
    let path = from_test_picture("animated.webp", &["-c:v", "libwebp_anim"]);
    fails(&path, ErrorKind::Unsupported, "animated WebP is not supported by this FFmpeg");
}

#[test]
fn what_is_something_else_is_named_and_opens_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.ts");
    std::fs::copy(from_test_picture("listed.ts", &["-c:v", "libx264"]), &clip).unwrap();
    let segment = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.ts\n#EXT-X-ENDLIST\n";
    let remote = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/clip.ts\n#EXT-X-ENDLIST\n";
    let sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    let letters = format!("{}é", "a".repeat(4095));
    let tar = [vec![b'a'; 257], b"ustar\x0000".to_vec(), vec![0; 4096]].concat();
    let cases: [(&str, &[u8], &str); 14] = [
        ("hls.mp4", segment.as_bytes(), "a playlist (HLS)"),
        ("hls.m3u8", segment.as_bytes(), "a playlist (HLS)"),
        ("remote.m3u8", remote.as_bytes(), "a playlist (HLS)"),
        ("script.mp4", b"ffconcat version 1.0\nfile clip.ts\n", "a playlist (concat script)"),
        ("manifest.mpd", b"<?xml version=\"1.0\"?>\n<MPD type=\"static\"></MPD>\n", "a playlist (DASH manifest)"),
        ("session.sdp", sdp.as_bytes(), "a session description"),
        ("page.mp4", b"<!DOCTYPE html>\n<html><body>403 Forbidden</body></html>\n", "a web page"),
        ("letters.mp4", letters.as_bytes(), "a text file"),
        ("answer.mp4", b"{\"error\": \"gone\"}\n", "a text file"),
        ("zip.mp4", b"PK\x03\x04\x14\0\0\0\0\0", "an archive (ZIP)"),
        ("gzip.mp4", b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "an archive (gzip)"),
        ("tar.mp4", &tar, "an archive (tar)"),
        ("rar.mp4", b"Rar!\x1a\x07\x01\0", "an archive (RAR)"),
        ("picture.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08free", "a still image (HEIC)"),
    ];
    for (name, bytes, words) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        fails(&path, ErrorKind::Unsupported, words);
    }
    // A name that looks like a pattern is a name.
    let picture = make("one.png", &["-f", "lavfi", "-i", "testsrc2=size=64x48", "-frames:v", "1"]);
    let other = make("other.png", &["-f", "lavfi", "-i", "testsrc2=size=32x24", "-frames:v", "1"]);
    let pattern = folder.path().join("p%d.png");
    std::fs::copy(picture, &pattern).unwrap();
    std::fs::copy(other, folder.path().join("p1.png")).unwrap();
    let output = convert_to(&pattern, &folder.path().join("clip.mp4"), None, None).unwrap();
    assert_eq!((output.stream.width, output.stream.height), (64, 48));
}
