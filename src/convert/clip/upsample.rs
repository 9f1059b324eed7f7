//! Chroma planes onto a finer grid, where an encoder does not have the subsampling of a source: Keys' cubic with a = -0.5 cut at
//! the edges, which is what the transform makes of the same planes at their own size.

use crate::media::{ChromaLocation, FrameView, PixelFormat};

/// Four samples and their weights for each sample of an axis.
type Taps = Vec<([usize; 4], [f32; 4])>;

/// The tables of pictures of one kind.
pub(crate) struct Upsampler {
    columns: Taps,
    rows: Taps,
    source_rows: u32,
    /// Rows of the source with the columns of the result.
    widened: Vec<f32>,
}

impl Upsampler {
    /// Chroma of pictures of `width` by `height`, sited by `location` in both formats.
    pub(crate) fn new(
        from: PixelFormat,
        to: PixelFormat,
        (width, height): (u32, u32),
        location: ChromaLocation,
    ) -> Self {
        let (source_w, source_h) = from.plane_size(1, width, height);
        let (out_w, out_h) = to.plane_size(1, width, height);
        let is_left = location != ChromaLocation::Center;
        let is_top = location == ChromaLocation::TopLeft;
        Self {
            columns: taps((source_w, from.log2_chroma_w), (out_w, to.log2_chroma_w), is_left),
            rows: taps((source_h, from.log2_chroma_h), (out_h, to.log2_chroma_h), is_top),
            source_rows: source_h,
            widened: Vec::new(),
        }
    }

    /// Calls `put` for every row of the plane with its number and its samples, in the unit of the source.
    pub(crate) fn plane(&mut self, view: &FrameView<'_>, plane: usize, put: &mut dyn FnMut(u32, &[f32])) {
        let is_deep = view.format.bytes_per_sample() == 2;
        self.widened.clear();
        let mut samples: Vec<f32> = Vec::new();
        for y in 0..self.source_rows {
            let row = view.row(plane, y);
            samples.clear();
            if is_deep {
                samples.extend(row.as_chunks::<2>().0.iter().map(|&sample| f32::from(u16::from_le_bytes(sample))));
            } else {
                samples.extend(row.iter().map(|&sample| f32::from(sample)));
            }
            let sum = |(places, weights): &([usize; 4], [f32; 4])| -> f32 {
                places.iter().zip(weights).map(|(&place, weight)| samples.get(place).unwrap_or(&0.0) * weight).sum()
            };
            self.widened.extend(self.columns.iter().map(sum));
        }
        let width = self.columns.len();
        let mut out = vec![0.0; width];
        for (y, (places, weights)) in (0_u32..).zip(&self.rows) {
            out.fill(0.0);
            for (&place, &weight) in places.iter().zip(weights).filter(|(_, weight)| **weight != 0.0) {
                let row = self.widened.get(place * width..).unwrap_or_default();
                out.iter_mut().zip(row).for_each(|(sum, sample)| *sum += sample * weight);
            }
            put(y, &out);
        }
    }
}

/// The taps of `out` samples from `source` ones, each with the logarithm of its subsampling. `is_first`: samples lie on the
/// first luma sample of theirs, else between all of them.
fn taps((source, log2_source): (u32, u8), (out, log2_out): (u32, u8), is_first: bool) -> Taps {
    let place = |log2: u8| if is_first { 0.0 } else { (f64::from(1_u32 << log2) - 1.0) / 2.0 };
    let (step_source, step_out) = (f64::from(1_u32 << log2_source), f64::from(1_u32 << log2_out));
    let last = f64::from(source.max(1) - 1);
    let tap = |index: u32| {
        let at = (f64::from(index) * step_out + place(log2_out) - place(log2_source)) / step_source;
        let places = [-1.0, 0.0, 1.0, 2.0].map(|offset| at.floor() + offset);
        let weight = |place: f64| if (0.0..=last).contains(&place) { cubic(at - place) } else { 0.0 };
        let weights = places.map(weight);
        let sum: f64 = weights.iter().sum();
        (places.map(|place| place.clamp(0.0, last) as usize), weights.map(|weight| (weight / sum) as f32))
    };
    (0..out).map(tap).collect()
}

/// Keys' cubic convolution, a = -0.5.
fn cubic(distance: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::PlaneView;

    #[test]
    fn flat_chroma_stays_flat_and_a_ramp_stays_one_where_its_samples_lie() {
        let format = |name: &str| PixelFormat::parse(name).unwrap();
        let ramp: Vec<u8> = (0..8).flat_map(|_| (0..8).map(|x| 8 * x as u8)).collect();
        let planes = [PlaneView { data: &ramp, stride: 8 }; 3];
        for (from, to, width, height, location, place) in [
            ("yuv420p", "yuv444p", 15, 15, ChromaLocation::Left, 0.0),
            ("yuv420p", "yuv444p", 16, 15, ChromaLocation::Center, 0.5),
            ("yuv411p", "yuv422p", 32, 8, ChromaLocation::Left, 0.0),
            ("yuv410p", "yuv420p", 32, 32, ChromaLocation::Center, 1.5),
        ] {
            let (from, to) = (format(from), format(to));
            let view = FrameView { format: from, width, height, planes };
            let (step_from, step_to) = (f64::from(1 << from.log2_chroma_w), f64::from(1 << to.log2_chroma_w));
            let own = if location == ChromaLocation::Left { 0.0 } else { (step_to - 1.0) / 2.0 };
            let (out_w, out_h) = to.plane_size(1, width, height);
            let mut rows = 0;
            Upsampler::new(from, to, (width, height), location).plane(&view, 1, &mut |y, row| {
                assert_eq!((row.len(), y), (out_w as usize, rows));
                rows += 1;
                for (x, &sample) in row.iter().enumerate() {
                    let exact = 8.0 * (x as f64 * step_to + own - place) / step_from;
                    // At the edges there is nothing to interpolate with.
                    if (8.0..=48.0).contains(&exact) {
                        assert!((f64::from(sample) - exact).abs() < 1e-3, "{from} {to} {x}: {sample}, not {exact}");
                    }
                }
            });
            assert_eq!(rows, out_h);
        }
    }
}
