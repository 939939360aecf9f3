//! Isotropic scaling of the patch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::{ComposedTransform, Transform, draw_uniform};
use crate::base::KeyedRng;

/// Settings of isotropic scaling. A factor of 1.25 makes 100 voxels 125 long.
///
/// nnU-Net's factor is the reciprocal: it multiplies coordinates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct Scaling {
    /// Share of samples that are scaled, 0 to 1; as nnU-Net for BraTS.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.2)]
    pub probability: f64,
    /// Factors on lengths, lowest first; as nnU-Net for BraTS.
    #[schemars(inner(range(min = 0.1, max = 10)), extend("x-ascending" = true))]
    #[default([0.85, 1.25])]
    pub factor: [f64; 2],
    /// Draws the reciprocal of the factor evenly, as nnU-Net's factor on coordinates is; otherwise the factor.
    // Left out where it is off: fingerprints of runs before it was there stay theirs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub even_in_coordinates: bool,
}

impl Scaling {
    /// Scaling that multiplies coordinates by factors of a range.
    pub fn of_coordinates(probability: f64, [low, high]: [f64; 2]) -> Self {
        Self { probability, factor: [1.0 / high, 1.0 / low], even_in_coordinates: true }
    }
}

impl Transform for Scaling {
    const STREAM: u64 = 3;

    /// Factor on lengths.
    type Params = Option<f32>;

    fn draw_params(&self, rng: &mut KeyedRng) -> Self::Params {
        let scaled = rng.draw_bool(self.probability);
        scaled.then(|| {
            if self.even_in_coordinates {
                let [low, high] = self.factor;
                return 1.0 / draw_uniform(rng, [1.0 / high, 1.0 / low]);
            }
            draw_uniform(rng, self.factor)
        })
    }

    fn compose_onto(params: &Self::Params, onto: &mut ComposedTransform) {
        let Some(factor) = params else { return };
        let step = 1.0 / f64::from(*factor);
        onto.append_linear(&[[step, 0.0, 0.0], [0.0, step, 0.0], [0.0, 0.0, step]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_of_two_steps_through_the_case_by_halves() {
        let mut onto = ComposedTransform::IDENTITY;
        Scaling::compose_onto(&Some(2.0), &mut onto);
        assert_eq!(onto.linear[1], [0.0, 0.5, 0.0]);
    }
}
