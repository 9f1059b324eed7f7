//! Which of a source's streams is the video: the one that the ffmpeg command takes, or the one that was asked for.

use crate::ffmpeg;
use crate::{Error, Result};
use ff::format::stream::Disposition;
use ffmpeg_next as ff;
use std::fmt;
use std::str::FromStr;

/// Which video stream of a source is converted. Written as ffmpeg's stream specifiers are: `2`, `v:1`, `i:0x101`, `p:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StreamChoice {
    /// The one that the ffmpeg command takes where none is asked for: of those with packets at the beginning of the file the
    /// largest, where being the default counts for five million pixels; of equals the first. Never an attached picture.
    #[default]
    Best,
    /// The stream of that number in the file, from 0 on, as ffprobe counts them.
    Index(usize),
    /// The video stream of that number among the video streams, from 0 on. Attached pictures count, as they do for ffmpeg.
    Video(usize),
    /// The stream of that id: the PID in a transport stream, the track's id in an MP4.
    Id(i32),
    /// The best one of the program of that number, in a transport stream.
    Program(i32),
}

impl fmt::Display for StreamChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("best"),
            Self::Index(index) => write!(f, "{index}"),
            Self::Video(number) => write!(f, "v:{number}"),
            Self::Id(id) => write!(f, "i:{id:#x}"),
            Self::Program(number) => write!(f, "p:{number}"),
        }
    }
}

impl FromStr for StreamChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let id = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => i32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        let choice = match text.split_once(':') {
            None if text == "best" => Some(Self::Best),
            None => text.parse().ok().map(Self::Index),
            Some(("v", number)) => number.parse().ok().map(Self::Video),
            Some(("i", number)) => id(number).map(Self::Id),
            Some(("p", number)) => number.parse().ok().map(Self::Program),
            Some(_) => None,
        };
        choice.ok_or_else(|| {
            let expected =
                "'best', a stream's number ('2'), a video stream's ('v:1'), an id ('i:0x101') or a program ('p:3')";
            Error::invalid(format!("stream is '{text}', expected {expected}"))
        })
    }
}

/// A chosen stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) index: usize,
    /// How many streams somebody might have meant.
    pub(crate) num_streams: usize,
}

/// The stream of `input` that `choice` means.
pub(crate) fn choose(input: &ff::format::context::Input, choice: StreamChoice) -> Result<Chosen> {
    let all: Vec<VideoStream> = input
        .streams()
        .filter(|stream| stream.parameters().medium() == ff::media::Type::Video)
        .map(|stream| VideoStream {
            index: stream.index(),
            id: stream.id(),
            score: ffmpeg::command_score(&stream),
            is_picture: stream.disposition().contains(Disposition::ATTACHED_PIC),
            is_thumbnail: ffmpeg::is_thumbnails(&stream),
        })
        .collect();
    let index = match choice {
        StreamChoice::Best => best(&all),
        StreamChoice::Index(index) => all.iter().find(|stream| stream.index == index).map(|stream| stream.index),
        StreamChoice::Video(number) => all.get(number).map(|stream| stream.index),
        StreamChoice::Id(id) => all.iter().find(|stream| stream.id == id).map(|stream| stream.index),
        StreamChoice::Program(number) => {
            let members = ffmpeg::program_streams(input, number);
            best(&all.iter().filter(|stream| members.contains(&stream.index)).copied().collect::<Vec<_>>())
        }
    };
    match index {
        None if all.is_empty() => Err(Error::unsupported("has no video stream")),
        None if all.iter().all(|stream| stream.is_picture) => {
            Err(Error::unsupported("has no video stream, only an attached picture"))
        }
        None => {
            let found: Vec<String> = all.iter().map(|stream| stream.index.to_string()).collect();
            Err(Error::invalid(format!("has no video stream '{choice}': its video streams are {}", found.join(", "))))
        }
        Some(index) if all.iter().any(|stream| stream.index == index && stream.is_picture) => {
            Err(Error::unsupported(format!("stream '{choice}' is an attached picture, not a video")))
        }
        Some(index) => Ok(Chosen { index, num_streams: num_meant(&all) }),
    }
}

#[derive(Debug, Clone, Copy)]
struct VideoStream {
    index: usize,
    id: i32,
    /// What the ffmpeg command gives it, without regard to pictures.
    score: i64,
    is_picture: bool,
    is_thumbnail: bool,
}

/// The highest score, of equals the first. The command takes none of score 0; here its failure says what is wrong with it.
fn best(streams: &[VideoStream]) -> Option<usize> {
    let videos = streams.iter().filter(|stream| !stream.is_picture);
    videos.max_by_key(|stream| (stream.score, std::cmp::Reverse(stream.index))).map(|stream| stream.index)
}

/// Streams with packets at the beginning of the file, without pictures and thumbnails; all where none has.
fn num_meant(streams: &[VideoStream]) -> usize {
    let videos = || streams.iter().filter(|stream| !stream.is_picture && !stream.is_thumbnail);
    let live = videos().filter(|stream| stream.score >= ffmpeg::SCORE_OF_PACKETS).count();
    if live > 0 { live } else { videos().count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_as_they_are_written() {
        for (text, choice) in [
            ("best", StreamChoice::Best),
            ("2", StreamChoice::Index(2)),
            ("v:1", StreamChoice::Video(1)),
            ("i:0x101", StreamChoice::Id(257)),
            ("p:3", StreamChoice::Program(3)),
        ] {
            assert_eq!(text.parse::<StreamChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("i:257".parse::<StreamChoice>().unwrap(), StreamChoice::Id(257));
        for bad in ["", "v", "v:", "v:-1", "-1", "a:0", "v:0:1", "0x1", "best:1"] {
            let error = bad.parse::<StreamChoice>().unwrap_err();
            assert!(error.message().contains(&format!("stream is '{bad}'")), "{error}");
        }
    }

    #[test]
    fn of_equals_the_first_is_taken_and_a_picture_never() {
        let stream = |index, score, is_picture| VideoStream { index, id: 0, score, is_picture, is_thumbnail: false };
        assert_eq!(best(&[stream(0, 5, false), stream(1, 9, false), stream(2, 9, false)]), Some(1));
        assert_eq!(best(&[stream(0, 99, true), stream(1, 0, false)]), Some(1));
        assert_eq!(best(&[stream(0, 99, true)]), None);
    }
}
