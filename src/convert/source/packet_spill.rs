//! Packets on their way from the source to the MP4: in memory while they are few, in an unnamed file once they are many.

use crate::format::create_new_file;
use crate::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes that are kept in memory.
const MEMORY_BYTES: usize = 64 << 20;

/// Append-only bytes.
pub(crate) struct PacketStore {
    memory: Vec<u8>,
    file: Option<File>,
    written: u64,
    /// Where the file is made; it is unlinked at once.
    path: PathBuf,
}

/// Where a packet lies in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slot {
    offset: u64,
    pub(crate) size: u32,
}

impl PacketStore {
    /// An empty store that may use the folder of `beside`.
    pub(crate) fn new(beside: &Path) -> Self {
        let mut name = beside.as_os_str().to_owned();
        name.push(".packets");
        Self { memory: Vec::new(), file: None, written: 0, path: PathBuf::from(name) }
    }

    /// Appends a packet.
    pub(crate) fn push(&mut self, packet: &[u8]) -> Result<Slot> {
        let size = u32::try_from(packet.len()).map_err(|_| Error::unsupported("a packet of 4 GiB or more"))?;
        let slot = Slot { offset: self.written + self.memory.len() as u64, size };
        if self.memory.len() + packet.len() > MEMORY_BYTES {
            self.spill()?;
        }
        self.memory.extend_from_slice(packet);
        Ok(slot)
    }

    fn spill(&mut self) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            slot => {
                let file = create_new_file(&self.path)?;
                std::fs::remove_file(&self.path).map_err(|error| Error::io("unlink", &self.path, error))?;
                slot.insert(file)
            }
        };
        file.write_all_at(&self.memory, self.written).map_err(|error| Error::io("write", &self.path, error))?;
        self.written += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// Reads a packet into `packet`.
    pub(crate) fn read(&self, slot: Slot, packet: &mut Vec<u8>) -> Result<()> {
        packet.clear();
        let size = slot.size as usize;
        if let Some(offset) = slot.offset.checked_sub(self.written) {
            let bytes = self.memory.get(offset as usize..).and_then(|bytes| bytes.get(..size));
            packet.extend_from_slice(bytes.ok_or_else(|| Error::invalid("slot of another packet store"))?);
            return Ok(());
        }
        packet.resize(size, 0);
        let file = self.file.as_ref().ok_or_else(|| Error::invalid("slot of another packet store"))?;
        file.read_exact_at(packet, slot.offset).map_err(|error| Error::io("read", &self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_from_memory_and_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = PacketStore::new(&folder.path().join("a.mp4"));
        let packets: Vec<Vec<u8>> = (0..5_u8).map(|n| vec![n; 30 << 20]).collect();
        let slots: Vec<Slot> = packets.iter().map(|packet| store.push(packet).unwrap()).collect();
        let mut read = Vec::new();
        for (packet, slot) in packets.iter().zip(slots) {
            store.read(slot, &mut read).unwrap();
            assert!(*packet == read);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
