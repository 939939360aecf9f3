//! Factor on each modality's z-scores.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::{ComposedTransform, Transform, draw_uniform};
use crate::base::KeyedRng;
use crate::volume::Modality;

/// Settings of the contrast factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct Contrast {
    /// Share of samples, 0 to 1; all of them in Myronenko 2018.
    #[schemars(range(min = 0, max = 1))]
    #[default(1.0)]
    pub probability: f64,
    /// Factors, lowest first; each modality draws its own (Myronenko 2018).
    #[schemars(inner(range(min = 0.01, max = 100)), extend("x-ascending" = true))]
    #[default([0.9, 1.1])]
    pub factor: [f64; 2],
}

impl Transform for Contrast {
    const STREAM: u64 = 4;

    /// Factor of each modality.
    type Params = Option<[f32; Modality::COUNT]>;

    fn draw_params(&self, rng: &mut KeyedRng) -> Self::Params {
        let changed = rng.draw_bool(self.probability);
        changed.then(|| std::array::from_fn(|_| draw_uniform(rng, self.factor)))
    }

    fn compose_onto(params: &Self::Params, onto: &mut ComposedTransform) {
        let Some(factors) = params else { return };
        for (curve, factor) in onto.curves.iter_mut().zip(factors) {
            curve.contrast *= f64::from(*factor);
            curve.shift *= f64::from(*factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_acts_on_what_was_shifted_before_and_on_one_modality_each() {
        let mut onto = ComposedTransform::IDENTITY;
        onto.curves[1].shift = 0.5;
        Contrast::compose_onto(&Some([1.0, 2.0, 3.0, 4.0]), &mut onto);
        assert_eq!((onto.curves[1].contrast, onto.curves[1].shift), (2.0, 1.0));
        assert_eq!((onto.curves[3].contrast, onto.curves[3].shift), (4.0, 0.0));
    }
}
