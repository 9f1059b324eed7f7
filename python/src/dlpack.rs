//! Tensors in host memory and their way to other libraries by DLPack, without a copy.
//!
//! The memory belongs to whoever looks at it last: a [`Tensor`], or any number of capsules made of it, in whatever order and on
//! whatever thread they go. Nothing here needs the interpreter to let memory go, so a consumer may drop its tensor without the
//! GIL, after the loader, or while the interpreter shuts down. The layout of the structures is that of `dlpack.h`, version 1.0.
#![expect(unsafe_code, reason = "DLPack is a C interface of raw pointers")]

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyTuple};
use std::any::Any;
use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::errors::{needs, unsupported};
use crate::process::Owned;

/// `kDLCPU`.
pub(crate) const DEVICE_CPU: i32 = 1;
pub(crate) const VERSION: DLPackVersion = DLPackVersion { major: 1, minor: 0 };
/// `DLPACK_FLAG_BITMASK_IS_COPIED`.
const FLAG_IS_COPIED: u64 = 2;
pub(crate) const NAME: &CStr = c"dltensor";
pub(crate) const NAME_VERSIONED: &CStr = c"dltensor_versioned";

#[repr(C)]
pub(crate) struct DLDevice {
    pub(crate) device_type: i32,
    pub(crate) device_id: i32,
}

#[repr(C)]
pub(crate) struct DLDataType {
    pub(crate) code: u8,
    pub(crate) bits: u8,
    pub(crate) lanes: u16,
}

#[repr(C)]
pub(crate) struct DLTensor {
    pub(crate) data: *mut c_void,
    pub(crate) device: DLDevice,
    pub(crate) ndim: i32,
    pub(crate) dtype: DLDataType,
    pub(crate) shape: *mut i64,
    pub(crate) strides: *mut i64,
    pub(crate) byte_offset: u64,
}

#[repr(C)]
pub(crate) struct DLPackVersion {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

#[repr(C)]
pub(crate) struct DLManagedTensor {
    pub(crate) dl_tensor: DLTensor,
    pub(crate) manager_ctx: *mut c_void,
    pub(crate) deleter: Option<unsafe extern "C" fn(*mut Self)>,
}

#[repr(C)]
pub(crate) struct DLManagedTensorVersioned {
    pub(crate) version: DLPackVersion,
    pub(crate) manager_ctx: *mut c_void,
    pub(crate) deleter: Option<unsafe extern "C" fn(*mut Self)>,
    pub(crate) flags: u64,
    pub(crate) dl_tensor: DLTensor,
}

/// Type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float16,
    Bfloat16,
    Float32,
    Float64,
}

impl Element {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    fn dlpack(self) -> DLDataType {
        // kDLInt 0, kDLUInt 1, kDLFloat 2, kDLBfloat 4, kDLBool 6.
        let (code, bits) = match self {
            Self::Int8 => (0, 8),
            Self::Int16 => (0, 16),
            Self::Int32 => (0, 32),
            Self::Int64 => (0, 64),
            Self::Uint8 => (1, 8),
            Self::Uint16 => (1, 16),
            Self::Uint32 => (1, 32),
            Self::Uint64 => (1, 64),
            Self::Float16 => (2, 16),
            Self::Float32 => (2, 32),
            Self::Float64 => (2, 64),
            Self::Bfloat16 => (4, 16),
            Self::Bool => (6, 8),
        };
        DLDataType { code, bits, lanes: 1 }
    }

    fn num_bytes(self) -> usize {
        usize::from(self.dlpack().bits) / 8
    }
}

impl From<framefeed::DType> for Element {
    fn from(dtype: framefeed::DType) -> Self {
        match dtype {
            framefeed::DType::Uint8 => Self::Uint8,
            framefeed::DType::Float16 => Self::Float16,
            framefeed::DType::Bfloat16 => Self::Bfloat16,
            framefeed::DType::Float32 => Self::Float32,
        }
    }
}

