//! Python exceptions of the library's failures, with their texts.

use gliaflow::internals::run::Failure;
use pyo3::create_exception;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    gliaflow,
    DataError,
    PyRuntimeError,
    "A case, a label file or a dataset cannot be used; the text names the file and the way out."
);

/// Exception of a failure: `ValueError` for an argument, [`DataError`] for data, else `RuntimeError`.
pub(crate) fn to_python_error(failure: Failure) -> PyErr {
    let text = failure.to_string();
    match failure {
        Failure::Usage(_) => PyValueError::new_err(text),
        Failure::Data(_) | Failure::Cases(_) | Failure::TooManySkipped { .. } => {
            DataError::new_err(text)
        }
        _ => PyRuntimeError::new_err(text),
    }
}
