//! Shards that are cut off: clips and tensors come to the same, under every policy.

use super::fields::{self, Tensors};
use super::{TestSet, keys};
use crate::loader::{Batch, ErrorPolicy, Loader, LoaderBuilder, Ragged};
use crate::order::LoaderState;
use crate::storage::{EngineKind, StorageOptions};
use crate::{Dataset, Error, ErrorKind, Result};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// Records of the first of the shards of tensors.
const FIRST_SHARD: u64 = 7;

/// Cuts a file short in place.
fn cut(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn errors(loader: &Loader) -> Vec<Error> {
    loader.iter().filter_map(Result::err).collect()
}

/// Samples that were left out, wherever an iteration tells of them.
fn reasons(loader: &Loader) -> Vec<String> {
    let mut iteration = loader.iter();
    let batches: Vec<Batch> = iteration.by_ref().map(Result::unwrap).collect();
    let told = batches.iter().flat_map(|batch| &batch.skipped).chain(iteration.left_out());
    told.map(|sample| sample.reason.clone()).collect()
}

fn shards(dataset: &Dataset) -> Vec<PathBuf> {
    dataset.manifest().shards.iter().map(|shard| dataset.root().join(&shard.file)).collect()
}

#[test]
fn clips_of_a_broken_shard_follow_the_policy() {
    let set = TestSet::new();
    cut(&set.shard_path(1));
    for error in errors(&set.builder().build().unwrap()) {
        assert_eq!((error.kind(), error.path().unwrap()), (ErrorKind::Corrupt, &*set.shard_path(1)));
    }
    // Also with what is in the shards alone: captions, and columns of text.
    let skipping = |set: &TestSet| set.builder().columns(["tag"]).with_captions().on_error(ErrorPolicy::Skip);
    let loader = skipping(&set).build().unwrap();
    let mut left = keys(&loader);
    left.sort();
    assert_eq!(left, ["clip-000", "clip-002", "clip-004", "clip-006"]);
    assert_eq!((loader.stats().skipped, loader.stats().errors), (3, 3));
    let reasons = reasons(&loader);
    assert!(reasons.len() == 3 && reasons.iter().all(|reason| reason.contains("s1.tar")), "{reasons:?}");
    let loader = set.builder().on_error(ErrorPolicy::Substitute).build().unwrap();
    let replaced = keys(&loader);
    assert!(replaced.len() == 7 && replaced.iter().all(|key| left.contains(key)), "{replaced:?}");
    assert_eq!(loader.stats().substituted, 3);

    let first = TestSet::new();
    cut(&first.shard_path(0));
    assert_eq!(keys(&skipping(&first).build().unwrap()).len(), 3);
}

#[test]
fn tensors_of_a_broken_shard_follow_the_policy() {
    let set = Tensors::new();
    let broken = set.dataset().manifest().shards[0].rows;
    assert_eq!(broken, FIRST_SHARD);
    let layouts: [fn(&Tensors) -> LoaderBuilder; 3] =
        [Tensors::builder, |set| set.ragged(Ragged::Pad), |set| set.ragged(Ragged::Bucket)];
    let sound = layouts.map(|build| fields::batches(&build(&set).build().unwrap()));
    let path = shards(&set.dataset()).remove(0);
    cut(&path);
    for (build, sound) in layouts.into_iter().zip(sound) {
        let error = build(&set).build().unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(&*path)));
        let loader = build(&set).on_error(ErrorPolicy::Skip).build().unwrap();
        let num_sound: usize = sound.iter().map(Batch::len).sum();
        assert_eq!(loader.num_samples() as usize, num_sound);
        let left = fields::batches(&loader);
        left.iter().for_each(fields::check_latents);
        let mut records = fields::records(&left);
        assert_eq!(loader.stats().skipped, broken);
        records.sort_unstable();
        let mut expected = fields::records(&sound);
        expected.retain(|&record| record >= broken);
        expected.sort_unstable();
        assert_eq!(records, expected);
        let loader = build(&set).on_error(ErrorPolicy::Substitute).build().unwrap();
        let replaced = fields::records(&fields::batches(&loader));
        assert!(replaced.len() == num_sound && replaced.iter().all(|&record| record >= broken), "{replaced:?}");
    }
}

#[test]
fn samples_of_sound_shards_keep_their_positions() {
    let set = Tensors::new();
    let places = |loader: &Loader| {
        let batches = fields::batches(loader);
        batches.iter().flat_map(|batch| batch.positions.clone().into_iter().zip(batch.records.clone())).collect()
    };
    let mut sound: Vec<(u64, u64)> = places(&set.builder().build().unwrap());
    cut(&shards(&set.dataset())[0]);
    let left: Vec<(u64, u64)> = places(&set.builder().on_error(ErrorPolicy::Skip).build().unwrap());
    sound.retain(|&(_, record)| record >= FIRST_SHARD);
    assert_eq!(left, sound);
}

#[test]
fn a_shard_that_comes_back_stays_left_out_of_a_loader_that_did_not_see_it() {
    let set = Tensors::new();
    let path = shards(&set.dataset()).remove(0);
    let away = path.with_extension("away");
    std::fs::copy(&path, &away).unwrap();
    cut(&path);
    let loader = set.ragged(Ragged::Bucket).on_error(ErrorPolicy::Skip).build().unwrap();
    std::fs::rename(&away, &path).unwrap();
    let reasons = reasons(&loader);
    assert!(
        reasons.len() as u64 == FIRST_SHARD
            && reasons.iter().all(|reason| reason.contains("when the loader was built")),
        "{reasons:?}"
    );
}

