//! Reads into slots.

use std::sync::{Arc, Mutex, Weak};

use super::*;
use crate::buf::{AlignedBuffer, Filling, Home, Slot};

/// What nobody reads into a slot: `Setup::file` holds it too seldom for a long run.
const UNTOUCHED: u8 = 0xEE;

/// Splits a buffer into parts of these lengths.
fn parts(slot: Slot, lens: impl Iterator<Item = usize>) -> Vec<Slot> {
    let mut rest = slot;
    let mut parts = Vec::new();
    for len in lens {
        let (part, tail) = rest.split_at(len);
        parts.push(part);
        rest = tail;
    }
    parts
}

fn fill_all(
    engine: &mut dyn ReadEngine,
    file: &StorageFile,
    mut requests: Vec<(u64, Option<Slot>)>,
) -> Vec<crate::Result<Slot>> {
    let mut results: Vec<Option<crate::Result<Slot>>> = requests.iter().map(|_| None).collect();
    let (mut next, mut num_answered) = (0, 0);
    while num_answered < results.len() {
        while next < results.len() && engine.in_flight() < engine.capacity() {
            let (offset, slot) = &mut requests[next];
            engine.submit(ReadRequest::into_slot(next as u64, file, *offset, slot.take().unwrap())).unwrap();
            next += 1;
        }
        let completion = engine.wait(None).unwrap().expect("a completion, because reads are in flight");
        let tag = completion.tag as usize;
        assert!(results[tag].replace(completion.into_slot()).is_none(), "a tag came back twice");
        num_answered += 1;
    }
    results.into_iter().map(Option::unwrap).collect()
}

#[test]
fn any_range_fills_its_slot_and_nothing_else() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 300_003);
        let file = setup.storage.open(&path).unwrap();
        let ranges = many_ranges(bytes.len());
        // A guard of seven bytes behind each slot: every slot has another alignment.
        let lens = ranges.iter().flat_map(|&(_, len)| [len, 7]);
        let buffer = AlignedBuffer::zeroed(lens.clone().sum()).unwrap();
        let home: Weak<Keeper> = Weak::new();
        let (filling, mut whole) = Filling::new(buffer, home);
        whole.bytes_mut().fill(UNTOUCHED);
        let slots = parts(whole, lens).into_iter().step_by(2);
        let requests = ranges.iter().zip(slots).map(|(&(offset, _), slot)| (offset, Some(slot))).collect();
        let mut engine = setup.storage.engine().unwrap();
        for slot in fill_all(&mut *engine, &file, requests) {
            drop(slot.unwrap());
        }
        let buffer = filling.finish().unwrap();
        let mut at = 0;
        for &(offset, len) in &ranges {
            assert!(buffer[at..at + len] == bytes[offset as usize..][..len], "{}: {offset}+{len}", setup.name);
            assert_eq!(buffer[at + len..at + len + 7], [UNTOUCHED; 7], "{}: behind {offset}+{len}", setup.name);
            at += len + 7;
        }
    });
}

#[test]
fn a_slot_on_the_alignment_of_the_file_is_filled_without_a_buffer() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 1 << 20);
        let file = setup.storage.open(&path).unwrap();
        let mut engine = setup.storage.engine().unwrap();
        let lens = [8192, 4096, 65_536, 4096 * 30];
        let slots = parts(Slot::zeroed(lens.iter().sum()).unwrap(), lens.into_iter());
        let requests = slots.into_iter().enumerate().map(|(i, slot)| (i as u64 * 131_072, Some(slot))).collect();
        for (i, slot) in fill_all(&mut *engine, &file, requests).into_iter().enumerate() {
            assert!(*slot.unwrap().bytes() == bytes[i * 131_072..][..lens[i]], "{}", setup.name);
        }
        assert_eq!(setup.storage.buffer_stats().num_allocated, 0, "{}", setup.name);
    });
}

#[test]
fn a_slot_of_no_bytes_is_given_back() {
    each(|setup| {
        let (path, _) = setup.file("a", 5000);
        let file = setup.storage.open(&path).unwrap();
        let mut engine = setup.storage.engine().unwrap();
        let requests = vec![(0, Some(Slot::zeroed(0).unwrap())), (5000, Some(Slot::zeroed(0).unwrap()))];
        for slot in fill_all(&mut *engine, &file, requests) {
            assert!(slot.unwrap().is_empty(), "{}", setup.name);
        }
    });
}

#[test]
fn a_slot_that_cannot_be_filled_is_given_up_with_the_error_of_its_range() {
    each(|setup| {
        let (path, _) = setup.file("a", 5000);
        let file = setup.storage.open(&path).unwrap();
        let mut engine = setup.storage.engine().unwrap();
        for (offset, len) in [(0, 5001), (4999, 2), (5000, 1), (u64::MAX, 1)] {
            let (keeper, filling, slot) = kept(len);
            let error = fill_all(&mut *engine, &file, vec![(offset, Some(slot))]).pop().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(offset)), "{}", setup.name);
            drop(filling);
            assert_eq!(keeper.0.lock().unwrap().len(), 1, "{}: the slot lives", setup.name);
        }
    });
}

#[test]
fn the_slots_of_a_dropped_engine_go_home_and_are_written_to_no_more() {
    each(|setup| {
        let (path, _) = setup.file("a", 1 << 20);
        let file = setup.storage.open(&path).unwrap();
        for num_answered in 0..4 {
            let (keeper, filling, slot) = kept(DEPTH << 18);
            let mut engine = setup.storage.engine().unwrap();
            for (tag, slot) in parts(slot, std::iter::repeat_n(1 << 18, DEPTH)).into_iter().enumerate() {
                engine.submit(ReadRequest::into_slot(tag as u64, &file, 0, slot)).unwrap();
            }
            for _ in 0..num_answered {
                engine.wait(None).unwrap().unwrap().into_slot().unwrap();
            }
            drop(engine.wait(Some(Duration::ZERO)).unwrap());
            drop((engine, filling));
            let mut buffer = keeper.0.lock().unwrap().pop().expect("the buffer came home");
            buffer.fill(UNTOUCHED);
            std::thread::sleep(Duration::from_millis(2));
            assert!(buffer.iter().all(|&byte| byte == UNTOUCHED), "{}", setup.name);
        }
    });
}

#[derive(Default)]
struct Keeper(Mutex<Vec<AlignedBuffer>>);

impl Home for Keeper {
    fn take_back(&self, buffer: AlignedBuffer) {
        self.0.lock().unwrap().push(buffer);
    }
}

/// A slot whose buffer is kept when it is given up.
fn kept(len: usize) -> (Arc<Keeper>, Filling, Slot) {
    let keeper = Arc::new(Keeper::default());
    let home: Weak<Keeper> = Arc::downgrade(&keeper);
    let (filling, slot) = Filling::new(AlignedBuffer::zeroed(len).unwrap(), home);
    (keeper, filling, slot)
}