impl From<framefeed::TensorType> for Element {
    fn from(dtype: framefeed::TensorType) -> Self {
        use framefeed::TensorType;
        match dtype {
            TensorType::Bool => Self::Bool,
            TensorType::Int8 => Self::Int8,
            TensorType::Int16 => Self::Int16,
            TensorType::Int32 => Self::Int32,
            TensorType::Int64 => Self::Int64,
            TensorType::UInt8 => Self::Uint8,
            TensorType::UInt16 => Self::Uint16,
            TensorType::UInt32 => Self::Uint32,
            TensorType::UInt64 => Self::Uint64,
            TensorType::Float16 => Self::Float16,
            TensorType::Bfloat16 => Self::Bfloat16,
            TensorType::Float32 => Self::Float32,
            TensorType::Float64 => Self::Float64,
        }
    }
}

/// Bytes at an address that stays the same as long as their owner lives.
struct Memory {
    address: *mut u8,
    num_bytes: usize,
    /// A fork must not give memory back: another thread may have held the pool's lock when the process was forked.
    _owner: Owned<Box<dyn Any + Send>>,
}

// SAFETY: the address is of memory that `_owner`, which is `Send`, keeps and does not use itself.
unsafe impl Send for Memory {}
// SAFETY: through a shared `Memory` this crate reads the address and the length alone, except for `Tensor::copy_of`. Who writes the
// bytes from several threads at once is the Python program's choice, as with every array.
unsafe impl Sync for Memory {}

/// A dense array in host memory, for `numpy.from_dlpack`, `torch.from_dlpack` and every other library that speaks
/// DLPack.
///
/// No copy is made: all views are of one memory, which lives as long as the last of them, also without this object, its
/// batch, its loader and its dataset.
#[pyclass(frozen, module = "framefeed")]
pub(crate) struct Tensor {
    memory: Arc<Memory>,
    shape: Vec<i64>,
    element: Element,
}

impl Tensor {
    /// Takes over memory that `owner` holds. `bytes` gives its address, once.
    fn new<O: Any + Send>(
        mut owner: Box<O>,
        bytes: impl FnOnce(&mut O) -> &mut [u8],
        shape: &[usize],
        element: Element,
    ) -> Self {
        let view = bytes(&mut owner);
        let (address, num_bytes) = (view.as_mut_ptr(), view.len());
        debug_assert_eq!(shape.iter().product::<usize>() * element.num_bytes(), num_bytes);
        let memory = Arc::new(Memory { address, num_bytes, _owner: Owned::new(owner) });
        Self { memory, shape: shape.iter().map(|&side| side as i64).collect(), element }
    }

    /// Pixels or tensors of a batch; the memory returns to the loader's pool with the last view.
    pub(crate) fn from_batch(buffer: framefeed::BatchBuffer, shape: &[usize], element: Element) -> Self {
        Self::new(Box::new(buffer), |buffer| &mut buffer[..], shape, element)
    }

    /// Dense elements of that type.
    pub(crate) fn from_bytes(bytes: Vec<u8>, shape: &[usize], element: Element) -> Self {
        Self::new(Box::new(bytes), |bytes| &mut bytes[..], shape, element)
    }

    /// Whole numbers.
    pub(crate) fn from_int64(values: &[i64], shape: &[usize]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        Self::from_bytes(bytes, shape, Element::Int64)
    }

    /// Numbers.
    pub(crate) fn from_float64(values: &[f64], shape: &[usize]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        Self::from_bytes(bytes, shape, Element::Float64)
    }

    /// Number of elements.
    pub(crate) fn num_elements(&self) -> usize {
        self.memory.num_bytes / self.element.num_bytes()
    }

    fn copy_of(&self) -> Self {
        // SAFETY: `address` and `num_bytes` were taken from one slice, whose owner `self.memory` keeps alive and in place.
        let bytes = unsafe { std::slice::from_raw_parts(self.memory.address, self.memory.num_bytes) };
        let mut owner = Box::new(bytes.to_vec());
        let memory = Memory { address: owner.as_mut_ptr(), num_bytes: owner.len(), _owner: Owned::new(owner) };
        Self { memory: Arc::new(memory), shape: self.shape.clone(), element: self.element }
    }
}

