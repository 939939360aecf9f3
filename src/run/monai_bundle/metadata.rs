//! `configs/metadata.json`: what a bundle's network is, takes and gives.

use serde_json::{Map, Value, json};

use super::BundleRun;
use crate::volume::Modality;

/// Schema that MONAI holds the file against (`python -m monai.bundle verify_metadata`).
const SCHEMA: &str = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/\
                      meta_schema_20240725.json";

/// Versions that bundles were loaded with (`scripts/check_monai_bundle.py`).
const MONAI: &str = "1.6.1";
const TORCH: &str = "2.15.0";
const NUMPY: &str = "2.4.6";

pub(super) fn describe_bundle(bundle: &BundleRun<'_>) -> Value {
    let channels = bundle.config.blueprint.run_channels();
    let divisor = bundle.config.blueprint.patch_divisor();
    let extents = vec![format!("{divisor}*n"); 3];
    let inputs = channels.modalities.iter().map(Modality::name);
    let outputs = channels.regions.region_names();
    json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "changelog": { env!("CARGO_PKG_VERSION"): format!("exported after {} steps", bundle.step) },
        "monai_version": MONAI,
        "pytorch_version": TORCH,
        "numpy_version": NUMPY,
        "required_packages_version": { "nibabel": "5.4.2", "pytorch-ignite": "0.5.5" },
        "name": "Brain tumour segmentation, residual U-Net",
        "task": "Segmentation of brain tumours in MRI",
        "description": "Residual U-Net of Myronenko 2018 without its autoencoder, trained with gliaflow",
        "authors": "unnamed; gliaflow exported the weights of a run",
        "copyright": "that of the weights is with who trained them",
        "network_data_format": {
            "inputs": { "image": {
                "type": "image",
                "format": "magnitude",
                "modality": "MR",
                "num_channels": channels.modalities.len(),
                "spatial_shape": extents,
                "dtype": "float32",
                "value_range": [],
                "is_patch_data": true,
                "channel_def": number_channels(inputs),
            } },
            "outputs": { "pred": {
                "type": "image",
                "format": "segmentation",
                "num_channels": channels.regions.len(),
                "spatial_shape": extents,
                "dtype": "float32",
                "value_range": [],
                "is_patch_data": true,
                "channel_def": number_channels(outputs),
            } },
        },
        "gliaflow": {
            "axes": "xyz",
            "orientation": "LPS",
            "outputs": "logits",
            "patch_xyz": super::inference::window_of(bundle),
            "step": bundle.step,
        },
    })
}

/// Names of channels by their numbers, as texts.
fn number_channels(names: impl Iterator<Item = &'static str>) -> Map<String, Value> {
    names.enumerate().map(|(place, name)| (place.to_string(), name.into())).collect()
}
