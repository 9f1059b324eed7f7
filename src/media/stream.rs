//! Everything about the video stream of one record that decoding and transforming it needs, besides the bytes.

use super::{
    Closed, Codec, ColorSpec, GopEntry, JumpLimit, Orientation, PacketFlags, PacketTable, PixelFormat, Ratio, TimeBase,
};
use arrow::buffer::{Buffer, ScalarBuffer};
use std::fmt;

/// The video stream of one record. Frames are numbered from 0 in presentation order.
#[derive(Clone)]
pub struct StreamInfo {
    /// Codec of the packets.
    pub codec: Codec,
    /// FFmpeg's profile number, or `None` where the stream has none.
    pub profile: Option<i32>,
    /// Decoder configuration (`avcC`, `hvcC`, `av1C`, ... content, or what FFmpeg calls extradata).
    pub extradata: Buffer,
    /// How many frames the decoder may hold back to bring them in presentation order (FFmpeg's `video_delay`).
    pub reorder_frames: u8,
    /// Format of the decoded planes.
    pub pixel_format: PixelFormat,
    /// Width of the decoded picture, before rotation, without the codec's padding.
    pub width: u32,
    /// Height of the decoded picture, before rotation.
    pub height: u32,
    /// Sample aspect ratio; 1/1 for square pixels and where the source does not say.
    pub sample_aspect: Ratio,
    /// How to turn the decoded picture for display.
    pub orientation: Orientation,
    /// Colour, as decided at conversion.
    pub color: ColorSpec,
    /// Unit of all timestamps of the record.
    pub time_base: TimeBase,
    /// Ticks from the first frame's pts to the end of the last frame.
    pub duration: i64,
    /// All packets in decode order.
    pub packets: PacketTable,
    /// All GOPs in decode order.
    pub gops: Vec<GopEntry>,
    /// For each frame, in presentation order, the number of the packet that it comes from. All different. Its length is the
    /// exact frame count.
    pub frame_packets: ScalarBuffer<u32>,
    /// True where an encoder of ours made the packets (profile `train`): every GOP begins with an IDR picture and is closed, and all of
    /// it was decoded without a fault. A decoder may go on from any packet to the first of any GOP.
    pub is_closed: bool,
}

impl StreamInfo {
    /// Exact number of frames.
    pub fn num_frames(&self) -> usize {
        self.frame_packets.len()
    }

    /// Presentation time of a frame in ticks of `time_base`.
    pub fn frame_pts(&self, frame: usize) -> Option<i64> {
        self.packets.pts.get(*self.frame_packets.get(frame)? as usize).copied()
    }

    /// Number of the frame on screen `seconds` after the first frame's timestamp, as windows by rate take it; `None` before
    /// the first frame and from the end of the last one on.
    pub fn frame_at(&self, seconds: f64) -> Option<u32> {
        let num_frames = u32::try_from(self.num_frames()).ok()?;
        let pts = |frame: u32| self.frame_pts(frame as usize).unwrap_or(i64::MAX);
        super::clock::frame_at(seconds, num_frames, self.duration, self.time_base, &pts)
    }

    /// Ticks of the duration in which the timestamps jump: nothing is shown there but one frame, see [`JumpLimit`].
    pub(crate) fn jumped_ticks(&self) -> i64 {
        let pts: Vec<i64> = (0..self.num_frames()).filter_map(|frame| self.frame_pts(frame)).collect();
        let end = pts.first().map_or(0, |first| first.saturating_add(self.duration));
        Closed::of(&pts, end, JumpLimit::new(self.time_base)).map_or(0, |closed| closed.jumped())
    }

    /// For each GOP the first frame that can be decoded from its keyframe on: the first one that does not need the GOP before. The
    /// number of frames where there is none.
    pub fn gop_starts(&self) -> Vec<u32> {
        let mut starts = vec![self.num_frames() as u32; self.gops.len()];
        for (frame, &packet) in (0_u32..).zip(self.frame_packets.iter()) {
            let flags = PacketFlags(self.packets.flags.get(packet as usize).copied().unwrap_or(0));
            let gop = self.gops.partition_point(|gop| gop.first_packet <= packet).saturating_sub(1);
            if let Some(start) = starts.get_mut(gop)
                && (gop == 0 || !flags.contains(PacketFlags::LEADING))
            {
                *start = frame.min(*start);
            }
        }
        starts
    }

    /// Size of the displayed picture in square pixels: rotated, and widened (or narrowed) by the sample aspect ratio.
    /// Rounded to the nearest pixel, at least 1.
    pub fn display_size(&self) -> (u32, u32) {
        let width =
            (f64::from(self.width) * self.sample_aspect.to_f64()).round().clamp(1.0, f64::from(u32::MAX)) as u32;
        self.orientation.display_size(width, self.height)
    }

    /// Average frames per second: frames over duration.
    pub fn average_fps(&self) -> f64 {
        let seconds = self.time_base.seconds(self.duration);
        if seconds > 0.0 { self.num_frames() as f64 / seconds } else { 0.0 }
    }
}

impl fmt::Debug for StreamInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamInfo")
            .field("codec", &self.codec)
            .field("pixel_format", &self.pixel_format)
            .field("size", &(self.width, self.height))
            .field("frames", &self.num_frames())
            .field("packets", &self.packets.len())
            .field("gops", &self.gops.len())
            .finish_non_exhaustive()
    }
}
