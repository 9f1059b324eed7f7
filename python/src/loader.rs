//! `framefeed.Loader` and the iterator over its batches.

use framefeed::{
    Batch, Batches, Checksum, Dataset, DirectIo, EngineKind, ErrorPolicy, LastBatch, Loader, LoaderState, Next, Ragged,
    Redraw, Shuffle, Skipped, StorageOptions,
};
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::arguments::{self, choose, name_in, unsigned, within};
use crate::batch::{batch_to_dict, lost};
use crate::dataset::PyDataset;
use crate::errors::{closed, invalid, raise};
use crate::json::{object, to_python};
use crate::options::{self, Picture};
use crate::process::Owned;
use crate::wait::poll;
use crate::window;

/// Version of the state that `state_dict` gives, and its name in there.
const STATE_VERSION: u64 = 2;
const VERSION: &str = "version";

/// The library's limits: what is beyond them is refused here, where the number is as it was given.
const MAX_BATCH_SIZE: i128 = 1 << 16;
const MAX_WORKERS: i128 = 1024;
const MAX_PREFETCH: i128 = 4096;

/// Streams the samples of a dataset in batches. Each `iter(loader)` is one epoch, the next one each time.
///
/// Reading, decoding and transforming run on threads of this process, which start with an epoch and end with it. A
/// batch is a dictionary::
///
///     video      Tensor [B, T, C, H, W] (or the axes of `layout`), of `dtype`
///     <field>    Tensor [B, ...] for each of `fields`, of the stored type
///     <field>_lengths   int64 Tensor [B, axes]: how much of each axis is the row's own, for ragged fields with
///                `ragged="pad"`
///     key        list[str]: the records' keys
///     caption    list[str | None], unless `captions=False`
///     pts        int64 Tensor [B, T]: timestamps in ticks of the record's time base
///     frame      int64 Tensor [B, T]: frame numbers in the record
///     time_base  list[tuple[int, int]]: seconds per tick, numerator and denominator
///     color      list[dict], with `format="yuv420"`: each clip's `matrix` (FFmpeg's name, such as `"bt709"`), `range`
///                (`"limited"` or `"full"`) and `guessed`, whether the source did not state them
///     fps        float64 Tensor [B]: the records' average frames per second, whatever the window takes
///     duration   float64 Tensor [B]: the records' durations in seconds
///     source_size   int64 Tensor [B, 2]: the records' display height and width, before they were resized
///     record     int64 Tensor [B]: the records' numbers in the dataset
///     position   int64 Tensor [B]: the samples' positions in the epoch
///     epoch      int
///     columns    dict[str, list]: the columns asked for, each of one type; a missing float is NaN, anything else None
///     skipped    list[dict]: samples that `on_error` left out since the last batch: epoch, position, record, reason
///     substituted   list[dict]: samples of this batch that `on_error` replaced
///
/// Without a window there is no `video`, `pts`, `frame` and `time_base`, and no byte of video is touched. Order,
/// windows and substitutes are pure functions of seed, epoch and position, whatever the number of threads. A loader
/// belongs to the process that made it; in its fork it raises ClosedError.
///
/// Args:
///     dataset: what to load from.
///     batch_size: samples per batch.
///     window: which frames of a record make a sample. May be left out where there are `fields`.
///     fields: names of stored tensors to hand out, such as latents and text embeddings. Records that lack one are no
///         samples; `num_incomplete` counts them.
///     format: `"rgb"`, or `"yuv420"`: uint8 Y, U and V by the clip's own matrix and range, half the bytes, for
///         conversion on a GPU; `video` is [B, T, 1, H * 3 / 2, W], of which the first H rows are Y, and the rest U and
///         then V, of H / 2 rows of W / 2 each. Sides are even, `fit` is `"crop"` or `"stretch"`.
///     size: height and width of the frames; without it they have the records' display size, and all must have the
///         same, or `batch_size` must be 1: then each batch has its record's size.
///     fit: where the aspect ratio differs: `"crop"` what stands out, `"pad"` with `pad`, or `"stretch"`.
///     filter: of the antialiased resize.
///     layout: the axes of a sample.
///     dtype: of the pixels. `"uint8"` are levels; for float types see `scale`.
///     scale, mean, std: for float types, `(level * scale - mean) / std` per channel; levels are 0 to 255.
///     pad: colour of the borders of `fit="pad"`, as 8-bit R, G, B; of no other fit.
///     shuffle: a new order in each epoch.
///     seed: of the order and of random windows.
///     redraw: whether random windows lie elsewhere in each epoch. Where they do, they are a function of seed, epoch
///         and position; where not, of seed and record, so that a record has the same frames in every epoch, and a
///         record's substitutes are the same. By default (None) they do with `shuffle`, for training, and do not
///         without, for validation.
///     ragged: where the shapes of a field differ: `"error"`, which names two records; `"pad"`, zeros behind each axis
///         to the largest of the batch; or `"bucket"`, every batch is of one shape of every field, and each shape has
///         one batch an epoch that may not be full. Or one of these for each field, by name: `{"latents": "bucket",
///         "text": "pad"}`; `"error"` for the others.
///     checksum: whether stored tensors are checked; packets of video always are.
///     field_descriptions: what the fields' descriptions must say, `{"latents": {"vae": "..."}}`: every key given must
///         be there and equal.
///     engine: how storage is read: `"auto"` decides by kernel and file system (`"mmap"` on tmpfs); `"uring"`,
///         `"pread"`, `"memory"`. With `"mmap"` a shard that is truncated in place while it is read ends the process
///         with SIGBUS; with the others it is damage, as long as its index was not large enough to be mapped (see
///         :class:`Dataset`).
///     direct_io: whether reads of `"uring"` and `"pread"` go past the page cache of a local disk. `"auto"`: where
///         there is more to read than there is memory. `"on"` spares processor time, and memory for others, and is
///         faster than a cold cache; `"off"` keeps to the cache.
///     decode_workers: threads that decode; one for each core by default.
///     tensor_readers: threads that read and check stored tensors; one for each core by default.
///     cpu_limit: processor time that the loader's threads may use, in cores: 1.5 is one and a half seconds a second,
///         on average over some clips; 0.01 to 1024. No limit by default. What is delivered does not depend on it.
///     decode_limits: what one clip may take before it counts as damaged: `{"seconds": 20.0, "pixels": 3840 * 2160}`.
///         `packets` fed, 100,000 by default; their `bytes`, 2**30; `frames` decoded, 100,000; `pixels` of a picture as
///         the codec stores it, 2**26; `seconds` of a thread's processor time, 120, or None. A clip that runs out of
///         time is tried once more, and then raised under every policy, because that depends on the machine.
///     prefetch_batches: batches that are finished or in the making while the consumer works; by default 3, or more
///         where that would leave threads idle.
///     prefetch_bytes: memory of those batches; a batch is begun while they take less. 8 GiB by default.
///     on_error: for clips and tensors that are damaged, or whose shard is cut off: `"raise"`; `"skip"`, the batch
///         comes without them; or `"substitute"`, another record takes the place. The first one is warned of
///         (:class:`SkippedWarning`), all are counted. An epoch of which nothing is left is raised. So is always what
///         this machine cannot do, because others may: a missing shard, a failing disk, a codec that its FFmpeg cannot
///         decode, memory that is refused. A substitute is found as long as one record is sound.
///     drop_last: leave out the last batch if it is not full.
///     columns: names of columns to hand out: the user's, or those of the dataset's index (`frames`, `codec`, `width`,
///         ...; see :meth:`Dataset.table`). A user's column comes before one of the index that has the same name.
///     captions: whether to hand out captions.
///     world_size: processes that share the samples. A dataset is not split over processes yet. Where a job has several
///         (`WORLD_SIZE` is above 1, or torch.distributed was initialised with more than one) a loader without this
///         argument is refused, because all would read the same samples; 1 says that every process is to read all of
///         them.
///
/// Raises:
///     InvalidArgumentError: an argument is outside its range, the window is longer than every clip, or `batch_size` is
///         above the number of samples with `drop_last`; the message names it.
///     TypeError: an argument is of another type; the message names it and says what it must be.
#[pyclass(frozen, name = "Loader", module = "framefeed")]
pub(crate) struct PyLoader {
    dataset: Py<PyDataset>,
    loader: Owned<Loader>,
    batch_size: usize,
    drop_last: bool,
    /// Whether every process of a job may read all samples.
    is_whole: bool,
    /// Whether a warning told of a sample that was left out or replaced: one for each loader.
    has_warned: Arc<AtomicBool>,
}

