//! Frames to tensors: crop, resize, colour, layout, type.
