//! FFmpeg's messages. Level and callback are libavutil's own, one for the whole process, and others in it may use the same
//! libavutil: so the level is never touched, and what is not ours goes where it went.
//!
//! Decoders of ours speak at levels of their own, above all that anybody listens to: FFmpeg's default callback and those of
//! others drop their messages. So reading a dataset needs no callback. A conversion does: it must hear complaints, and
//! demuxers and encoders know no such levels. It puts [`callback`] in place, once, which takes the messages of threads that
//! are [`Listening`] and hands all others to FFmpeg's default callback. libavutil does not tell which callback was there
//! before: a program that has set one of its own must set it again after its first conversion. Ours is then not heard, which
//! [`begin`] finds out: whoever depends on complaints must take every source for one that has some.
//!
//! `FRAMEFEED_FFMPEG_LOG` (`error`, `warning`, `info`, `verbose`, `debug`) prints our messages up to that level on stderr. It
//! puts the callback in place as well.
#![expect(unsafe_code, reason = "a callback that libavutil calls")]

use ffmpeg_next::ffi;
use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_void};
use std::io::Write as _;
use std::sync::{Once, OnceLock};

/// Added to the level of every message of a decoder of ours. With it the levels lie above those that anybody listens to, also where
/// only their lowest byte is looked at, as FFmpeg's default callback does.
const OUR_LEVELS: c_int = 128;

/// Of the message by which [`begin`] finds out whether it is heard.
const PROBE_LEVEL: c_int = 255;

thread_local! {
    /// How many [`Listening`] there are.
    static LISTENING: Cell<u32> = const { Cell::new(0) };
    /// The probe arrived.
    static IS_HEARD: Cell<bool> = const { Cell::new(false) };
    /// A decoder or encoder warned of something since [`begin`].
    static HAS_WARNED: Cell<bool> = const { Cell::new(false) };
    /// The first complaint since [`begin`].
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// C's `va_list` as the bindings pass it.
#[cfg(all(target_arch = "x86_64", not(windows)))]
type Arguments = *mut ffi::__va_list_tag;
#[cfg(not(all(target_arch = "x86_64", not(windows))))]
type Arguments = ffi::va_list;

/// As long as it lives, what FFmpeg says on this thread is for us.
pub(crate) struct Listening(());

impl Listening {
    pub(crate) fn begin() -> Self {
        install();
        LISTENING.set(LISTENING.get() + 1);
        Self(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.set(LISTENING.get().saturating_sub(1));
    }
}

/// Forgets what FFmpeg said on this thread.
pub(crate) fn begin() {
    FIRST.with_borrow_mut(|first| *first = None);
    HAS_WARNED.set(false);
    IS_HEARD.set(false);
    // SAFETY: no context, and a format without arguments; callbacks may be called from any thread.
    unsafe { ffi::av_log(std::ptr::null_mut(), PROBE_LEVEL, c"".as_ptr()) };
}

/// What FFmpeg complained of first on this thread since [`begin`].
pub(crate) fn first_message() -> Option<String> {
    FIRST.with_borrow(Clone::clone)
}

/// The same, which is then forgotten.
pub(crate) fn take_message() -> Option<String> {
    FIRST.with_borrow_mut(Option::take)
}

/// Whether complaints on this thread since [`begin`] were heard.
pub(crate) fn is_heard() -> bool {
    IS_HEARD.get()
}

/// Whether a decoder warned of something on this thread since [`begin`], which is less than a complaint and often nothing at
/// all, or may have without being heard.
pub(crate) fn may_have_warned() -> bool {
    !IS_HEARD.get() || HAS_WARNED.get()
}

/// The offset that a decoder's context of ours must have; puts the callback in place where our messages are to be printed.
pub(super) fn level_offset() -> c_int {
    if wanted_level() > ffi::AV_LOG_QUIET {
        install();
    }
    OUR_LEVELS
}

/// Messages up to this level are printed.
fn wanted_level() -> c_int {
    static LEVEL: OnceLock<c_int> = OnceLock::new();
    *LEVEL.get_or_init(|| match std::env::var("FRAMEFEED_FFMPEG_LOG").as_deref() {
        Ok("error") => ffi::AV_LOG_ERROR,
        Ok("warning") => ffi::AV_LOG_WARNING,
        Ok("info") => ffi::AV_LOG_INFO,
        Ok("verbose") => ffi::AV_LOG_VERBOSE,
        Ok("debug") => ffi::AV_LOG_DEBUG,
        _ => ffi::AV_LOG_QUIET,
    })
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the callback is a function of this program and lives for ever.
        unsafe { ffi::av_log_set_callback(Some(callback)) };
    });
}