impl PyLoader {
    fn here(&self) -> PyResult<&Loader> {
        self.loader.here("the loader")
    }
}

#[pymethods]
impl PyLoader {
    #[new]
    #[pyo3(
        signature = (
            dataset, *, batch_size=1, window=None, fields=Vec::new(), format="rgb", size=None, fit="crop",
            filter="bicubic", layout="TCHW", dtype="uint8", scale=1.0 / 255.0, mean=[0.0; 3], std=[1.0; 3], pad=[0; 3],
            shuffle=false, seed=0, redraw=None, ragged=Vec::new(), checksum="on", field_descriptions=None,
            engine="auto", direct_io="auto", decode_workers=None, tensor_readers=None, cpu_limit=None,
            decode_limits=None, prefetch_batches=None, prefetch_bytes=None, on_error="raise", drop_last=false,
            columns=Vec::new(), captions=true, world_size=None
        ),
        // With the defaults that PyO3 does not spell in Python.
        text_signature = "(dataset, *, batch_size=1, window=None, fields=(), format='rgb', size=None, fit='crop', \
            filter='bicubic', layout='TCHW', dtype='uint8', scale=0.00392156862745098, mean=(0.0, 0.0, 0.0), \
            std=(1.0, 1.0, 1.0), pad=(0, 0, 0), shuffle=False, seed=0, redraw=None, ragged='error', checksum='on', \
            field_descriptions=None, engine='auto', direct_io='auto', decode_workers=None, tensor_readers=None, \
            cpu_limit=None, decode_limits=None, prefetch_batches=None, prefetch_bytes=None, on_error='raise', \
            drop_last=False, columns=(), captions=True, world_size=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn new(
        #[pyo3(from_py_with = arguments::dataset)] dataset: Bound<'_, PyDataset>,
        #[pyo3(from_py_with = arguments::int)] batch_size: i128,
        window: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = arguments::names)] fields: Vec<String>,
        #[pyo3(from_py_with = arguments::text)] format: &str,
        size: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = arguments::text)] fit: &str,
        #[pyo3(from_py_with = arguments::text)] filter: &str,
        #[pyo3(from_py_with = arguments::text)] layout: &str,
        #[pyo3(from_py_with = arguments::text)] dtype: &str,
        #[pyo3(from_py_with = arguments::float)] scale: f64,
        #[pyo3(from_py_with = options::channels)] mean: [f32; 3],
        #[pyo3(from_py_with = options::channels)] std: [f32; 3],
        #[pyo3(from_py_with = arguments::color)] pad: [u8; 3],
        #[pyo3(from_py_with = arguments::boolean)] shuffle: bool,
        #[pyo3(from_py_with = arguments::int)] seed: i128,
        #[pyo3(from_py_with = arguments::optional_boolean)] redraw: Option<bool>,
        #[pyo3(from_py_with = arguments::text_or_texts)] ragged: Vec<(Option<String>, String)>,
        #[pyo3(from_py_with = arguments::text)] checksum: &str,
        #[pyo3(from_py_with = arguments::optional_mapping)] field_descriptions: Option<Bound<'_, PyDict>>,
        #[pyo3(from_py_with = arguments::text)] engine: &str,
        #[pyo3(from_py_with = arguments::text)] direct_io: &str,
        #[pyo3(from_py_with = arguments::optional_int)] decode_workers: Option<i128>,
        #[pyo3(from_py_with = arguments::optional_int)] tensor_readers: Option<i128>,
        #[pyo3(from_py_with = arguments::optional_float)] cpu_limit: Option<f64>,
        #[pyo3(from_py_with = arguments::optional_mapping)] decode_limits: Option<Bound<'_, PyDict>>,
        #[pyo3(from_py_with = arguments::optional_int)] prefetch_batches: Option<i128>,
        #[pyo3(from_py_with = arguments::optional_int)] prefetch_bytes: Option<i128>,
        #[pyo3(from_py_with = arguments::text)] on_error: &str,
        #[pyo3(from_py_with = arguments::boolean)] drop_last: bool,
        #[pyo3(from_py_with = arguments::names)] columns: Vec<String>,
        #[pyo3(from_py_with = arguments::boolean)] captions: bool,
        #[pyo3(from_py_with = arguments::optional_int)] world_size: Option<i128>,
    ) -> PyResult<Self> {
        let py = dataset.py();
        let is_whole = check_world_size(py, world_size)?;
        let size = options::size(size)?;
        if let Some(twice) = columns.iter().enumerate().find(|(n, name)| columns[..*n].contains(name)) {
            return Err(invalid(format!("columns: '{}' is named twice", twice.1)));
        }
        let transform = Picture { format, size, fit, filter, layout, dtype }
            .transform()?
            .scale(scale)
            .normalize(mean, std)
            .pad(pad);
        check_use(window, &fields, size.is_some(), fit, pad, &ragged)?;
        let storage = storage(engine, direct_io)?;
        let batch_size = within("batch_size", batch_size, 1..=MAX_BATCH_SIZE)?;
        let policies = [ErrorPolicy::Raise, ErrorPolicy::Skip, ErrorPolicy::Substitute];
        let mut builder = Loader::builder(dataset.get().here()?.dataset.clone())
            .batch_size(batch_size)
            .fields(fields)
            .checksum(choose("checksum", checksum, &[Checksum::On, Checksum::Off].map(|on| (on.as_str(), on)))?)
            .storage(storage)
            .transform(transform)
            .shuffle(if shuffle { Shuffle::On } else { Shuffle::Off })
            .redraw(match redraw {
                None => Redraw::WithShuffle,
                Some(true) => Redraw::On,
                Some(false) => Redraw::Off,
            })
            .seed(unsigned("seed", seed)?)
            .on_error(choose("on_error", on_error, &policies.map(|policy| (policy.as_str(), policy)))?)
            .last_batch(if drop_last { LastBatch::Drop } else { LastBatch::Keep })
            .limits(options::decode_limits(decode_limits)?)
            .columns(columns);
        for (field, name) in ragged {
            let what = field.as_ref().map_or_else(|| "ragged".to_owned(), |field| format!("ragged['{field}']"));
            let choices = [Ragged::Error, Ragged::Pad, Ragged::Bucket].map(|ragged| (ragged.as_str(), ragged));
            let ragged = choose(&what, &name, &choices)?;
            builder = match field {
                Some(field) => builder.field_ragged(field, ragged),
                None => builder.ragged(ragged),
            };
        }
        if captions {
            builder = builder.with_captions();
        }
        if let Some(window) = window::given(window)? {
            builder = builder.window(window);
        }
        for (field, expected) in descriptions(field_descriptions)? {
            check_description(&dataset.get().here()?.dataset, &field, &expected)?;
            builder = builder.field_description(field, expected);
        }
        if let Some(readers) = tensor_readers {
            builder = builder.tensor_readers(within("tensor_readers", readers, 1..=MAX_WORKERS)?);
        }
        if let Some(cores) = cpu_limit {
            builder = builder.cpu_limit(cores);
        }
        if let Some(bytes) = prefetch_bytes {
            builder = builder.prefetch_bytes(unsigned("prefetch_bytes", bytes)?);
        }
        if let Some(workers) = decode_workers {
            builder = builder.decode_workers(within("decode_workers", workers, 1..=MAX_WORKERS)?);
        }
        if let Some(batches) = prefetch_batches {
            builder = builder.prefetch_batches(within("prefetch_batches", batches, 1..=MAX_PREFETCH)?);
        }
        let loader = py.detach(|| builder.build()).map_err(raise)?;
        if let Some(summary) = loader.short_warning() {
            warn(py, "ShortWarning", &summary)?;
        }
        let (dataset, loader, has_warned) = (dataset.unbind(), Owned::new(loader), Arc::default());
        Ok(Self { dataset, loader, batch_size, drop_last, is_whole, has_warned })
    }

    /// What the loader loads from.
    #[getter]
    fn dataset(&self, py: Python<'_>) -> Py<PyDataset> {
        self.dataset.clone_ref(py)
    }

    /// Samples per batch.
    #[getter]
    fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Whether a last batch that is not full is left out.
    #[getter]
    fn drop_last(&self) -> bool {
        self.drop_last
    }

    /// Samples in an epoch.
    #[getter]
    fn num_samples(&self) -> PyResult<u64> {
        Ok(self.here()?.num_samples())
    }

    /// Records that the window does not fit; with `short="skip"` they are no samples.
    #[getter]
    fn num_short(&self) -> PyResult<u64> {
        Ok(self.here()?.num_short())
    }

    /// Records that are no samples because they lack one of the fields.
    #[getter]
    fn num_incomplete(&self) -> PyResult<u64> {
        Ok(self.here()?.num_incomplete())
    }

    /// The epoch being delivered, or the next one once its last batch is handed out; `state_dict` has the same.
    #[getter]
    fn epoch(&self) -> PyResult<u64> {
        Ok(self.here()?.state().epoch)
    }

    /// Batches in an epoch, when none is skipped.
    fn __len__(&self) -> PyResult<usize> {
        Ok(self.here()?.len() as usize)
    }

    /// Starts an epoch: the next one, or where `load_state_dict` or `set_epoch` said. It takes its place with its
    /// first batch; an iterator that was not asked for one leaves no trace.
    fn __iter__(&self, py: Python<'_>) -> PyResult<PyBatches> {
        let loader = self.here()?;
        if loader.is_closed() {
            return Err(closed("the loader was closed"));
        }
        // A job may be joined after the loader was made.
        check_world_size(py, self.is_whole.then_some(1))?;
        let batches = py.detach(|| loader.iter());
        let running = Running { batches, returned: None };
        Ok(PyBatches { running: Owned::new(Mutex::new(Some(running))), has_warned: Arc::clone(&self.has_warned) })
    }

    /// Records that are no samples: `record`, its number, `key` and `reason`. The first thousand of those that are
    /// too short for the window, and of those that lack a field. A loader warns once of records that are too short
    /// (:class:`ShortWarning`).
    fn excluded<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let loader = self.here()?;
        let excluded = py.detach(|| loader.excluded()).map_err(raise)?;
        let list = PyList::empty(py);
        for record in excluded {
            let entry = PyDict::new(py);
            entry.set_item("record", record.record)?;
            entry.set_item("key", record.key)?;
            entry.set_item("reason", record.reason)?;
            list.append(entry)?;
        }
        Ok(list)
    }

    /// Ends all iterations and their threads: those that run raise ClosedError, and no other can be started.
    fn close(&self, py: Python<'_>) {
        if let Some(loader) = self.loader.get() {
            py.detach(|| loader.close());
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Closes the loader.
    #[pyo3(signature = (kind, value, traceback, /))]
    fn __exit__(&self, kind: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, traceback: &Bound<'_, PyAny>) {
        let _ = (value, traceback);
        self.close(kind.py());
    }

    /// Makes the next iteration begin with that epoch: at its beginning, or where `load_state_dict` resumed it, as
    /// long as that epoch is not over and no other was begun or set since.
    fn set_epoch(&self, #[pyo3(from_py_with = arguments::int)] epoch: i128) -> PyResult<()> {
        self.here()?.set_epoch(unsigned("epoch", epoch)?);
        Ok(())
    }

    /// Where the loader stands: behind the last batch that was handed out, whatever was read ahead.
    ///
    /// An error moves nothing: save the state when one was raised, and a loader that is resumed tries the batch that
    /// failed once more. Where you go on instead, with another `next()` of the same iterator, the state moves past it
    /// with the batch that comes then, or with the end.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let failed = |error| raise(framefeed::Error::invalid("the state is not JSON").with_source(error));
        let state = serde_json::to_value(self.here()?.state()).map_err(failed)?;
        let mut whole = Map::from_iter([(VERSION.to_owned(), STATE_VERSION.into())]);
        if let Value::Object(state) = state {
            whole.extend(state);
        }
        to_python(py, &whole)
    }

    /// Makes the next iteration go on where the state was taken, in a loader whose samples are in the same order.
    /// Another number of threads, another `size` or, without buckets, another `batch_size` are no other order.
    ///
    /// Raises:
    ///     InvalidArgumentError: it is no state, or one of another dataset, seed, shuffling or number of samples (which
    ///         depends on window and fields), or with `ragged="bucket"` of another batch size; the message has both
    ///         values.
    #[pyo3(signature = (state))]
    fn load_state_dict(&self, state: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut state = object("state", state)?;
        match state.remove(VERSION) {
            Some(version) if version == STATE_VERSION => {}
            Some(version) => return Err(invalid(format!("state: version is {version}, expected {STATE_VERSION}"))),
            None => return Err(invalid("state: 'version' is missing")),
        }
        let loader = self.here()?;
        let state = state_of(&state, &loader.state())?;
        loader.load_state(&state).map_err(raise)
    }

    /// What the loader has done so far, in all its epochs.
    ///
    /// Counters by name; three rates over the time of iteration (`read_bytes_per_second`, `frames_decoded_per_second`,
    /// `tensor_bytes_per_second`); `read_amplification`, bytes read per byte needed; `decode_amplification`, frames
    /// decoded per frame delivered; and `limited_by`: `"storage"`, `"check"` (the checksums of tensors), `"decode"`,
    /// `"transform"`, `"plan"`, `"cpu_limit"`, `"consumer"` or `"unknown"`.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.here()?.stats();
        let dict = PyDict::new(py);
        for (name, value) in stats.counters() {
            dict.set_item(name, value)?;
        }
        dict.set_item("num_workers", stats.num_workers)?;
        dict.set_item("num_tensor_readers", stats.num_tensor_readers)?;
        dict.set_item("ready_batches", stats.ready_batches)?;
        dict.set_item("queued_clips", stats.queued_clips)?;
        dict.set_item("held_bytes", stats.held_bytes)?;
        dict.set_item("num_short", stats.num_short)?;
        dict.set_item("num_incomplete", stats.num_incomplete)?;
        dict.set_item("batch_buffers_allocated", stats.batch_memory.num_allocated)?;
        dict.set_item("batch_buffers_recycled", stats.batch_memory.num_recycled)?;
        let seconds = (stats.startup_nanos + stats.elapsed_nanos) as f64 / 1e9;
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        dict.set_item("read_bytes_per_second", rate(stats.read_bytes))?;
        dict.set_item("frames_decoded_per_second", rate(stats.frames_decoded))?;
        dict.set_item("tensor_bytes_per_second", rate(stats.tensor_bytes))?;
        dict.set_item("read_amplification", stats.read_amplification())?;
        dict.set_item("decode_amplification", stats.decode_amplification())?;
        dict.set_item("limited_by", stats.limited_by().as_str())?;
        Ok(dict)
    }

    /// What was chosen, and what the machine lacks, in a few lines for people.
    fn describe(&self) -> PyResult<String> {
        Ok(self.here()?.describe())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let dataset = self.dataset.bind(py).repr()?;
        let batches = match self.loader.get() {
            Some(loader) => format!("{} batches", loader.len()),
            None => "of another process".to_owned(),
        };
        Ok(format!("framefeed.Loader({dataset}, batch_size={}, {batches})", self.batch_size))
    }
}

