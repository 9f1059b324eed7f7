//! One shard as an object: writer, reader, verification.
