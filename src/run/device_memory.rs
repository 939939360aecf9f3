//! Device memory that training asks for, before a device is there.
//!
//! The figures are counted: a stand-in for a CUDA driver adds up what own kernels allocate in steps and a window of
//! inference (`tests/cuda/compile.py`, kept in `tests/cuda/figures.json`). Other patches and batches are scaled by one
//! rule: what volumes take goes with the voxels of a batch; what weights, their gradients and the optimiser's memory
//! take stays, and so do 256 MiB of pages that pools hold and do not fill. Counts of other sizes are within 8 % of it
//! (the tests below). A network of other settings has not been counted.

use serde::Serialize;
use serde_json::Value;

use crate::nets::{ArchitectureEntry, Blueprint, Precision};
use crate::run::config::RunConfig;
use crate::volume::Dims;

/// Peak bytes at 128^3 in f32 and bf16, by network and batch.
const COUNTED: &[(&str, u64, [u64; 2])] = &[
    ("unet", 2, [9_684_647_936, 5_121_245_184]),
    ("resunet_vae", 2, [14_818_476_032, 8_889_827_328]),
    ("cascaded", 4, [9_816_768_512, 5_372_903_424]),
];

/// Patch of the counts.
const COUNTED_PATCH: Dims = Dims::cube(128);

/// Bytes a weight: itself, its gradient, and two of the optimiser's.
const BYTES_PER_WEIGHT: u64 = 16;

/// Bytes of pages that pools hold whatever the sizes are: what makes the rule fit counts of small patches.
const POOL_BYTES: u64 = 256 << 20;

/// Bytes that a context and compiled kernels take beside, by NVIDIA's own figures for recent cards: at most this.
const CONTEXT_BYTES: u64 = 1 << 30;

/// Sizes of cards, GB as on their boxes (1000^3 bytes).
const CARDS: [u64; 9] = [8, 12, 16, 24, 32, 40, 48, 80, 141];

/// Device memory of a network in training, with own kernels on a CUDA GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeviceMemory {
    /// Bytes of its tensors at their peak.
    pub bytes: u64,
    /// Smallest card that holds them and the driver's context, in GB; absent if none does.
    pub smallest_card: Option<u64>,
}

impl DeviceMemory {
    /// Estimates the memory of a run; `None` if its network has other settings than the counted one.
    pub fn estimate(run: &RunConfig, blueprint: &dyn Blueprint) -> Option<Self> {
        let entry = ArchitectureEntry::find_by_name(blueprint.name()).ok()?;
        let counted = entry.default_blueprint();
        // The patch of an autoencoder is a setting, too; the rule below is about it.
        let is_counted = |key: &str, value: &Value| {
            key == "patch" || blueprint.settings().get(key) == Some(value)
        };
        let settings = counted.settings();
        if !settings.as_object()?.iter().all(|(key, value)| is_counted(key, value)) {
            return None;
        }
        let weights = blueprint.parameter_count() as u64;
        let voxels = run.loader.batch as u64 * run.crop.patch.voxel_count() as u64;
        let bytes = scale_bytes(blueprint.name(), run.precision, weights, voxels)?;
        Some(Self { bytes, smallest_card: smallest_card(bytes) })
    }
}

fn scale_bytes(network: &str, precision: Precision, weights: u64, voxels: u64) -> Option<u64> {
    let (_, batch, peaks) = COUNTED.iter().find(|(name, ..)| *name == network)?;
    let peak = peaks[usize::from(precision == Precision::Bf16)];
    let fixed = (BYTES_PER_WEIGHT * weights + POOL_BYTES).min(peak);
    let counted_voxels = batch * COUNTED_PATCH.voxel_count() as u64;
    let of_volumes = u128::from(peak - fixed) * u128::from(voxels) / u128::from(counted_voxels);
    Some(fixed + u64::try_from(of_volumes).ok()?)
}

fn smallest_card(bytes: u64) -> Option<u64> {
    CARDS.into_iter().find(|gigabytes| bytes + CONTEXT_BYTES <= gigabytes * 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: &str = include_str!("../../tests/cuda/figures.json");

    #[test]
    fn peaks_are_those_that_were_counted() {
        let figures: Value = serde_json::from_str(FIGURES).unwrap();
        for (network, _, peaks) in COUNTED {
            for (precision, peak) in ["f32", "bf16"].into_iter().zip(peaks) {
                let counted = &figures["sm_90 full own"][format!("{network} {precision}")];
                assert_eq!(counted["peak_bytes"].as_u64(), Some(*peak), "{network} {precision}");
            }
        }
    }

    #[test]
    fn other_patches_and_batches_are_near_what_was_counted_of_them() {
        // Network, precision, side, batch, and the stand-in's peak of two steps.
        for (network, precision, side, batch, counted) in [
            ("unet", Precision::Bf16, 96, 2, 2_434_793_472_u64),
            ("unet", Precision::Bf16, 128, 1, 2_753_560_576),
            ("unet", Precision::F32, 64, 4, 2_736_783_360),
            ("cascaded", Precision::Bf16, 64, 4, 1_115_684_864),
        ] {
            let entry = ArchitectureEntry::find_by_name(network).unwrap();
            let weights = entry.default_blueprint().parameter_count() as u64;
            let bytes = scale_bytes(network, precision, weights, batch * u64::pow(side, 3));
            let ratio = bytes.unwrap() as f64 / counted as f64;
            assert!((ratio - 1.0).abs() < 0.08, "{network} {side}^3, {batch}: {ratio}");
        }
        assert!(scale_bytes("another", Precision::F32, 1, 1).is_none());
    }

    #[test]
    fn a_network_of_other_settings_has_not_been_counted() {
        let estimate = |settings| {
            let entry = ArchitectureEntry::find_by_name("resunet_vae").unwrap();
            let blueprint = entry.parse_settings(&settings).unwrap();
            DeviceMemory::estimate(&RunConfig::default(), blueprint.as_ref())
        };
        assert!(estimate(serde_json::json!({})).is_some());
        assert!(estimate(serde_json::json!({"patch": [96, 96, 96]})).is_some());
        assert_eq!(estimate(serde_json::json!({"base_width": 16})), None);
    }

    #[test]
    fn the_smallest_card_has_room_for_the_context_as_well() {
        assert_eq!(smallest_card(6_900_000_000), Some(8));
        assert_eq!(smallest_card(7_000_000_000), Some(12));
        assert_eq!(smallest_card(200_000_000_000), None);
    }
}
