//! A decoded picture, borrowed from whoever owns its memory.

use super::PixelFormat;
use std::fmt;

/// One plane: rows of samples, `stride` bytes apart.
#[derive(Clone, Copy)]
pub struct PlaneView<'a> {
    /// From the first sample to at least the last sample of the last row.
    pub data: &'a [u8],
    /// Bytes from one row to the next, at least the bytes of a row.
    pub stride: usize,
}

impl fmt::Debug for PlaneView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaneView").field("bytes", &self.data.len()).field("stride", &self.stride).finish()
    }
}

/// One decoded picture in display order, before rotation. Planes beyond `format.num_planes()` are empty.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    /// Planar format of all planes.
    pub format: PixelFormat,
    /// Width of the luma plane in samples, without the decoder's padding.
    pub width: u32,
    /// Height of the luma plane in rows.
    pub height: u32,
    /// Y, U, V; or luma alone; or G, B, R.
    pub planes: [PlaneView<'a>; 3],
}

impl<'a> FrameView<'a> {
    /// Row `y` of a plane, without padding. Panics where the plane or row is outside the picture.
    pub fn row(&self, plane: usize, y: u32) -> &'a [u8] {
        let (width, _) = self.format.plane_size(plane, self.width, self.height);
        let bytes = width as usize * self.format.bytes_per_sample();
        let start = y as usize * self.planes[plane].stride;
        &self.planes[plane].data[start..start + bytes]
    }
}
