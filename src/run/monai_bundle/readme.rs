//! `docs/README.md` of a bundle.

use super::BundleRun;
use crate::volume::Modality;

pub(super) fn compose_readme(bundle: &BundleRun<'_>) -> String {
    let channels = bundle.config.blueprint.run_channels();
    let modalities: Vec<&str> = channels.modalities.iter().map(Modality::name).collect();
    let regions: Vec<&str> = channels.regions.region_names().collect();
    let divisor = bundle.config.blueprint.patch_divisor();
    let [x, y, z] = super::inference::window_of(bundle);
    format!(
        "# Brain tumour segmentation, residual U-Net\n\n\
         Residual U-Net of Myronenko 2018 (arXiv 1810.11654) without its autoencoder: MONAI's `SegResNet`. \
         Trained with gliaflow {version} for {step} steps on windows of {x} x {y} x {z} voxels.\n\n\
         - Input `[b, {inputs}, x, y, z]`: {modalities}, in this order, in the orientation LPS, each a z-score \
         over what is not 0, background 0. Axes are multiples of {divisor}.\n\
         - Output `[b, {outputs}, x, y, z]`: logits of {regions}. Above 0 a voxel is of the region.\n\n\
         ```sh\n\
         python -m monai.bundle run --config_file configs/inference.json --dataset_dir DATA \\\n  \
         --bundle_root . --output_dir LABELS\n\
         ```\n\n\
         `DATA` has a folder for each case, with `CASE/CASE_t1.nii.gz` and so on (`image_endings`). Labels \
         have the values of `painting`: channel and value, a later one over an earlier one.\n\n\
         Not for clinical use. The weights are those of who trained them; `LICENSE` is that of the \
         configuration.\n",
        version = env!("CARGO_PKG_VERSION"),
        step = bundle.step,
        inputs = modalities.len(),
        outputs = regions.len(),
        modalities = modalities.join(", "),
        regions = regions.join(", "),
    )
}
