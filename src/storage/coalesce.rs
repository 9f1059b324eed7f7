//! Joining of neighbouring ranges, so that few large reads replace many small ones.

use crate::buf::ByteRange;

/// Where one of the input ranges lies in a joined one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its index in the input.
    pub index: usize,
    /// Its first byte, counted from the joined range's. The length is the input's.
    pub start: u64,
}

/// A range to read, and the input ranges that lie in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoalescedRange {
    /// What to read.
    pub range: ByteRange,
    /// Every input range inside, by offset, equal ones in input order.
    pub parts: Vec<Part>,
}

/// Joins ranges that overlap, touch, or have at most `max_gap` unwanted bytes between them, as long as the result has at most
/// `max_len` bytes. Input ranges come in any order, may repeat, overlap and be empty; each lies whole in exactly one
/// result, so that one longer than `max_len` stays as long as it is. Results are ordered by offset.
pub fn coalesce(ranges: &[ByteRange], max_gap: u64, max_len: u64) -> Vec<CoalescedRange> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|&index| (ranges[index].offset, index));
    let mut joined: Vec<CoalescedRange> = Vec::new();
    for index in order {
        let range = ranges[index];
        if let Some(last) = joined.last_mut() {
            let end = last.range.end().max(range.end());
            let len = end - last.range.offset;
            // One that lies inside costs nothing, however long the joined range is already.
            let fits = len <= max_len.max(last.range.len);
            if fits && range.offset <= last.range.end().saturating_add(max_gap) {
                last.parts.push(Part { index, start: range.offset - last.range.offset });
                last.range.len = len;
                continue;
            }
        }
        joined.push(CoalescedRange { range, parts: vec![Part { index, start: 0 }] });
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn r(offset: u64, len: u64) -> ByteRange {
        ByteRange::new(offset, len)
    }

    fn joined(ranges: &[ByteRange], max_gap: u64, max_len: u64) -> Vec<ByteRange> {
        coalesce(ranges, max_gap, max_len).into_iter().map(|joined| joined.range).collect()
    }

    #[test]
    fn touching_and_near_ranges_are_joined_and_far_ones_are_not() {
        assert_eq!(joined(&[r(10, 5), r(0, 10), r(18, 2), r(30, 1)], 3, 100), [r(0, 20), r(30, 1)]);
        assert_eq!(joined(&[r(0, 10), r(14, 1)], 3, 100), [r(0, 10), r(14, 1)]);
    }

    #[test]
    fn max_len_is_kept_but_for_single_ranges() {
        assert_eq!(joined(&[r(0, 10), r(10, 10), r(20, 10)], 0, 20), [r(0, 20), r(20, 10)]);
        assert_eq!(joined(&[r(0, 50), r(5, 5), r(50, 1)], 0, 20), [r(0, 50), r(50, 1)]);
    }

    #[test]
    fn ranges_at_the_end_of_the_numbers_do_not_overflow() {
        assert_eq!(joined(&[r(u64::MAX, 5), r(u64::MAX - 1, u64::MAX)], u64::MAX, u64::MAX).len(), 1);
    }

    /// The definition, byte by byte: walks over all starts in order and asks for every byte whether it is wanted.
    fn naive(ranges: &[ByteRange], max_gap: u64, max_len: u64) -> Vec<ByteRange> {
        let mut result: Vec<ByteRange> = Vec::new();
        for offset in 0..200 {
            for range in ranges.iter().filter(|range| range.offset == offset) {
                let Some(last) = result.pop() else {
                    result.push(*range);
                    continue;
                };
                let gap = (last.end()..range.offset).count() as u64;
                let grown = (last.offset..last.end().max(range.end())).count() as u64;
                if gap <= max_gap && (grown <= max_len || grown == last.len) {
                    result.push(r(last.offset, grown));
                } else {
                    result.extend([last, *range]);
                }
            }
        }
        result
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_model(
            ranges in prop::collection::vec((0..100_u64, 0..30_u64).prop_map(|(offset, len)| r(offset, len)), 0..20),
            max_gap in 0..20_u64,
            max_len in 0..80_u64,
        ) {
            let result = coalesce(&ranges, max_gap, max_len);
            let plain: Vec<ByteRange> = result.iter().map(|joined| joined.range).collect();
            prop_assert_eq!(&plain, &naive(&ranges, max_gap, max_len));
            let mut seen = vec![0; ranges.len()];
            for joined in &result {
                for part in &joined.parts {
                    seen[part.index] += 1;
                    prop_assert_eq!(joined.range.offset + part.start, ranges[part.index].offset);
                    prop_assert!(joined.range.contains(ranges[part.index]));
                }
                prop_assert!(joined.range.len <= max_len || joined.parts.iter().any(|part| ranges[part.index].len > max_len));
                for byte in joined.range.offset..joined.range.end() {
                    let near = joined.parts.iter().any(|part| {
                        let input = ranges[part.index];
                        (input.offset.saturating_sub(max_gap)..input.end() + max_gap).contains(&byte)
                    });
                    prop_assert!(near, "byte {} is nobody's neighbour", byte);
                }
            }
            prop_assert!(seen.iter().all(|&count| count == 1));
        }
    }
}
