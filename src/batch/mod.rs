//! Batches: recycled slots, collation.
