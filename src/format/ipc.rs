//! Arrow IPC files in memory: written without compression, read without copying and without trust.
//!
//! Arrow's own reader assumes that the numbers in the metadata fit the file. Here they are checked first; a panic that
//! still comes out of it becomes an error.

use crate::error::{Error, Result};
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::convert::try_fb_to_schema;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::ipc::{MetadataVersion, root_as_footer, root_as_message};
use arrow::record_batch::RecordBatch;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const MAGIC: &[u8; 6] = b"ARROW1";
/// Footer length and magic.
const TAIL_BYTES: usize = 10;

/// Writes batches of one schema with 64-byte alignment; `metadata` goes into the footer.
pub(crate) fn write(schema: &Schema, batches: &[RecordBatch], metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let failed = |error| Error::invalid("rows cannot be written as Arrow").with_source(error);
    let options = IpcWriteOptions::try_new(64, false, MetadataVersion::V5).map_err(failed)?;
    let mut writer = FileWriter::try_new_with_options(Vec::new(), schema, options).map_err(failed)?;
    for batch in batches {
        writer.write(batch).map_err(failed)?;
    }
    for (key, value) in metadata {
        writer.write_metadata(*key, value);
    }
    writer.finish().map_err(failed)?;
    writer.into_inner().map_err(failed)
}

/// Where the footer of an Arrow file lies.
pub(crate) fn footer_range(bytes: &[u8]) -> Result<Range<usize>> {
    let bad = || Error::corrupt("not an Arrow file: no footer");
    let (rest, tail) = bytes.split_last_chunk::<TAIL_BYTES>().ok_or_else(bad)?;
    let [a, b, c, d, magic @ ..] = tail;
    let length = usize::try_from(i32::from_le_bytes([*a, *b, *c, *d])).map_err(|_| bad())?;
    let start = rest.len().checked_sub(length).ok_or_else(bad)?;
    if magic != MAGIC || !bytes.starts_with(MAGIC) || length == 0 {
        return Err(bad());
    }
    Ok(start..rest.len())
}

/// One block of the file, checked to lie before the footer.
#[derive(Debug, Clone, Copy)]
struct Block {
    offset: usize,
    metadata: usize,
    body: usize,
    raw: arrow::ipc::Block,
}

/// An Arrow file whose footer has been parsed and whose blocks lie inside it.
pub(crate) struct IpcFile {
    buffer: Buffer,
    schema: SchemaRef,
    decoder: FileDecoder,
    blocks: Vec<Block>,
    metadata: Vec<(String, String)>,
}

impl std::fmt::Debug for IpcFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IpcFile({} bytes, {} batches)", self.buffer.len(), self.blocks.len())
    }
}

impl IpcFile {
    /// Parses the footer.
    pub(crate) fn parse(buffer: Buffer) -> Result<Self> {
        no_panic(|| Self::parse_footer(buffer))
    }

