//! What is left behind when loaders of tensors are dropped with reads in flight. A process of its own, because it counts the
//! process's threads, descriptors and mappings.

#[path = "support/teardown.rs"]
mod teardown;

use framefeed::{
    Dataset, DatasetWriter, DatasetWriterOptions, DirectIo, EngineKind, Loader, NewTensor, NewTensorRecord, Ragged,
    Shuffle, StorageOptions, TensorType,
};
use std::path::Path;
use std::time::Duration;
use teardown::Held;

/// Ragged tensors of a few chunks each, in several shards.
fn write(folder: &Path) -> Dataset {
    let options = DatasetWriterOptions::default().shard_bytes(6 << 20);
    let mut writer = DatasetWriter::create(folder.join("set"), options).unwrap();
    for number in 0..24_u64 {
        let shape = vec![1 + number % 3, 300_000 + number % 2];
        let data = vec![number as u8; (shape[0] * shape[1]) as usize];
        let fields = vec![NewTensor { name: "x".into(), dtype: TensorType::UInt8, shape, data: data.into() }];
        writer.add(NewTensorRecord { key: format!("r{number}"), fields, ..NewTensorRecord::default() }).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn loaders_dropped_at_a_thousand_moments_leave_no_thread_descriptor_or_mapping_behind() {
    let dir = teardown::folder();
    drop(write(dir.path()));
    let before = Held::now();
    let mut next = teardown::random();
    for round in 0..1000 {
        let storage = match round % 5 {
            0 => StorageOptions::new(),
            1 => StorageOptions::new().direct_io(DirectIo::On).depth(8),
            2 => StorageOptions::new().engine(EngineKind::Pread).pread_threads(0),
            3 => StorageOptions::new().engine(EngineKind::Pread).pread_threads(2),
            _ => StorageOptions::new().engine(EngineKind::Mmap),
        };
        let ragged = if next(2) == 0 { Ragged::Pad } else { Ragged::Bucket };
        let dataset = Dataset::open(dir.path().join("set")).unwrap();
        let builder = Loader::builder(dataset).fields(["x"]).ragged(ragged).shuffle(Shuffle::On).seed(round);
        let builder = builder.batch_size(1 + next(5) as usize).tensor_readers(1 + next(3) as usize);
        let loader = builder.prefetch_batches(1 + next(4) as usize).epochs(9).storage(storage).build().unwrap();
        let mut batches = loader.iter();
        let mut kept = None;
        for _ in 0..next(4) {
            kept = Some(batches.next().unwrap().unwrap());
        }
        std::thread::sleep(Duration::from_micros(next(1500)));
        // In either order: the iteration holds what it needs of the loader.
        if next(2) == 0 {
            drop(loader);
        }
        drop(batches);
        if let Some(batch) = kept {
            let field = batch.field("x").unwrap();
            let row = field.shape[1] * field.shape[2];
            assert!(field.data.chunks(row).zip(&batch.records).all(|(data, &record)| data[0] == record as u8));
        }
    }
    before.assert_is_all();
}
