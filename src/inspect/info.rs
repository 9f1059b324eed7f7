//! What is in a dataset: counts from its index, and from a sample of its records what GOPs are like, what a window would
//! cost, and what the stored tensors are.

use super::fields::{FieldCount, count_fields};
use crate::dataset::Dataset;
use crate::decode::DecodePlan;
use crate::error::Result;
use crate::format::DatasetKind;
use crate::media::StreamInfo;
use crate::order::{Placement, Window};
use serde::Serialize;
use std::collections::BTreeMap;

/// Records whose packet tables are looked at: enough for a median, and seconds on a cold disk.
const SAMPLE_RECORDS: usize = 1000;
/// Random starts of the window in each of them.
const STARTS_PER_RECORD: u64 = 8;

/// A codec, and how much of the dataset it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CodecCount {
    /// FFmpeg's name, and the format of the decoded planes.
    pub codec: String,
    /// The format of the decoded planes, by FFmpeg's name.
    pub pixel_format: String,
    /// Clips.
    pub clips: u64,
    /// Hours of video.
    pub hours: f64,
}

/// A display size, and how many clips have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SizeCount {
    /// Rows of square pixels, as displayed.
    pub height: u32,
    /// Columns of square pixels, as displayed.
    pub width: u32,
    /// Clips.
    pub clips: u64,
}

/// An average frame rate, rounded to a hundredth, and how many clips have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FpsCount {
    /// Frames per second.
    pub fps: f64,
    /// Clips.
    pub clips: u64,
}

/// How many frames the GOPs of the sample hold. A random frame costs about half a GOP of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GopLengths {
    /// Fewest frames.
    pub min: u32,
    /// Half of the GOPs have at most this many.
    pub median: u32,
    /// Most frames.
    pub max: u32,
}

/// What windows at random places of the sample cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WindowCost {
    /// Frames of the window.
    pub frames: u32,
    /// Clips of the dataset that are long enough.
    pub clips_long_enough: u64,
    /// Clips that are too short.
    pub clips_too_short: u64,
    /// Windows that were planned.
    pub windows: u64,
    /// Frames decoded per frame delivered.
    pub decode_amplification: f64,
    /// Bytes of the packets that a window is decoded from, the mean.
    pub bytes_per_window: f64,
    /// Frames delivered per second of one core of this machine's time, decoded and not transformed: measured for half a second. `None`
    /// where no window could be decoded.
    pub decoded_per_core_second: Option<f64>,
}

/// What is in a dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DatasetInfo {
    /// Its folder.
    pub dataset: String,
    /// The manifest's id.
    pub id: String,
    /// Program that wrote it.
    pub created_by: String,
    /// Version of its format.
    pub format_version: u32,
    /// What its records are: `video` or `tensor`.
    pub kind: String,
    /// Records: clips, or groups of tensors.
    pub clips: u64,
    /// Shards.
    pub shards: u64,
    /// Frames of all clips; 0 for tensors.
    pub frames: u64,
    /// Hours of all clips; 0 for tensors. Jumps of timestamps are not counted, where the records that were looked at have any.
    pub hours: f64,
    /// Bytes of all shards.
    pub bytes: u64,
    /// Bytes of the shards of columns that were added.
    pub column_bytes: u64,
    /// Bytes of the MP4s in them.
    pub video_bytes: u64,
    /// Codecs, the one with most clips first.
    pub codecs: Vec<CodecCount>,
    /// Display sizes, the one with most clips first.
    pub sizes: Vec<SizeCount>,
    /// Frame rates, the one with most clips first.
    pub fps: Vec<FpsCount>,
    /// Names of the user's columns.
    pub columns: Vec<String>,
    /// The stored tensors, field by field.
    pub fields: Vec<FieldCount>,
    /// Records that were looked at for the fields above, and clips whose packet tables were for the two below.
    pub sampled_clips: u64,
    /// Frames per GOP.
    pub gop_frames: Option<GopLengths>,
    /// What the window would cost; nothing where no clip of the sample is long enough.
    pub window: Option<WindowCost>,
}

impl DatasetInfo {
    /// Looks at a dataset. The index is read as a whole; of the shards, the indexes of at most a thousand records spread evenly, and
    /// the packets of a few windows, which are decoded for half a second.
    /// `window` means nothing where the records are tensors.
    ///
    /// # Errors
    /// `InvalidArgument` for a window out of range; those of reading index and shards.
    pub fn gather(dataset: &Dataset, window: Window) -> Result<Self> {
        let at_keyframes = window.placement == Placement::Keyframe;
        let window = window.placement(if at_keyframes { Placement::Keyframe } else { Placement::Random });
        window.check()?;
        let manifest = dataset.manifest();
        let mut counts = Counts::default();
        let mut sample = Sample::default();
        let step = dataset.len().div_ceil(SAMPLE_RECORDS).max(1);
        if dataset.kind() == DatasetKind::Video {
            // Records of less than a frame a second are looked at too: their timestamps may jump.
            let mut slow_left = SAMPLE_RECORDS;
            for row in 0..dataset.len() {
                let is_slow = dataset.row(row)?.fps < 1.0 && slow_left > 0;
                slow_left -= usize::from(is_slow);
                let is_sampled = row % step == 0;
                let stream = (is_sampled || is_slow).then(|| dataset.stream(row)).transpose()?;
                let jumped = stream.as_ref().map_or(0, |(_, stream)| stream.jumped_ticks());
                counts.add(dataset, row, &window, jumped)?;
                if let Some((_, stream)) = stream.filter(|_| is_sampled) {
                    sample.add(&stream, &window, row as u64)?;
                }
            }
        }
        let speed = (sample.windows > 0).then(|| super::speed::frames_per_core_second(dataset, &window)).flatten();
        let added = manifest.columns.iter().flat_map(|set| &set.shards);
        Ok(Self {
            dataset: dataset.root().display().to_string(),
            id: manifest.id.clone(),
            created_by: manifest.created_by.clone(),
            format_version: manifest.version,
            kind: manifest.kind.as_str().to_owned(),
            clips: dataset.len() as u64,
            shards: manifest.shards.len() as u64,
            frames: manifest.frames,
            hours: manifest.seconds / 3600.0 - counts.jumped_hours,
            bytes: manifest.bytes,
            column_bytes: added.map(|shard| shard.bytes).fold(0, u64::saturating_add),
            video_bytes: counts.video_bytes,
            codecs: by_count(counts.codecs, |(codec, pixel_format), (clips, hours)| CodecCount {
                codec,
                pixel_format,
                clips,
                hours,
            }),
            sizes: by_count(counts.sizes, |(height, width), (clips, _)| SizeCount { height, width, clips }),
            fps: by_count(counts.fps, |hundredths, (clips, _)| FpsCount { fps: hundredths as f64 / 100.0, clips }),
            columns: dataset.column_names()?,
            fields: count_fields(dataset, step)?,
            sampled_clips: dataset.len().div_ceil(step) as u64,
            gop_frames: sample.gop_lengths(),
            window: sample.cost(&window, (counts.long_enough, dataset.len() as u64), speed),
        })
    }
}