    fn parse_footer(buffer: Buffer) -> Result<Self> {
        let range = footer_range(&buffer)?;
        let bytes = buffer.get(range.clone()).unwrap_or_default();
        let footer = root_as_footer(bytes)
            .map_err(|error| Error::corrupt("Arrow footer is damaged").with_source(error.to_string()))?;
        if footer.dictionaries().is_some_and(|blocks| !blocks.is_empty()) {
            return Err(Error::corrupt("index has dictionaries, which the format does not allow"));
        }
        let schema = footer.schema().ok_or_else(|| Error::corrupt("Arrow footer has no schema"))?;
        let schema = Arc::new(
            try_fb_to_schema(schema).map_err(|error| Error::corrupt("Arrow schema is damaged").with_source(error))?,
        );
        let mut blocks = Vec::new();
        for raw in footer.recordBatches().iter().flatten() {
            blocks.push(check_block(raw, range.start)?);
        }
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let metadata =
            footer.custom_metadata().iter().flatten().map(|pair| (text(pair.key()), text(pair.value()))).collect();
        let decoder = FileDecoder::new(schema.clone(), footer.version());
        Ok(Self { buffer, schema, decoder, blocks, metadata })
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The schema.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of batches.
    pub(crate) fn num_batches(&self) -> usize {
        self.blocks.len()
    }

    /// A value of the footer's metadata.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The bytes of a batch, metadata and body.
    pub(crate) fn block_bytes(&self, number: usize) -> Result<&[u8]> {
        let block = self.block(number)?;
        Ok(self.buffer.get(block.offset..block.offset + block.metadata + block.body).unwrap_or_default())
    }

    /// A batch; its columns share the file's memory.
    pub(crate) fn batch(&self, number: usize) -> Result<RecordBatch> {
        let block = *self.block(number)?;
        no_panic(|| {
            let data = self.buffer.slice_with_length(block.offset, block.metadata + block.body);
            check_message(&data, block)?;
            self.decoder
                .read_record_batch(&block.raw, &data)
                .map_err(|error| Error::corrupt("Arrow batch is damaged").with_source(error))?
                .ok_or_else(|| Error::corrupt("Arrow block is no batch"))
        })
    }

    fn block(&self, number: usize) -> Result<&Block> {
        self.blocks.get(number).ok_or_else(|| Error::corrupt(format!("index has no batch {number}")))
    }
}

/// Every block must lie before the footer: this protects all slicing by it.
fn check_block(raw: &arrow::ipc::Block, end: usize) -> Result<Block> {
    let number = |value: i64| usize::try_from(value).ok();
    let block = (|| {
        let offset = number(raw.offset())?;
        let metadata = number(raw.metaDataLength().into()).filter(|&length| length >= 8)?;
        let body = number(raw.bodyLength())?;
        let aligned = offset.is_multiple_of(8) && metadata.is_multiple_of(8);
        let inside = offset.checked_add(metadata)?.checked_add(body)? <= end;
        (aligned && inside).then_some(Block { offset, metadata, body, raw: *raw })
    })();
    block.ok_or_else(|| {
        Error::corrupt(format!(
            "Arrow block at {} with {} and {} bytes is outside the index",
            raw.offset(),
            raw.metaDataLength(),
            raw.bodyLength()
        ))
    })
}

/// Every buffer and length must fit the block's body: this protects Arrow's slicing and its arithmetic on lengths.
fn check_message(data: &[u8], block: Block) -> Result<()> {
    let bad = |what: &str| Error::corrupt(format!("Arrow batch: {what}")).with_offset(block.offset as u64);
    let head = data.get(..block.metadata).unwrap_or_default();
    let [0xff, 0xff, 0xff, 0xff, a, b, c, d, message @ ..] = head else {
        return Err(bad("no message"));
    };
    let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    let message = message.get(..length).ok_or_else(|| bad("message is longer than its block"))?;
    let message = root_as_message(message).map_err(|error| bad("message is damaged").with_source(error.to_string()))?;
    let batch = message.header_as_record_batch().ok_or_else(|| bad("not a record batch"))?;
    if batch.compression().is_some() {
        return Err(Error::unsupported("index is compressed, which format version 1 does not allow"));
    }
    let inside = |offset: i64, length: i64| {
        // Arrow views values of eight bytes in place.
        offset >= 0
            && offset % 8 == 0
            && length >= 0
            && offset.checked_add(length).is_some_and(|end| end <= block.body as i64)
    };
    if !batch.buffers().iter().flatten().all(|buffer| inside(buffer.offset(), buffer.length())) {
        return Err(bad("a buffer is outside its block or not aligned"));
    }
    // The smallest value is one bit.
    let most = (block.body as i64).saturating_mul(8);
    let plausible = |length: i64| (0..=most).contains(&length);
    let nodes = batch.nodes().iter().flatten().all(|node| plausible(node.length()) && plausible(node.null_count()));
    if !nodes || !plausible(batch.length()) {
        return Err(bad("a length is larger than its block"));
    }
    Ok(())
}

/// Runs code of the Arrow crate on bytes from a file; a panic becomes an error.
pub(crate) fn no_panic<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    // Unwind safety: what the closure touches is dropped or only read after a panic.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(Error::corrupt("Arrow reader failed on the index")))
}
