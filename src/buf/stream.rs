//! Copying past the cache, and summing on the way.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "streaming stores have no safe form"))]

/// Copies of fewer bytes go through the cache: whoever wants them next may find them there.
const MIN_BYTES: usize = 32 << 10;

/// Bytes that are summed, then copied, where the two are not one.
const SUMMED_BYTES: usize = 64 << 10;

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
    x86::stream(source, target);
    #[cfg(not(target_arch = "x86_64"))]
    target.copy_from_slice(source);
}

/// Copies as [`copy_streaming`] does, and hands the CRC32C of one run of bytes after another to `sum`, with their number. Where the
/// processor has an instruction for it, three runs at once are summed while they are copied, which takes no longer: a copy waits
/// for memory most of the time. Else `crc32c` sums.
///
/// # Panics
/// Where the lengths differ, as [`slice::copy_from_slice`].
pub(crate) fn copy_streaming_summed(
    source: &[u8],
    target: &mut [u8],
    crc32c: impl Fn(&[u8]) -> u32,
    mut sum: impl FnMut(u32, usize),
) {
    #[cfg(target_arch = "x86_64")]
    if source.len() >= MIN_BYTES && source.len() == target.len() && x86::can_sum() {
        return x86::stream_summed(source, target, crc32c, sum);
    }
    assert_eq!(source.len(), target.len(), "a copy to memory of another length");
    // What was summed is still in the nearest cache when it is copied.
    for (source, target) in source.chunks(SUMMED_BYTES).zip(target.chunks_mut(SUMMED_BYTES)) {
        sum(crc32c(source), source.len());
        copy_streaming(source, target);
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_ptr_alignment, reason = "the loads ask for none, and what is stored to is aligned by its type")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_crc32_u64, _mm_loadu_si128, _mm_sfence, _mm_stream_si128, _mm256_loadu_si256,
        _mm256_stream_si256,
    };

    /// Two lines of the cache, which are written whole.
    #[derive(Clone, Copy)]
    #[repr(C, align(128))]
    struct Lines([u8; LINES_BYTES]);

    const LINES_BYTES: usize = 128;

    /// Copies all of `source` to `target`, of the same length.
    pub(super) fn stream(source: &[u8], target: &mut [u8]) {
        // SAFETY: every pattern of bytes is a pair of lines, which are bytes themselves.
        let (head, lines, tail) = unsafe { target.align_to_mut::<Lines>() };
        let (first, rest) = source.split_at(head.len());
        let (middle, last) = rest.split_at(size_of_val(lines));
        head.copy_from_slice(first);
        tail.copy_from_slice(last);
        if is_x86_feature_detected!("avx") {
            // SAFETY: the processor has it.
            unsafe { stream_avx(middle, lines) };
        } else {
            stream_sse(middle, lines);
        }
        // SAFETY: has no arguments. Streaming stores are ordered by nothing else, so this stands before anyone is told of
        // them.
        unsafe { _mm_sfence() };
    }

    #[target_feature(enable = "avx")]
    fn stream_avx(source: &[u8], target: &mut [Lines]) {
        for (lines, source) in target.iter_mut().zip(source.as_chunks().0) {
            stream_lines(source, lines);
        }
    }

    #[inline]
    #[target_feature(enable = "avx")]
    fn stream_lines(source: &[u8; LINES_BYTES], lines: &mut Lines) {
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

    /// Whether [`stream_summed`] may be called.
    pub(super) fn can_sum() -> bool {
        is_x86_feature_detected!("avx") && is_x86_feature_detected!("sse4.2")
    }

    /// Copies all of `source` to `target`, of the same length: a third each of its whole lines at once, and what is around them by itself.
    pub(super) fn stream_summed(
        source: &[u8],
        target: &mut [u8],
        crc32c: impl Fn(&[u8]) -> u32,
        mut sum: impl FnMut(u32, usize),
    ) {
        // SAFETY: every pattern of bytes is a pair of lines, which are bytes themselves.
        let (head, lines, tail) = unsafe { target.align_to_mut::<Lines>() };
        let (first, rest) = source.split_at(head.len());
        let (lines, surplus) = lines.split_at_mut(lines.len() / 3 * 3);
        let (middle, rest) = rest.split_at(size_of_val(lines));
        let (behind, last) = rest.split_at(size_of_val(surplus));
        sum(crc32c(first), first.len());
        head.copy_from_slice(first);
        // SAFETY: the processor has both, by the caller's word, which asked `can_sum`.
        let sums = unsafe { stream_thirds(middle, lines) };
        sums.into_iter().for_each(|crc| sum(crc, middle.len() / 3));
        sum(crc32c(behind), behind.len());
        stream_sse(behind, surplus);
        sum(crc32c(last), last.len());
        tail.copy_from_slice(last);
        // SAFETY: as in `stream`.
        unsafe { _mm_sfence() };
    }

    /// Copies lines, of which there is a multiple of three, and returns the CRC32C of each third.
    #[target_feature(enable = "avx,sse4.2")]
    fn stream_thirds(source: &[u8], target: &mut [Lines]) -> [u32; 3] {
        let third = target.len() / 3;
        let (source, _) = source.as_chunks::<LINES_BYTES>();
        let (first, rest) = source.split_at(third);
        let (second, third_lines) = rest.split_at(third);
        let (to_first, rest) = target.split_at_mut(third);
        let (to_second, to_third) = rest.split_at_mut(third);
        let mut sums = [u64::from(u32::MAX); 3];
        let sources = first.iter().zip(second).zip(third_lines);
        let targets = to_first.iter_mut().zip(to_second).zip(to_third);
        for (((a, b), c), ((to_a, to_b), to_c)) in sources.zip(targets) {
            stream_lines(a, to_a);
            stream_lines(b, to_b);
            stream_lines(c, to_c);
            let words = a.as_chunks().0.iter().zip(b.as_chunks().0).zip(c.as_chunks().0);
            // Three sums at once: each waits three cycles for the one before.
            for ((a, b), c) in words {
                sums[0] = _mm_crc32_u64(sums[0], u64::from_le_bytes(*a));
                sums[1] = _mm_crc32_u64(sums[1], u64::from_le_bytes(*b));
                sums[2] = _mm_crc32_u64(sums[2], u64::from_le_bytes(*c));
            }
        }
        sums.map(|sum| !(sum as u32))
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
                    unsafe { stream_avx(source, target) }
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

    /// Bit by bit.
    fn crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
        })
    }

    #[test]
    fn a_summed_copy_is_a_copy_and_its_sums_are_those_of_its_runs_in_order() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let source: Vec<u8> =
            (0..3 * MIN_BYTES as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for (from, to, len) in
            [(0, 0, 0), (3, 1, 7), (0, 0, MIN_BYTES), (1, 77, MIN_BYTES + 511), (5, 0, 2 * MIN_BYTES + 129)]
        {
            let (source, mut target) = (&source[from..from + len], vec![0xee; len + 300]);
            let (mut at, mut runs) = (0, 0);
            copy_streaming_summed(source, &mut target[to..to + len], crc32c, |crc, bytes| {
                assert_eq!(crc, crc32c(&source[at..at + bytes]), "{bytes} bytes at {at} of {len}");
                at += bytes;
                runs += 1;
            });
            assert_eq!((at, &target[to..to + len]), (len, source));
            assert!(target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xee));
            assert!(runs > 0 || len == 0);
        }
    }

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