/// Clips and hours of each kind.
type Tally<K> = BTreeMap<K, (u64, f64)>;

#[derive(Default)]
struct Counts {
    codecs: Tally<(String, String)>,
    sizes: Tally<(u32, u32)>,
    fps: Tally<u64>,
    video_bytes: u64,
    jumped_hours: f64,
    long_enough: u64,
}

impl Counts {
    fn add(&mut self, dataset: &Dataset, row: usize, window: &Window, jumped: i64) -> Result<()> {
        let row = dataset.row(row)?;
        let jumped_seconds = row.time_base.seconds(jumped);
        let seconds = row.time_base.seconds(row.duration) - jumped_seconds;
        self.jumped_hours += jumped_seconds / 3600.0;
        let hours = seconds / 3600.0;
        let fps = if jumped > 0 { f64::from(row.frames) / seconds } else { row.fps };
        let kind = (row.codec.as_str().to_owned(), row.pixel_format.name());
        let codec = self.codecs.entry(kind).or_default();
        *codec = (codec.0 + 1, codec.1 + hours);
        self.sizes.entry((row.height, row.width)).or_default().0 += 1;
        self.fps.entry((fps * 100.0).round() as u64).or_default().0 += 1;
        self.video_bytes += row.bytes;
        let extent = crate::order::Extent { num_frames: row.frames, duration: row.duration, time_base: row.time_base };
        self.long_enough += u64::from(window.fits(extent));
        Ok(())
    }
}

fn by_count<K, T>(tally: Tally<K>, mut row: impl FnMut(K, (u64, f64)) -> T) -> Vec<T> {
    let mut entries: Vec<_> = tally.into_iter().collect();
    entries.sort_by_key(|(_, (clips, _))| std::cmp::Reverse(*clips)); // stable: equal counts stay in their own order
    entries.into_iter().map(|(kind, counts)| row(kind, counts)).collect()
}

#[derive(Default)]
struct Sample {
    gop_frames: Vec<u32>,
    windows: u64,
    wanted_frames: u64,
    packets: u64,
    bytes: u64,
}

impl Sample {
    fn add(&mut self, stream: &StreamInfo, window: &Window, row: u64) -> Result<()> {
        self.gop_frames.extend(frames_per_gop(stream).into_iter().filter(|&frames| frames > 0));
        for start in 0..STARTS_PER_RECORD {
            let draw = scatter(row * STARTS_PER_RECORD + start);
            let Some(frames) = window.select(stream, draw) else { break };
            let plan = DecodePlan::new(stream, &frames)?;
            self.windows += 1;
            self.wanted_frames += plan.num_wanted_frames() as u64;
            self.packets += plan.packets().len() as u64;
            self.bytes += plan.num_bytes();
        }
        Ok(())
    }

    fn gop_lengths(&mut self) -> Option<GopLengths> {
        self.gop_frames.sort_unstable();
        let median = *self.gop_frames.get(self.gop_frames.len().checked_sub(1)? / 2)?;
        Some(GopLengths { min: *self.gop_frames.first()?, median, max: *self.gop_frames.last()? })
    }

    fn cost(
        &self,
        window: &Window,
        (clips_long_enough, clips): (u64, u64),
        decoded_per_core_second: Option<f64>,
    ) -> Option<WindowCost> {
        (self.wanted_frames > 0).then(|| WindowCost {
            frames: window.frames,
            clips_long_enough,
            clips_too_short: clips - clips_long_enough,
            windows: self.windows,
            decode_amplification: self.packets as f64 / self.wanted_frames as f64,
            bytes_per_window: self.bytes as f64 / self.windows as f64,
            decoded_per_core_second,
        })
    }
}

/// How many of the record's frames come from each GOP's packets.
pub(super) fn frames_per_gop(stream: &StreamInfo) -> Vec<u32> {
    let mut frames = vec![0_u32; stream.gops.len()];
    for &packet in &*stream.frame_packets {
        let gop = stream.gops.partition_point(|gop| gop.first_packet <= packet);
        if let Some(count) = gop.checked_sub(1).and_then(|gop| frames.get_mut(gop)) {
            *count += 1;
        }
    }
    frames
}

/// 64 bits that look random (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
pub(super) fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
