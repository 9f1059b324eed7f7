//! Videos for tests, made by the `ffmpeg` command, and what the `ffmpeg` command decodes them to. Only `std` is used, so
//! that integration tests take this file in by `#[path]`.
//!
//! Videos are made once and kept in `target/fixtures`; the file's name holds a hash of how it was made.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "each test takes what it needs")]

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A video that `ffmpeg` can make: a name with its extension, the picture's size and the arguments of the encoder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixture {
    /// File name; the extension chooses the container.
    pub name: &'static str,
    /// Width and height.
    pub size: (u32, u32),
    /// Number of frames, at 25 a second.
    pub frames: u32,
    /// Encoder, pixel format, GOP structure.
    pub encode: &'static [&'static str],
}

const fn fixture(name: &'static str, size: (u32, u32), frames: u32, encode: &'static [&'static str]) -> Fixture {
    Fixture { name, size, frames, encode }
}

/// H.264 with a pyramid of B-frames, closed GOPs of 12.
pub(crate) const H264: Fixture = fixture(
    "h264.mp4",
    (128, 96),
    50,
    &[
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-x264-params",
        "keyint=12:min-keyint=12:scenecut=0:bframes=3:b-pyramid=normal:ref=4",
    ],
);
/// H.264 with recovery points in the place of IDR pictures.
pub(crate) const H264_OPEN_GOP: Fixture = fixture(
    "h264_open_gop.mp4",
    (128, 96),
    50,
    &[
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-x264-params",
        "keyint=12:min-keyint=12:scenecut=0:bframes=3:open-gop=1",
    ],
);
/// H.264, interlaced, macroblock-adaptive.
pub(crate) const H264_INTERLACED: Fixture = fixture(
    "h264_interlaced.mp4",
    (128, 96),
    40,
    &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct", "-x264-params", "keyint=10:scenecut=0:tff=1"],
);
/// H.264 whose display window is smaller than the coded picture, 112x80 or so.
pub(crate) const H264_CROPPED: Fixture = fixture(
    "h264_cropped.mp4",
    (98, 74),
    30,
    &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "keyint=10:scenecut=0:bframes=2"],
);
/// The same coded size, another display window.
pub(crate) const H264_CROPPED_OTHER: Fixture = fixture(
    "h264_cropped_other.mp4",
    (102, 78),
    30,
    &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "keyint=10:scenecut=0:bframes=2"],
);
/// H.264, 10 bits.
pub(crate) const H264_10BIT: Fixture = fixture(
    "h264_10bit.mp4",
    (128, 96),
    30,
    &["-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-x264-params", "keyint=10:scenecut=0:bframes=2"],
);
/// H.264, 4:2:2.
pub(crate) const H264_422: Fixture = fixture(
    "h264_422.mp4",
    (98, 74),
    30,
    &["-c:v", "libx264", "-pix_fmt", "yuv422p", "-x264-params", "keyint=10:scenecut=0:bframes=2"],
);
/// H.264, 4:4:4, odd width and height.
pub(crate) const H264_444_ODD: Fixture = fixture(
    "h264_444_odd.mp4",
    (99, 75),
    30,
    &["-c:v", "libx264", "-pix_fmt", "yuv444p", "-x264-params", "keyint=10:scenecut=0:bframes=2"],
);
/// HEVC with CRA and RASL pictures.
pub(crate) const HEVC_OPEN_GOP: Fixture = fixture(
    "hevc_open_gop.mp4",
    (128, 96),
    50,
    &[
        "-c:v",
        "libx265",
        "-pix_fmt",
        "yuv420p",
        "-tag:v",
        "hvc1",
        "-x265-params",
        "log-level=none:keyint=12:min-keyint=12:scenecut=0:bframes=4:open-gop=1:pools=1:frame-threads=1",
    ],
);
/// HEVC, 10 bits, 4:2:2.
pub(crate) const HEVC_10BIT_422: Fixture = fixture(
    "hevc_10bit_422.mp4",
    (128, 96),
    30,
    &[
        "-c:v",
        "libx265",
        "-pix_fmt",
        "yuv422p10le",
        "-tag:v",
        "hvc1",
        "-x265-params",
        "log-level=none:keyint=10:min-keyint=10:scenecut=0:open-gop=0:pools=1:frame-threads=1",
    ],
);
/// VP9 with hidden frames, odd width and height.
pub(crate) const VP9_ODD: Fixture = fixture(
    "vp9_odd.mp4",
    (99, 75),
    50,
    &[
        "-c:v",
        "libvpx-vp9",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "15",
        "-auto-alt-ref",
        "1",
        "-lag-in-frames",
        "16",
        "-deadline",
        "good",
        "-cpu-used",
        "5",
        "-b:v",
        "300k",
    ],
);
/// AV1 by libaom.
pub(crate) const AV1: Fixture = fixture(
    "av1.mp4",
    (128, 96),
    40,
    &[
        "-c:v",
        "libaom-av1",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "15",
        "-cpu-used",
        "8",
        "-lag-in-frames",
        "12",
        "-b:v",
        "200k",
    ],
);
/// MPEG-2 with B-frames and open GOPs.
pub(crate) const MPEG2: Fixture = fixture(
    "mpeg2.ts",
    (128, 96),
    50,
    &["-c:v", "mpeg2video", "-pix_fmt", "yuv420p", "-g", "12", "-bf", "2", "-b:v", "1M"],
);
/// MPEG-4 part 2 with B-frames.
pub(crate) const MPEG4: Fixture = fixture(
    "mpeg4.mp4",
    (98, 74),
    50,
    &["-c:v", "mpeg4", "-pix_fmt", "yuv420p", "-g", "12", "-bf", "2", "-b:v", "500k"],
);
/// Motion JPEG, full range, odd width and height.
pub(crate) const MJPEG_ODD: Fixture =
    fixture("mjpeg_odd.mov", (99, 75), 20, &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "4"]);

