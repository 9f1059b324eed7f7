//! What streams and frames say of colour and orientation.

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

/// The display matrix that side data hold.
pub(super) fn matrix_from(bytes: &[u8]) -> Option<[i32; 9]> {
    let mut matrix = [0; 9];
    for (value, chunk) in matrix.iter_mut().zip(bytes.chunks_exact(4)) {
        *value = i32::from_ne_bytes(chunk.try_into().ok()?);
    }
    (bytes.len() >= 36).then_some(matrix)
}
