//! One reading of the source is enough where its times are good, and two give the same.

use super::*;
use crate::convert::{OnChange, StreamChoice};
use crate::testing::{self, make};
use std::path::PathBuf;

fn request(source: &Path, start: Option<f64>, end: Option<f64>, options: TrainOptions) -> ClipRequest {
    ClipRequest { source: source.to_owned(), start, end, train: Some(options), ..ClipRequest::default() }
}

/// Encodes while reading, and again by the record's times. True where both were done and gave the same pictures.
fn once_is_enough(request: &ClipRequest) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (mp4, options) = (folder.path().join("clip.mp4"), request.train.unwrap());
    let mut source = Source::open(&request.source, request.stream).unwrap();
    let mut live = Live::new(&options, request, &mp4, &|| false);
    let reading = Reading::of(&mut source, request, &mp4, &|| false, &mut live).unwrap();
    let end = shown(&reading, request).end;
    let pts: Vec<i64> = (0..reading.ingest.frames.len()).map(|frame| reading.frame_pts(frame).unwrap()).collect();
    let wanted = reading.wanted.clone();
    let chosen = choice::chosen(&pts, wanted, end, options.rate(), reading.time_base).unwrap();
    let again = encode_again(&reading, &chosen, request, &options, &mp4, &|| false).unwrap();
    assert_eq!(again.crcs.len(), chosen.len());
    let Some(first) = live.finish(&chosen).unwrap() else { return false };
    assert_eq!(first.crcs, again.crcs, "{}", request.source.display());
    true
}

fn small() -> TrainOptions {
    TrainOptions::new().size(TrainSize::ShortSide(32))
}

fn remux(name: &str, after: &[&str]) -> PathBuf {
    make(name, &[&["-i", testing::H264.path().to_str().unwrap()], after].concat())
}

#[test]
fn a_source_with_good_times_is_decoded_once() {
    let variable = remux("train_variable.mkv", &["-vf", "setpts='N*N/(200*TB)'", "-vsync", "vfr", "-c:v", "libx264"]);
    let rate = |fps: f64| small().fps(Some(fps));
    for fixture in testing::ALL {
        assert!(once_is_enough(&request(&fixture.path(), None, None, small())), "{}", fixture.name);
        assert!(once_is_enough(&request(&fixture.path(), Some(0.3), Some(0.7), small())), "{}", fixture.name);
    }
    for source in [testing::H264.path(), testing::HEVC_OPEN_GOP.path(), testing::MPEG2.path(), variable] {
        for fps in [7.0, 25.0, 60.0] {
            assert!(once_is_enough(&request(&source, None, None, rate(fps))), "{} {fps}", source.display());
            assert!(once_is_enough(&request(&source, Some(0.5), Some(1.0), rate(fps))), "{} {fps}", source.display());
        }
    }
}

#[test]
fn a_source_without_good_times_is_decoded_twice_where_they_matter() {
    let raw = remux("train_raw.h264", &["-c", "copy"]);
    assert!(once_is_enough(&request(&raw, None, None, small())), "times do not matter");
    assert!(!once_is_enough(&request(&raw, None, None, small().fps(Some(5.0)))));
    assert!(!once_is_enough(&request(&raw, Some(0.5), Some(1.0), small())));
}

#[test]
fn pictures_that_change_their_size_on_the_way_are_made_like_the_first_or_refused() {
    let [small_one, large] = [(64, 48), (96, 64)].map(|(w, h)| {
        let source = format!("testsrc2=size={w}x{h}:rate=25:duration=0.4");
        make(&format!("train_{w}.h264"), &["-f", "lavfi", "-i", &source, "-c:v", "libx264", "-pix_fmt", "yuv420p"])
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changes.h264");
    std::fs::write(&path, [std::fs::read(small_one).unwrap(), std::fs::read(large).unwrap()].concat()).unwrap();
    let convert = |request: &ClipRequest| {
        let mut source = Source::open(&path, StreamChoice::default()).unwrap();
        convert(&mut source, request, &small(), &folder.path().join("out.mp4"), &|| false)
    };
    let request = request(&path, None, None, small());
    assert!(once_is_enough(&request));
    let output = convert(&request).unwrap();
    assert_eq!((output.stream.width, output.stream.height, output.stream.num_frames()), (42, 32, 20));
    let words = "the picture changes at frame 10: size 64x48 to 96x64";
    assert!(output.warnings.iter().any(|warning| warning.contains(words)), "{:?}", output.warnings);
    let error = convert(&ClipRequest { on_change: OnChange::Refuse, ..request }).unwrap_err();
    assert!(error.message().contains(words), "{error}");
}

#[test]
fn encoding_is_cancelled_also_while_one_frame_is_repeated() {
    // Two frames, the second of them after a minute and a half.
    let still =
        remux("train_still_90.mkv", &["-frames:v", "2", "-vf", "setpts='N*90/TB'", "-vsync", "vfr", "-c:v", "libx264"]);
    let request = request(&still, None, None, small().fps(Some(1000.0)));
    let asked = std::cell::Cell::new(0_u32);
    let cancel = || {
        asked.set(asked.get() + 1);
        asked.get() > 100
    };
    let folder = tempfile::tempdir().unwrap();
    let mut source = Source::open(&still, StreamChoice::default()).unwrap();
    let error = convert(&mut source, &request, &request.train.unwrap(), &folder.path().join("out.mp4"), &cancel);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Closed);
}
