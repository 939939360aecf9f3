//! Mirroring the patch, each axis for itself.

use serde::{Deserialize, Serialize};

use crate::base::seed::KeyedRng;
use crate::pipeline::augment::composition::{Composition, IDENTITY};
use crate::pipeline::augment::transform::{Transform, improbable};

/// How samples are mirrored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirroring {
    /// With which each axis is mirrored, 0 to 1.
    pub probability: f64,
}

impl Default for Mirroring {
    /// Every second sample per axis, as everybody.
    fn default() -> Self {
        Self { probability: 0.5 }
    }
}

impl Transform for Mirroring {
    const STREAM: u64 = 1;

    /// Whether each of `[z, y, x]` is mirrored.
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
