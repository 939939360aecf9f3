//! Constant added to each modality's z-scores.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::{ComposedTransform, Transform, draw_uniform};
use crate::base::KeyedRng;
use crate::volume::Modality;

/// Settings of the intensity shift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct Shift {
    /// Share of samples, 0 to 1; all of them in Myronenko 2018.
    #[schemars(range(min = 0, max = 1))]
    #[default(1.0)]
    pub probability: f64,
    /// Amounts in standard deviations, lowest first; each modality draws its own
    /// (Myronenko 2018).
    #[schemars(inner(range(min = -100, max = 100)), extend("x-unit" = "standard deviations", "x-ascending" = true))]
    #[default([-0.1, 0.1])]
    pub amount: [f64; 2],
}

impl Transform for Shift {
    const STREAM: u64 = 5;

    /// Amount of each modality.
    type Params = Option<[f32; Modality::COUNT]>;

    fn draw_params(&self, rng: &mut KeyedRng) -> Self::Params {
        let changed = rng.draw_bool(self.probability);
        changed.then(|| std::array::from_fn(|_| draw_uniform(rng, self.amount)))
    }

    fn compose_onto(params: &Self::Params, onto: &mut ComposedTransform) {
        let Some(amounts) = params else { return };
        for (curve, amount) in onto.curves.iter_mut().zip(amounts) {
            curve.shift += f64::from(*amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_modality_moves_by_its_own_amount() {
        let mut onto = ComposedTransform::IDENTITY;
        Shift::compose_onto(&Some([0.0, 0.25, 0.5, -1.0]), &mut onto);
        assert_eq!(onto.curves.map(|curve| curve.shift), [0.0, 0.25, 0.5, -1.0]);
    }
}
