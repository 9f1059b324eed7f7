//! What a conversion to the profile `train` says of itself: quality, and what windows cost before and after.

use super::TrainFacts;
use super::cost::{Load, STRIDES, WINDOW_FRAMES, WindowLoad};
use serde::{Deserialize, Serialize};

/// How near a clip is to its resized source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainClipQuality {
    /// The clip's key.
    pub key: String,
    /// PSNR of luma in decibels, from the mean squared error over all its frames; 100 where there is none.
    pub psnr_y: f64,
    /// PSNR of all samples, luma and chroma.
    pub psnr: f64,
}

/// What windows at places spread over the clips take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WindowUse {
    /// Packets decoded per frame of the window.
    pub decode_amplification: f64,
    /// Compressed bytes read per window.
    pub bytes_per_window: f64,
    /// Frames of windows that one core of this machine decodes in a second, not transformed: by the mean time that a packet of each clip took when
    /// the clip was converted, on however busy a machine. `None` where a version that did not measure it converted any.
    pub decoded_per_core_second: Option<f64>,
}

/// The same windows, of the sources and of the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TrainWindowCost {
    /// Frames of a window.
    pub frames: u32,
    /// From one frame of the window to the next, in frames of the stored clip.
    pub stride: u32,
    /// Windows that were counted: up to eight for each clip that is long enough.
    pub windows: u64,
    /// Windows of these whose source's packets are understood.
    pub windows_before: u64,
    /// The frames of these windows from the sources; `None` where there is none.
    pub before: Option<WindowUse>,
    /// From the dataset; `None` where no clip is long enough.
    pub after: Option<WindowUse>,
}

/// What a conversion with [`Profile::Train`](crate::Profile::Train) made.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TrainReport {
    /// Mean over the clips of the PSNR of luma in decibels, stored pictures against the resized ones that were encoded.
    pub psnr_y_mean: f64,
    /// Mean over the clips of the PSNR of all samples.
    pub psnr_mean: f64,
    /// The clip with the lowest PSNR of luma.
    pub lowest: TrainClipQuality,
    /// What windows cost.
    pub windows: Vec<TrainWindowCost>,
}

/// Sums over clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::convert) struct TrainTotals {
    clips: u64,
    psnr_y: f64,
    psnr: f64,
    lowest: TrainClipQuality,
    windows: [WindowLoad; 2],
    /// Bytes of the packets that the clips have in their sources, and of what is stored; 0 from an earlier version.
    #[serde(default)]
    pub(in crate::convert) bytes_in: u64,
    #[serde(default)]
    pub(in crate::convert) bytes_out: u64,
}

impl TrainTotals {
    pub(in crate::convert) fn of(key: &str, facts: &TrainFacts, (bytes_in, bytes_out): (u64, u64)) -> Self {
        let TrainFacts { psnr_y, psnr, windows } = *facts;
        let lowest = TrainClipQuality { key: key.to_owned(), psnr_y, psnr };
        Self { clips: 1, psnr_y, psnr, lowest, windows, bytes_in, bytes_out }
    }

    /// Adds `other` to what `sum` holds.
    pub(in crate::convert) fn add_to(self, sum: &mut Option<Self>) {
        let Some(sum) = sum else {
            *sum = Some(self);
            return;
        };
        sum.clips += self.clips;
        sum.psnr_y += self.psnr_y;
        sum.psnr += self.psnr;
        sum.bytes_in += self.bytes_in;
        sum.bytes_out += self.bytes_out;
        if self.lowest.psnr_y < sum.lowest.psnr_y {
            sum.lowest = self.lowest;
        }
        for (sum, load) in sum.windows.iter_mut().zip(self.windows) {
            sum.source.merge(load.source);
            sum.stored.merge(load.stored);
        }
    }

    pub(in crate::convert) fn report(&self) -> TrainReport {
        let usage = |load: Load| {
            let frames = load.windows as f64 * f64::from(WINDOW_FRAMES);
            (load.windows > 0).then(|| WindowUse {
                decode_amplification: load.packets as f64 / frames,
                bytes_per_window: load.bytes as f64 / load.windows as f64,
                decoded_per_core_second: (load.nanos > 0 && load.timed == load.windows)
                    .then(|| frames * 1e9 / load.nanos as f64),
            })
        };
        let windows = self.windows.iter().zip(STRIDES).map(|(load, stride)| TrainWindowCost {
            frames: WINDOW_FRAMES,
            stride,
            windows: load.stored.windows,
            windows_before: load.source.windows,
            before: usage(load.source),
            after: usage(load.stored),
        });
        TrainReport {
            psnr_y_mean: self.psnr_y / self.clips as f64,
            psnr_mean: self.psnr / self.clips as f64,
            lowest: self.lowest.clone(),
            windows: windows.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_have_the_mean_the_lowest_and_what_windows_took_before_as_far_as_that_is_known() {
        let load =
            |windows, packets, bytes| Load { windows, packets, bytes, nanos: packets * 1_000_000, timed: windows };
        let both = WindowLoad { source: load(2, 320, 4000), stored: load(2, 40, 600) };
        let after = WindowLoad { stored: load(1, 16, 300), ..WindowLoad::default() };
        let mut sum = None;
        for (key, psnr_y, windows) in [("a", 40.0, [both, both]), ("b", 30.0, [both, after])] {
            let facts = TrainFacts { psnr_y, psnr: psnr_y + 1.0, windows };
            TrainTotals::of(key, &facts, (5, 3)).add_to(&mut sum);
        }
        let sum = sum.unwrap();
        assert_eq!((sum.bytes_in, sum.bytes_out), (10, 6));
        let report = sum.report();
        assert_eq!((report.psnr_y_mean, report.psnr_mean, report.lowest.key.as_str()), (35.0, 36.0, "b"));
        let [first, second] = report.windows[..] else { panic!("two strides") };
        assert_eq!((first.windows, first.stride, second.stride), (4, 1, 4));
        let of = |decode_amplification, bytes_per_window, rate| WindowUse {
            decode_amplification,
            bytes_per_window,
            decoded_per_core_second: Some(rate),
        };
        let before = of(10.0, 2000.0, 100.0);
        assert_eq!(first.before, Some(before));
        assert_eq!(first.after, Some(of(1.25, 300.0, 800.0)));
        assert_eq!((second.windows, second.windows_before, second.before), (3, 2, Some(before)));
    }
}
