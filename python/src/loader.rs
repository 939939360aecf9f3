//! Stream of batches for Python: what `gliaflow.Loader` is made of.

use gliaflow::internals::pipeline::Batch;
use gliaflow::prelude::{Failure, LoaderPosition};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch_arrays::BatchForm;
use crate::errors::to_python_error;
use crate::loader_settings::{LoaderSettings, SkippedSamples};
use crate::loader_thread::{LoaderFacts, LoaderThread, Waited};

/// Stream of batches as dicts; gliaflow.Loader is its documented front.
#[pyclass(frozen, module = "gliaflow")]
pub(crate) struct BatchStream {
    form: BatchForm,
    facts: LoaderFacts,
    skipped: SkippedSamples,
    process: u32,
    /// Locked for a span at a time, and never while Python's lock is waited for.
    thread: Mutex<Option<LoaderThread>>,
}

impl BatchStream {
    /// Waits for the next batch, without Python's lock; `None` at the end.
    fn next_batch(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        self.check_process()?;
        loop {
            let waited = py.detach(|| match &mut *self.thread.lock() {
                Some(thread) => thread.wait_for_batch().map(Some),
                None => Ok(None),
            });
            match waited.map_err(to_python_error)? {
                Some(Waited::Batch(batch)) => return Ok(Some(batch)),
                Some(Waited::End) => return Ok(None),
                Some(Waited::NotYet) => py.check_signals()?,
                None => {
                    let text = "the loader is closed; make another, and load its state_dict()";
                    return Err(PyRuntimeError::new_err(text));
                }
            }
        }
    }

    fn check_process(&self) -> PyResult<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        let text = "the loader belongs to the process that made it, and this one was forked off; \
                    iterate over it in the process that trains (it has threads of its own: give \
                    it to no torch DataLoader with workers)";
        Err(PyRuntimeError::new_err(text))
    }
}

#[pymethods]
impl BatchStream {
    #[new]
    #[pyo3(signature = (settings, next_sample=0, next_batch=0))]
    fn new(py: Python<'_>, settings: &str, next_sample: u64, next_batch: u64) -> PyResult<Self> {
        let settings = LoaderSettings::from_json(settings)?;
        let position = LoaderPosition { next_sample, next_batch };
        let skipped = SkippedSamples::default();
        let builder = settings.to_builder(position, skipped.clone())?;
        let started = LoaderThread::start(builder, position);
        let mut thread = started.map_err(|fault| to_python_error(Failure::Run(fault)))?;
        let facts = loop {
            let (back, waited) = py.detach(move || {
                let waited = thread.wait_for_start();
                (thread, waited)
            });
            thread = back;
            if let Some(facts) = waited.map_err(to_python_error)? {
                break facts;
            }
            if let Err(interrupt) = py.check_signals() {
                py.detach(|| drop(thread));
                return Err(interrupt);
            }
        };
        Ok(Self {
            form: BatchForm::new(settings.image, settings.label, facts.channels),
            facts,
            skipped,
            process: std::process::id(),
            thread: Mutex::new(Some(thread)),
        })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(batch) = self.next_batch(py)? else { return Ok(None) };
        let Batch { images, labels, dims, number, keys, provenance, .. } = batch;
        let (image, label) = py
            .detach(|| (self.form.image_array(images, dims), self.form.label_array(labels, dims)));
        let entries = PyDict::new(py);
        entries.set_item("image", Bound::new(py, image)?)?;
        entries.set_item("label", Bound::new(py, label)?)?;
        let cases: Vec<&str> = provenance.iter().map(|from| from.case.as_str()).collect();
        entries.set_item("case", cases)?;
        let places: Vec<(u64, u64)> = keys.iter().map(|key| (key.epoch, key.index)).collect();
        entries.set_item("key", places)?;
        entries.set_item("number", number)?;
        Ok(Some(entries))
    }

    /// Sample and batch behind the last one taken.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        let position = py.detach(|| self.thread.lock().as_ref().map(|thread| thread.position));
        let closed = || PyRuntimeError::new_err("the loader is closed; take its state before");
        position.map(|at| (at.next_sample, at.next_batch)).ok_or_else(closed)
    }

    #[getter]
    fn samples_per_epoch(&self) -> u64 {
        self.facts.samples_per_epoch
    }

    #[getter]
    fn cases(&self) -> Vec<String> {
        self.facts.cases.clone()
    }

    #[getter]
    fn cases_fingerprint(&self) -> String {
        self.facts.cases_fingerprint()
    }

    #[getter]
    fn excluded(&self) -> Vec<(String, String)> {
        self.facts.excluded.clone()
    }

    #[getter]
    fn skipped(&self) -> Vec<(String, String)> {
        self.skipped.lock().clone()
    }

    #[getter]
    fn label_values(&self) -> Vec<(u8, u8)> {
        self.facts.label_values.clone()
    }

    #[getter]
    fn modalities(&self) -> Vec<&'static str> {
        self.facts.channels.modalities.iter().map(|modality| modality.name()).collect()
    }

    #[getter]
    fn regions(&self) -> Vec<&'static str> {
        self.facts.channels.regions.region_names().collect()
    }

    /// Ends the loader and its threads.
    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            if let Some(thread) = self.thread.lock().take() {
                end_thread(thread, self.process);
            }
        });
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.get_mut().take() {
            end_thread(thread, self.process);
        }
    }
}

fn end_thread(thread: LoaderThread, process: u32) {
    match process == std::process::id() {
        true => drop(thread),
        false => thread.forget(),
    }
}
