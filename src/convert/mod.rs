//! Raw video to shards.
