//! Gamma over the patch's range that keeps its mean and standard deviation, on the patch or on its inverse.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::filters::patch_values::PatchStatistics;
use crate::augment::filters::settings::draw_each_around_one;
use crate::augment::power::power;
use crate::base::KeyedRng;
use crate::volume::Modality;

/// Settings of gamma over the patch's range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct GammaOfPatch {
    /// Share of samples, 0 to 1; in nnU-Net 0.3, and 0.1 of the inverted patch.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.0)]
    pub probability: f64,
    /// Exponents, lowest first; each modality draws its own, below 1 as often as above; as nnU-Net.
    #[schemars(inner(range(min = 0.5, max = 2)), extend("x-ascending" = true))]
    #[default([0.7, 1.5])]
    pub exponent: [f64; 2],
}

impl GammaOfPatch {
    pub(super) fn draw_exponents(&self, rng: &mut KeyedRng) -> Option<[f32; Modality::COUNT]> {
        draw_each_around_one(rng, self.probability, self.exponent)
    }
}

/// Smallest range or deviation that is divided by (batchgeneratorsv2, `GammaTransform`).
const LEAST_SPREAD: f64 = 1e-7;

/// Bends the values between the least and the greatest, and gives them their mean and standard deviation
/// back; of the values' negatives if `is_inverted`.
pub(super) fn apply_gamma(values: &mut [f32], exponent: f32, is_inverted: bool) {
    let before = PatchStatistics::of_values(values);
    let sign = if is_inverted { -1.0 } else { 1.0 };
    let (low, high) = if is_inverted {
        (-before.greatest, -before.least)
    } else {
        (before.least, before.greatest)
    };
    let mean = f64::from(sign) * before.mean;
    let range = high - low;
    let per_range = 1.0 / range.max(LEAST_SPREAD as f32);
    let share = |value: f32| power(((sign * value - low) * per_range).clamp(0.0, 1.0), exponent);
    let shares = PatchStatistics::of_mapped(values, share);
    // Back from shares of the range, and then to the mean and deviation: one linear map.
    let range = f64::from(range);
    let factor = range * before.sd / (range * shares.sd).max(LEAST_SPREAD);
    let offset = mean - shares.mean * factor;
    let (factor, offset) = (sign * factor as f32, sign * offset as f32);
    for value in values {
        *value = *value * factor + offset;
    }
}
