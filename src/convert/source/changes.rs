//! What frames look like (size, pixel format, colour, shape of a pixel, rotation), and where that changes on the way. A
//! record says it once, for all of its frames.

use super::color_and_rotation;
use crate::ffmpeg::pixel_layout::PixelLayout;
use crate::ffmpeg::{FrameFacts, StreamFacts};
use crate::media::{Codec, ColorModel, ColorSpec, Orientation, PixelFormat, Ratio};
use crate::{Error, Result};
use std::ops;

/// What to do where the picture changes on the way: its size, pixel format, colour, pixel shape or rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnChange {
    /// Make the frames behind the change like the first ones, as the ffmpeg command does: resized to their size, converted to
    /// their pixel format, matrix and range, turned as they are. The clip is encoded anew and a warning names the frame and
    /// both values. A change of nothing but primaries, transfer, chroma location or pixel shape leaves the samples as
    /// they are: the packets are copied, and the warning says so.
    #[default]
    Reencode,
    /// Split the source there: each piece is a clip of its own, whose packets are copied where they can be, and whose key is
    /// numbered as those of cuts are. To find the places, the plan decodes every source once.
    Split,
    /// The source fails, with the frame and both values.
    Refuse,
}

/// What a frame says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Appearance {
    pub(crate) facts: FrameFacts,
    /// As FFmpeg tells it for a frame of its stream, 0/1 where nobody says.
    pub(crate) sample_aspect: (i32, i32),
}

/// A look as a record says it, with what nobody said decided.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) size: (u32, u32),
    /// FFmpeg's name of the pixel format without the range that `yuvj` brings.
    pub(crate) format: String,
    pub(crate) color: ColorSpec,
    pub(crate) sample_aspect: Ratio,
    pub(crate) orientation: Orientation,
}

impl Appearance {
    /// What the record of a clip says whose first frame has `guess_height` lines.
    pub(crate) fn shown(&self, stream: &StreamFacts, guess_height: u32) -> Shown {
        let facts = &self.facts;
        let pixel = PixelLayout::of_name(&facts.format).map_or(PixelFormat::YUV420P, |layout| layout.planar());
        let codec = Codec::parse(&stream.codec).unwrap_or(Codec::H264);
        let color = color_and_rotation::color(facts.color, stream.color, &facts.format, pixel, codec, guess_height);
        let matrix = match pixel.model {
            ColorModel::Gbr => color.matrix,
            _ => color.matrix_in_use(guess_height),
        };
        Shown {
            size: (facts.width, facts.height),
            format: facts.format.replacen("yuvj", "yuv", 1),
            color: ColorSpec { matrix, guessed: false, ..color },
            sample_aspect: color_and_rotation::sample_aspect(self.sample_aspect),
            orientation: color_and_rotation::orientation(facts.display_matrix.or(stream.display_matrix))
                .unwrap_or_default(),
        }
    }
}

impl Shown {
    /// True where the samples of both mean the same: what differs is how they are shown.
    pub(crate) fn has_samples_of(&self, other: &Self) -> bool {
        let samples = |shown: &Self| (shown.size, shown.color.matrix, shown.color.range, shown.orientation);
        samples(self) == samples(other) && self.format == other.format
    }

    /// What differs, with both values.
    fn difference(&self, other: &Self) -> String {
        let matrix =
            |shown: &Self| shown.color.matrix_name().map_or_else(|| shown.color.matrix.to_string(), str::to_owned);
        let aspect = |shown: &Self| format!("{}:{}", shown.sample_aspect.num(), shown.sample_aspect.den());
        let turned = |shown: &Self| {
            let mirrored = if shown.orientation.is_mirrored() { " mirrored" } else { "" };
            format!("{} degrees{mirrored}", shown.orientation.degrees())
        };
        let values = |shown: &Self| {
            [
                ("size", format!("{}x{}", shown.size.0, shown.size.1)),
                ("pixel format", shown.format.clone()),
                ("matrix", matrix(shown)),
                ("range", shown.color.range.as_str().to_owned()),
                ("primaries", shown.color.primaries.to_string()),
                ("transfer", shown.color.transfer.to_string()),
                ("chroma location", shown.color.chroma_location.as_str().to_owned()),
                ("sample aspect ratio", aspect(shown)),
                ("rotation", turned(shown)),
            ]
        };
        let pairs = values(self).into_iter().zip(values(other)).filter(|((_, a), (_, b))| a != b);
        pairs.map(|((name, a), (_, b))| format!("{name} {a} to {b}")).collect::<Vec<_>>().join(", ")
    }
}

