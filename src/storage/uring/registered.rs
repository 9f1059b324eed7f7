//! What a ring knows by number: open files, so that the kernel need not look up and count a descriptor for every read, and
//! buffers, so that it need not pin their pages for every read.
//!
//! Both are tables in the kernel that are filled as files and buffers come, and emptied of those that are gone. What finds no room is
//! read without a number. Whatever the kernel refuses (older than 5.19, too many files, too little locked memory) is done
//! without, for the whole ring, and noted.
#![expect(unsafe_code, reason = "buffers are registered by address")]

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use io_uring::Submitter;

use crate::buf::{Identity, Region};
use crate::storage::file::StorageFile;
use crate::storage::options::RegisterBuffers;

/// Files that a ring knows at once.
const NUM_FILES: u32 = 256;

/// Buffers that a ring knows at once.
const NUM_BUFFERS: u32 = 1024;

/// Longest buffer that the kernel registers.
const MAX_BUFFER_BYTES: usize = 1 << 30;

/// What was refused to the rings of a storage, in words.
#[derive(Default)]
pub(in crate::storage) struct Refusals {
    files: OnceLock<String>,
    buffers: OnceLock<String>,
    mode: OnceLock<String>,
}

impl Refusals {
    /// Each with what was refused.
    pub(in crate::storage) fn all(&self) -> [(&'static str, &OnceLock<String>); 3] {
        [
            ("registered files", &self.files),
            ("registered buffers", &self.buffers),
            ("the ring mode asked for", &self.mode),
        ]
    }

    fn note_files(&self, error: &io::Error) {
        note(&self.files, "registered files", &error.to_string());
    }

    fn note_buffers(&self, error: &io::Error) {
        note(&self.buffers, "registered buffers", &error.to_string());
    }

    /// Notes that rings cannot be polled, or have no submission thread.
    pub(in crate::storage) fn note_mode(&self, reason: &str) {
        note(&self.mode, "the mode asked for", reason);
    }
}

/// Notes a refusal, and says it where it is the first.
fn note(place: &OnceLock<String>, what: &str, reason: &str) {
    if place.set(reason.to_owned()).is_ok() {
        tracing::warn!("io_uring refuses {what}, going on without: {reason}");
    }
}

/// The tables of one ring.
#[derive(Default)]
pub(super) struct Registered {
    /// By file and by whether it is the direct descriptor.
    files: Option<Table<(Identity, bool)>>,
    buffers: Option<Table<Identity>>,
}

impl Registered {
    /// Makes the table of files, and that of buffers if it is wanted. To be called on a ring that is bound.
    pub(super) fn new(submitter: &Submitter, wanted: RegisterBuffers, refusals: &Refusals) -> Self {
        let files = submitter.register_files_sparse(NUM_FILES).map(|()| Table::new(NUM_FILES));
        let files = files.map_err(|error| refusals.note_files(&error)).ok();
        let buffers = (wanted == RegisterBuffers::On).then(|| submitter.register_buffers_sparse(NUM_BUFFERS));
        let buffers = buffers.and_then(|made| made.map_err(|error| refusals.note_buffers(&error)).ok());
        Self { files, buffers: buffers.map(|()| Table::new(NUM_BUFFERS)) }
    }

    /// The number of the file's direct or buffered descriptor, registering it if need be and possible.
    pub(super) fn file(
        &mut self,
        submitter: &Submitter,
        refusals: &Refusals,
        (file, descriptor): (&StorageFile, &File),
        is_direct: bool,
    ) -> Option<u32> {
        let table = self.files.as_mut()?;
        let key = (file.identity(), is_direct);
        if let Some(number) = table.find(&key) {
            return Some(number);
        }
        table.release(|(file, _)| file.is_gone(), |number| submitter.register_files_update(number, &[-1]).is_ok());
        let number = table.vacancy()?;
        match submitter.register_files_update(number, &[descriptor.as_raw_fd()]) {
            Ok(_) => table.insert(key, number),
            Err(error) => {
                refusals.note_files(&error);
                self.files = None;
                return None;
            }
        }
        Some(number)
    }