/// Warns, in a class of `framefeed._errors`.
fn warn(py: Python<'_>, class: &str, text: &str) -> PyResult<()> {
    let errors = py.import("framefeed._errors")?;
    errors.call_method1("warn", (text, errors.getattr(class)?)).map(drop)
}

/// Refuses that several processes of a job read the same samples, unless they are told to: true where they are.
fn check_world_size(py: Python<'_>, world_size: Option<i128>) -> PyResult<bool> {
    py.import("framefeed._processes")?.call_method1("check_world_size", (world_size,))?;
    Ok(world_size.is_some())
}

/// Refuses options that would ask for nothing, because what they are of is not asked for. What was given as it is by
/// default cannot be told from what was not given.
fn check_use(
    window: Option<&Bound<'_, PyAny>>,
    fields: &[String],
    has_size: bool,
    fit: &str,
    pad: [u8; 3],
    ragged: &[(Option<String>, String)],
) -> PyResult<()> {
    if window.is_none() && !fields.is_empty() && has_size {
        return Err(invalid("size is of frames, and without a window there are none: leave it out, or give window"));
    }
    if pad != [0; 3] && !fit.eq_ignore_ascii_case("pad") {
        return Err(invalid(format!("pad is the colour of the borders of fit='pad', and fit is '{fit}'")));
    }
    let is_default = |ragged: &str| ragged.eq_ignore_ascii_case(Ragged::default().as_str());
    match ragged {
        [(None, name)] if fields.is_empty() && !is_default(name) => {
            Err(invalid(format!("ragged is '{name}', and there are no fields: leave it out, or give fields")))
        }
        _ => Ok(()),
    }
}

