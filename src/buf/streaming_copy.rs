//! Copying past the cache, and summing on the way.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "streaming stores have no safe form"))]

/// Copies of fewer bytes go through the cache: whoever wants them next may find them there.
const MIN_BYTES: usize = 32 << 10;

/// Bytes that are copied while as many behind them are fetched, and where the two are not one, that are summed and then copied: they
/// stay in the core's own cache.
const BLOCK_BYTES: usize = 64 << 10;

/// Bytes of a run that is summed while it is copied, three at a time: 21 KiB. No multiple of 4096, because lines of one place in all three
/// would push each other out of the cache then: that costs half of the rate.
pub(crate) const RUN_BYTES: usize = 169 * 128;

/// What [`copy_streaming_summed`] has copied.
pub(crate) enum Copied<'a> {
    /// The CRC32C of three runs of [`RUN_BYTES`] one behind another.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "summed by an instruction of x86-64"))]
    Runs([u32; 3]),
    /// What is to be summed by whoever is told.
    Bytes(&'a [u8]),
}

/// Copies `source` to `target`, of the same length. Where that is to be had, long ones are written past the cache: memory that
/// is not in the cache need not be fetched to be overwritten, and what is in the cache stays. For what is not looked at
/// soon.
///
/// # Panics
/// Where the lengths differ, as [`slice::copy_from_slice`].
pub(crate) fn copy_streaming(source: &[u8], target: &mut [u8]) {
    if !can_stream(source, target) {
        return target.copy_from_slice(source);
    }
    for ((source, target), next) in
        blocks(source).zip(target.chunks_mut(BLOCK_BYTES)).zip(blocks(source).skip(1).chain([&[][..]]))
    {
        stream(source, target, next);
    }
}

/// Copies as [`copy_streaming`] does, and tells `copied` of one part after another. Where the processor has an instruction for CRC32C,
/// three runs at once are summed while they are copied, which takes hardly longer: a copy waits for memory most of the time.
///
/// # Panics
/// Where the lengths differ, as [`slice::copy_from_slice`].
pub(crate) fn copy_streaming_summed<'a>(source: &'a [u8], target: &mut [u8], mut copied: impl FnMut(Copied<'a>)) {
    #[cfg(target_arch = "x86_64")]
    if can_stream(source, target) && x86::can_sum() {
        return x86::stream_summed(source, target, copied);
    }
    assert_eq!(source.len(), target.len(), "a copy to memory of another length");
    for (source, target) in blocks(source).zip(target.chunks_mut(BLOCK_BYTES)) {
        copied(Copied::Bytes(source));
        copy_streaming(source, target);
    }
}

fn blocks(bytes: &[u8]) -> std::slice::Chunks<'_, u8> {
    bytes.chunks(BLOCK_BYTES)
}

fn can_stream(source: &[u8], target: &[u8]) -> bool {
    cfg!(target_arch = "x86_64") && source.len() >= MIN_BYTES && source.len() == target.len()
}

/// Copies past the cache, and fetches as many bytes of `next` meanwhile.
fn stream(source: &[u8], target: &mut [u8], next: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    x86::stream(source, target, next);
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = next;
        target.copy_from_slice(source);
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_ptr_alignment, reason = "the loads ask for none, and what is stored to is aligned by its type")]
mod x86 {
    use super::{Copied, RUN_BYTES};
    use std::arch::x86_64::{
        __m128i, __m256i, _MM_HINT_T1, _mm_crc32_u64, _mm_loadu_si128, _mm_prefetch, _mm_sfence, _mm_stream_si128,
        _mm256_loadu_si256, _mm256_stream_si256,
    };

    /// Two lines of the cache, which are written whole.
    #[derive(Clone, Copy)]
    #[repr(C, align(128))]
    struct Lines([u8; LINES_BYTES]);

    const LINES_BYTES: usize = 128;
    /// [`Lines`] of a run.
    const RUN_LINES: usize = RUN_BYTES / LINES_BYTES;
    const _: () = assert!(RUN_LINES * LINES_BYTES == RUN_BYTES);

