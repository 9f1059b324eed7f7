//! Stored tensors by the real binary: info, verify and extract on datasets of tensors and on columns beside videos; and a writer of a
//! column that is killed at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use framefeed::{ClipReader, DatasetKind, DecodeLimits, Layout, StorageOptions, TransformOptions};
use framefeed::{ColumnWriter, Dataset, DatasetWriter, DatasetWriterOptions, Manifest, NewTensor, NewTensorRecord};
use framefeed::{TensorType, VerifyOptions, read_field, verify_dataset};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use support::{Videos, convert, framefeed, on, published, testing};

const RECORDS: u64 = 24;

fn tensor(name: &str, number: u64, axes: &[u64]) -> NewTensor {
    let count = axes.iter().product::<u64>();
    let data: Vec<u8> = (0..count).flat_map(|at| ((number * 1_000_003 + at) as u32).to_le_bytes()).collect();
    NewTensor { name: name.to_owned(), dtype: TensorType::UInt32, shape: axes.to_vec(), data: data.into() }
}

/// A dataset of tensors of 80 KB in shards of four.
fn write(root: &Path) -> Dataset {
    let description = json!({"vae": "x-1"}).as_object().unwrap().clone();
    let options = DatasetWriterOptions::default().shard_bytes(300_000).description(description);
    let mut writer = DatasetWriter::create(root, options).unwrap();
    for number in 0..RECORDS {
        let fields = vec![tensor("latents", number, &[4, 25, 200])];
        let columns = json!({"score": number}).as_object().unwrap().clone();
        writer.add(NewTensorRecord { key: format!("r/{number:03}"), caption: None, columns, fields }).unwrap();
    }
    writer.finish().unwrap()
}

