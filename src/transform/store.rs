//! Writing rows of 8-bit R, G, B into a clip: layout, element type and turning.
//!
//! Floats are looked up: each channel has a table of its 256 values, computed as torch does it on `ToTensor` and `Normalize`,
//! with one rounding to `float32` per step: x = f32(level * scale), x = x - mean, x = x / std; then, for the 16-bit types,
//! rounded to the nearest, ties to even.

use super::doubled::RgbRows;
use super::geometry::Geometry;
use super::kernels::Isa;
use super::options::{ClipShape, DType, Layout, TransformOptions};
use half::{bf16, f16};

/// The bytes of an element for each of the 256 levels of each channel.
#[derive(Debug, Clone)]
enum Levels {
    Uint8,
    Two(Box<[[[u8; 2]; 256]; 3]>),
    Four(Box<[[[u8; 4]; 256]; 3]>),
}

impl Levels {
    fn new(options: &TransformOptions) -> Self {
        let value = |channel: usize, level: usize| {
            let scaled = (level as f64 * options.scale) as f32;
            (scaled - options.mean[channel]) / options.std[channel]
        };
        match options.dtype {
            DType::Uint8 => Self::Uint8,
            DType::Float16 => Self::Two(Box::new(table(|c, v| f16::from_f32(value(c, v)).to_ne_bytes()))),
            DType::Bfloat16 => Self::Two(Box::new(table(|c, v| bf16::from_f32(value(c, v)).to_ne_bytes()))),
            DType::Float32 => Self::Four(Box::new(table(|c, v| value(c, v).to_ne_bytes()))),
        }
    }
}

fn table<const N: usize>(value: impl Fn(usize, usize) -> [u8; N]) -> [[[u8; N]; 256]; 3] {
    std::array::from_fn(|channel| std::array::from_fn(|level| value(channel, level)))
}

/// Where the elements of one frame lie in the clip, in elements.
#[derive(Debug, Clone, Copy)]
struct Strides {
    channels: [usize; 3],
    row: usize,
    column: usize,
}

impl Strides {
    fn new(layout: Layout, clip: ClipShape, t: usize) -> Self {
        let (width, pixels) = (clip.width, clip.height * clip.width);
        match layout {
            Layout::Tchw => Self { channels: [0, 1, 2].map(|c| (t * 3 + c) * pixels), row: width, column: 1 },
            Layout::Thwc => Self { channels: [0, 1, 2].map(|c| t * 3 * pixels + c), row: 3 * width, column: 3 },
            Layout::Cthw => Self { channels: [0, 1, 2].map(|c| (c * clip.frames + t) * pixels), row: width, column: 1 },
        }
    }
}

/// Writes rows of a grid, and the border around it, into frames of clips.
#[derive(Debug, Clone)]
pub(super) struct Store {
    levels: Levels,
    layout: Layout,
    pad: [u8; 3],
}

impl Store {
    pub(super) fn new(options: &TransformOptions) -> Self {
        Self { levels: Levels::new(options), layout: options.layout, pad: options.pad }
    }

    /// Where grid row `y` of frame `t` goes.
    pub(super) fn place(&self, shape: ClipShape, t: usize, geometry: &Geometry, y: usize) -> RowPlace {
        let strides = Strides::new(self.layout, shape, t);
        let start = geometry.place(0, y as i64);
        let next = geometry.place(1, y as i64);
        let step = (next.0 - start.0) * strides.row as i64 + (next.1 - start.1) * strides.column as i64;
        let run = Run { start: start.0 as usize * strides.row + start.1 as usize * strides.column, step };
        RowPlace { strides, run }
    }