/// # Safety
/// Called by FFmpeg alone, with a format and its arguments that belong together.
unsafe extern "C" fn callback(context: *mut c_void, level: c_int, format: *const c_char, arguments: Arguments) {
    // `try_with`: FFmpeg may speak while the thread's variables are being torn down.
    let is_listening = LISTENING.try_with(Cell::get).unwrap_or(0) > 0;
    if level == PROBE_LEVEL && context.is_null() {
        let _ = IS_HEARD.try_with(|heard| heard.set(true));
        return;
    }
    // Bits above the lowest byte are colours, which others ask for.
    let is_of_our_decoder = level >= 0 && level & 0xff >= OUR_LEVELS;
    if !is_listening && !is_of_our_decoder {
        // SAFETY: FFmpeg's own arguments, handed on untouched and once.
        unsafe { ffi::av_log_default_callback(context, level, format, arguments) };
        return;
    }
    let level = if is_of_our_decoder { (level & 0xff) - OUR_LEVELS } else { level };
    // SAFETY: FFmpeg speaks for a context of its own, or for none.
    if is_listening && level == ffi::AV_LOG_WARNING && unsafe { is_codec(context) } {
        let _ = HAS_WARNED.try_with(|warned| warned.set(true));
    }
    let is_printed = level <= wanted_level();
    let is_first = is_listening
        && level <= ffi::AV_LOG_ERROR
        && FIRST.try_with(|first| first.try_borrow().is_ok_and(|first| first.is_none())).unwrap_or(false);
    if !is_printed && !is_first {
        return;
    }
    let mut line = [0_u8; 512];
    let mut prefix = 1;
    let (buffer, size) = (line.as_mut_ptr().cast(), line.len() as c_int);
    // SAFETY: format and arguments are FFmpeg's own pair; the buffer is `size` bytes long.
    unsafe { ffi::av_log_format_line2(context, level, format, arguments, buffer, size, &raw mut prefix) };
    let end = line.iter().position(|&byte| byte == 0).unwrap_or(line.len());
    let text = String::from_utf8_lossy(line.get(..end).unwrap_or_default());
    if is_printed {
        // Nobody is left to be told where this fails.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    if is_first {
        let text = without_prefix(&text).trim().to_owned();
        let _ = FIRST.try_with(|first| {
            if let Ok(mut first) = first.try_borrow_mut() {
                *first = Some(text);
            }
        });
    }
}

/// True for the context of a decoder or encoder.
///
/// # Safety
/// `context` is null or begins with a pointer to its class, as every context that FFmpeg speaks for does.
unsafe fn is_codec(context: *const c_void) -> bool {
    // SAFETY: by the caller's promise.
    let Some(&class) = (unsafe { context.cast::<*const ffi::AVClass>().as_ref() }) else { return false };
    // SAFETY: null, or a class, which lives for ever.
    let codecs = unsafe { ffi::avcodec_get_class() };
    std::ptr::eq(class, codecs)
}

/// Without `[name @ 0x1234] `, of which there may be two.
fn without_prefix(mut text: &str) -> &str {
    while let Some((name, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        if !name.contains(" @ ") {
            break;
        }
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_prefix_is_taken_off() {
        assert_eq!(without_prefix("[mov @ 0x55] [h264 @ 0x1] bad\n"), "bad\n");
        assert_eq!(without_prefix("[x] bad"), "[x] bad");
        assert_eq!(without_prefix("bad"), "bad");
    }
}
