//! Gamma curve on each modality between the lowest and the highest value of the case.
//!
//! The range comes from the case's stored statistics, not from the patch as in nnU-Net: so gamma is
//! a function of one voxel, and two patches of a case stay comparable. For the same reason the mean
//! and standard deviation that it keeps are those of the case's tissue, from its histogram.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::{ComposedTransform, Transform, draw_uniform};
use crate::base::KeyedRng;
use crate::volume::Modality;

/// Settings of gamma.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct Gamma {
    /// Share of samples, 0 to 1; as nnU-Net.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.3)]
    pub probability: f64,
    /// Exponents, lowest first; each modality draws its own; as nnU-Net.
    #[schemars(inner(range(min = 0.5, max = 2)), extend("x-ascending" = true))]
    #[default([0.7, 1.5])]
    pub exponent: [f64; 2],
    /// Keeps the mean and standard deviation of each modality's tissue; as nnU-Net. Otherwise gamma
    /// keeps the extremes, and moves all tissue where one voxel is far above the rest.
    #[default(true)]
    pub retain_stats: bool,
}

/// Drawn gamma curves of one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnGamma {
    /// Exponent of each modality.
    pub exponents: [f32; Modality::COUNT],
    /// True if the tissue keeps its mean and standard deviation.
    pub retain_stats: bool,
}

impl Transform for Gamma {
    const STREAM: u64 = 6;

    type Params = Option<DrawnGamma>;

    fn draw_params(&self, rng: &mut KeyedRng) -> Self::Params {
        let bent = rng.draw_bool(self.probability);
        bent.then(|| DrawnGamma {
            exponents: std::array::from_fn(|_| draw_uniform(rng, self.exponent)),
            retain_stats: self.retain_stats,
        })
    }

    fn compose_onto(params: &Self::Params, onto: &mut ComposedTransform) {
        let Some(drawn) = params else { return };
        for (curve, exponent) in onto.curves.iter_mut().zip(drawn.exponents) {
            curve.gamma = Some(f64::from(exponent));
            curve.retain_stats = drawn.retain_stats;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_drawn_stays_linear() {
        let mut onto = ComposedTransform::IDENTITY;
        Gamma::compose_onto(&None, &mut onto);
        assert_eq!(onto, ComposedTransform::IDENTITY);
        let drawn = DrawnGamma { exponents: [1.0, 0.75, 1.25, 1.5], retain_stats: true };
        Gamma::compose_onto(&Some(drawn), &mut onto);
        assert_eq!((onto.curves[1].gamma, onto.curves[1].retain_stats), (Some(0.75), true));
    }
}
