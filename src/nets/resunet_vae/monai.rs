//! Parameter names of MONAI's version: `monai.networks.nets.SegResNet`, and `SegResNetVAE` without
//! its autoencoder, which is another one.
//!
//! Channel orders are those of MONAI's bundle `brats_mri_segmentation` (its `metadata.json`); it
//! reads NIfTI by nibabel, x first, and flips no axis.

use serde_json::{Value, json};

use crate::base::ConfigError;
use crate::nets::ResUNetVaeConfig;
use crate::nets::exchange::{Dialect, WeightLayout};
use crate::volume::{Modality, Region, RunChannels};

pub(super) const MONAI: Dialect = Dialect {
    program: "MONAI",
    marker_tensor: "convInit.conv.weight",
    name: monai_name,
    is_unused: |name| name.starts_with("vae_"),
    layout: WeightLayout {
        modalities: [Modality::T1ce, Modality::T1, Modality::T2, Modality::Flair],
        regions: [Region::TC, Region::WT, Region::ET],
        x_first: true,
    },
};

/// Defines the network, without its autoencoder, as a bundle does.
pub(super) fn define_network(
    config: &ResUNetVaeConfig,
    channels: RunChannels,
) -> Result<Value, ConfigError> {
    if !config.head_norm {
        let problem = "a network without the norm that MONAI's has ahead of its head";
        let way_out = "train with head_norm = true, or export it with `--onnx`";
        return Err(ConfigError::new("model.settings.head_norm", false, problem, way_out));
    }
    Ok(json!({
        "_target_": "SegResNet",
        "spatial_dims": 3,
        "init_filters": config.base_width,
        "in_channels": channels.modalities.len(),
        "out_channels": channels.regions.len(),
        "dropout_prob": config.dropout,
        "norm": ["GROUP", {"num_groups": config.groups}],
        "blocks_down": config.encoder_units,
        "blocks_up": vec![1; config.bottom_level()],
        "upsample_mode": "nontrainable",
    }))
}

fn monai_name(ours: &str) -> Option<String> {
    let parts: Vec<&str> = ours.split('.').collect();
    let theirs = match parts[..] {
        ["enc", "0", "conv", kind] => format!("convInit.conv.{kind}"),
        ["enc", level, "conv", kind] => format!("down_layers.{level}.0.conv.{kind}"),
        ["enc", level, "units", unit, layer, kind] => {
            let place = unit.parse::<usize>().ok()? + 1;
            format!("down_layers.{level}.{place}.{}", of_unit(layer, kind))
        }
        ["dec", level, "conv", kind] => format!("up_samples.{level}.0.conv.{kind}"),
        ["dec", level, "unit", layer, kind] => {
            format!("up_layers.{level}.0.{}", of_unit(layer, kind))
        }
        ["head_norm", kind] => format!("conv_final.0.{kind}"),
        ["head", kind] => format!("conv_final.2.conv.{kind}"),
        _ => return None,
    };
    Some(theirs)
}

fn of_unit(layer: &str, kind: &str) -> String {
    if layer.starts_with("conv") {
        format!("{layer}.conv.{kind}")
    } else {
        format!("{layer}.{kind}")
    }
}
