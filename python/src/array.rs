//! Arrays of other libraries as tensors to be stored: by DLPack, or by the buffer protocol where an array has no DLPack. Their
//! elements are copied at once, with the GIL held, so that nobody changes them between two looks.
#![expect(unsafe_code, reason = "DLPack is a C interface of raw pointers")]

use framefeed::{NewTensor, TensorType};
use pyo3::exceptions::{PyException, PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyMapping};
use std::ffi::CStr;
use std::ptr::NonNull;

use crate::arguments::name_in;
use crate::dlpack::{
    DEVICE_CPU, DLDataType, DLManagedTensor, DLManagedTensorVersioned, DLTensor, NAME, NAME_VERSIONED, VERSION,
};
use crate::errors::{invalid, unsupported};

/// `kDLCUDAHost`: host memory that a GPU sees.
const DEVICE_CUDA_HOST: i32 = 3;

/// An array as the field `name`: whatever speaks DLPack in host memory, or the buffer protocol.
pub(crate) fn new_tensor(name: &str, array: &Bound<'_, PyAny>) -> PyResult<NewTensor> {
    let named = |error: PyErr| invalid(format!("field '{name}': {}", error.value(array.py())));
    let refusal = match by_dlpack(array) {
        Ok(Some(tensor)) => return Ok(named_tensor(name, tensor)),
        Ok(None) => None,
        Err(error) if is_refusal(array.py(), &error) => Some(error),
        Err(error) => return Err(error),
    };
    // Read-only arrays and bfloat16 of `ml_dtypes` are refused by some versions of NumPy's DLPack, and come this way.
    match by_buffer(array) {
        Ok(tensor) => Ok(named_tensor(name, tensor)),
        Err(error) if is_refusal(array.py(), &error) => Err(named(refusal.unwrap_or(error))),
        Err(error) => Err(error),
    }
}

/// The arrays of a mapping, by the names of their fields. `what` is the mapping's name.
pub(crate) fn new_tensors(what: &str, arrays: &Bound<'_, PyMapping>) -> PyResult<Vec<NewTensor>> {
    let mut tensors = Vec::new();
    for item in arrays.items()? {
        let (name, array): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        tensors.push(new_tensor(&name_in(what, &name)?, &array)?);
    }
    Ok(tensors)
}

/// Whether an error is about the array; else it is a Ctrl-C, the end of the program or of memory, and goes on as it is.
pub(crate) fn is_refusal(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py) && !error.is_instance_of::<PyMemoryError>(py)
}

fn named_tensor(name: &str, (dtype, shape, data): Elements) -> NewTensor {
    NewTensor { name: name.to_owned(), dtype, shape, data: data.into() }
}

/// Type, axes, and the elements in C order.
type Elements = (TensorType, Vec<u64>, Vec<u8>);

/// `None` where the array does not speak DLPack.
fn by_dlpack(array: &Bound<'_, PyAny>) -> PyResult<Option<Elements>> {
    if !array.hasattr("__dlpack__")? || !array.hasattr("__dlpack_device__")? {
        return Ok(None);
    }
    let (device, number): (i32, i32) = array.call_method0("__dlpack_device__")?.extract()?;
    if device != DEVICE_CPU && device != DEVICE_CUDA_HOST {
        return Err(invalid(format!("the array is on device ({device}, {number}): copy it to host memory first")));
    }
    let options = PyDict::new(array.py());
    options.set_item("max_version", (VERSION.major, VERSION.minor))?;
    let capsule = match array.call_method("__dlpack__", (), Some(&options)) {
        // Older libraries do not know the argument.
        Err(error) if error.is_instance_of::<PyTypeError>(array.py()) => array.call_method0("__dlpack__")?,
        other => other?,
    };
    // Not renamed, the capsule still owns its content, and frees it when it goes.
    elements(capsule.cast::<PyCapsule>()?).map(Some)
}

