//! Copying past the cache.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "non-temporal stores have no safe form"))]

/// Copies of fewer bytes go through the cache: whoever wants them next may find them there.
const MIN_BYTES: usize = 32 << 10;

/// Copies `source` to `target`, of the same length. Where that is to be had, long ones are written past the cache: memory that
/// is not in the cache need not be fetched to be overwritten, and what is in the cache stays. For what is not looked at
/// soon.
///
/// # Panics
/// Where the lengths differ, as [`slice::copy_from_slice`].
pub(crate) fn copy_streaming(source: &[u8], target: &mut [u8]) {
    if source.len() < MIN_BYTES || source.len() != target.len() {
        return target.copy_from_slice(source);
    }
    #[cfg(target_arch = "x86_64")]
    stream(source, target);
    #[cfg(not(target_arch = "x86_64"))]
    target.copy_from_slice(source);
}

/// A line of the cache, which is written whole.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([std::arch::x86_64::__m128i; 4]);

#[cfg(target_arch = "x86_64")]
fn stream(source: &[u8], target: &mut [u8]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    // SAFETY: every pattern of bytes is a line, and of what bytes a line is made does not matter.
    let (head, lines, _) = unsafe { target.align_to_mut::<Line>() };
    let (head_len, lines_len) = (head.len(), size_of_val(lines));
    let (first, rest) = source.split_at(head_len);
    let (middle, last) = rest.split_at(lines_len);
    head.copy_from_slice(first);
    for (line, source) in lines.iter_mut().zip(middle.chunks_exact(size_of::<Line>())) {
        for (part, source) in line.0.iter_mut().zip(source.chunks_exact(16)) {
            // SAFETY: `source` has 16 bytes, and this load asks for no alignment. SSE2 is part of x86-64.
            let value = unsafe { _mm_loadu_si128(source.as_ptr().cast()) };
            // SAFETY: `part` is a valid, aligned place of 16 bytes that is borrowed mutably.
            unsafe { _mm_stream_si128(part, value) };
        }
    }
    // SAFETY: has no arguments. Streaming stores are ordered by nothing else, so this stands before anyone is told of them.
    unsafe { _mm_sfence() };
    target[head_len + lines_len..].copy_from_slice(last);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streamed_copy_is_a_copy_at_any_alignment() {
        let source: Vec<u8> = (0..3 * MIN_BYTES).map(|at| (at % 251) as u8).collect();
        for (from, to) in (0..70).zip((0..70).rev()) {
            for len in [0, 1, MIN_BYTES - 1, MIN_BYTES, MIN_BYTES + 63, 2 * MIN_BYTES + 17] {
                let mut target = vec![0xee; len + 200];
                copy_streaming(&source[from..from + len], &mut target[to..to + len]);
                assert_eq!(target[to..to + len], source[from..from + len]);
                assert!(target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xee));
            }
        }
    }
}
