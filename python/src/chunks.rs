//! `Record.chunks`: the frames of a record, decoded ahead on a thread.

use framefeed::{DecodeLimits, DecodedClip, Error, TransformOptions};
use pyo3::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::dataset::Opened;
use crate::dlpack::Tensor;
use crate::errors::raise;
use crate::process::Owned;
use crate::wait::poll;

/// Which frames of which record, and what becomes of them.
pub(crate) struct Request {
    pub(crate) record: usize,
    pub(crate) frames: Range<u32>,
    pub(crate) chunk: u32,
    pub(crate) options: TransformOptions,
}

/// The thread that decodes, and what it has made.
struct Running {
    /// `None` only inside `drop`.
    clips: Option<Mutex<Receiver<framefeed::Result<DecodedClip>>>>,
    cancelled: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    fn start(opened: Arc<Opened>, request: Request) -> framefeed::Result<Self> {
        // One chunk waits while the consumer has one and the thread makes one.
        let (sender, receiver) = sync_channel(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&cancelled);
        let thread = std::thread::Builder::new().name("framefeed-chunks".to_owned());
        let thread = thread
            .spawn(move || decode(&opened, &request, &sender, &told))
            .map_err(|error| Error::new(framefeed::ErrorKind::Io, "cannot start a thread").with_source(error))?;
        Ok(Self { clips: Some(Mutex::new(receiver)), cancelled, thread: Mutex::new(Some(thread)) })
    }

    /// The next chunk, `None` at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<DecodedClip>> {
        let Some(clips) = &self.clips else { return Ok(None) };
        poll(py, |time| {
            let clips = clips.lock().unwrap_or_else(PoisonError::into_inner);
            match clips.recv_timeout(time) {
                Ok(clip) => clip.map(|clip| Some(Some(clip))),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => self.ended().map(|()| Some(None)),
            }
        })
    }

    /// An error where the thread panicked.
    fn ended(&self) -> framefeed::Result<()> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let joined = thread.map_or(Ok(()), JoinHandle::join);
        joined.map_err(|_| Error::new(framefeed::ErrorKind::Decode, "decoding panicked"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        // A thread that waits for a place is told that there will be none.
        self.clips = None;
        // The thread ends with the packet it is at; other threads of Python go on meanwhile. What it panicked with has been printed.
        if Python::try_attach(|py| py.detach(|| self.ended())).is_none() {
            let _ = self.ended();
        }
    }
}

/// The thread's life. It never takes the GIL.
fn decode(
    opened: &Opened,
    request: &Request,
    clips: &SyncSender<framefeed::Result<DecodedClip>>,
    cancelled: &AtomicBool,
) {
    let closed = || Error::new(framefeed::ErrorKind::Closed, "nobody wants the chunks any more");
    let run = || {
        let mut reader = opened.reader()?;
        // However long the consumer takes, the clip is not to blame.
        let limits = DecodeLimits::default().timeout(None);
        let Request { record, ref frames, chunk, ref options } = *request;
        let stop = || cancelled.load(Ordering::Relaxed);
        let mut send = |clip| clips.send(Ok(clip)).map_err(|_| closed());
        let result = reader.for_each_chunk(record, frames.clone(), chunk, options, &limits, &stop, &mut send);
        opened.park(reader);
        result
    };
    if let Err(error) = run() {
        // Nobody hears of it where the consumer is gone.
        let _ = clips.send(Err(error));
    }
}

/// The chunks of :meth:`Record.chunks`. Belongs to the process that made it. A thread decodes until the iterator is
/// closed or dropped.
#[pyclass(frozen, name = "Chunks", module = "framefeed")]
pub(crate) struct PyChunks {
    /// `None` once it was closed. Locked only with the GIL held, and only to look at it or to take it, as a dataset's
    /// handle is.
    running: Owned<Mutex<Option<Arc<Running>>>>,
}

impl PyChunks {
    pub(crate) fn start(opened: Arc<Opened>, request: Request) -> PyResult<Self> {
        let running = Running::start(opened, request).map_err(raise)?;
        Ok(Self { running: Owned::new(Mutex::new(Some(Arc::new(running)))) })
    }
}

#[pymethods]
impl PyChunks {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Tensor>> {
        let running = self.running.here("this iterator")?.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let clip = running.map_or(Ok(None), |running| running.next(py))?;
        Ok(clip.map(|DecodedClip { data, shape, dtype, .. }| Tensor::from_batch(data, &shape, dtype.into())))
    }

    /// Ends the thread. There are no chunks afterwards.
    fn close(&self) {
        if let Some(running) = self.running.get() {
            let ended = running.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Another thread may wait for the next chunk: it has it when it is made.
            drop(ended);
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Closes the iterator.
    #[pyo3(signature = (kind, value, traceback, /))]
    fn __exit__(&self, kind: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, traceback: &Bound<'_, PyAny>) {
        let _ = (kind, value, traceback);
        self.close();
    }
}
