//! The plan of a conversion, its units of one shard each, the workers that make them, and the commit that makes a
//! dataset of them. Everything lies in the output folder, so that the same command goes on where a killed run
//! stopped.

pub(super) mod clip_checkpoint;
pub(super) mod commit;
pub(super) mod looks;
pub(super) mod out_folder;
pub(super) mod plan;
pub(super) mod shard_writer;
pub(super) mod standing;
pub(super) mod unit_report;
pub(super) mod workers;