/// How storage is read. Engines that read no files have no use for direct I/O.
fn storage(engine: &str, direct_io: &str) -> PyResult<StorageOptions> {
    let engine: EngineKind = engine.parse().map_err(raise)?;
    let direct_io: DirectIo = direct_io.parse().map_err(raise)?;
    if direct_io == DirectIo::On && matches!(engine, EngineKind::Mmap | EngineKind::Memory) {
        let name = engine.as_str();
        return Err(invalid(format!(
            "direct_io is 'on', expected auto or off for engine '{name}': it is of uring and pread"
        )));
    }
    Ok(StorageOptions::new().engine(engine).direct_io(direct_io))
}

/// Refuses a field that the dataset lacks, and one that is not what it is expected to be.
fn check_description(dataset: &Dataset, field: &str, expected: &Map<String, Value>) -> PyResult<()> {
    dataset.check_description(field, expected).map_err(|error| {
        let message = error.message().strip_prefix("fields: ").unwrap_or(error.message());
        let named = framefeed::Error::invalid(format!("field_descriptions: {message}"));
        raise(match error.path() {
            Some(path) => named.with_path(path),
            None => named,
        })
    })
}

/// A state of what was given, or an error that names the first entry that is not as in `own`, a state of this loader.
fn state_of(given: &Map<String, Value>, own: &LoaderState) -> PyResult<LoaderState> {
    let read = |state: &Map<String, Value>| serde_json::from_value::<LoaderState>(Value::Object(state.clone()));
    let error = match read(given) {
        Ok(state) => return Ok(state),
        Err(error) => error,
    };
    let own = serde_json::to_value(own).unwrap_or_default();
    for (name, value) in own.as_object().into_iter().flatten() {
        let mut probe = own.as_object().cloned().unwrap_or_default();
        let Some(found) = given.get(name) else {
            probe.remove(name);
            if read(&probe).is_err() {
                return Err(invalid(format!("state: '{name}' is missing")));
            }
            continue;
        };
        probe.insert(name.clone(), found.clone());
        if read(&probe).is_err() {
            let expected = match value {
                Value::Bool(_) => "true or false",
                Value::Number(_) => "a whole number from 0 to 2**64 - 1",
                Value::Null => "a whole number or None",
                _ => "a str",
            };
            return Err(invalid(format!("state: {name} is {found}, expected {expected}")));
        }
    }
    Err(invalid(format!("state: {error}")))
}

