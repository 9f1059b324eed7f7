//! Indexing and arithmetic of [`Tensor`]: those of the NumPy array over the same memory. Results are NumPy's own.

use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyImportError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use crate::dlpack::Tensor;

type Array<'py> = PyResult<Bound<'py, PyAny>>;

#[pymethods]
impl Tensor {
    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.get_item(key)
    }

    fn __setitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::numpy(slf)?.set_item(key, value)
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> Array<'py> {
        Ok(Self::numpy(slf)?.try_iter()?.into_any())
    }

    fn __richcmp__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>, op: CompareOp) -> Array<'py> {
        let py = slf.py();
        match Self::numpy(slf) {
            // Without NumPy `==` is that of all objects, so that `tensor == None` and `tensor in batches` have an
            // answer.
            Err(error) if matches!(op, CompareOp::Eq | CompareOp::Ne) && error.is_instance_of::<PyImportError>(py) => {
                Ok(py.NotImplemented().into_bound(py))
            }
            array => array?.rich_compare(other, op),
        }
    }

    /// Of one element; of several it would be a guess, as NumPy says.
    fn __bool__(slf: &Bound<'_, Self>) -> PyResult<bool> {
        if slf.get().num_elements() > 1 {
            let message = "a tensor of more than one element is neither true nor false: use .numpy().any() or .all()";
            return Err(PyValueError::new_err(message));
        }
        Self::numpy(slf)?.is_truthy()
    }

    fn __float__<'py>(slf: &Bound<'py, Self>) -> Array<'py> {
        slf.py().get_type::<PyFloat>().call1((Self::numpy(slf)?,))
    }

    fn __int__<'py>(slf: &Bound<'py, Self>) -> Array<'py> {
        slf.py().get_type::<PyInt>().call1((Self::numpy(slf)?,))
    }

    /// By identity: `==` compares elements, as of an array, and a tensor may still be a key.
    fn __hash__(slf: &Bound<'_, Self>) -> isize {
        slf.as_ptr() as isize
    }

    fn __add__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.add(other)
    }

    fn __radd__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.add(Self::numpy(slf)?)
    }

    fn __sub__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.sub(other)
    }

    fn __rsub__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.sub(Self::numpy(slf)?)
    }

    fn __mul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.mul(other)
    }

    fn __rmul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.mul(Self::numpy(slf)?)
    }

    fn __truediv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.div(other)
    }

    fn __rtruediv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.div(Self::numpy(slf)?)
    }

    fn __floordiv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.floor_div(other)
    }

    fn __rfloordiv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.floor_div(Self::numpy(slf)?)
    }

    fn __mod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.rem(other)
    }

    fn __rmod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.rem(Self::numpy(slf)?)
    }

    fn __pow__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        modulo: Option<&Bound<'py, PyAny>>,
    ) -> Array<'py> {
        Self::numpy(slf)?.pow(other, modulo)
    }

    fn __rpow__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        modulo: Option<&Bound<'py, PyAny>>,
    ) -> Array<'py> {
        other.pow(Self::numpy(slf)?, modulo)
    }

    fn __matmul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.matmul(other)
    }

    fn __rmatmul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.matmul(Self::numpy(slf)?)
    }

    fn __and__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.bitand(other)
    }

    fn __rand__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.bitand(Self::numpy(slf)?)
    }

    fn __or__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.bitor(other)
    }

    fn __ror__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.bitor(Self::numpy(slf)?)
    }

    fn __xor__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.bitxor(other)
    }

    fn __rxor__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.bitxor(Self::numpy(slf)?)
    }

    fn __lshift__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.lshift(other)
    }

    fn __rlshift__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.lshift(Self::numpy(slf)?)
    }

    fn __rshift__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.rshift(other)
    }

    fn __rrshift__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.rshift(Self::numpy(slf)?)
    }

    fn __divmod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        Self::numpy(slf)?.divmod(other)
    }

    fn __rdivmod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Array<'py> {
        other.divmod(Self::numpy(slf)?)
    }

    fn __invert__<'py>(slf: &Bound<'py, Self>) -> Array<'py> {
        Self::numpy(slf)?.bitnot()
    }

    fn __pos__<'py>(slf: &Bound<'py, Self>) -> Array<'py> {
        Self::numpy(slf)?.pos()
    }

    fn __neg__<'py>(slf: &Bound<'py, Self>) -> Array<'py> {
        Self::numpy(slf)?.neg()
    }

    fn __abs__<'py>(slf: &Bound<'py, Self>) -> Array<'py> {
        Self::numpy(slf)?.abs()
    }
}