/// The looks of a reading: for each run of frames that look alike the number of the first one.
#[derive(Debug, Default)]
pub(crate) struct Appearances(Vec<(usize, Appearance)>);

impl Appearances {
    /// The next frame's.
    pub(crate) fn push(&mut self, frame: usize, look: Appearance) {
        if self.0.last().is_none_or(|(_, last)| *last != look) {
            self.0.push((frame, look));
        }
    }

    /// The look of the first frame.
    pub(crate) fn first(&self) -> Option<&Appearance> {
        self.0.first().map(|(_, look)| look)
    }

    /// The look of frame `frame`.
    pub(crate) fn at(&self, frame: usize) -> Option<&Appearance> {
        let behind = self.0.partition_point(|(start, _)| *start <= frame);
        self.0.get(behind.checked_sub(1)?).map(|(_, look)| look)
    }

    /// The frames at which something changes.
    pub(crate) fn places(&self, stream: &StreamFacts) -> Vec<usize> {
        let mut last: Option<Shown> = None;
        let mut places = Vec::new();
        let guess_height = self.first().map_or(0, |first| first.facts.height);
        for (start, look) in &self.0 {
            let shown = look.shown(stream, guess_height);
            if last.as_ref().is_some_and(|last| *last != shown) {
                places.push(*start);
            }
            last = Some(shown);
        }
        places
    }

    /// The changes within the frames `range`.
    pub(crate) fn changes(&self, range: ops::Range<usize>, stream: &StreamFacts) -> Changes {
        let mut changes = Changes::default();
        let Some(first) = self.at(range.start) else { return changes };
        let guess_height = first.facts.height;
        let first = first.shown(stream, guess_height);
        let mut last = first.clone();
        for (start, look) in self.0.iter().filter(|(start, _)| (range.start + 1..range.end).contains(start)) {
            let shown = look.shown(stream, guess_height);
            if shown != last {
                changes.count += 1;
                changes.converts |= !shown.has_samples_of(&first);
                let what = || format!("at frame {}: {}", start - range.start, last.difference(&shown));
                changes.first.get_or_insert_with(what);
                last = shown;
            }
        }
        changes
    }
}

/// The changes of a clip's picture.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Where the first one is, and what changes there.
    first: Option<String>,
    count: usize,
    /// True where the frames behind have other samples than the first frame's look would give them.
    converts: bool,
}

impl Changes {
    /// Fails where the picture changes.
    pub(crate) fn refuse(&self) -> Result<()> {
        match &self.first {
            Some(first) => Err(Error::unsupported(format!("the picture changes {first}"))),
            None => Ok(()),
        }
    }

    /// Why the packets cannot be stored as they are.
    pub(crate) fn not_copyable(&self) -> Option<String> {
        let first = self.first.as_ref().filter(|_| self.converts)?;
        Some(format!("the picture changes {first}"))
    }

    /// What a person should know.
    pub(crate) fn warning(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let more = match self.count {
            0 | 1 => String::new(),
            2 => " (and once more later)".to_owned(),
            count => format!(" (and {} times more later)", count - 1),
        };
        let done = if self.converts {
            "all frames were made like the first ones"
        } else {
            "the samples are kept, and shown as the first ones are"
        };
        Some(format!("the picture changes {first}{more}; {done}"))
    }
}
