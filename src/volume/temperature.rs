//! Temperature of soft targets: how much of a teacher's doubt a student sees.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Largest probability below 1 that a network's 32-bit output tells from 1: half a step below it.
const MOST_CERTAIN: f64 = 1.0 - f32::EPSILON as f64 / 4.0;

/// Border of a region's voxels.
const HALF: f32 = 0.5;

/// Divisor of logits ahead of the sigmoid, 1 to 20, in targets and student alike (Hinton et al. 2015, "Distilling
/// the Knowledge in a Neural Network", section 2). At 1 probabilities are as they are; above, the small ones of a
/// sure teacher become large enough to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Temperature(f64);

impl Temperature {
    /// Temperature of unchanged probabilities.
    pub const ONE: Self = Self(1.0);

    /// Largest temperature. At 20 a logit of 8 is a probability of 0.6, 25 of 255 steps from a half.
    pub const MAX: f64 = 20.0;

    /// Makes a temperature; `None` outside 1 to [`Self::MAX`].
    pub fn new(value: f64) -> Option<Self> {
        (1.0..=Self::MAX).contains(&value).then_some(Self(value))
    }

    /// The number.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// True if probabilities stay as they are.
    pub fn is_one(&self) -> bool {
        *self == Self::ONE
    }

    /// Softens a region's probability `p` to `sigmoid(logit(p) / T)`.
    ///
    /// 0 stays 0: there a prediction is masked, and no network was asked. A probability that rounds to 1 counts
    /// as the largest that does not, so that no target is surer than the teacher can have been.
    pub fn soften_probability(self, p: f32) -> f32 {
        if self.is_one() || p.is_nan() {
            return p;
        }
        let below_one = f64::from(p).min(MOST_CERTAIN);
        let [inside, outside] =
            [below_one, 1.0 - below_one].map(|share| share.powf(self.0.recip()));
        let softened = (inside / (inside + outside)) as f32;
        // Rounding must not move a voxel over the border of its region.
        if p > HALF { softened.max(HALF.next_up()) } else { softened }
    }
}

impl Default for Temperature {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{CERTAIN, quantise_probability};

    fn softened(temperature: f64, p: f32) -> f32 {
        Temperature::new(temperature).unwrap().soften_probability(p)
    }

    #[test]
    fn softened_probabilities_are_those_of_the_divided_logit() {
        // sqrt(0.8) : sqrt(0.2) = 2 : 1, and the cube root of 0.008 is 0.2.
        assert!((softened(2.0, 0.8) - 2.0 / 3.0).abs() < 1e-7);
        let cube = 0.2 / (0.2 + f64::cbrt(0.992));
        assert!((f64::from(softened(3.0, 0.008)) - cube).abs() < 1e-7);
        for p in [0.0, 1e-30, 0.3, 0.5, 1.0] {
            assert_eq!(softened(1.0, p), p, "unchanged to the bit");
        }
        for temperature in [1.5, 4.0, 20.0] {
            assert_eq!([0.0, 0.5].map(|p| softened(temperature, p)), [0.0, 0.5]);
            assert!(softened(temperature, 0.5f32.next_up()) > 0.5);
        }
        assert!(softened(2.0, f32::NAN).is_nan(), "which is stored as 0");
    }

    /// At temperature 1, 255ths lose every probability below 1/510. At 4 they keep its logit to a tenth.
    #[test]
    fn stored_bytes_keep_what_a_sure_teacher_knows() {
        let (temperature, logit) = (4.0, -9.0f64);
        let p = (1.0 / (1.0 + (-logit).exp())) as f32;
        assert_eq!(quantise_probability(p), 0);
        let stored = f64::from(quantise_probability(softened(temperature, p))) / f64::from(CERTAIN);
        let back = temperature * (stored / (1.0 - stored)).ln();
        assert!((back - logit).abs() < 0.1, "{back}");
        assert!(quantise_probability(softened(temperature, 1.0)) < CERTAIN);
    }

    #[test]
    fn a_temperature_is_between_one_and_twenty() {
        for value in [0.0, 0.99, 20.01, f64::NAN, f64::INFINITY, -2.0] {
            assert_eq!(Temperature::new(value), None, "{value}");
        }
    }
}
