//! Mirroring of each axis.

use serde::{Deserialize, Serialize};

use crate::augment::composition::{Composition, IDENTITY};
use crate::augment::transform::{Transform, improbable};
use crate::base::seed::KeyedRng;

/// Settings of mirroring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirroring {
    /// Probability of mirroring each axis, 0 to 1.
    pub probability: f64,
}

impl Default for Mirroring {
    /// Half of the samples per axis, as usual.
    fn default() -> Self {
        Self { probability: 0.5 }
    }
}

impl Transform for Mirroring {
    const STREAM: u64 = 1;

    /// Axes `[z, y, x]` that are mirrored.
    type Params = [bool; 3];

    fn draw(&self, rng: &mut KeyedRng) -> Self::Params {
        std::array::from_fn(|_| rng.chance(self.probability))
    }

    fn compose(params: &Self::Params, onto: &mut Composition) {
        let mut map = IDENTITY;
        for axis in 0..3 {
            if params[axis] {
                map[axis][axis] = -1.0;
            }
        }
        onto.then(&map);
    }

    fn problem(&self) -> Option<String> {
        improbable("probability", self.probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_is_exactly_no_change() {
        let mut onto = Composition::IDENTITY;
        Mirroring::compose(&[true, false, true], &mut onto);
        assert_ne!(onto, Composition::IDENTITY);
        Mirroring::compose(&[true, false, true], &mut onto);
        assert_eq!(onto, Composition::IDENTITY);
    }
}