/// All of them.
pub(crate) const ALL: [Fixture; 15] = [
    H264,
    H264_OPEN_GOP,
    H264_INTERLACED,
    H264_CROPPED,
    H264_CROPPED_OTHER,
    H264_10BIT,
    H264_422,
    H264_444_ODD,
    HEVC_OPEN_GOP,
    HEVC_10BIT_422,
    VP9_ODD,
    AV1,
    MPEG2,
    MPEG4,
    MJPEG_ODD,
];

impl Fixture {
    /// Where the video is; made if it is not there yet.
    pub(crate) fn path(&self) -> PathBuf {
        // In 4:2:0 the source would round odd sizes down.
        let source = format!("testsrc2=size={}x{}:rate=25,format=yuv444p", self.size.0, self.size.1);
        let frames = self.frames.to_string();
        let mut args = vec!["-f", "lavfi", "-i", &source, "-frames:v", &frames];
        args.extend(self.encode);
        make(self.name, &args)
    }
}

/// The folder where generated videos are kept.
pub(crate) fn fixtures_dir() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fixtures");
    std::fs::create_dir_all(&dir).expect("target/fixtures can be made");
    dir
}

/// A file that `ffmpeg ARGS FILE` makes; kept for later runs under `name` and a hash of `args`.
pub(crate) fn make(name: &str, args: &[&str]) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut hasher = DefaultHasher::new();
    args.hash(&mut hasher);
    let (stem, extension) = name.rsplit_once('.').expect("a fixture's name has an extension");
    let dir = fixtures_dir();
    let path = dir.join(format!("{stem}-{:016x}.{extension}", hasher.finish()));
    if !path.exists() {
        // Tests run at the same time: whoever is last puts the same file there again.
        let unique = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let temporary = dir.join(format!(".{stem}-{unique}.{extension}"));
        let mut all = vec!["-y"];
        all.extend(args);
        all.extend(["-fflags", "+bitexact", temporary.to_str().expect("a path in UTF-8")]);
        ffmpeg(&all);
        std::fs::rename(&temporary, &path).expect("the made file can be renamed");
    }
    path
}

/// What `ffmpeg` writes to its standard output. Panics with its messages where it fails.
pub(crate) fn ffmpeg(args: &[&str]) -> Vec<u8> {
    match try_ffmpeg(args) {
        Ok(output) => output,
        Err(message) => panic!("{message}"),
    }
}

fn try_ffmpeg(args: &[&str]) -> Result<Vec<u8>, String> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin"])
        .args(args)
        .output()
        .map_err(|error| format!("the ffmpeg command is needed by this test: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut message = format!("ffmpeg {}: {}", args.join(" "), output.status);
    let _ = write!(message, "\n{}", String::from_utf8_lossy(&output.stderr));
    Err(message)
}

/// The first line of `ffmpeg -version`.
pub(crate) fn ffmpeg_version() -> String {
    String::from_utf8_lossy(&ffmpeg(&["-version"])).lines().next().unwrap_or_default().to_owned()
}

/// The oracle: all frames of stream `index` of a file as the `ffmpeg` command decodes them, unturned, each the bytes of
/// its planes without padding, in the decoder's own pixel format. `frame_bytes` cuts the output into frames.
pub(crate) fn raw_planes(path: &Path, index: usize, frame_bytes: usize) -> Vec<Vec<u8>> {
    let path = path.to_str().expect("a path in UTF-8");
    let bytes = all_frames(&["-noautorotate", "-i", path, "-map", &format!("0:{index}")]);
    assert_eq!(bytes.len() % frame_bytes, 0, "{path}: frames of {frame_bytes} bytes do not add up to the output");
    bytes.chunks_exact(frame_bytes).map(<[u8]>::to_vec).collect()
}

/// Marks the pictures of an AVI of raw video as stored from the bottom row up.
pub(crate) fn upside_down(mut bytes: Vec<u8>) -> Vec<u8> {
    // FFmpeg's mark for it, behind the 40 bytes of the format, in place of padding that follows it.
    let format = bytes.windows(4).position(|name| name == b"strf").unwrap();
    let padding = format + 48;
    assert!(bytes[format + 4] == 40 && bytes[padding..].starts_with(b"JUNK"));
    let left = u32::from_le_bytes(bytes[padding + 4..padding + 8].try_into().unwrap()) - 10;
    (bytes[format + 4], bytes[format + 8]) = (49, 49);
    bytes[padding..padding + 14].copy_from_slice(b"BottomUp\0\0JUNK");
    bytes[padding + 14..padding + 18].copy_from_slice(&left.to_le_bytes());
    bytes
}

/// The oracle of pictures as they are shown: all frames of a file as the `ffmpeg` command decodes and turns them, one after
/// another, each the bytes of its planes in that pixel format.
pub(crate) fn shown_planes(path: &Path, pixel_format: &str) -> Vec<u8> {
    all_frames(&["-i", path.to_str().expect("a path in UTF-8"), "-pix_fmt", pixel_format])
}

/// The frames that `ffmpeg ARGS` gives, none repeated and none left out.
fn all_frames(args: &[&str]) -> Vec<u8> {
    let run =
        |mode: &str| try_ffmpeg(&[args, &[mode, "passthrough", "-f", "rawvideo", "-c:v", "rawvideo", "-"]].concat());
    // Its name up to FFmpeg 5.0.
    run("-fps_mode").or_else(|_| run("-vsync")).unwrap_or_else(|message| panic!("{message}"))
}