/// What a capsule owns: the structure that the consumer sees, and behind it what that points to. The consumer's pointer to `head` is a
/// pointer to the whole. It is freed by the deleter, which the consumer calls, or the capsule where nobody consumed it.
#[repr(C)]
struct Managed<H> {
    head: H,
    memory: Arc<Memory>,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

impl<H> Managed<H> {
    /// A leaked allocation. `head` gets the description of the array; what it points to lives as long as the allocation.
    fn leak(tensor: &Tensor, head: impl FnOnce(DLTensor) -> H) -> NonNull<c_void> {
        let memory = Arc::clone(&tensor.memory);
        let mut shape = tensor.shape.clone();
        let mut strides = vec![1_i64; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis].max(1);
        }
        let head = head(DLTensor {
            data: memory.address.cast(),
            device: DLDevice { device_type: DEVICE_CPU, device_id: 0 },
            ndim: shape.len() as i32,
            dtype: tensor.element.dlpack(),
            shape: shape.as_mut_ptr(),
            strides: strides.as_mut_ptr(),
            byte_offset: 0,
        });
        NonNull::from(Box::leak(Box::new(Self { head, memory, shape, strides }))).cast()
    }
}

/// Frees a [`Managed`] by the pointer to its head.
unsafe extern "C" fn delete<H>(head: *mut H) {
    // SAFETY: DLPack's contract: the consumer owns what the capsule held and calls its deleter once, with the pointer that it got.
    // That pointer is of the allocation that `leak` leaked, whose first field is the head (`repr(C)`).
    let managed = unsafe { Box::from_raw(head.cast::<Managed<H>>()) };
    // The last look at the memory may be this one: then its owner is dropped here.
    drop(managed);
}

/// Frees what a capsule holds, unless a consumer has renamed the capsule and thereby taken it.
unsafe extern "C" fn drop_capsule(capsule: *mut ffi::PyObject) {
    // SAFETY: Python passes the capsule that it destroys, and holds the GIL.
    if unsafe { ffi::PyCapsule_IsValid(capsule, NAME.as_ptr()) } == 1 {
        // SAFETY: the name says that the content is still there.
        let head = unsafe { ffi::PyCapsule_GetPointer(capsule, NAME.as_ptr()) };
        // SAFETY: a capsule of this name with this destructor was made by `capsule`, and nobody has taken its content.
        unsafe { delete::<DLManagedTensor>(head.cast()) };
    }
}

/// As [`drop_capsule`], for the structure with a version.
unsafe extern "C" fn drop_capsule_versioned(capsule: *mut ffi::PyObject) {
    // SAFETY: as in `drop_capsule`.
    if unsafe { ffi::PyCapsule_IsValid(capsule, NAME_VERSIONED.as_ptr()) } == 1 {
        // SAFETY: as in `drop_capsule`.
        let head = unsafe { ffi::PyCapsule_GetPointer(capsule, NAME_VERSIONED.as_ptr()) };
        // SAFETY: as in `drop_capsule`, made by `capsule_versioned`.
        unsafe { delete::<DLManagedTensorVersioned>(head.cast()) };
    }
}

fn capsule<'py>(py: Python<'py>, tensor: &Tensor) -> PyResult<Bound<'py, PyCapsule>> {
    let head = Managed::leak(tensor, |dl_tensor| DLManagedTensor {
        dl_tensor,
        manager_ctx: std::ptr::null_mut(),
        deleter: Some(delete::<DLManagedTensor>),
    });
    // SAFETY: the pointer is of a `DLManagedTensor` that lives until `drop_capsule` or the consumer deletes it. The destructor runs with the
    // GIL and needs no particular thread.
    unsafe { PyCapsule::new_with_pointer_and_destructor(py, head, NAME, Some(drop_capsule)) }
        // SAFETY: `leak` made it, and no capsule has it.
        .inspect_err(|_| unsafe { delete::<DLManagedTensor>(head.as_ptr().cast()) })
}

