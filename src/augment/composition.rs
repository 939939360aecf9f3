//! ComposedTransform of one sample's transforms before it meets a case: a linear map in mm, a curve per
//! modality, a noise field.

use crate::augment::DrawnNoise;
use crate::volume::Modality;

/// 3x3 matrix over axes `[z, y, x]`.
pub type Matrix3 = [[f64; 3]; 3];

/// Identity matrix.
pub const IDENTITY: Matrix3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Pointwise transform of one modality: `v` becomes `contrast * v + shift`, then gamma.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntensityCurve {
    /// Factor on the z-score.
    pub contrast: f64,
    /// Offset after the factor, in standard deviations.
    pub shift: f64,
    /// Gamma exponent over the modality's range, if any.
    pub gamma: Option<f64>,
    /// True if the tissue's mean and standard deviation after gamma are those before it.
    pub retain_stats: bool,
    /// Factor behind everything else, the noise too.
    pub brightness: f64,
}

impl IntensityCurve {
    /// Identity transform.
    pub const IDENTITY: Self =
        Self { contrast: 1.0, shift: 0.0, gamma: None, retain_stats: false, brightness: 1.0 };
}

/// Composition of all transforms drawn for one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct ComposedTransform {
    /// Linear map that takes positions in the patch to positions in the case, both in mm from the
    /// patch's centre, `[z, y, x]`.
    pub linear: Matrix3,
    /// Pointwise transform of each modality.
    pub curves: [IntensityCurve; Modality::COUNT],
    /// Additive noise, applied behind the curves.
    pub noise: Option<DrawnNoise>,
    /// True for each modality that is left out: 0 everywhere.
    pub is_dropped: [bool; Modality::COUNT],
}

impl ComposedTransform {
    /// Identity transform.
    pub const IDENTITY: Self = Self {
        linear: IDENTITY,
        curves: [IntensityCurve::IDENTITY; Modality::COUNT],
        noise: None,
        is_dropped: [false; Modality::COUNT],
    };

    /// Appends a spatial transform; `map` takes positions in its result to positions in its input.
    ///
    /// The image after the step at `p` is the image before it at `map p`, so later steps multiply
    /// from the right.
    pub fn append_linear(&mut self, map: &Matrix3) {
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
        let mut both = ComposedTransform::IDENTITY;
        both.append_linear(&[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0 / 3.0]]);
        both.append_linear(&[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]);
        assert_eq!(both.linear[2], [0.0, 1.0 / 3.0, 0.0]);
        assert_eq!(both.linear[1], [0.0, 0.0, 1.0]);
    }
}
