//! Fields that files decide: the numbers of enum types, which may be none that the headers know, and display matrices.
#![expect(unsafe_code, reason = "fields and calls of FFmpeg that ffmpeg-next does not wrap")]

/// Colour as tagged: code points of H.273, and FFmpeg's range and chroma location numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ColorTags {
    pub(crate) matrix: u32,
    pub(crate) primaries: u32,
    pub(crate) transfer: u32,
    /// 0 unknown, 1 limited, 2 full.
    pub(crate) range: u32,
    /// 0 unknown, 1 left, 2 center, 3 topleft, 4 top, 5 bottomleft, 6 bottom.
    pub(crate) chroma_location: u32,
}

/// The number in a field of one of FFmpeg's enum types. Files decide it, and it may be one that the headers do not name,
/// which a Rust enum must not hold.
///
/// # Safety
/// `field` points to such a field of a live structure that nobody writes to meanwhile.
pub(super) unsafe fn read_enum<T>(field: *const T) -> u32 {
    const { assert!(size_of::<T>() == size_of::<u32>() && align_of::<T>() == align_of::<u32>()) };
    // SAFETY: by the caller's promise the field can be read; any number of its size is a u32.
    unsafe { field.cast::<u32>().read() }
}

/// [`read_enum`] of a field of a borrowed structure of FFmpeg.
macro_rules! code {
    ($fields:ident.$name:ident) => {
        // SAFETY: FFmpeg initialises all fields, and the structure is borrowed here.
        unsafe { $crate::ffmpeg::colors::read_enum(&raw const $fields.$name) }
    };
}

pub(super) use code;

/// The display matrix that side data hold.
pub(super) fn matrix_from(bytes: &[u8]) -> Option<[i32; 9]> {
    let mut matrix = [0; 9];
    for (value, chunk) in matrix.iter_mut().zip(bytes.chunks_exact(4)) {
        *value = i32::from_ne_bytes(chunk.try_into().ok()?);
    }
    (bytes.len() >= 36).then_some(matrix)
}