fn capsule_versioned<'py>(py: Python<'py>, tensor: &Tensor, flags: u64) -> PyResult<Bound<'py, PyCapsule>> {
    let head = Managed::leak(tensor, |dl_tensor| DLManagedTensorVersioned {
        version: VERSION,
        manager_ctx: std::ptr::null_mut(),
        deleter: Some(delete::<DLManagedTensorVersioned>),
        flags,
        dl_tensor,
    });
    // SAFETY: as in `capsule`.
    unsafe { PyCapsule::new_with_pointer_and_destructor(py, head, NAME_VERSIONED, Some(drop_capsule_versioned)) }
        // SAFETY: as in `capsule`.
        .inspect_err(|_| unsafe { delete::<DLManagedTensorVersioned>(head.as_ptr().cast()) })
}

#[pymethods]
impl Tensor {
    /// The sides, outermost first.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    /// Name of the element type, as NumPy and torch write it.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.element.as_str()
    }

    /// Number of bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.memory.num_bytes
    }

    fn __len__(&self) -> PyResult<usize> {
        let first = self.shape.first().map(|&side| side as usize);
        first.ok_or_else(|| PyTypeError::new_err("len() of a tensor without axes"))
    }

    fn __repr__(&self) -> String {
        let sides: Vec<_> = self.shape.iter().map(ToString::to_string).collect();
        // As Python writes a tuple of one.
        let comma = if sides.len() == 1 { "," } else { "" };
        format!("framefeed.Tensor(shape=({}{comma}), dtype={})", sides.join(", "), self.element.as_str())
    }

    /// The same memory as a NumPy array.
    ///
    /// Raises:
    ///     ImportError: NumPy is not installed. Indexing and arithmetic need it as well.
    ///     UnsupportedError: the dtype is bfloat16, which NumPy lacks.
    pub(crate) fn numpy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if slf.get().element == Element::Bfloat16 {
            return Err(unsupported(
                "numpy has no bfloat16: use torch.from_dlpack, or ask for dtype=\"float32\" or \"float16\"",
            ));
        }
        let numpy = slf.py().import("numpy");
        let numpy = numpy.map_err(|error| needs(slf.py(), error, "an array of a Tensor", "numpy", "numpy"))?;
        numpy.call_method1("from_dlpack", (slf,))
    }

    /// The same memory as a torch tensor.
    ///
    /// Raises:
    ///     ImportError: torch is not installed.
    fn torch<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let torch = slf.py().import("torch");
        let torch = torch.map_err(|error| needs(slf.py(), error, "Tensor.torch()", "torch", "torch"))?;
        torch.call_method1("from_dlpack", (slf,))
    }

    /// Number of axes.
    #[getter]
    fn ndim(&self) -> usize {
        self.shape.len()
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = Self::numpy(slf)?;
        let options = PyDict::new(slf.py());
        match dtype {
            Some(dtype) if !array.getattr("dtype")?.eq(dtype)? => {
                if copy == Some(false) {
                    return Err(pyo3::exceptions::PyValueError::new_err("a change of dtype needs a copy"));
                }
                array.call_method1("astype", (dtype,))
            }
            _ if copy == Some(true) => array.call_method("copy", (), Some(&options)),
            _ => Ok(array),
        }
    }

    /// A capsule: `dltensor_versioned` where `max_version` is 1.0 or later, else `dltensor`.
    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<i64>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        if stream.is_some_and(|stream| stream != -1) {
            return Err(PyBufferError::new_err("a tensor in host memory has no stream"));
        }
        if dl_device.is_some_and(|device| device != (DEVICE_CPU, 0)) {
            return Err(PyBufferError::new_err("the tensor is in host memory, (1, 0)"));
        }
        let copied = (copy == Some(true)).then(|| py.detach(|| self.copy_of()));
        let tensor = copied.as_ref().unwrap_or(self);
        match max_version {
            Some((major, _)) if major >= VERSION.major => {
                capsule_versioned(py, tensor, if copied.is_some() { FLAG_IS_COPIED } else { 0 })
            }
            _ => capsule(py, tensor),
        }
    }

    /// `(1, 0)`: host memory.
    #[expect(clippy::unused_self, reason = "a method in Python")]
    fn __dlpack_device__(&self) -> (i32, i32) {
        (DEVICE_CPU, 0)
    }
}
