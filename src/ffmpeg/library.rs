//! The FFmpeg of this process: prepared once, and as new as the headers of this build, no newer.
#![expect(unsafe_code, reason = "fields and calls of FFmpeg that ffmpeg-next does not wrap")]

use super::log::first_message;
use crate::{Error, Result};
use ffmpeg_next::{self as av, ffi};
use std::sync::Once;

/// Prepares FFmpeg for this process, once.
pub(crate) fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| _ = av::init());
}

/// Checks that the FFmpeg that is loaded knows no more codecs and pixel formats than the headers of this build: the
/// numbers that it gives are taken for those that the headers name.
pub(crate) fn check_version() -> Result<()> {
    // SAFETY: takes nothing.
    let codec = unsafe { ffi::avcodec_version() };
    // SAFETY: takes nothing.
    let util = unsafe { ffi::avutil_version() };
    for (name, loaded, major, minor) in [
        ("libavcodec", codec, ffi::LIBAVCODEC_VERSION_MAJOR, ffi::LIBAVCODEC_VERSION_MINOR),
        ("libavutil", util, ffi::LIBAVUTIL_VERSION_MAJOR, ffi::LIBAVUTIL_VERSION_MINOR),
    ] {
        check_library(name, loaded, (major.unsigned_abs(), minor.unsigned_abs()))?;
    }
    Ok(())
}

/// `loaded` is a version as FFmpeg writes it: 16 bits of major, 8 of minor, 8 of micro.
fn check_library(name: &str, loaded: u32, (major, minor): (u32, u32)) -> Result<()> {
    if loaded >> 8 <= (major << 8 | minor) {
        return Ok(());
    }
    let (found, of) = (loaded >> 16, loaded >> 8 & 0xff);
    Err(Error::unsupported(format!(
        "{name} {found}.{of} is loaded, and framefeed was built for {major}.{minor}: build it again for this FFmpeg"
    )))
}

/// What FFmpeg complained of, or else the words of its error code.
pub(crate) fn message_of(error: av::Error) -> String {
    first_message().unwrap_or_else(|| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_library_than_the_headers_is_refused() {
        check_version().unwrap();
        let version = |major: u32, minor: u32| (major << 16) + (minor << 8) + 100;
        for (loaded, is_known) in [(version(59, 37), true), (version(59, 36), true), (version(59, 38), false)] {
            assert_eq!(check_library("libavcodec", loaded, (59, 37)).is_ok(), is_known);
        }
        let error = check_library("libavcodec", version(60, 1), (59, 37)).unwrap_err();
        assert!(error.to_string().contains("libavcodec 60.1 is loaded"), "{error}");
    }
}
