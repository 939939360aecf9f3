//! What all transforms of one sample amount to, before it meets a case: one linear map in mm, one
//! curve per modality, one noise field.

use crate::pipeline::augment::noise::DrawnNoise;
use crate::volume::modality::Modality;

/// A 3x3 matrix over axes `[z, y, x]`.
pub type Matrix3 = [[f64; 3]; 3];

/// No change.
pub const IDENTITY: Matrix3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// The pointwise part for one modality: `v` becomes `contrast * v + shift`, then gamma.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// Factor on the z-score.
    pub contrast: f64,
    /// Added after the factor, in standard deviations.
    pub shift: f64,
    /// Exponent over the modality's range, if it is bent at all.
    pub gamma: Option<f64>,
}

impl Curve {
    /// No change.
    pub const IDENTITY: Self = Self { contrast: 1.0, shift: 0.0, gamma: None };
}

/// Everything drawn for one sample, composed.
#[derive(Debug, Clone, PartialEq)]
pub struct Composition {
    /// From a place in the patch to a place in the case, both in mm from the patch's centre,
    /// `[z, y, x]`.
    pub linear: Matrix3,
    /// Per modality.
    pub curves: [Curve; Modality::COUNT],
    /// Added last.
    pub noise: Option<DrawnNoise>,
}

impl Composition {
    /// Changes nothing.
    pub const IDENTITY: Self =
        Self { linear: IDENTITY, curves: [Curve::IDENTITY; Modality::COUNT], noise: None };

    /// Lets another spatial transform follow; `map` takes places of its result to places of its
    /// input.
    ///
    /// The image after the step at `p` is the image before it at `map p`, so later steps multiply
    /// from the right.
    pub fn then(&mut self, map: &Matrix3) {
        let before = self.linear;
        self.linear = std::array::from_fn(|row| {
            std::array::from_fn(|column| (0..3).map(|k| before[row][k] * map[k][column]).sum())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_steps_act_on_the_result_of_earlier_ones() {
        // First shown three times as large along x, then y and x exchanged: one step along y in
        // the result is a third of a step along x in the source.
        let mut both = Composition::IDENTITY;
        both.then(&[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0 / 3.0]]);
        both.then(&[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]);
        assert_eq!(both.linear[2], [0.0, 1.0 / 3.0, 0.0]);
        assert_eq!(both.linear[1], [0.0, 0.0, 1.0]);
    }
}