    /// True where buffers may have numbers.
    pub(super) fn knows_buffers(&self) -> bool {
        self.buffers.is_some()
    }

    /// The number of the buffer `region`, registering it if need be and possible.
    pub(super) fn buffer(&mut self, submitter: &Submitter, refusals: &Refusals, region: Region) -> Option<u16> {
        let table = self.buffers.as_mut()?;
        if let Some(number) = table.find(&region.identity) {
            return u16::try_from(number).ok();
        }
        if region.len > MAX_BUFFER_BYTES {
            return None;
        }
        let forget = |number| update_buffer(submitter, number, std::ptr::null_mut(), 0).is_ok();
        table.release(Identity::is_gone, forget);
        let number = table.vacancy()?;
        match update_buffer(submitter, number, region.address, region.len) {
            Ok(()) => table.insert(region.identity, number),
            Err(error) => {
                refusals.note_buffers(&error);
                self.buffers = None;
                return None;
            }
        }
        u16::try_from(number).ok()
    }

    /// Lets go of files that everybody else has closed, which else would take up space after they are deleted.
    pub(super) fn release_closed_files(&mut self, submitter: &Submitter) {
        if let Some(files) = &mut self.files {
            files.release(|(file, _)| file.is_gone(), |number| submitter.register_files_update(number, &[-1]).is_ok());
        }
    }
}

/// Has entry `number` be the allocation at `address`, or empty.
fn update_buffer(submitter: &Submitter, number: u32, address: *mut u8, len: usize) -> io::Result<()> {
    let vector = libc::iovec { iov_base: address.cast(), iov_len: len };
    // SAFETY: an allocation is alive here, because a read of this engine owns it. The kernel pins its pages and writes to them for
    // reads that name the entry, and only a read of the very same allocation does (`Identity`): the entry does no harm
    // when it outlives the allocation.
    unsafe { submitter.register_buffers_update(number, &[vector], None) }
}

/// Which thing has which number. Numbers of living things are never given to others, so that an entry that waits in the
/// submission queue means what it meant when it was made.
struct Table<K> {
    numbers: HashMap<K, u32>,
    free: Vec<u32>,
}

impl<K: Eq + Hash> Table<K> {
    fn new(capacity: u32) -> Self {
        Self { numbers: HashMap::new(), free: (0..capacity).rev().collect() }
    }

    fn find(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// A number that nothing has; `None` where the table is full of living things.
    fn vacancy(&self) -> Option<u32> {
        self.free.last().copied()
    }

    /// Gives `key` the number of [`vacancy`](Self::vacancy).
    fn insert(&mut self, key: K, number: u32) {
        self.free.pop();
        self.numbers.insert(key, number);
    }

    /// Takes the numbers of things that are gone back, where the kernel lets go of them.
    fn release(&mut self, is_gone: impl Fn(&K) -> bool, forget: impl Fn(u32) -> bool) {
        let free = &mut self.free;
        self.numbers.retain(|key, number| {
            let is_released = is_gone(key) && forget(*number);
            if is_released {
                free.push(*number);
            }
            !is_released
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Life;

    #[test]
    fn a_number_is_free_again_when_its_thing_is_gone_and_no_sooner() {
        let mut table = Table::new(2);
        let (first, second) = (Life::new(), Life::new());
        for life in [&first, &second] {
            let number = table.vacancy().unwrap();
            table.insert(life.identity(), number);
        }
        let number = table.find(&first.identity()).unwrap();
        table.release(Identity::is_gone, |_| true);
        assert_eq!(table.vacancy(), None);
        drop(first);
        table.release(Identity::is_gone, |_| false);
        assert_eq!(table.vacancy(), None, "the kernel did not let go of it");
        table.release(Identity::is_gone, |_| true);
        assert_eq!(table.vacancy(), Some(number));
        assert_ne!(table.find(&second.identity()), Some(number));
    }
}
