//! Outputs of a horizontal table in groups, for processors that pick samples out of a vector: the samples under one pair of weights
//! of all outputs of a group lie within one load. So it is where the scale is below about 2.

use super::weights::Weights;

/// Most pairs of weights: those of the widest filter at a scale below 2.
pub(super) const MAX_PAIRS: usize = 6;

/// The outputs of a table by eights and by sixteens, each where that can be.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    eights: Option<Layout<Eight, 16>>,
    sixteens: Option<Layout<Sixteen, 32>>,
    reach: usize,
}

/// Groups of as many outputs as are half of `WEIGHTS`.
#[derive(Debug, Clone)]
pub(super) struct Layout<G, const WEIGHTS: usize> {
    pub(super) groups: Vec<G>,
    /// For each group, and each pair of weights: those of its outputs.
    pub(super) weights: Vec<[i16; WEIGHTS]>,
    pub(super) pairs: usize,
    /// One past the last sample that is loaded.
    pub(super) reach: usize,
}

/// Eight outputs. The samples under a pair of weights of its lower and of its upper four are within eight from their first on.
#[derive(Debug, Clone)]
pub(super) struct Eight {
    /// First sample of the lower and of the upper four.
    pub(super) firsts: [u32; 2],
    /// For each output the four bytes of its first two samples, counted from the first of its four.
    pub(super) shuffle: [u8; 32],
}

/// Sixteen outputs. The samples under a pair of their weights are within 32 from the first on.
#[derive(Debug, Clone)]
pub(super) struct Sixteen {
    pub(super) first: u32,
    /// For each output its first two samples, counted from the first of all.
    pub(super) index: [u16; 32],
}

impl Groups {
    /// Those of a table whose samples are counted from the first that is needed.
    pub(super) fn new(weights: &Weights) -> Self {
        let pairs = (0..weights.len()).map(|i| weights.row(i).1.len()).max().unwrap_or(0).div_ceil(2);
        if pairs == 0 || pairs > MAX_PAIRS || weights.stride() < 2 * pairs {
            return Self::default();
        }
        let (eights, sixteens) = (layout(weights, pairs, eight), layout(weights, pairs, sixteen));
        let reach = eights.as_ref().map_or(0, |eights| eights.reach);
        let reach = sixteens.as_ref().map_or(0, |sixteens| sixteens.reach).max(reach);
        Self { eights, sixteens, reach }
    }

    pub(super) fn eights(&self) -> Option<&Layout<Eight, 16>> {
        self.eights.as_ref()
    }

    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "for AVX-512"))]
    pub(super) fn sixteens(&self) -> Option<&Layout<Sixteen, 32>> {
        self.sixteens.as_ref()
    }

    /// One past the last sample that any layout loads.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }
}

/// `make` gives a group of outputs by their firsts, and the last sample that it loads for the first pair of weights.
fn layout<G, const WEIGHTS: usize>(
    weights: &Weights,
    pairs: usize,
    make: impl Fn(&[u32]) -> Option<(G, u32)>,
) -> Option<Layout<G, WEIGHTS>> {
    let outputs = WEIGHTS / 2;
    let mut this = Layout { groups: Vec::new(), weights: Vec::new(), pairs, reach: 0 };
    for start in (0..weights.len() / outputs * outputs).step_by(outputs) {
        let firsts: Vec<u32> = (start..start + outputs).map(|i| weights.row(i).0 as u32).collect();
        let (group, last) = make(&firsts)?;
        this.groups.push(group);
        this.reach = this.reach.max(last as usize + 1 + 2 * (pairs - 1));
        for pair in 0..pairs {
            let weight = |i: usize| weights.padded_row(start + i / 2).1[2 * pair + i % 2];
            this.weights.push(std::array::from_fn(weight));
        }
    }
    (!this.groups.is_empty()).then_some(this)
}

/// How far a sample lies behind the first of its load, where it and the next one are among `samples`.
fn distance(first: u32, base: u32, samples: u32) -> Option<u32> {
    first.checked_sub(base).filter(|distance| distance + 2 <= samples)
}

fn eight(firsts: &[u32]) -> Option<(Eight, u32)> {
    let mut group = Eight { firsts: [firsts[0], firsts[4]], shuffle: [0; 32] };
    for ((output, &first), bytes) in firsts.iter().enumerate().zip(group.shuffle.as_chunks_mut::<4>().0) {
        let distance = distance(first, group.firsts[output / 4], 8)? as u8;
        *bytes = [0, 1, 2, 3].map(|byte| 2 * distance + byte);
    }
    let last = group.firsts[0].max(group.firsts[1]) + 7;
    Some((group, last))
}

fn sixteen(firsts: &[u32]) -> Option<(Sixteen, u32)> {
    let mut group = Sixteen { first: firsts[0], index: [0; 32] };
    for (&first, index) in firsts.iter().zip(group.index.as_chunks_mut::<2>().0) {
        let distance = distance(first, group.first, 32)? as u16;
        *index = [distance, distance + 1];
    }
    let last = group.first + 31;
    Some((group, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::geometry::Axis;
    use crate::transform::options::Filter;

    /// Of an axis that takes `source` samples to `len`.
    fn grouped(source: u32, len: u32) -> (Weights, Groups) {
        let axis = Axis { start: 0.0, step: f64::from(source) / f64::from(len), len };
        let weights = Weights::new(axis, source, Filter::Bicubic, 16, 8).unwrap();
        let groups = Groups::new(&weights);
        (weights, groups)
    }

    #[test]
    fn groups_say_the_same_as_the_table() {
        for (source, len) in [(455, 256), (228, 256), (100, 37), (90, 90)] {
            let (weights, groups) = grouped(source, len);
            let (Some(eights), Some(sixteens)) = (groups.eights(), groups.sixteens()) else {
                assert!(source > 2 * len, "{source} to {len} has no groups");
                continue;
            };
            assert_eq!((eights.groups.len(), sixteens.groups.len()), (len as usize / 8, len as usize / 16));
            for i in 0..len as usize / 16 * 16 {
                let (first, row) = weights.row(i);
                let (eight, sixteen) = (&eights.groups[i / 8], &sixteens.groups[i / 16]);
                let by_eight = eight.firsts[i % 8 / 4] + u32::from(eight.shuffle[4 * (i % 8)]) / 2;
                let by_sixteen = sixteen.first + u32::from(sixteen.index[2 * (i % 16)]);
                assert_eq!((by_eight as usize, by_sixteen as usize), (first, first), "output {i}");
                for (k, &weight) in row.iter().enumerate() {
                    let (pair, part) = (k / 2, k % 2);
                    assert_eq!(eights.weights[i / 8 * eights.pairs + pair][2 * (i % 8) + part], weight);
                    assert_eq!(sixteens.weights[i / 16 * sixteens.pairs + pair][2 * (i % 16) + part], weight);
                }
            }
        }
    }

    #[test]
    fn samples_that_lie_too_far_apart_are_not_grouped() {
        let (_, groups) = grouped(1000, 256);
        assert!(groups.eights().is_none() && groups.sixteens().is_none() && groups.reach() == 0);
        assert!(grouped(7, 7).1.eights().is_none());
    }
}
