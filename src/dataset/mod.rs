//! Many shards: manifest, order, windows.
