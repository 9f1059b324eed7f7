//! Copying past the cache.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "streaming stores have no safe form"))]

/// Copies of fewer bytes go through the cache: whoever wants them next may find them there.
const MIN_BYTES: usize = 32 << 10;

/// Copies `source` to `target`, of the same length. Where that is to be had, long ones are written past the cache: memory that
/// is not in the cache need not be fetched to be overwritten, and what is in the cache stays. For what is not looked at
/// soon. Meanwhile what is to be looked at next is fetched into the core's own cache: as many bytes from the begin of `next` as are
/// copied, or fewer.
///
/// # Panics
/// Where the lengths differ, as [`slice::copy_from_slice`].
pub(crate) fn copy_streaming(source: &[u8], target: &mut [u8], next: &[u8]) {
    if source.len() < MIN_BYTES || source.len() != target.len() {
        return target.copy_from_slice(source);
    }
    #[cfg(target_arch = "x86_64")]
    x86::stream(source, target, next);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = next;
    #[cfg(not(target_arch = "x86_64"))]
    target.copy_from_slice(source);
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_ptr_alignment, reason = "the loads ask for none, and what is stored to is aligned by its type")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, _MM_HINT_T1, _mm_loadu_si128, _mm_prefetch, _mm_sfence, _mm_stream_si128, _mm256_loadu_si256,
        _mm256_stream_si256,
    };

    /// Two lines of the cache, which are written whole.
    #[derive(Clone, Copy)]
    #[repr(C, align(128))]
    struct Lines([u8; LINES_BYTES]);

    const LINES_BYTES: usize = 128;

    /// Copies all of `source` to `target`, of the same length, and fetches as much of `next`.
    pub(super) fn stream(source: &[u8], target: &mut [u8], next: &[u8]) {
        // SAFETY: every pattern of bytes is a pair of lines, which are bytes themselves.
        let (head, lines, tail) = unsafe { target.align_to_mut::<Lines>() };
        let (first, rest) = source.split_at(head.len());
        let (middle, last) = rest.split_at(size_of_val(lines));
        head.copy_from_slice(first);
        tail.copy_from_slice(last);
        if is_x86_feature_detected!("avx") {
            // SAFETY: the processor has it.
            unsafe { stream_avx(middle, lines, next) };
        } else {
            stream_sse(middle, lines);
        }
        // SAFETY: has no arguments. Streaming stores are ordered by nothing else, so this stands before anyone is told of
        // them.
        unsafe { _mm_sfence() };
    }

    #[target_feature(enable = "avx")]
    fn stream_avx(source: &[u8], target: &mut [Lines], next: &[u8]) {
        let mut ahead = next.chunks_exact(LINES_BYTES);
        for (lines, source) in target.iter_mut().zip(source.chunks_exact(LINES_BYTES)) {
            if let Some(ahead) = ahead.next() {
                prefetch(ahead);
                prefetch(&ahead[LINES_BYTES / 2..]);
            }
            let mut values = [const { None }; LINES_BYTES / 32];
            for (value, source) in values.iter_mut().zip(source.chunks_exact(32)) {
                // SAFETY: `source` has 32 bytes, and this load asks for no alignment.
                *value = Some(unsafe { _mm256_loadu_si256(source.as_ptr().cast::<__m256i>()) });
            }
            // All loads before all stores: that is what keeps both going.
            for (part, value) in lines.0.chunks_exact_mut(32).zip(values.into_iter().flatten()) {
                // SAFETY: `part` is 32 bytes that are borrowed mutably, and aligned, because `Lines` is.
                unsafe { _mm256_stream_si256(part.as_mut_ptr().cast::<__m256i>(), value) };
            }
        }
    }

    /// Has the line at the begin of `bytes` fetched into the core's own cache.
    #[inline]
    fn prefetch(bytes: &[u8]) {
        // SAFETY: a hint, which has no effect but on time; and the address is that of a slice.
        #[allow(unused_unsafe, reason = "safe from some version of the standard library on")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(bytes.as_ptr().cast());
        }
    }

    /// SSE2 is part of x86-64.
    fn stream_sse(source: &[u8], target: &mut [Lines]) {
        for (lines, source) in target.iter_mut().zip(source.chunks_exact(LINES_BYTES)) {
            for (part, source) in lines.0.chunks_exact_mut(16).zip(source.chunks_exact(16)) {
                // SAFETY: `source` has 16 bytes, and this load asks for no alignment.
                let value = unsafe { _mm_loadu_si128(source.as_ptr().cast::<__m128i>()) };
                // SAFETY: `part` is 16 bytes that are borrowed mutably, and aligned, because `Lines` is.
                unsafe { _mm_stream_si128(part.as_mut_ptr().cast::<__m128i>(), value) };
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn both_widths_copy_every_byte() {
            let source: Vec<u8> = (0..40 * LINES_BYTES + 3).map(|at| (at % 251) as u8).collect();
            for width in [stream_sse, |source: &[u8], target: &mut [Lines]| {
                if is_x86_feature_detected!("avx") {
                    // SAFETY: the processor has it.
                    unsafe { stream_avx(source, target, &source[..LINES_BYTES]) }
                } else {
                    stream_sse(source, target);
                }
            }] {
                let mut target = vec![Lines([0; LINES_BYTES]); 40];
                width(&source[3..], &mut target);
                assert!(target.iter().flat_map(|lines| lines.0).eq(source[3..].iter().copied()));
            }
        }
    }
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
                copy_streaming(&source[from..from + len], &mut target[to..to + len], &source[..from]);
                assert_eq!(target[to..to + len], source[from..from + len]);
                assert!(target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xee));
            }
        }
    }
}