/// What each field's description must say: a dictionary of dictionaries, of what JSON has.
fn descriptions(given: Option<Bound<'_, PyDict>>) -> PyResult<Vec<(String, Map<String, Value>)>> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let one = |(field, expected): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let field = name_in("field_descriptions", &field)?;
        let expected = object(&format!("field_descriptions['{field}']"), &expected)?;
        Ok((field, expected))
    };
    given.into_iter().map(one).collect()
}

/// An iteration, and a batch of it that could not be handed out yet.
struct Running {
    batches: Batches,
    returned: Option<Batch>,
}

/// The batches of one epoch. Threads read ahead until it ends, is closed or is dropped.
#[pyclass(frozen, name = "Batches", module = "framefeed")]
pub(crate) struct PyBatches {
    /// `None` once it was closed. Locked only while detached from the interpreter, so that nobody waits for it with the
    /// GIL held.
    running: Owned<Mutex<Option<Running>>>,
    has_warned: Arc<AtomicBool>,
}

impl PyBatches {
    /// What `act` makes of the iteration, with the GIL let go; the default where it was closed.
    fn with<T: Default + Send>(&self, py: Python<'_>, act: impl FnOnce(&mut Running) -> T + Send) -> PyResult<T> {
        let running = self.running.here("the iterator")?;
        Ok(py.detach(|| running.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act).unwrap_or_default()))
    }

    fn lost(&self, py: Python<'_>) -> PyResult<Vec<Skipped>> {
        self.with(py, |running| running.batches.left_out().to_vec())
    }

    /// Warns, once for a loader, of a sample that was left out or replaced.
    fn warn(&self, py: Python<'_>, lost: Option<&Skipped>) -> PyResult<()> {
        let Some(lost) = lost else { return Ok(()) };
        if self.has_warned.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let text = format!("a sample could not be read or decoded: {}; more are only counted, in stats()", lost.reason);
        warn(py, "SkippedWarning", &text)
    }
}