fn elements(capsule: &Bound<'_, PyCapsule>) -> PyResult<Elements> {
    if capsule.is_valid_checked(Some(NAME_VERSIONED)) {
        let head = pointer::<DLManagedTensorVersioned>(capsule, NAME_VERSIONED)?;
        // SAFETY: a capsule of this name holds such a structure, whose first field is the version in all versions to come.
        let version = unsafe { &(*head.as_ptr()).version };
        if version.major != VERSION.major {
            return Err(unsupported(format!("DLPack of version {}.{}", version.major, version.minor)));
        }
        // SAFETY: as above; of this major version the structure has this layout. It lives as long as the capsule.
        return dense(unsafe { &(*head.as_ptr()).dl_tensor });
    }
    let head = pointer::<DLManagedTensor>(capsule, NAME)?;
    // SAFETY: a capsule of this name holds such a structure, which lives as long as the capsule.
    dense(unsafe { &(*head.as_ptr()).dl_tensor })
}

fn pointer<T>(capsule: &Bound<'_, PyCapsule>, name: &CStr) -> PyResult<NonNull<T>> {
    capsule.pointer_checked(Some(name)).map(NonNull::cast)
}

/// Copies the elements of a tensor in host memory.
fn dense(tensor: &DLTensor) -> PyResult<Elements> {
    // What `__dlpack_device__` said is a claim of Python code.
    if ![DEVICE_CPU, DEVICE_CUDA_HOST].contains(&tensor.device.device_type) {
        return Err(invalid("the array is not in host memory"));
    }
    let dtype = tensor_type(&tensor.dtype)?;
    let axes = usize::try_from(tensor.ndim).map_err(|_| invalid("a tensor of fewer than 0 axes"))?;
    // SAFETY: DLPack's contract: `shape` points to `ndim` numbers.
    let shape = unsafe { numbers(tensor.shape, axes) }
        .iter()
        .map(|&side| u64::try_from(side).map_err(|_| invalid(format!("a tensor with a side of {side}"))))
        .collect::<PyResult<Vec<u64>>>()?;
    let num_bytes = dtype.num_bytes(&shape).map_err(crate::errors::raise)?;
    let mut strides = row_major(&shape);
    if !tensor.strides.is_null() {
        // SAFETY: DLPack's contract: where it is not null, `strides` points to `ndim` numbers.
        strides.copy_from_slice(unsafe { numbers(tensor.strides, axes) });
    }
    let mut data = Vec::new();
    let reserved = usize::try_from(num_bytes).is_ok_and(|bytes| data.try_reserve_exact(bytes).is_ok());
    if !reserved {
        let message = format!("there is no memory for {num_bytes} bytes");
        return Err(crate::errors::raise(framefeed::Error::new(framefeed::ErrorKind::OutOfMemory, message)));
    }
    if num_bytes > 0 {
        let first = tensor.data.cast::<u8>().wrapping_add(tensor.byte_offset as usize);
        // SAFETY: DLPack's contract: the elements that shape and strides give lie in memory that lives as long as `tensor`; it is
        // host memory, as the structure itself says.
        unsafe { copy(first, &shape, &strides, dtype.size_bytes(), &mut data) };
    }
    Ok((dtype, shape, data))
}

/// `count` numbers of the structure, or none.
///
/// # Safety
/// `first` points to `count` numbers that live as long as the result, unless `count` is 0.
unsafe fn numbers<'a>(first: *const i64, count: usize) -> &'a [i64] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// Appends the elements in C order.
///
/// # Safety
/// The elements that `shape` (without a 0) and `strides` give from `first` on are readable, `size` bytes each.
unsafe fn copy(first: *const u8, shape: &[u64], strides: &[i64], size: usize, out: &mut Vec<u8>) {
    if is_dense(shape, strides) {
        let count = shape.iter().product::<u64>() as usize;
        // SAFETY: dense elements follow each other, and all are readable by the caller's promise.
        out.extend_from_slice(unsafe { std::slice::from_raw_parts(first, count * size) });
        return;
    }
    let (Some((&side, inner)), Some((&stride, strides))) = (shape.split_first(), strides.split_first()) else { return };
    for number in 0..side as isize {
        let part = first.wrapping_offset(number * stride as isize * size as isize);
        // SAFETY: the elements of a part are among those of the whole.
        unsafe { copy(part, inner, strides, size, out) };
    }
}

