//! Factor on each modality.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::filters::settings::draw_each_around_one;
use crate::base::KeyedRng;
use crate::volume::Modality;

/// Settings of the multiplicative brightness. It commutes with a blur, so the pass applies it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct MultiplicativeBrightness {
    /// Share of samples, 0 to 1; 0.15 in nnU-Net.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.0)]
    pub probability: f64,
    /// Factors, lowest first; each modality draws its own, below 1 as often as above; as nnU-Net.
    #[schemars(inner(range(min = 0.1, max = 10)), extend("x-ascending" = true))]
    #[default([0.75, 1.25])]
    pub factor: [f64; 2],
}

impl MultiplicativeBrightness {
    pub(super) fn draw_factors(&self, rng: &mut KeyedRng) -> Option<[f32; Modality::COUNT]> {
        draw_each_around_one(rng, self.probability, self.factor)
    }
}
