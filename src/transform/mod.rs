//! Frames to tensors: crop, resize, colour, layout, type, in one pass over the picture.
//!
//! mod docs later

mod apply;
mod color;
mod geometry;
mod kernels;
mod options;
#[cfg(test)]
mod reference;
mod store;
#[cfg(test)]
mod tests;
mod weights;

pub use apply::Transform;
pub use options::{ClipShape, DType, Filter, Fit, Layout, MAX_OUTPUT_SIDE, TransformOptions};