#[test]
fn a_state_is_refused_where_a_shard_that_cannot_be_read_changes_what_is_in_the_buckets() {
    let set = Tensors::new();
    let build = || set.ragged(Ragged::Bucket).on_error(ErrorPolicy::Skip).build().unwrap();
    let whole = build();
    let state = whole.state();
    whole.load_state(&state).unwrap();
    build().load_state(&state).unwrap();
    // The one with the record that lacks a field is another.
    cut(&shards(&set.dataset())[2]);
    let broken = build();
    assert_eq!(broken.num_samples(), whole.num_samples());
    let error = broken.load_state(&state).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("the buckets hold other samples"), "{error}");
}

#[test]
fn an_epoch_of_which_nothing_is_left_is_an_error_and_not_an_empty_one() {
    let set = TestSet::with(&[12, 12], 1);
    cut(&set.shard_path(0));
    let build = || set.builder().batch_size(1).on_error(ErrorPolicy::Skip);
    let loader = build().build().unwrap();
    for epoch in 0..2 {
        let results: Vec<_> = loader.iter().collect();
        assert_eq!(results.len(), 1);
        let error = results[0].as_ref().unwrap_err();
        assert_eq!((error.kind(), error.path().unwrap()), (ErrorKind::Corrupt, &*set.shard_path(0)));
        let told = format!("nothing is left of epoch {epoch}, all 2 samples were skipped, the first: ");
        assert!(error.to_string().starts_with(&told) && error.record().is_some(), "{error}");
        assert_eq!((loader.state().epoch, loader.state().position), (epoch + 1, 0));
    }
    assert_eq!(loader.stats().skipped, 4);
    assert_eq!(errors(&build().epochs(3).build().unwrap()).len(), 3);
    // Of the epoch's first half nothing is known.
    let state = LoaderState { position: 1, ..build().build().unwrap().state() };
    let resumed = build().build().unwrap();
    resumed.load_state(&state).unwrap();
    assert_eq!(reasons(&resumed).len(), 1);
    assert_eq!(errors(&set.builder().on_error(ErrorPolicy::Substitute).build().unwrap()).len(), 1);
}

#[test]
fn a_dataset_of_tensors_of_which_no_shard_can_be_read_is_an_error_that_names_the_first() {
    let set = Tensors::new();
    let shards = shards(&set.dataset());
    for shard in &shards {
        cut(shard);
    }
    for policy in [ErrorPolicy::Skip, ErrorPolicy::Substitute] {
        let error = set.builder().on_error(policy).build().unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(&*shards[0])));
        assert!(error.to_string().contains("23 samples can't be read and no other has latents"), "{error}");
    }
}

/// Engines that read files, io_uring where the kernel has it.
fn engines(builder: impl Fn(StorageOptions) -> LoaderBuilder) -> Vec<Loader> {
    let mut loaders = Vec::new();
    for kind in [EngineKind::Uring, EngineKind::Pread, EngineKind::Memory] {
        match builder(StorageOptions::new().engine(kind)).build() {
            Ok(loader) => loaders.push(loader),
            Err(error) => {
                assert_eq!((kind, error.kind()), (EngineKind::Uring, ErrorKind::Unsupported), "{error}");
                assert!(std::env::var_os("REQUIRE_URING").is_none_or(|value| value != "1"), "{error}");
                eprintln!("left out: {error}");
            }
        }
    }
    loaders
}

#[test]
fn clips_whose_shards_and_index_are_cut_while_the_dataset_is_open_are_damage_on_every_engine() {
    let set = TestSet::new();
    let dataset = set.dataset();
    for record in 0..dataset.len() {
        dataset.stream(record).unwrap();
    }
    let loaders = engines(|storage| TestSet::builder_of(dataset.clone()).storage(storage).on_error(ErrorPolicy::Skip));
    cut(&dataset.root().join("index.arrow"));
    for shard in shards(&dataset) {
        // Of the shard's index nothing is left.
        OpenOptions::new().write(true).open(shard).unwrap().set_len(1000).unwrap();
    }
    for loader in loaders {
        let errors = errors(&loader);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].kind(), ErrorKind::Corrupt, "{}", errors[0]);
        assert!(errors[0].path().is_some_and(Path::exists) && loader.stats().skipped == 7, "{}", errors[0]);
    }
}

#[test]
fn tensors_whose_shards_and_index_are_cut_while_the_dataset_is_open_are_damage_on_every_engine() {
    let set = Tensors::new();
    let dataset = set.dataset();
    let loaders = engines(|storage| {
        let builder = Loader::builder(dataset.clone()).fields(["latents"]).batch_size(4);
        builder.storage(storage).on_error(ErrorPolicy::Skip)
    });
    cut(&dataset.root().join("index.arrow"));
    for shard in shards(&dataset) {
        OpenOptions::new().write(true).open(shard).unwrap().set_len(1000).unwrap();
    }
    for loader in loaders {
        let errors = errors(&loader);
        assert!(errors.len() == 1 && errors[0].kind() == ErrorKind::Corrupt, "{errors:?}");
        assert_eq!(loader.stats().skipped, 23);
    }
}
