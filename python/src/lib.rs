//! The Python module of framefeed, on the crate's public API alone: arguments in, errors and arrays out, the GIL let go while
//! waiting. `python/framefeed/_framefeed.pyi` documents what Python sees.

mod arguments;
mod array;
mod batch;
mod chunks;
mod column;
mod convert;
mod dataset;
mod decode;
mod dlpack;
mod errors;
mod json;
mod loader;
mod options;
mod process;
mod record;
mod tensor_operators;
mod wait;
mod window;
mod writer;

use pyo3::prelude::*;

#[pymodule]
mod _framefeed {
    #[pymodule_export]
    use crate::chunks::PyChunks;
    #[pymodule_export]
    use crate::convert::convert;
    #[pymodule_export]
    use crate::dataset::PyDataset;
    #[pymodule_export]
    use crate::dlpack::Tensor;
    #[pymodule_export]
    use crate::loader::{PyBatches, PyLoader};
    #[pymodule_export]
    use crate::record::PyRecord;
    #[pymodule_export]
    use crate::window::PyWindow;
    #[pymodule_export]
    use crate::writer::PyWriter;
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
