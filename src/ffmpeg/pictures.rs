//! Memory of the pictures that a decoder makes.
//!
//! Large pictures come from a pool of the decoder's own, of mappings that begin zeroed and in huge pages where the kernel has them, and
//! that go back to the operating system when the decoder is closed. From libavcodec's own pools they would go to the C library,
//! which keeps up to 64 MB of them in the arena of every thread that ever decoded. Small pictures, formats that we do not
//! deliver and decoders that bring their own memory are left to libavcodec.
#![expect(unsafe_code, reason = "is called by libavcodec for the memory of a picture")]

use super::calls::{AvError, AvResult, check, pixel_format, pixel_format_name};
use super::fill::{Fill, GetBuffer};
use super::live::{LiveMut, get, set};
use crate::buf::{BufferPool, PooledBuffer};
use crate::media::PixelFormat;
use ffmpeg_next::ffi;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pictures of fewer bytes are libavcodec's business: the C library handles those well.
const MIN_BYTES: usize = 1 << 20;

/// Bytes behind the last plane that a decoder may touch: libavcodec's own allocation has 79.
const SLACK: usize = 128;

/// The pool of one decoder.
pub(super) struct Pictures {
    pool: BufferPool,
    /// Bytes of the last picture.
    len: AtomicUsize,
    /// What each picture begins with.
    fill: Fill,
}

/// Where the planes of a picture lie, with room for all that its decoder writes.
struct Shape {
    format: ffi::AVPixelFormat,
    /// Rows of the first plane.
    rows: c_int,
    linesizes: [c_int; 4],
}

impl Pictures {
    /// Has a context that is not open yet take its pictures from a new pool, which must live as long as the context.
    pub(super) fn serve(context: &LiveMut<'_, ffi::AVCodecContext>, fill: Fill) -> Arc<Self> {
        // What one picture leaves, the next one takes; how many there are is up to the codec.
        let this = Arc::new(Self { pool: BufferPool::new(usize::MAX), len: AtomicUsize::new(0), fill });
        set!(context.opaque = Arc::as_ptr(&this).cast_mut().cast());
        let get_buffer: GetBuffer = get_buffer;
        set!(context.get_buffer2 = Some(get_buffer));
        this
    }

    /// Gives `frame` its planes, or says `false` where that is left to libavcodec.
    ///
    /// # Safety
    /// `context` is an open decoder, and `frame` wants memory for a picture of its `width`, `height` and `format`; nobody else
    /// uses either meanwhile.
    unsafe fn give(&self, context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame) -> AvResult<bool> {
        let mut owner = self;
        // SAFETY: by the caller's promise, for as long as this function runs.
        let frame = unsafe { LiveMut::new(frame, &mut owner) };
        let number = get!(frame.format);
        let known = pixel_format_name(number).and_then(PixelFormat::parse).and(pixel_format(number));
        let Some(format) = known else { return Ok(false) };
        let (width, height) = (get!(frame.width), get!(frame.height));
        // SAFETY: by the caller's promise.
        let shape = unsafe { Shape::new(context, format, width, height) }?;
        let (_, len) = shape.place(ptr::null_mut())?;
        if len < MIN_BYTES {
            return Ok(false);
        }
        if self.len.swap(len, Ordering::Relaxed) != len {
            // Pictures of the size before will hardly come again.
            self.pool.trim();
        }
        let mut buffer = self.pool.try_acquire(len + SLACK).ok().flatten().ok_or(AvError::NO_MEMORY)?;
        let address = buffer.as_mut_ptr();
        let (planes, _) = shape.place(address)?;
        let (mut buffers, mut data, mut linesizes) = (get!(frame.buf), get!(frame.data), get!(frame.linesize));
        buffers[0] = counted(address, len + SLACK, buffer)?;
        for (plane, place) in planes.into_iter().zip(&mut data) {
            *place = plane;
        }
        for (linesize, place) in shape.linesizes.into_iter().zip(&mut linesizes) {
            *place = linesize;
        }
        set!(frame.buf = buffers);
        set!(frame.data = data);
        set!(frame.linesize = linesizes);
        // SAFETY: the frame is alive.
        let first = unsafe { &raw mut (*frame.as_ptr()).data };
        set!(frame.extended_data = first.cast());
        Ok(true)
    }
}

