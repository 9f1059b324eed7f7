//! Frames to tensors: crop, resize, colour, layout, type.

mod apply;
mod options;

pub use apply::Transform;
pub use options::{ClipShape, DType, Filter, Fit, Layout, MAX_OUTPUT_SIDE, TransformOptions};
