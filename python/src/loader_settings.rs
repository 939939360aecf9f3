//! Settings of a loader as the Python package hands them over, in JSON.

use std::path::PathBuf;
use std::sync::Arc;

use gliaflow::internals::augment::{AugmentConfig, AugmentProfile};
use gliaflow::internals::cache::PreprocessConfig;
use gliaflow::internals::pipeline::WorkerPlan;
use gliaflow::internals::volume::LabelScheme;
use gliaflow::prelude::{Loader, LoaderBuilder, LoaderPosition};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::batch_arrays::{ImageType, LabelContent};

/// Samples that could not be made: the item and the error.
pub(crate) type SkippedSamples = Arc<Mutex<Vec<(String, String)>>>;

/// Settings of a loader.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoaderSettings {
    data: PathBuf,
    cache: Option<PathBuf>,
    patch: [usize; 3],
    batch: usize,
    seed: u64,
    pub(crate) image: ImageType,
    pub(crate) label: LabelContent,
    augment: Value,
    patches_per_case: u64,
    foreground_share: f64,
    prefetch: usize,
    memory_mib: usize,
    workers: Option<WorkerPlan>,
    cases: Option<Vec<String>>,
    description: Option<PathBuf>,
    label_scheme: Option<LabelScheme>,
    preprocess: Option<PreprocessConfig>,
}

impl LoaderSettings {
    pub(crate) fn from_json(text: &str) -> PyResult<Self> {
        serde_json::from_str(text).map_err(|error| value_error(&error))
    }

    /// Builder of the loader from `position` on; `skipped` gets the samples that could not be made.
    pub(crate) fn to_builder(
        &self,
        position: LoaderPosition,
        skipped: SkippedSamples,
    ) -> PyResult<LoaderBuilder> {
        let mut builder = Loader::builder(&self.data)
            .patch(self.patch)
            .batch(self.batch)
            .seed(self.seed)
            .augment(augmentation(&self.augment)?)
            .patches_per_case(self.patches_per_case)
            .foreground_share(self.foreground_share)
            .prefetch(self.prefetch)
            .memory_mib(self.memory_mib)
            .resume_at(position)
            .on_skip(move |skip| {
                skipped.lock().push((skip.item.to_string(), skip.error.to_string()));
            });
        builder = match &self.cache {
            Some(folder) => builder.cache(folder),
            None => builder.without_cache(),
        };
        if let Some(workers) = self.workers.clone() {
            builder = builder.workers(workers);
        }
        if let Some(names) = &self.cases {
            builder = builder.cases(names);
        }
        if let Some(file) = &self.description {
            builder = builder.description(file);
        }
        if let Some(scheme) = self.label_scheme {
            builder = builder.labels(scheme);
        }
        if let Some(preprocess) = self.preprocess.clone() {
            builder = builder.preprocess(preprocess);
        }
        Ok(builder)
    }
}

fn value_error(error: &serde_json::Error) -> PyErr {
    PyValueError::new_err(format!("{error}; docs/settings.md lists names and ranges"))
}

/// Augmentation of a profile's name, or of settings over those of their profile.
fn augmentation(given: &Value) -> PyResult<AugmentConfig> {
    let of_name = |name: &Value| {
        serde_json::from_value::<AugmentProfile>(name.clone()).map(AugmentProfile::augment_config)
    };
    match given {
        Value::String(name) if name == "light" => Ok(AugmentConfig::light_profile()),
        Value::String(name) if name == "full" => Ok(AugmentConfig::full_profile()),
        Value::Object(settings) => {
            let profile = settings.get("profile").map(of_name).transpose();
            let start = profile.map_err(|error| value_error(&error))?.unwrap_or_default();
            let start = serde_json::to_value(start).map_err(|error| value_error(&error))?;
            let Value::Object(mut merged) = start else { return Ok(AugmentConfig::default()) };
            lay_over(&mut merged, settings);
            let merged = serde_json::from_value(Value::Object(merged));
            merged.map_err(|error| value_error(&error))
        }
        name => of_name(name).map_err(|error| value_error(&error)),
    }
}

/// Lays settings over others, section by section.
fn lay_over(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (name, value) in over {
        match (under.get_mut(name), value) {
            (Some(Value::Object(section)), Value::Object(own)) => lay_over(section, own),
            _ => {
                under.insert(name.clone(), value.clone());
            }
        }
    }
}
