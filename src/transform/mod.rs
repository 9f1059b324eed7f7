//! Frames to tensors: crop, resize, colour, layout, type, in one pass over the picture.
//!
//! Each plane is resampled from the decoded picture straight to the output grid, chroma from where it was sited, and only then
//! are the planes turned into RGB; no full-size RGB picture and no full-size chroma is ever made. Nothing is allocated per
//! frame, and only rows and columns under the crop (and under the filter at its edges) are read.
//!
//! For storing, `planar` gives the same resampling as planes of 8-bit 4:2:0 in place of RGB.
//!
//! What it does not do: gamut or tone mapping (the RGB is the source's own R'G'B'), gamma-correct resizing (like Pillow,
//! torchvision and swscale it averages encoded values), deinterlacing.
//!
//! # The arithmetic
//!
//! All of it is integer, so that any implementation (SIMD, GPU) can give the same bits. `>>` is an arithmetic shift, `d` the
//! depth in bits, *u* = 1/64 of an 8-bit level. Positions and filters: `geometry` and `weights`; subsampled chroma planes are sampled
//! from their own grid with the same filter (but [`Filter::Area`] interpolates chroma bilinearly on an axis that it enlarges).
//!
//! 1. **Weights** are `i16` with `b` fraction bits, one `b` per table: the largest at which every weight of the table is below
//!    32766 in magnitude, at most `30 - d` vertically and 16 horizontally, and never below 14. Within one output each weight
//!    is `round(w * 2^b + e)` (half away from zero), `e` being the error left by the ones before, so that they sum to 2^b.
//! 2. **Vertical pass**, per output row, over the source columns that the horizontal pass needs, in `i32`, to `i16` in *u* from the
//!    middle of the levels: `v[x] = ((sum_k wy[k] * sample[row0 + k][x] + 2^(s-1)) >> s) - 2^13`, with `s = b + d - 14`.
//! 3. **Horizontal pass** of that row, in `i32`, to `i16` in *u*: `h[x] = (sum_k wx[x][k] * v[x0 + k] + 2^(b-1)) >> b`.
//!    Nothing is clamped so far: overshoot of a sharp filter is kept, as in a computation in floating point.
//! 4. **Matrix** (see `color`): entries are `round(m * 2^14)`, and
//!    `rgb[c] = clamp((sum_p ((m[c][p] * h_p + 2^14) >> 15) + bias[c]) >> 5, 0, 255)`, where `bias` is half a level and what the middle
//!    of the levels comes to. That is what instructions for words do, which round products; no sum of words that saturates gives anything else.
//! 5. **Float types** are functions of that 8-bit level, as torch's are: `(f32(level * scale) - mean) / std`, each step rounded
//!    to `float32`, then to the type (nearest, ties to even). With the default scale this is `ToTensor` and `Normalize` bit
//!    for bit; and a clip gives the same values whether it is converted here or by the training script.
//! 6. **Turning and layout** are index arithmetic when a row is written.
//!
//! Vertical comes first because its inner loop runs along contiguous samples and does the larger part of the work; the cost
//! is the same as the other way round, and one row is all the intermediate memory there is.
//!
//! **Accuracy.** The weights' rounding moves a level by at most `taps * 255 / 2^b` (both passes), the rest by less than 0.08.
//! At usual scales the result is the rounded exact value or, close to a tie, its neighbour. It stays within one level of the
//! exact value in all tests, which go to 800 source pixels per output pixel.

mod apply;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod color;
mod doubled;
mod geometry;
mod groups;
mod kernels;
#[cfg(target_arch = "aarch64")]
mod neon;
mod options;
mod planar;
#[cfg(test)]
mod reference;
mod scratch;
mod store;
#[cfg(test)]
mod tests;
mod weights;

pub use apply::Transform;
pub use options::{ClipShape, DType, Filter, Fit, FrameFormat, Layout, MAX_OUTPUT_SIDE, TransformOptions};
pub(crate) use planar::{OUTPUT_LOCATION, PlanarSource, PlanarTransform};
