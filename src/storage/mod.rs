//! Bytes from places: one trait, several engines.