/// Adds the column `text` to every second record.
fn add_column(dataset: &Dataset) -> Dataset {
    let mut writer = ColumnWriter::create(dataset, "text", Map::new()).unwrap();
    for record in writer.position()..dataset.len() {
        if record % 2 == 0 {
            writer.add(record, vec![tensor("text", record as u64, &[record as u64 + 1, 1000])]).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn column_shards(dataset: &Dataset) -> Vec<PathBuf> {
    dataset.manifest().columns[0].shards.iter().map(|shard| dataset.root().join(&shard.file)).collect()
}

#[test]
fn info_says_what_the_fields_are() {
    let folder = tempfile::tempdir().unwrap();
    let root = add_column(&write(&folder.path().join("set"))).root().to_owned();
    let info = on("info", &root, &["--json"]).json();
    assert_eq!((&info["kind"], &info["clips"], &info["frames"]), (&json!("tensor"), &json!(24), &json!(0)));
    assert_eq!((&info["columns"], &info["window"]), (&json!(["score"]), &Value::Null));
    let latents = json!({
        "name": "latents", "column": null, "description": {"vae": "x-1"}, "records": 24, "bytes": 24 * 80_000,
        "shapes": [{"dtype": "uint32", "shape": [4, 25, 200], "records": 24}],
    });
    assert_eq!(info["fields"][0], latents);
    let text = &info["fields"][1];
    assert_eq!((&text["column"], &text["records"]), (&json!("text"), &json!(12)));
    assert_eq!(text["shapes"].as_array().unwrap().len(), 12);
    let shown = on("info", &root, &[]).stdout;
    assert!(shown.contains("24 in 6 shards") && shown.contains("uint32 [4, 25, 200] (24)"), "{shown}");
    assert!(shown.contains("vae=\"x-1\"") && !shown.contains("GOPs") && !shown.contains("window"), "{shown}");
}

/// Problems that `framefeed verify` lists.
fn problems(root: &Path) -> String {
    let said = on("verify", root, &["--json"]);
    let check: Value = serde_json::from_str(&said.stdout).unwrap();
    let problems = check["problems"].as_array().unwrap();
    assert_eq!(said.code, Some(i32::from(!problems.is_empty())));
    check["problems"].to_string()
}

#[test]
fn verify_reads_every_tensor_and_compares_columns_with_what_they_stand_beside() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = add_column(&write(&folder.path().join("set")));
    let root = dataset.root();
    let sound = on("verify", root, &["--decode"]).stdout;
    assert!(sound.starts_with("sound: 24 records in 12 shards, 36 tensors;"), "{sound}");
    for (shard, field) in
        [(root.join(&dataset.manifest().shards[2].file), "latents"), (column_shards(&dataset)[3].clone(), "text")]
    {
        let good = std::fs::read(&shard).unwrap();
        let mut bad = good.clone();
        let at = good.len() / 3;
        bad[at] ^= 1;
        std::fs::write(&shard, &bad).unwrap();
        let found = problems(root);
        assert!(found.contains(shard.file_name().unwrap().to_str().unwrap()) && found.contains(field), "{found}");
        std::fs::remove_file(&shard).unwrap();
        assert!(problems(root).contains("not found"));
        std::fs::write(&shard, &good).unwrap();
        assert_eq!(problems(root), "[]");
    }
    let with = |change: fn(&mut Manifest)| {
        let mut manifest = dataset.manifest().clone();
        change(&mut manifest);
        manifest.write(root).unwrap();
        problems(root)
    };
    let exchanged = with(|manifest| {
        let (first, second) = manifest.columns[0].shards.split_at_mut(1);
        std::mem::swap(&mut first[0].file, &mut second[0].file);
        std::mem::swap(&mut first[0].bytes, &mut second[0].bytes);
        std::mem::swap(&mut first[0].blake3, &mut second[0].blake3);
    });
    assert!(exchanged.contains("the column has 'r/004' in row 0, the dataset has 'r/000'"), "{exchanged}");
    let unnamed = with(|manifest| manifest.columns[0].fields = vec!["other".to_owned()]);
    assert!(unnamed.contains("field 'text' is not one that the manifest names"), "{unnamed}");
}

#[test]
fn extract_gives_an_npy_file_and_says_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = add_column(&write(&folder.path().join("set"))).root().to_owned();
    let file = folder.path().join("x.npy");
    let extract =
        |key: &str, more: &[&str]| on("extract", &root, &[&[key, "-o", file.to_str().unwrap()], more].concat());
    assert_eq!(extract("r/006", &["--field", "text"]).code, Some(0));
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    assert!(bytes.ends_with(&tensor("text", 6, &[7, 1000]).data));
    let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    assert!(header.starts_with("{'descr': '<u4', 'fortran_order': False, 'shape': (7, 1000), }"), "{header}");
    std::fs::remove_file(&file).unwrap();
    extract("r/007", &["--field", "text"]).fails(1, &["not found", "no field 'text'", "r/007"]);
    let mistyped = extract("r/006", &["--field", "txt"]);
    mistyped
        .fails(1, &["no field 'txt', did you mean 'text'?", "the dataset has: latents, text", root.to_str().unwrap()]);
    assert!(!mistyped.stderr.contains(file.to_str().unwrap()), "{}", mistyped.stderr);
    extract("r/006", &[]).fails(1, &["not a clip", "latents, text"]);
    extract("r/999", &["--field", "text"]).fails(1, &["no such record", "r/999"]);
    let shard = root.join(&Dataset::open(&root).unwrap().manifest().shards[0].file);
    let mut damaged = std::fs::read(&shard).unwrap();
    damaged[50_000] ^= 1;
    std::fs::write(&shard, damaged).unwrap();
    extract("r/000", &["--field", "latents"]).fails(1, &["corrupt", "field 'latents' has checksum", "r/000"]);
    assert!(!file.exists());
}

#[test]
fn a_column_beside_videos_stays_when_the_same_conversion_runs_again() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    videos.add("b.avi", &testing::MPEG4);
    convert(&videos.source(), &videos.out(), &[]).json();
    let before = on("extract", &videos.out(), &["a", "-o", "-"]).stdout;
    add_column(&Dataset::open(videos.out()).unwrap());
    assert_eq!(convert(&videos.source(), &videos.out(), &[]).json()["up_to_date"], json!(true));
    let dataset = Dataset::open(videos.out()).unwrap();
    assert_eq!(dataset.field_names(), ["text"]);
    assert_eq!(read_field(&dataset, 0, "text").unwrap().unwrap().shape, [1, 1000]);
    assert_eq!(read_field(&dataset, 1, "text").unwrap(), None);
    let sound = on("verify", &videos.out(), &["--decode"]).stdout;
    assert!(sound.starts_with("sound: 2 clips in 2 shards,") && sound.contains("1 tensor,"), "{sound}");
    assert_eq!(on("extract", &videos.out(), &["a", "-o", "-"]).stdout, before);
    assert!(on("info", &videos.out(), &[]).stdout.contains("text: uint32 [1, 1000] (1); in 1 of 2 records"));
}