/// True where the elements follow each other in C order. Strides of sides of 1 mean nothing.
fn is_dense(shape: &[u64], strides: &[i64]) -> bool {
    shape.iter().zip(strides).zip(row_major(shape)).all(|((&side, &stride), dense)| side == 1 || stride == dense)
}

fn row_major(shape: &[u64]) -> Vec<i64> {
    let mut strides = vec![1_i64; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1) as i64);
    }
    strides
}

fn tensor_type(dtype: &DLDataType) -> PyResult<TensorType> {
    // kDLInt 0, kDLUInt 1, kDLFloat 2, kDLBfloat 4, kDLBool 6.
    Ok(match (dtype.code, dtype.bits, dtype.lanes) {
        (0, 8, 1) => TensorType::Int8,
        (0, 16, 1) => TensorType::Int16,
        (0, 32, 1) => TensorType::Int32,
        (0, 64, 1) => TensorType::Int64,
        (1, 8, 1) => TensorType::UInt8,
        (1, 16, 1) => TensorType::UInt16,
        (1, 32, 1) => TensorType::UInt32,
        (1, 64, 1) => TensorType::UInt64,
        (2, 16, 1) => TensorType::Float16,
        (2, 32, 1) => TensorType::Float32,
        (2, 64, 1) => TensorType::Float64,
        (4, 16, 1) => TensorType::Bfloat16,
        (6, 8, 1) => TensorType::Bool,
        (code, bits, lanes) => {
            return Err(no_such_type(&format!("DLPack code {code} of {bits} bits and {lanes} lanes")));
        }
    })
}

fn no_such_type(what: &str) -> PyErr {
    let known = TensorType::ALL.map(TensorType::name).join(", ");
    invalid(format!("the elements are {what}, expected one of {known}"))
}

/// Through a memoryview, which gives the elements in C order whatever the array's own order is.
fn by_buffer(array: &Bound<'_, PyAny>) -> PyResult<Elements> {
    let py = array.py();
    let name = array.getattr("dtype").and_then(|dtype| dtype.getattr("name")?.extract::<String>());
    let is_bfloat16 = name.is_ok_and(|name| name == "bfloat16");
    let array = if is_bfloat16 { &array.call_method1("view", ("uint16",))? } else { array };
    let view = py.import("builtins")?.getattr("memoryview")?.call1((array,)).map_err(|_| {
        let kind = array.get_type();
        invalid(format!("{kind} is no array: expected one that speaks DLPack or the buffer protocol"))
    })?;
    let format: String = view.getattr("format")?.extract()?;
    let dtype = match buffer_type(&format, view.getattr("itemsize")?.extract()?)? {
        TensorType::UInt16 if is_bfloat16 => TensorType::Bfloat16,
        other => other,
    };
    Ok((dtype, view.getattr("shape")?.extract()?, view.call_method0("tobytes")?.extract()?))
}

/// A format of the `struct` module.
fn buffer_type(format: &str, size: usize) -> PyResult<TensorType> {
    let unknown = || no_such_type(&format!("of format '{format}'"));
    let plain = match format.as_bytes() {
        [b'@' | b'=' | b'<', plain] | [plain] => *plain,
        [b'>' | b'!', plain] if size == 1 => *plain,
        _ => return Err(unknown()),
    };
    Ok(match (plain, size) {
        (b'?', 1) => TensorType::Bool,
        (b'b', 1) => TensorType::Int8,
        (b'B', 1) => TensorType::UInt8,
        (b'h', 2) => TensorType::Int16,
        (b'H', 2) => TensorType::UInt16,
        (b'i' | b'l', 4) => TensorType::Int32,
        (b'I' | b'L', 4) => TensorType::UInt32,
        (b'l' | b'q', 8) => TensorType::Int64,
        (b'L' | b'Q', 8) => TensorType::UInt64,
        (b'e', 2) => TensorType::Float16,
        (b'f', 4) => TensorType::Float32,
        (b'd', 8) => TensorType::Float64,
        _ => return Err(unknown()),
    })
}
