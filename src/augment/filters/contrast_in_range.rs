//! Contrast about the patch's mean that keeps its range.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::filters::patch_values::PatchStatistics;
use crate::augment::filters::settings::draw_each_around_one;
use crate::base::KeyedRng;
use crate::volume::Modality;

/// Settings of the contrast that keeps the range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct ContrastInRange {
    /// Share of samples, 0 to 1; 0.15 in nnU-Net.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.0)]
    pub probability: f64,
    /// Factors on the distance from the mean, lowest first; each modality draws its own, below 1 as often as
    /// above; as nnU-Net.
    #[schemars(inner(range(min = 0.1, max = 10)), extend("x-ascending" = true))]
    #[default([0.75, 1.25])]
    pub factor: [f64; 2],
}

impl ContrastInRange {
    pub(super) fn draw_factors(&self, rng: &mut KeyedRng) -> Option<[f32; Modality::COUNT]> {
        draw_each_around_one(rng, self.probability, self.factor)
    }
}

/// Multiplies distances from the mean, and cuts off what leaves the range.
pub(super) fn change_contrast(values: &mut [f32], factor: f32) {
    let PatchStatistics { mean, least, greatest, .. } = PatchStatistics::of_values(values);
    let mean = mean as f32;
    for value in values {
        *value = ((*value - mean) * factor + mean).clamp(least, greatest);
    }
}
