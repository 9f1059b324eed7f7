//! Looking at the frames of a reading while it goes on, for those who do not want to decode the source a second time.

use super::ingest::Given;
use super::opened::Source;
use crate::Result;

/// Sees the frames of a reading while they are decoded.
pub(crate) trait Tap {
    /// True where the packets of the reading are to be kept.
    fn keeps_packets(&self) -> bool;

    /// A reading of `source` begins; what an earlier one gave is void. `first_time` is the time of the source's first frame,
    /// where the reading may begin later.
    fn begin(&mut self, source: &Source, first_time: Option<i64>);

    /// The next frame of the reading.
    fn frame(&mut self, given: &Given<'_>) -> Result<()>;
}

/// Looks at nothing.
impl Tap for () {
    fn keeps_packets(&self) -> bool {
        true
    }

    fn begin(&mut self, _: &Source, _: Option<i64>) {}

    fn frame(&mut self, _: &Given<'_>) -> Result<()> {
        Ok(())
    }
}
