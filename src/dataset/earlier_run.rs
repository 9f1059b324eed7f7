//! What a writer does with the records that an earlier one stored and did not publish.

/// What becomes of the records of an earlier writer that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EarlierRun {
    /// They are in the way: an error, before anything is touched.
    #[default]
    Refuse,
    /// They are checked and kept, and the writer goes on behind them.
    Resume,
    /// They are removed, and the writer begins anew.
    Discard,
}
