//! The transform of one kind of clip.

use super::{ClipShape, TransformOptions};
use crate::media::{FrameView, StreamInfo};
use crate::{Error, Result};

/// Turns decoded frames of one geometry and colour into frames of a clip. All tables are made once; use one per thread.
#[derive(Debug)]
pub struct Transform {
    options: TransformOptions,
    size: (u32, u32),
}

impl Transform {
    /// Prepares the transform of frames of `stream`: checks the options, computes all tables and allocates all scratch
    /// memory. It depends on the stream's size, format, sample aspect, orientation and colour only.
    pub fn new(options: &TransformOptions, stream: &StreamInfo) -> Result<Self> {
        options.check()?;
        let (width, height) = stream.display_size();
        Ok(Self { options: options.clone(), size: options.size.unwrap_or((height, width)) })
    }

    /// Height and width of every output frame.
    pub fn output_size(&self) -> (u32, u32) {
        self.size
    }

    /// Shape of a clip of `frames` output frames.
    pub fn clip_shape(&self, frames: usize) -> ClipShape {
        ClipShape { frames, height: self.size.0 as usize, width: self.size.1 as usize }
    }

    /// The options it was made with.
    pub fn options(&self) -> &TransformOptions {
        &self.options
    }

    /// Writes `frame` as frame `t` of a clip of `num_frames` frames. `clip` is the whole clip's memory, exactly
    /// `self.clip_shape(num_frames).num_bytes(dtype)` bytes, of any alignment; floats are in the machine's byte order.
    /// Every byte of frame `t` is written and no other.
    pub fn apply(&mut self, _frame: &FrameView<'_>, clip: &mut [u8], num_frames: usize, t: usize) -> Result<()> {
        let bytes = self.clip_shape(num_frames).num_bytes(self.options.dtype)?;
        if clip.len() != bytes || t >= num_frames {
            return Err(Error::invalid("clip does not fit"));
        }
        Err(Error::unsupported("transform is being written"))
    }
}