    /// The bytes of a row in the clip, of each channel, where they are the levels themselves, one after another.
    pub(super) fn rows<'a>(&self, clip: &'a mut [u8], place: &RowPlace, width: usize) -> Option<[&'a mut [u8]; 3]> {
        if !matches!(self.levels, Levels::Uint8) || place.run.step != 1 {
            return None;
        }
        let starts = place.strides.channels.map(|channel| channel + place.run.start);
        clip.get_disjoint_mut(starts.map(|start| start..start + width)).ok()
    }

    /// The same for all rows of the grid at once, where they follow one another downwards.
    pub(super) fn all_rows<'a>(
        &self,
        clip: &'a mut [u8],
        shape: ClipShape,
        t: usize,
        geometry: &Geometry,
    ) -> Option<RgbRows<'a>> {
        let (width, height) = (geometry.x.len as usize, geometry.y.len as usize);
        let first = self.place(shape, t, geometry, 0);
        let stride = match height {
            1 => width,
            _ => self.place(shape, t, geometry, 1).run.start.checked_sub(first.run.start)?,
        };
        let planes = self.rows(clip, &first, (height - 1) * stride + width)?;
        Some(RgbRows { planes, stride })
    }

    /// Writes a row.
    pub(super) fn write(&self, isa: Isa, clip: &mut [u8], place: &RowPlace, rgb: [&[u8]; 3]) {
        let RowPlace { strides, run } = place;
        match &self.levels {
            Levels::Uint8 if run.is_interleaved(strides) => {
                isa.interleave(&mut clip[strides.channels[0] + run.start..][..3 * rgb[0].len()], rgb);
            }
            Levels::Uint8 => run.write(clip.as_chunks_mut().0, strides, rgb, |_, level| [level]),
            Levels::Two(table) => {
                run.write(clip.as_chunks_mut().0, strides, rgb, |c, level| table[c][level as usize]);
            }
            Levels::Four(table) => {
                run.write(clip.as_chunks_mut().0, strides, rgb, |c, level| table[c][level as usize]);
            }
        }
    }

    /// Fills what the grid does not cover with the pad colour.
    pub(super) fn border(&self, clip: &mut [u8], shape: ClipShape, t: usize, geometry: &Geometry) {
        match &self.levels {
            Levels::Uint8 => self.fill(clip.as_chunks_mut().0, shape, t, geometry, |_, level| [level]),
            Levels::Two(table) => {
                self.fill(clip.as_chunks_mut().0, shape, t, geometry, |c, level| table[c][level as usize]);
            }
            Levels::Four(table) => {
                self.fill(clip.as_chunks_mut().0, shape, t, geometry, |c, level| table[c][level as usize]);
            }
        }
    }

    fn fill<const N: usize>(
        &self,
        clip: &mut [[u8; N]],
        shape: ClipShape,
        t: usize,
        geometry: &Geometry,
        element: impl Fn(usize, u8) -> [u8; N],
    ) {
        let strides = Strides::new(self.layout, shape, t);
        let (top, left) = (geometry.origin.0 as usize, geometry.origin.1 as usize);
        let (height, width) = geometry.inner();
        let (bottom, right) = (top + height as usize, left + width as usize);
        for c in 0..3 {
            let value = element(c, self.pad[c]);
            for y in 0..shape.height {
                let start = strides.channels[c] + y * strides.row;
                let inside = (top..bottom).contains(&y);
                let (left, right) = if inside { (left, right) } else { (shape.width, shape.width) };
                for x in (0..left).chain(right..shape.width) {
                    clip[start + x * strides.column] = value;
                }
            }
        }
    }
}

/// Where a grid row goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPlace {
    strides: Strides,
    run: Run,
}

/// The elements of one channel that a grid row goes to, from the channel's first element on.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    step: i64,
}

impl Run {
    /// Whether the three channels of a pixel, and one pixel after another, lie together. A turned row of planes may have the same step.
    fn is_interleaved(self, strides: &Strides) -> bool {
        strides.column == 3 && self.step == 3
    }

    #[inline]
    fn write<const N: usize>(
        self,
        clip: &mut [[u8; N]],
        strides: &Strides,
        rgb: [&[u8]; 3],
        element: impl Fn(usize, u8) -> [u8; N],
    ) {
        let width = rgb[0].len();
        if self.is_interleaved(strides) {
            let pixels = clip[strides.channels[0] + self.start..].as_chunks_mut::<3>().0;
            for (((pixel, &r), &g), &b) in pixels.iter_mut().zip(rgb[0]).zip(rgb[1]).zip(rgb[2]) {
                *pixel = [element(0, r), element(1, g), element(2, b)];
            }
            return;
        }
        for (c, row) in rgb.into_iter().enumerate() {
            let first = strides.channels[c] + self.start;
            if self.step == 1 {
                for (out, &level) in clip[first..first + width].iter_mut().zip(row) {
                    *out = element(c, level);
                }
            } else {
                let mut at = first as i64;
                for &level in row {
                    clip[at as usize] = element(c, level);
                    at += self.step;
                }
            }
        }
    }
}
