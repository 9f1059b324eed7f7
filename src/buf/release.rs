//! Gives memory that was freed back to the operating system.
#![cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "calls the allocator of the C library"))]

/// Asks the C library's allocator to return free pages. Threads that decode free megabytes in many sizes; glibc keeps what
/// they free in arenas, one for each thread that ever ran, where the next threads may not look for it. Takes milliseconds; does
/// nothing without glibc.
pub(crate) fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, locks the arenas itself, and touches no memory that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
