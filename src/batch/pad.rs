//! Padding: a tensor in the corner of a larger one, with zeros around it. C order; all sizes in bytes are the caller's, who
//! has checked that they do not overflow.

/// How a tensor of `shape` lies in one of `extents`: runs of bytes that stay together.
struct Runs<'a> {
    /// Outer axes, over which runs are counted.
    outer: &'a [u64],
    /// Sides of the larger tensor along them.
    outer_extents: &'a [u64],
    /// Bytes of a run.
    run: usize,
    /// Bytes of the larger tensor for each run.
    stride: usize,
}

fn product(sides: &[u64]) -> usize {
    sides.iter().map(|&side| side as usize).product()
}

impl<'a> Runs<'a> {
    /// `shape` must have as many axes as `extents` and be no larger along any.
    fn new(shape: &'a [u64], extents: &'a [u64], item_bytes: usize) -> Self {
        // Axes behind the last one that differs are whole, so a run may span them.
        let split = (0..shape.len()).rev().find(|&axis| shape[axis] != extents[axis]).unwrap_or(0);
        Self {
            outer: &shape[..split],
            outer_extents: &extents[..split],
            run: product(&shape[split..]) * item_bytes,
            stride: product(&extents[split..]) * item_bytes,
        }
    }

    fn len(&self) -> usize {
        product(self.outer)
    }

    /// Where run `number` begins in the larger tensor.
    fn offset(&self, mut number: usize) -> usize {
        let (mut offset, mut stride) = (0, self.stride);
        for (&side, &extent) in self.outer.iter().zip(self.outer_extents).rev() {
            offset += number % side as usize * stride;
            number /= side as usize;
            stride *= extent as usize;
        }
        offset
    }
}

/// Spreads a tensor of `shape`, which lies dense at the begin of `bytes`, over `bytes`, which hold one of `extents`, and
/// makes everything else zero.
pub(crate) fn spread(bytes: &mut [u8], shape: &[u64], extents: &[u64], item_bytes: usize) {
    let runs = Runs::new(shape, extents, item_bytes);
    let mut end = bytes.len();
    if runs.run > 0 {
        // From the last run to the first: none moves down, so none is written over before it has moved itself.
        for number in (0..runs.len()).rev() {
            let (from, to) = (number * runs.run, runs.offset(number));
            bytes.copy_within(from..from + runs.run, to);
            bytes[to + runs.run..end].fill(0);
            end = to;
        }
    }
    bytes[..end].fill(0);
}

/// Copies a tensor of `shape` from `source`, dense, into the corner of `target`, which holds one of `extents`, and makes
/// everything else zero.
pub(crate) fn place(source: &[u8], shape: &[u64], target: &mut [u8], extents: &[u64], item_bytes: usize) {
    target[..source.len()].copy_from_slice(source);
    spread(target, shape, extents, item_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What every element of the larger tensor should be, looked up one by one.
    fn naive(source: &[u8], shape: &[u64], extents: &[u64], item: usize) -> Vec<u8> {
        let mut padded = Vec::new();
        for number in 0..product(extents) {
            let (mut rest, mut index, mut scale, mut inside) = (number, 0, 1, true);
            for (&side, &extent) in shape.iter().zip(extents).rev() {
                let at = rest % extent as usize;
                rest /= extent as usize;
                inside &= at < side as usize;
                index += at * scale;
                scale *= side as usize;
            }
            let zeros = [0; 8];
            padded.extend_from_slice(if inside { &source[index * item..(index + 1) * item] } else { &zeros[..item] });
        }
        padded
    }

    proptest! {
        #[test]
        fn padding_is_what_looking_up_every_element_gives(
            axes in prop::collection::vec((0_u64..5, 0_u64..4), 0..5), item in prop::sample::select(vec![1_usize, 2, 8]),
        ) {
            let shape: Vec<u64> = axes.iter().map(|axis| axis.0).collect();
            let extents: Vec<u64> = axes.iter().map(|axis| axis.0 + axis.1).collect();
            let source: Vec<u8> = (0..product(&shape) * item).map(|at| (at % 255 + 1) as u8).collect();
            let expected = naive(&source, &shape, &extents, item);
            let mut target = vec![0xee; expected.len()];
            place(&source, &shape, &mut target, &extents, item);
            prop_assert_eq!(target, expected);
        }
    }
}