#[test]
fn the_raw_profile_stores_what_an_mp4_cannot_hold_as_its_own_decoder_gives_it() {
    let videos = Videos::new();
    let source = testing::H264.path();
    // The same pictures without loss.
    let lossless = ["-i", source.to_str().unwrap(), "-c:v", "ffv1", "-colorspace", "bt709"];
    videos.copy("a.mkv", &testing::make("h264_ffv1.mkv", &lossless));
    videos.copy(
        "b.mkv",
        &testing::make(
            "h264_bt709.mkv",
            &["-i", source.to_str().unwrap(), "-c:v", "libx264", "-qp", "0", "-colorspace", "bt709"],
        ),
    );
    let report = convert(&videos.source(), &videos.out(), &["--profile", "raw", "--size", "32x48"]).json();
    assert_eq!((&report["clips"], &report["reencoded"]), (&json!(2), &json!([])));
    let raw = Dataset::open(videos.out()).unwrap();
    let [a, b] = ["a", "b"].map(|key| read_field(&raw, raw.find(key).unwrap().unwrap(), "frames").unwrap().unwrap());
    assert_eq!(a.shape, [50, 32, 48, 3]);
    assert!(a.data[..] == b.data[..]);
}

#[test]
fn the_raw_profile_stores_the_frames_that_decoding_gives() {
    let videos = Videos::new();
    videos.add("x/a.mp4", &testing::H264);
    videos.add("x/b.mp4", &testing::HEVC_OPEN_GOP);
    videos.add("c.avi", &testing::MPEG4);
    videos.write("x/a.json", r#"{"caption": "a cat", "score": 2, "fps": 7}"#);
    convert(&videos.source(), &videos.out(), &[]).json();
    let clips = Dataset::open(videos.out()).unwrap();
    let mut reader = ClipReader::new(&clips, &StorageOptions::default()).unwrap();
    for (name, args, size) in [
        ("whole", &["--profile", "raw"][..], None),
        ("small", &["--profile", "raw", "--size", "32x48"], Some((32, 48))),
    ] {
        let out = videos.dir.path().join(name);
        let args = [args, &["--shard-size", "1MB"]].concat();
        let report = convert(&videos.source(), &out, &args).json();
        assert_eq!((&report["clips"], &report["failed"]), (&json!(3), &json!([])));
        let raw = Dataset::open(&out).unwrap();
        assert_eq!((raw.kind(), raw.field_names()), (DatasetKind::Tensor, vec!["frames".to_owned()]));
        assert_eq!(raw.description("frames").unwrap()["size"], size.map_or(Value::Null, |(h, w)| json!([h, w])));
        for record in 0..raw.len() {
            let found = read_field(&raw, record, "frames").unwrap().unwrap();
            let metadata = raw.metadata(record).unwrap();
            let clip = clips.find(&metadata.key).unwrap().unwrap();
            let row = clips.row(clip).unwrap();
            let mut options = TransformOptions::new().layout(Layout::Thwc);
            if let Some((height, width)) = size {
                options = options.size(height, width);
            }
            let frames: Vec<u32> = (0..row.frames).collect();
            let expected = reader.tensor(clip, &frames, &options, &DecodeLimits::default()).unwrap();
            assert_eq!(found.shape, expected.shape.map(|axis| axis as u64), "{}", metadata.key);
            assert!(found.data[..] == expected.data[..], "{}", metadata.key);
            let fps = if metadata.key == "x/a" { json!(7) } else { json!(row.fps) };
            assert_eq!(metadata.columns["fps"].as_f64(), fps.as_f64());
            assert!(metadata.columns["source"].as_str().unwrap().starts_with(videos.source().to_str().unwrap()));
        }
        let cat = raw.metadata(raw.find("x/a").unwrap().unwrap()).unwrap();
        assert_eq!((cat.caption.as_deref(), &cat.columns["score"]), (Some("a cat"), &json!(2)));
        assert!(on("verify", &out, &[]).stdout.starts_with("sound: 3 records in"));
        assert_eq!(convert(&videos.source(), &out, &args).json()["up_to_date"], json!(true));
        let other = convert(&videos.source(), &out, &["--profile", "raw", "--size", "8x8"]);
        other.fails(1, &["other sources or options"]);
    }
    let out = videos.dir.path().join("none");
    convert(&videos.source(), &out, &["--size", "32x48"])
        .fails(1, &["size is of the profile raw, or an option of the profile train"]);
    convert(&videos.source(), &out, &["--profile", "raw", "--size", "0x48"]).fails(1, &["size: height is 0"]);
    assert_eq!(convert(&videos.source(), &out, &["--profile", "raw", "--size", "32"]).code, Some(2));
}

#[test]
fn a_raw_conversion_that_is_killed_is_finished_by_the_same_command_with_the_same_bytes() {
    let videos = Videos::several();
    let both = ["--profile", "raw", "--shard-size", "1MB", "--jobs", "2"];
    check_killed(&videos, "rgb", &[&both[..], &["--size", "64x64"]].concat());
    // Encoded anew for the MP4, but stored from the source.
    let vp8 = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=2", "-c:v", "libvpx", "-b:v", "500k"];
    videos.copy("d.webm", &testing::make("vp8.webm", &vp8));
    check_killed(&videos, "yuv420", &[&both[..], &["--format", "yuv420"]].concat());
}

/// Kills a conversion of `videos` a few times, and lets it go on.
fn check_killed(videos: &Videos, name: &str, args: &[&str]) {
    let undisturbed = videos.dir.path().join(name);
    let started = Instant::now();
    convert(&videos.source(), &undisturbed, args).json();
    let whole = started.elapsed();
    for round in 0..num_kills().min(3) {
        let out = videos.dir.path().join(format!("{name}-killed-{round}"));
        let mut command = framefeed(["convert"]);
        command.arg(videos.source()).arg("--out").arg(&out).args(args).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(whole.mul_f64(((round + 1) as f64 * 0.618_034).fract()));
        child.kill().unwrap();
        child.wait().unwrap();
        convert(&videos.source(), &out, args).json();
        assert_eq!(published(&out), published(&undisturbed), "{name}, round {round}");
        assert_eq!(std::fs::read_dir(out.join(".framefeed/tmp")).unwrap().count(), 0, "{name}, round {round}");
    }
    assert!(Dataset::open(&undisturbed).unwrap().manifest().shards.len() > 1);
}

/// Names the dataset for the process that [`child_adds_a_column`] is run in.
const CHILD: &str = "FRAMEFEED_COLUMN_CHILD";

#[test]
#[ignore = "run in a process of its own by the test below"]
fn child_adds_a_column() {
    let root = std::env::var_os(CHILD).expect("the dataset's folder");
    add_column(&Dataset::open(root).unwrap());
}

fn start(root: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_adds_a_column", "--ignored", "--nocapture"]).env(CHILD, root);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// `FRAMEFEED_KILLS` says how often to kill; a few times by default.
fn num_kills() -> u64 {
    std::env::var("FRAMEFEED_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Everything that whoever has the dataset open can read, and that it is whole for whoever opens it now.
fn check_whole(open: &Dataset, what: &str) {
    for number in 0..RECORDS {
        let latents = read_field(open, number as usize, "latents").unwrap().unwrap();
        assert!(latents.data == tensor("latents", number, &[4, 25, 200]).data, "{what}, record {number}");
    }
    let check = verify_dataset(open.root(), &VerifyOptions::default(), &|_, _| {}, &|| false).unwrap();
    assert!(check.problems.is_empty(), "{what}: {:?}", check.problems);
    let opened = Dataset::open(open.root()).unwrap();
    if let Some(set) = opened.manifest().columns.first() {
        assert_eq!((set.name.as_str(), check.tensors), ("text", RECORDS + RECORDS / 2), "{what}");
    } else {
        assert_eq!(check.tensors, RECORDS, "{what}");
    }
}

#[test]
fn a_column_whose_writer_is_killed_at_any_moment_leaves_the_dataset_whole_and_is_gone_on_with() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = write(&folder.path().join("undisturbed"));
    let started = Instant::now();
    assert!(start(undisturbed.root()).wait().unwrap().success());
    let whole = started.elapsed();
    let expected = Dataset::open(undisturbed.root()).unwrap().manifest().to_bytes().unwrap();
    let mut kills = 0;
    for round in 0..num_kills() {
        let open = write(&folder.path().join(format!("killed-{round}")));
        // Multiples of the golden ratio: moments spread evenly over the run, and others in every round.
        for attempt in 0..3 {
            let moment = whole.mul_f64(((round * 3 + attempt) as f64 * 0.618_034).fract());
            let mut child = start(open.root());
            std::thread::sleep(moment);
            child.kill().unwrap();
            kills += u32::from(!child.wait().unwrap().success());
            check_whole(&open, &format!("round {round}, attempt {attempt}"));
        }
        let finished = |path: PathBuf| std::fs::metadata(&path).ok().map(|meta| (path, meta.ino()));
        let paths = column_shards(&Dataset::open(undisturbed.root()).unwrap());
        let names = paths.iter().map(|path| path.strip_prefix(undisturbed.root()).unwrap());
        let before: Vec<_> = names.filter_map(|name| finished(open.root().join(name))).collect();
        let last = start(open.root()).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&last.stderr).into_owned();
        // The last kill may have come after the manifest: then the column is there already.
        assert!(last.status.success() || said.contains("already"), "round {round}: {said}");
        assert_eq!(std::fs::read(open.root().join("manifest.json")).unwrap(), expected, "round {round}");
        for (path, inode) in before {
            assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode, "{} was written twice", path.display());
        }
        check_whole(&open, &format!("round {round}, at the end"));
    }
    assert!(num_kills() < 3 || kills > 0, "no run was long enough to be killed");
}
