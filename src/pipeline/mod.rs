//! The stages, threads, queues and statistics; `Loader` and its builder.