    type Source = [u8; LINES_BYTES];

    /// Copies all of `source` to `target`, of the same length, and has as many bytes of `next` fetched into the core's own cache.
    pub(super) fn stream(source: &[u8], target: &mut [u8], next: &[u8]) {
        // SAFETY: every pattern of bytes is a pair of lines, which are bytes themselves.
        let (head, lines, tail) = unsafe { target.align_to_mut::<Lines>() };
        let (first, rest) = source.split_at(head.len());
        let (middle, last) = rest.split_at(size_of_val(lines));
        head.copy_from_slice(first);
        tail.copy_from_slice(last);
        let middle = middle.as_chunks().0;
        if is_x86_feature_detected!("avx") {
            // SAFETY: the processor has it.
            unsafe { stream_avx(middle, lines, next.as_chunks().0) };
        } else {
            stream_sse(middle, lines);
        }
        fence();
    }

    /// Streaming stores are ordered by nothing else, so this stands before anyone is told of them.
    fn fence() {
        // SAFETY: has no arguments.
        unsafe { _mm_sfence() };
    }

    #[target_feature(enable = "avx")]
    fn stream_avx(source: &[Source], target: &mut [Lines], next: &[Source]) {
        let mut next = next.iter();
        for (source, lines) in source.iter().zip(target) {
            next.by_ref().take(1).for_each(prefetch);
            copy_lines(source, lines);
        }
    }

    #[inline]
    #[target_feature(enable = "avx")]
    fn copy_lines(source: &Source, lines: &mut Lines) {
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

    /// SSE2 is part of x86-64.
    fn stream_sse(source: &[Source], target: &mut [Lines]) {
        for (source, lines) in source.iter().zip(target) {
            for (part, source) in lines.0.chunks_exact_mut(16).zip(source.chunks_exact(16)) {
                // SAFETY: `source` has 16 bytes, and this load asks for no alignment.
                let value = unsafe { _mm_loadu_si128(source.as_ptr().cast::<__m128i>()) };
                // SAFETY: `part` is 16 bytes that are borrowed mutably, and aligned, because `Lines` is.
                unsafe { _mm_stream_si128(part.as_mut_ptr().cast::<__m128i>(), value) };
            }
        }
    }

    /// Has both lines fetched into the core's own cache.
    #[inline]
    fn prefetch(lines: &Source) {
        for line in lines.chunks_exact(64) {
            // SAFETY: a hint, which has no effect but on time; and the address is that of a slice.
            #[allow(unused_unsafe, reason = "safe from some version of the standard library on")]
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
            }
        }
    }

    /// Whether [`stream_summed`] may be called.
    pub(super) fn can_sum() -> bool {
        is_x86_feature_detected!("avx") && is_x86_feature_detected!("sse4.2")
    }

    /// Copies all of `source` to `target`, of the same length: whole lines by three runs at once, and what is around them by itself.
    /// Comes after [`can_sum`].
    pub(super) fn stream_summed<'a>(source: &'a [u8], target: &mut [u8], mut copied: impl FnMut(Copied<'a>)) {
        // SAFETY: every pattern of bytes is a pair of lines, which are bytes themselves.
        let (head, lines, tail) = unsafe { target.align_to_mut::<Lines>() };
        let (first, rest) = source.split_at(head.len());
        let (middle, last) = rest.split_at(size_of_val(lines));
        copied(Copied::Bytes(first));
        head.copy_from_slice(first);
        let mut rest = middle.as_chunks().0;
        let mut targets = lines.chunks_exact_mut(3 * RUN_LINES);
        for target in &mut targets {
            let (runs, behind) = rest.split_at(3 * RUN_LINES);
            // SAFETY: the processor has both, by the caller's word, who asked `can_sum`.
            copied(Copied::Runs(unsafe { stream_runs(runs, target, behind) }));
            rest = behind;
        }
        copied(Copied::Bytes(rest.as_flattened()));
        stream_sse(rest, targets.into_remainder());
        copied(Copied::Bytes(last));
        tail.copy_from_slice(last);
        fence();
    }

