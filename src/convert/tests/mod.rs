//! Conversions against the ffmpeg command. Inputs are generated.

mod change;
pub(super) mod clip;
mod joined;
mod pixel;
mod reason;
mod recovery;
mod source;
mod stream;
mod time;
