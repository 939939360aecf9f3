//! Native half of the Python package `gliaflow`: it turns batches of [`gliaflow::embed::Loader`] into
//! arrays that share the loader's memory. What a user sees is in `python/gliaflow`.

mod array;
mod batch_arrays;
mod dlpack;
mod errors;
mod loader;
mod loader_settings;
mod loader_thread;
mod pooled;
mod scoring;

use pyo3::prelude::*;

/// Native half of the package gliaflow.
#[pymodule]
mod _gliaflow {
    #[pymodule_export]
    use crate::array::Array;
    #[pymodule_export]
    use crate::errors::DataError;
    #[pymodule_export]
    use crate::loader::BatchStream;
    #[pymodule_export]
    use crate::scoring::{score_files, score_labels};

    use super::*;
    use gliaflow::prelude::write_phantom_cases;
    use std::path::PathBuf;

    /// Writes phantom cases, to try the package without data; returns their names.
    #[pyfunction]
    fn write_phantoms(
        py: Python<'_>,
        folder: PathBuf,
        cases: u64,
        shape: [usize; 3],
    ) -> PyResult<Vec<String>> {
        let written = py.detach(|| write_phantom_cases(folder, cases, shape));
        let ids = written.map_err(crate::errors::to_python_error)?;
        Ok(ids.iter().map(|id| id.as_str().to_owned()).collect())
    }
}
