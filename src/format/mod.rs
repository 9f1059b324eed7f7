//! Bytes to meaning and back, pure: tar members, index schema, trailer, manifest, checksums.
