//! Mirroring of each axis.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::{ComposedTransform, IDENTITY, Transform};
use crate::base::KeyedRng;

/// Settings of mirroring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct Mirroring {
    /// Probability of mirroring each axis, 0 to 1; half of the samples, as usual.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.5)]
    pub probability: f64,
}

impl Transform for Mirroring {
    const STREAM: u64 = 1;

    /// Axes `[z, y, x]` that are mirrored.
    type Params = [bool; 3];

    fn draw_params(&self, rng: &mut KeyedRng) -> Self::Params {
        std::array::from_fn(|_| rng.draw_bool(self.probability))
    }

    fn compose_onto(params: &Self::Params, onto: &mut ComposedTransform) {
        let mut map = IDENTITY;
        for axis in 0..3 {
            if params[axis] {
                map[axis][axis] = -1.0;
            }
        }
        onto.append_linear(&map);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_is_exactly_no_change() {
        let mut onto = ComposedTransform::IDENTITY;
        Mirroring::compose_onto(&[true, false, true], &mut onto);
        assert_ne!(onto, ComposedTransform::IDENTITY);
        Mirroring::compose_onto(&[true, false, true], &mut onto);
        assert_eq!(onto, ComposedTransform::IDENTITY);
    }
}
