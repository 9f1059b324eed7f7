//! What the user named, as a list of candidates: folders, globs, lists and files, with the captions and metadata
//! beside them, and a key for each clip. No video is opened beyond its first bytes.

pub(super) mod csv;
pub(super) mod keys;
pub(super) mod list;
pub(super) mod object;
pub(super) mod passed_over;
pub(super) mod sidecar;
pub(super) mod sniff;
pub(super) mod sources;
