//! What is loaded: the options of the loaders to be measured, which all are the same but in threads, storage and left-out stages.

use super::LoaderArgs;
use crate::cli::bench::cache::Source;
use framefeed::{
    Checksum, Dataset, DatasetKind, DirectIo, EngineKind, Error, ErrorPolicy, Loader, LoaderBuilder, Ragged, Result,
    Shuffle, StorageOptions, TransformOptions, Window,
};
use std::path::PathBuf;

/// Frames of a window, where neither a window nor fields are asked for.
const DEFAULT_FRAMES: u32 = 16;
/// Epochs of an iteration that is to last for as long as the clock says.
const MANY_EPOCHS: u64 = 1 << 32;

/// What takes no time in a loader that is measured as a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Without {
    /// Frames are decoded and dropped.
    Transform,
    /// Packets are read and checked, and neither decoded nor transformed.
    Decode,
    /// Tensors are not checked.
    Checksum,
    /// Files lie in the page cache and are mapped.
    Storage,
}

impl Without {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Decode => "decode",
            Self::Checksum => "checksum",
            Self::Storage => "storage",
        }
    }

    /// True where what comes out are real batches.
    pub(super) fn gives_batches(self) -> bool {
        matches!(self, Self::Checksum | Self::Storage)
    }

    /// How it is left out.
    pub(super) fn explain(self) -> &'static str {
        match self {
            Self::Transform => "frames are decoded and dropped; batches are empty",
            Self::Decode => "packets are read and checked, nothing is decoded or transformed; batches are empty",
            Self::Checksum => "tensors are not checked; batches are real",
            Self::Storage => "files lie in the page cache and are mapped; batches are real",
        }
    }
}

/// One point: threads, and what is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    pub workers: usize,
    pub without: Option<Without>,
}

/// What every loader of the benchmark is told.
pub(super) struct Plan {
    pub path: PathBuf,
    pub window: Option<Window>,
    pub fields: Vec<String>,
    pub ragged: Ragged,
    pub transform: TransformOptions,
    pub batch_size: usize,
    pub cpu_limit: Option<f64>,
    pub seed: u64,
    pub engine: EngineKind,
    pub direct_io: DirectIo,
    /// The files that are read.
    pub files: Vec<Source>,
    /// Records of the dataset.
    pub records: usize,
}

impl Plan {
    /// What the arguments come to for the dataset. Nothing of it is kept open: pages that are mapped cannot be dropped.
    pub(super) fn new(args: &LoaderArgs) -> Result<Self> {
        let dataset = Dataset::open(&args.dataset)?;
        let mut transform =
            TransformOptions::new().format(args.format).fit(args.fit).layout(args.layout).dtype(args.dtype);
        if let Some((height, width)) = args.size {
            transform = transform.size(height, width);
        }
        let window = window(args, &dataset)?;
        Ok(Self {
            path: args.dataset.clone(),
            files: files(&dataset, window.is_some(), &args.fields),
            window,
            fields: args.fields.clone(),
            ragged: args.ragged,
            transform,
            batch_size: args.batch_size,
            cpu_limit: args.cpu_limit,
            seed: args.seed,
            engine: args.engine,
            direct_io: args.direct_io,
            records: dataset.len(),
        })
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// A loader on a dataset of its own. `one_pass`: its iterations are of one epoch.
    pub(super) fn builder(&self, setting: Setting, one_pass: bool) -> Result<LoaderBuilder> {
        let engine = if setting.without == Some(Without::Storage) { EngineKind::Mmap } else { self.engine };
        let checksum = if setting.without == Some(Without::Checksum) { Checksum::Off } else { Checksum::On };
        let mut builder = Loader::builder(Dataset::open(&self.path)?)
            .batch_size(self.batch_size)
            .fields(&self.fields)
            .ragged(self.ragged)
            .checksum(checksum)
            .transform(self.transform.clone())
            .shuffle(Shuffle::On)
            .seed(self.seed)
            .epochs(if one_pass { 1 } else { MANY_EPOCHS })
            .decode_workers(setting.workers)
            .tensor_readers(setting.workers)
            .storage(StorageOptions::new().engine(engine).direct_io(self.direct_io))
            .on_error(ErrorPolicy::Skip);
        if let Some(cores) = self.cpu_limit {
            builder = builder.cpu_limit(cores);
        }
        if let Some(window) = self.window {
            builder = builder.window(window);
        }
        Ok(builder)
    }

    /// The bounds that say something about what is loaded.
    pub(super) fn bounds(&self) -> Vec<Without> {
        let video = self.window.map(|_| [Without::Transform, Without::Decode]);
        let fields = (!self.fields.is_empty()).then_some(Without::Checksum);
        video.into_iter().flatten().chain(fields).chain([Without::Storage]).collect()
    }
}

/// The window: what is asked for; where nothing is, the default for videos, and none for fields.
fn window(args: &LoaderArgs, dataset: &Dataset) -> Result<Option<Window>> {
    let is_asked_for = args.frames.is_some() || args.stride.is_some() || args.fps.is_some();
    if !is_asked_for && !args.fields.is_empty() {
        return Ok(None);
    }
    if dataset.kind() == DatasetKind::Tensor {
        let names = dataset.field_names().join(", ");
        let message = format!("the records are tensors, not videos: choose with --fields, of {names}");
        return Err(Error::invalid(message).with_path(&args.dataset));
    }
    let frames = args.frames.unwrap_or(DEFAULT_FRAMES);
    let window = match args.fps {
        Some(fps) => Window::at_fps(frames, fps)?,
        None => Window::strided(frames, args.stride.unwrap_or(1)),
    };
    let window = window.placement(args.placement);
    window.check()?;
    Ok(Some(window))
}

/// The shards that hold what is loaded.
fn files(dataset: &Dataset, has_window: bool, fields: &[String]) -> Vec<Source> {
    let manifest = dataset.manifest();
    let sets = || manifest.columns.iter().filter(|set| set.fields.iter().any(|field| fields.contains(field)));
    let is_added = |field: &String| sets().any(|set| set.fields.contains(field));
    let needs_records = has_window || !fields.iter().all(is_added);
    let records = manifest.shards.iter().filter(|_| needs_records);
    let source = |shard: &framefeed::ShardEntry| Source { path: dataset.root().join(&shard.file), len: shard.bytes };
    records.chain(sets().flat_map(|set| &set.shards)).map(source).collect()
}
