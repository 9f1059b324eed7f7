//! Host memory: aligned buffers and byte-budget pools.
