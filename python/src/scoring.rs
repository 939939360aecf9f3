//! Scores for Python, of label files or of labels in memory; the documents are those of
//! `gliaflow score --json`.

use std::path::PathBuf;

use gliaflow::internals::eval::{ByRegion, Hd95, LesionRules, PostProcess, score_case};
use gliaflow::internals::run::tools::score::ScoreRequest;
use gliaflow::internals::volume::{CaseId, Dims, LabelScheme, label};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Deserialize;

use crate::errors::to_python_error;

/// Options of a score of files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOptions {
    labels: Option<LabelScheme>,
    truth_labels: Option<LabelScheme>,
    prediction_labels: Option<LabelScheme>,
    description: Option<PathBuf>,
    ignore_affine: bool,
    hd95: String,
    lesion_wise: bool,
}

/// Scores label files; options and document are JSON.
#[pyfunction]
pub(crate) fn score_files(
    py: Python<'_>,
    truth: PathBuf,
    prediction: PathBuf,
    options: &str,
) -> PyResult<String> {
    let parsed: Result<FileOptions, _> = serde_json::from_str(options);
    let options = parsed.map_err(|error| PyValueError::new_err(error.to_string()))?;
    let request = ScoreRequest {
        labels: options.labels,
        truth_labels: options.truth_labels,
        prediction_labels: options.prediction_labels,
        description: options.description,
        ignore_affine: options.ignore_affine,
        hd95: to_hd95(&options.hd95)?,
        lesions: LesionRules::choose(options.lesion_wise, None),
        ..ScoreRequest::new(truth, prediction)
    };
    let scored = py.detach(|| {
        request.score_files(|regions| {
            let smallest_component = ByRegion::of_regions(regions, |_| 0);
            Ok(PostProcess { smallest_component, smallest_et: 0 })
        })
    });
    to_json(&scored.map_err(to_python_error)?)
}

/// Scores labels `[d, h, w]` in memory against true ones; the document is JSON.
#[pyfunction]
#[pyo3(signature = (truth, prediction, spacing_mm, labels, hd95))]
pub(crate) fn score_labels(
    py: Python<'_>,
    truth: PyBuffer<u8>,
    prediction: PyBuffer<u8>,
    spacing_mm: [f64; 3],
    labels: Option<&str>,
    hd95: &str,
) -> PyResult<String> {
    let &[d, h, w] = truth.shape() else {
        let text = format!("truth: has {} axes; give one case, [d, h, w]", truth.dimensions());
        return Err(PyValueError::new_err(text));
    };
    if prediction.shape() != truth.shape() {
        let (own, other) = (truth.shape(), prediction.shape());
        let text =
            format!("prediction: has shape {other:?} and the truth {own:?}; give equal ones");
        return Err(PyValueError::new_err(text));
    }
    let scheme = labels.map(str::parse::<LabelScheme>).transpose();
    let scheme = scheme.map_err(PyValueError::new_err)?;
    let hd95 = to_hd95(hd95)?;
    let truth = to_canonical("truth", truth.to_vec(py)?, scheme)?;
    let prediction = to_canonical("prediction", prediction.to_vec(py)?, scheme)?;
    let regions = scheme.unwrap_or(LabelScheme::Brats2023).default_regions();
    let [z, y, x] = spacing_mm;
    let scored = py.detach(|| {
        let (case, dims) = (CaseId::new("case"), Dims([d, h, w]));
        score_case(regions, hd95, case, &truth, &prediction, dims, [x, y, z])
    });
    to_json(&scored.regions)
}

fn to_hd95(name: &str) -> PyResult<Hd95> {
    name.parse().map_err(|problem| PyValueError::new_err(format!("hd95: {problem}")))
}

fn to_canonical(side: &str, mut labels: Vec<u8>, scheme: Option<LabelScheme>) -> PyResult<Vec<u8>> {
    let meaning = |value: u8| match scheme {
        Some(scheme) => scheme.to_canonical(value),
        None => (value <= label::RC || value == label::IGNORE).then_some(value),
    };
    let table: [Option<u8>; 256] = std::array::from_fn(|value| meaning(value as u8));
    for value in &mut labels {
        *value = table[usize::from(*value)].ok_or_else(|| {
            let name = scheme.map_or("gliaflow", LabelScheme::name);
            PyValueError::new_err(format!(
                "{side}: has the value {value}, which is no label of {name}; say with `labels` what \
                 the values mean"
            ))
        })?;
    }
    Ok(labels)
}

fn to_json(document: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(document).map_err(|error| PyValueError::new_err(error.to_string()))
}