    /// Copies three runs and returns the CRC32C of each. The begin of `next`, as long as they are, is fetched into the core's own
    /// cache meanwhile.
    #[target_feature(enable = "avx,sse4.2")]
    fn stream_runs(source: &[Source], target: &mut [Lines], next: &[Source]) -> [u32; 3] {
        let (first, rest) = source.split_at(RUN_LINES);
        let (second, third) = rest.split_at(RUN_LINES);
        let (to_first, rest) = target.split_at_mut(RUN_LINES);
        let (to_second, to_third) = rest.split_at_mut(RUN_LINES);
        let mut next = next.iter();
        let mut sums = [u64::from(u32::MAX); 3];
        let sources = first.iter().zip(second).zip(third);
        let targets = to_first.iter_mut().zip(to_second).zip(to_third);
        for (((a, b), c), ((to_a, to_b), to_c)) in sources.zip(targets) {
            next.by_ref().take(3).for_each(prefetch);
            copy_lines(a, to_a);
            copy_lines(b, to_b);
            copy_lines(c, to_c);
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

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn both_widths_copy_every_byte() {
            let source: Vec<u8> = (0..40 * LINES_BYTES + 3).map(|at| (at % 251) as u8).collect();
            let source: &[Source] = source[3..].as_chunks().0;
            for width in [stream_sse, |source: &[Source], target: &mut [Lines]| {
                if is_x86_feature_detected!("avx") {
                    // SAFETY: the processor has it.
                    unsafe { stream_avx(source, target, &source[..7]) }
                } else {
                    stream_sse(source, target);
                }
            }] {
                let mut target = vec![Lines([0; LINES_BYTES]); 40];
                width(source, &mut target);
                assert!(target.iter().flat_map(|lines| lines.0).eq(source.as_flattened().iter().copied()));
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

    fn noise(len: usize) -> Vec<u8> {
        (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    #[test]
    fn a_summed_copy_is_a_copy_and_its_sums_are_those_of_its_runs_in_order() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let source = noise(7 * RUN_BYTES + 1000);
        let lens = [0, 7, MIN_BYTES, MIN_BYTES + 511, 3 * RUN_BYTES, 3 * RUN_BYTES + 255, 4 * RUN_BYTES, 7 * RUN_BYTES];
        for (number, len) in lens.into_iter().enumerate() {
            let (from, to) = (number * 37 % 100, number * 91 % 130);
            let (source, mut target) = (&source[from..from + len], vec![0xee; len + 300]);
            let (mut at, mut num_runs) = (0, 0);
            copy_streaming_summed(source, &mut target[to..to + len], |copied| match copied {
                Copied::Bytes(bytes) => {
                    assert_eq!(bytes, &source[at..at + bytes.len()], "at {at} of {len}");
                    at += bytes.len();
                }
                Copied::Runs(runs) => {
                    for run in runs {
                        assert_eq!(run, crc32c(&source[at..at + RUN_BYTES]), "at {at} of {len}");
                        (at, num_runs) = (at + RUN_BYTES, num_runs + 1);
                    }
                }
            });
            assert_eq!((at, &target[to..to + len]), (len, source));
            assert!(target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xee));
            #[cfg(target_arch = "x86_64")]
            assert_eq!(num_runs > 0, x86::can_sum() && len > 3 * RUN_BYTES, "{len}");
        }
    }

    #[test]
    fn a_streamed_copy_is_a_copy_at_any_alignment() {
        let source = noise(3 * BLOCK_BYTES);
        for (from, to) in (0..70).zip((0..70).rev()) {
            for len in [0, 1, MIN_BYTES - 1, MIN_BYTES, MIN_BYTES + 63, BLOCK_BYTES + 1, 2 * BLOCK_BYTES + 17] {
                let mut target = vec![0xee; len + 200];
                copy_streaming(&source[from..from + len], &mut target[to..to + len]);
                assert_eq!(target[to..to + len], source[from..from + len]);
                assert!(target[..to].iter().chain(&target[to + len..]).all(|&byte| byte == 0xee));
            }
        }
    }
}
