//! Export of a run's network as ONNX.

use std::path::Path;

use crate::base::write_atomically;
use crate::nets::onnx::{self, IMAGES, LOGITS};
use crate::nets::weights::ParameterShape;
use crate::run::config::{self, CheckedConfig};
use crate::run::weights_file::ExportReport;
use crate::run::{CheckpointChoice, Failure};
use crate::volume::{Dims, Modality};

/// Writes the inference pass of one of a run's checkpoints as an ONNX file, replacing one that is there.
///
/// Its metadata hold what a caller has to know of the images: channels, axes, preparation and extents.
///
/// # Errors
/// If the folder holds no run, its checkpoint is damaged, its network describes no graph, or the file
/// cannot be written.
pub fn export_onnx(
    run: &Path,
    which: CheckpointChoice,
    file: &Path,
) -> Result<ExportReport, Failure> {
    let config = config::load_run_config(run, &[])?;
    let (folder, step) = which.find_in_run(run)?;
    let graph = config.blueprint.load_for_export(&folder)?.describe_graph()?;
    let is_there = |parameter: &&ParameterShape| {
        graph.initializer.iter().any(|tensor| tensor.name.as_deref() == Some(&parameter.name))
    };
    let shapes = config.blueprint.parameter_shapes();
    let parameters: Vec<&ParameterShape> = shapes.iter().filter(is_there).collect();
    let (tensors, values) =
        (parameters.len(), parameters.iter().map(|parameter| parameter.value_count()).sum());
    let about = format!(
        "{} for brain tumours: {IMAGES} [b, c, d, h, w] to region {LOGITS} [b, k, d, h, w]; axes d, h \
         and w are multiples of {}; see the metadata",
        config.blueprint.name(),
        config.blueprint.patch_divisor(),
    );
    let bytes = onnx::encode_model(graph, &about, &describe_use(&config, step));
    write_atomically(file, &bytes)?;
    Ok(ExportReport {
        model: config.blueprint.name().to_owned(),
        step,
        tensors,
        parameters: values,
        bytes: bytes.len(),
    })
}

/// Texts on a network's channels, axes and images, by key (docs/export.md).
fn describe_use(config: &CheckedConfig, step: u64) -> Vec<(&'static str, String)> {
    let channels = config.blueprint.run_channels();
    let data = &config.run.data;
    let modalities: Vec<&str> = channels.modalities.iter().map(Modality::name).collect();
    let regions: Vec<&str> = channels.regions.region_names().collect();
    let Dims(patch) = config.run.crop.patch;
    let spacing = data.spacing.map_or("that of the images".to_owned(), join_numbers);
    vec![
        ("modalities", modalities.join(",")),
        ("regions", regions.join(",")),
        ("axes", "zyx".to_owned()),
        ("orientation", "LPS".to_owned()),
        ("normalisation", describe_normalisation(config)),
        ("spacing_mm_xyz", spacing),
        ("patch", join_numbers(patch)),
        ("patch_divisor", config.blueprint.patch_divisor().to_string()),
        ("network", config.blueprint.name().to_owned()),
        ("settings", config.blueprint.settings().to_string()),
        ("step", step.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

fn describe_normalisation(config: &CheckedConfig) -> String {
    let rule = String::from(config.run.data.foreground.clone());
    format!(
        "z-score of each modality over its tissue (foreground rule: {rule}), with the population's \
         standard deviation; background is 0"
    )
}

fn join_numbers<T: ToString, const N: usize>(numbers: [T; N]) -> String {
    numbers.map(|number| number.to_string()).join(",")
}
