"""An independent reader of framefeed datasets, written from src/format/FORMAT.md alone.

It shares no code with the library: tar headers, checksums and tables are parsed and checked here; pyarrow reads Arrow.
It is slow, small and strict: the oracle for the reader in Rust.

    python tests/pyreader/framefeed_reader DATASET|SHARD.tar [--quick]

Prints one JSON line per record. Exits with 1 and a message at the first thing that breaks the specification.
"""
