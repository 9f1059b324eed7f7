//! Which records are samples for a window, from the dataset's index alone.

use super::window::{Extent, ShortPolicy, Window};
use crate::error::{Error, Result};

/// What the order must know of the records of a dataset.
pub(crate) trait RecordExtents {
    /// How many there are.
    fn num_records(&self) -> usize;

    /// Frames and duration of a record.
    ///
    /// # Errors
    /// Those of reading the index.
    fn extent(&self, record: usize) -> Result<Extent>;
}

/// RecordExtents that are listed, at most, of those that are left out for one reason.
pub(crate) const MAX_LISTED: usize = 1000;

/// The samples of one epoch, before they are shuffled. Where all records are samples, nothing is listed.
#[derive(Debug)]
pub(crate) struct Samples {
    /// RecordExtents that are samples: ascending, or bucket by bucket; `None` where all are.
    eligible: Option<Vec<u32>>,
    len: u64,
    num_short: u64,
    /// The first records that are left out because they are too short.
    too_short: Vec<u32>,
}

impl Samples {
    /// Looks at every row of the index.
    ///
    /// # Errors
    /// `InvalidArgument` where no record is a sample, saying in one unit what the window needs and what the longest record has; those
    /// of reading the index.
    pub(crate) fn new(records: &impl RecordExtents, window: &Window) -> Result<Self> {
        let (mut num_short, mut too_short, mut is_sample) = (0_u64, Vec::new(), Vec::new());
        let mut longest: Option<Extent> = None;
        for record in 0..records.num_records() {
            let extent = records.extent(record)?;
            if longest.is_none_or(|longest| window.is_longer(extent, longest)) {
                longest = Some(extent);
            }
            let fits = window.fits(extent);
            num_short += u64::from(!fits);
            let is_one = fits || (window.short != ShortPolicy::Skip && extent.num_frames > 0);
            if !is_one && too_short.len() < MAX_LISTED {
                too_short.push(record as u32);
            }
            is_sample.push(is_one);
        }
        let num_samples = is_sample.iter().filter(|&&is_sample| is_sample).count();
        if num_samples == 0 {
            let message = match longest {
                None => "the dataset is empty".to_owned(),
                Some(longest) => {
                    let (need, have) = (window.needed(), window.measured(longest));
                    format!("window: {window} needs {need}, and no record has it: the longest has {have}")
                }
            };
            return Err(Error::invalid(message));
        }
        let eligible = (num_samples < is_sample.len()).then(|| {
            (0_u32..).zip(&is_sample).filter_map(|(record, &is_sample)| is_sample.then_some(record)).collect()
        });
        Ok(Self { eligible, len: num_samples as u64, num_short, too_short })
    }

    /// Every record.
    ///
    /// # Errors
    /// `InvalidArgument` where there is none.
    pub(crate) fn all(records: &impl RecordExtents) -> Result<Self> {
        if records.num_records() == 0 {
            return Err(Error::invalid("the dataset is empty"));
        }
        Ok(Self { eligible: None, len: records.num_records() as u64, num_short: 0, too_short: Vec::new() })
    }

    /// Those of these samples' records alone, in that order.
    pub(crate) fn narrowed(self, records: Vec<u32>) -> Self {
        Self { len: records.len() as u64, eligible: Some(records), ..self }
    }

    /// Samples of one epoch.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// RecordExtents that the window does not fit, whatever becomes of them.
    pub(crate) fn num_short(&self) -> u64 {
        self.num_short
    }

    /// The first records that are no samples because the window does not fit.
    pub(crate) fn too_short(&self) -> &[u32] {
        &self.too_short
    }

    /// The record of a sample, which must be below the length.
    pub(crate) fn record(&self, sample: u64) -> usize {
        match &self.eligible {
            None => sample as usize,
            Some(eligible) => eligible[sample as usize] as usize,
        }
    }

    /// All records that are samples, in the order of samples.
    pub(crate) fn records(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).map(|sample| self.record(sample))
    }
}