#[pymethods]
impl PyBatches {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// The next batch. Ctrl-C works while it waits. An error stands in the place of a batch; the next call has the
    /// one after it.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let batch = self.fetch(py)?;
        self.confirm(py)?;
        Ok(batch)
    }

    /// The next batch. The loader's state moves behind it when it is confirmed: whoever has it may fail to hand it on.
    #[pyo3(name = "_fetch")]
    fn fetch<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let running = self.running.here("the iterator")?;
        let next = poll(py, |time| {
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            // The outer option says whether the wait is over, the inner one whether there is a batch.
            let Some(Running { batches, returned }) = running.as_mut() else { return Ok(Some(None)) };
            if let Some(batch) = returned.take() {
                return Ok(Some(Some(batch)));
            }
            match batches.fetch_within(time) {
                Next::Batch(batch) => batch.map(|batch| Some(Some(batch))),
                Next::End => Ok(Some(None)),
                Next::Timeout => Ok(None),
            }
        })?;
        let Some(batch) = next else {
            self.warn(py, self.lost(py)?.first())?;
            return Err(PyStopIteration::new_err(()));
        };
        if let Err(error) = self.warn(py, batch.skipped.first().or(batch.substituted.first())) {
            // Warnings may be errors. The batch is none: the next call has it.
            self.with(py, |running| running.returned = Some(batch))?;
            return Err(error);
        }
        batch_to_dict(py, batch)
    }

    /// Moves the loader's state behind the batch that was fetched.
    #[pyo3(name = "_confirm")]
    fn confirm(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |running| running.batches.confirm())
    }

    /// Samples that `on_error="skip"` left out since the last batch: after the end, those that no batch tells of.
    #[getter]
    fn left_out<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        lost(py, &self.lost(py)?)
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Closes the iterator.
    #[pyo3(signature = (kind, value, traceback, /))]
    fn __exit__(&self, kind: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, traceback: &Bound<'_, PyAny>) {
        let _ = (value, traceback);
        self.close(kind.py());
    }

    /// Ends the epoch and its threads.
    fn close(&self, py: Python<'_>) {
        if let Some(running) = self.running.get() {
            py.detach(|| {
                let ended = running.lock().unwrap_or_else(PoisonError::into_inner).take();
                drop(ended);
            });
        }
    }
}

impl Drop for PyBatches {
    fn drop(&mut self) {
        // Joining the threads may take as long as decoding a clip does: not with the GIL held.
        let _ = Python::try_attach(|py| self.close(py));
    }
}
