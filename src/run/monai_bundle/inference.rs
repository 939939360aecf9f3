//! `configs/inference.json`: how MONAI segments cases with the network, as `predict` does.

use serde_json::{Value, json};

use super::BundleRun;
use crate::eval::Weighting;
use crate::volume::{Dims, Modality, Region};

/// Images of the layout of BraTS to 2021, `CASE/CASE_t1.nii.gz`.
fn image_ending(modality: Modality) -> String {
    format!("_{}.nii.gz", modality.name())
}

/// Extent of a window along x, y and z.
pub(super) fn window_of(bundle: &BundleRun<'_>) -> [usize; 3] {
    let Dims([d, h, w]) = bundle.config.run.crop.patch;
    [w, h, d]
}

/// Defines loading, preparation, sliding windows, and labels on the grid of the images.
pub(super) fn define_inference(bundle: &BundleRun<'_>) -> Value {
    let channels = bundle.config.blueprint.run_channels();
    let endings: Vec<String> = channels.modalities.iter().map(image_ending).collect();
    let sliding = &bundle.config.run.evaluation;
    let mode = match sliding.weighting {
        Weighting::Gaussian => "gaussian",
        Weighting::Constant => "constant",
    };
    json!({
        "imports": ["$import functools", "$import glob", "$import os", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "data",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "image_endings": endings,
        "painting": painting_of(bundle),
        "folders": "$sorted(path for path in glob.glob(@dataset_dir + '/*') if os.path.isdir(path))",
        "datalist": "$[{'image': [os.path.join(path, os.path.basename(path) + ending) \
                     for ending in @image_endings]} for path in @folders]",
        "network_def": bundle.definition,
        "network": "$@network_def.to(@device)",
        "predictor": "$torch.nn.Sequential(@network, torch.nn.Sigmoid())",
        "preprocessing": { "_target_": "Compose", "transforms": define_preprocessing(bundle) },
        "dataset": {
            "_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "shuffle": false,
            "num_workers": 0,
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": window_of(bundle),
            "sw_batch_size": sliding.batch,
            "overlap": sliding.overlap,
            "mode": mode,
            "sigma_scale": 0.125,
        },
        "postprocessing": { "_target_": "Compose", "transforms": define_postprocessing() },
        "checkpoint_loader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": { "model": "@network" },
            "map_location": "@device",
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@predictor",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": ["@checkpoint_loader"],
            "amp": false,
        },
        "run": ["$@evaluator.run()"],
    })
}

/// Images in the orientation of training, z-scores over what is not 0, and the box around it.
fn define_preprocessing(bundle: &BundleRun<'_>) -> Vec<Value> {
    let mut transforms = vec![
        json!({ "_target_": "LoadImaged", "keys": "image" }),
        json!({ "_target_": "EnsureChannelFirstd", "keys": "image" }),
        json!({ "_target_": "Orientationd", "keys": "image", "axcodes": "LPS" }),
    ];
    if let Some(spacing) = bundle.config.run.data.spacing {
        transforms.push(json!({
            "_target_": "Spacingd", "keys": "image", "pixdim": spacing, "mode": "bilinear",
        }));
    }
    transforms.extend([
        json!({ "_target_": "CopyItemsd", "keys": "image", "times": 1, "names": "tissue" }),
        json!({
            "_target_": "Lambdad",
            "keys": "tissue",
            "func": "$lambda images: (images != 0).any(dim=0, keepdim=True).float()",
        }),
        json!({
            "_target_": "NormalizeIntensityd", "keys": "image", "nonzero": true, "channel_wise": true,
        }),
        json!({
            "_target_": "CropForegroundd", "keys": ["image", "tissue"], "source_key": "tissue",
            "allow_smaller": true,
        }),
    ]);
    transforms
}

/// No tumour where all images are 0; then the source's grid, the labels and their file.
fn define_postprocessing() -> [Value; 4] {
    [
        json!({ "_target_": "MaskIntensityd", "keys": "pred", "mask_key": "tissue" }),
        json!({
            "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
            "nearest_interp": false, "to_tensor": true,
        }),
        json!({
            "_target_": "Lambdad",
            "keys": "pred",
            "func": "$lambda pred: functools.reduce(lambda labels, one: torch.where(\
                     pred[one[0]:one[0] + 1] > 0.5, float(one[1]), labels), @painting, \
                     torch.zeros_like(pred[:1]))",
        }),
        json!({
            "_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir",
            "output_postfix": "seg", "separate_folder": false, "resample": false,
            "output_dtype": "$torch.uint8",
        }),
    ]
}

/// Channel and label value of each region, a later one over an earlier one.
fn painting_of(bundle: &BundleRun<'_>) -> Vec<[usize; 2]> {
    let scheme = bundle.config.run.data.labels.unwrap_or_default();
    let value = |region: &Region| usize::from(scheme.to_file(region.label_painted()));
    let regions = bundle.config.blueprint.run_channels().regions;
    regions.painting_order().iter().map(|region| [region.index(), value(region)]).collect()
}
