//! The words of video: time bases, codecs, packets, GOPs, pixel formats, colour, orientation, frames. No I/O, no unsafe,
//! nothing that knows a file or a decoder.

mod clock;
mod codec;
mod color;
mod frame;
pub(crate) mod nal;
mod orientation;
mod packet;
mod pixel;
mod stream;
mod time;

pub(crate) use clock::{Clock, Closed, JumpLimit, is_even};
pub use codec::Codec;
pub use color::{ChromaLocation, ColorRange, ColorSpec};
pub use frame::{FrameView, PlaneView};
pub use orientation::Orientation;
pub use packet::{GopEntry, PacketEntry, PacketFlags, PacketTable};
pub use pixel::{ColorModel, PixelFormat};
pub use stream::StreamInfo;
pub use time::{Ratio, TimeBase};