/// A counted reference to the `len` bytes of `buffer`, which begin at `address`.
fn counted(address: *mut u8, len: usize, buffer: PooledBuffer) -> AvResult<*mut ffi::AVBufferRef> {
    let owner = Box::into_raw(Box::new(buffer));
    // SAFETY: `owner` keeps the bytes until `free` takes it back, with the last reference.
    let reference = unsafe { ffi::av_buffer_create(address, len, Some(free), owner.cast(), 0) };
    if reference.is_null() {
        // SAFETY: nobody took the box.
        drop(unsafe { Box::from_raw(owner) });
        return Err(AvError::NO_MEMORY);
    }
    Ok(reference)
}

impl Shape {
    /// # Safety
    /// `context` is an open decoder.
    unsafe fn new(
        context: *mut ffi::AVCodecContext,
        format: ffi::AVPixelFormat,
        mut width: c_int,
        mut rows: c_int,
    ) -> AvResult<Self> {
        let mut aligns = [0; ffi::AV_NUM_DATA_POINTERS as usize];
        // SAFETY: by the caller's promise; the array has the length that libavcodec fills.
        unsafe { ffi::avcodec_align_dimensions2(context, &raw mut width, &raw mut rows, aligns.as_mut_ptr()) };
        let mut linesizes = [0; 4];
        loop {
            // SAFETY: fills four numbers for any format and width, or fails.
            check(unsafe { ffi::av_image_fill_linesizes(linesizes.as_mut_ptr(), format, width) })?;
            if linesizes.iter().zip(aligns).all(|(&linesize, align)| align <= 0 || linesize % align == 0) {
                return Ok(Self { format, rows, linesizes });
            }
            // The lowest bit of the width moves up until every plane's lines are aligned.
            width = width.checked_add(width & width.wrapping_neg()).ok_or(AvError::NO_MEMORY)?;
        }
    }

    /// The planes of a picture that begins at `address`, which is not looked at, and its bytes.
    fn place(&self, address: *mut u8) -> AvResult<([*mut u8; 4], usize)> {
        let mut planes = [ptr::null_mut(); 4];
        // SAFETY: computes four addresses from numbers, or fails; no memory is touched.
        let len = check(unsafe {
            ffi::av_image_fill_pointers(planes.as_mut_ptr(), self.format, self.rows, address, self.linesizes.as_ptr())
        })?;
        Ok((planes, usize::try_from(len).unwrap_or(0)))
    }
}

/// libavcodec's `get_buffer2`.
unsafe extern "C" fn get_buffer(context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame, flags: c_int) -> c_int {
    // SAFETY: libavcodec calls with the context that this function was set in, while it is open; nobody else uses it meanwhile.
    let opaque = unsafe { (*context).opaque };
    // SAFETY: as above.
    let codec = unsafe { (*context).codec };
    // SAFETY: the codec of an open context is an entry of a static table.
    let takes_memory = unsafe { (*codec).capabilities } & ffi::AV_CODEC_CAP_DR1 as c_int != 0;
    // SAFETY: `serve` set it, and the owner of what it points to lives as long as the context.
    let pictures = unsafe { opaque.cast::<Pictures>().as_ref() };
    let given = match pictures {
        // SAFETY: the context is an open decoder, which asks for the memory of this frame.
        Some(pictures) if takes_memory => unsafe { pictures.give(context, frame) },
        _ => Ok(false),
    };
    let code = match given {
        Ok(true) => 0,
        // SAFETY: the arguments are passed on as they came.
        Ok(false) => unsafe { ffi::avcodec_default_get_buffer2(context, frame, flags) },
        Err(AvError(code)) => code,
    };
    if let Some(pictures) = pictures.filter(|_| code >= 0) {
        // SAFETY: the frame was just given its memory.
        unsafe { pictures.fill.fill(frame) };
    }
    code
}

/// Called with the last reference to a picture.
unsafe extern "C" fn free(owner: *mut c_void, _data: *mut u8) {
    // SAFETY: `owner` is the box that `give` made of this buffer, and comes back once.
    drop(unsafe { Box::from_raw(owner.cast::<PooledBuffer>()) });
}
