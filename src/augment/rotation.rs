//! Rotation of the patch about three axes through its centre, in mm.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::{ComposedTransform, IDENTITY, Transform, draw_uniform};
use crate::base::KeyedRng;

/// Axes that a positive angle about z, y or x rotates: content of the first moves towards the
/// second (right-handed in x, y, z). Axes are numbered in memory order.
const TURNS: [(usize, usize); 3] = [(2, 1), (0, 2), (1, 0)];

/// Settings of rotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// Share of samples that are rotated, 0 to 1; as nnU-Net for BraTS.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.2)]
    pub probability: f64,
    /// Angles about each axis, in degrees, lowest first; each axis draws its own;
    /// as nnU-Net for BraTS.
    #[schemars(inner(range(min = -180, max = 180)), extend("x-unit" = "degrees", "x-ascending" = true))]
    #[default([-15.0, 15.0])]
    pub degrees: [f64; 2],
}

impl Transform for Rotation {
    const STREAM: u64 = 2;

    /// Degrees about `[z, y, x]`; about z first.
    type Params = Option<[f32; 3]>;

    fn draw_params(&self, rng: &mut KeyedRng) -> Self::Params {
        let turned = rng.draw_bool(self.probability);
        turned.then(|| std::array::from_fn(|_| draw_uniform(rng, self.degrees)))
    }

    fn compose_onto(params: &Self::Params, onto: &mut ComposedTransform) {
        for (degrees, (from, to)) in params.iter().flatten().zip(TURNS) {
            let (sin, cos) = f64::from(*degrees).to_radians().sin_cos();
            // Content at `from` in the source is to appear at `cos from + sin to`: the inverse map.
            let mut map = IDENTITY;
            (map[from][from], map[from][to]) = (cos, sin);
            (map[to][from], map[to][to]) = (-sin, cos);
            onto.append_linear(&map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(degrees: [f32; 3]) -> [[f64; 3]; 3] {
        let mut onto = ComposedTransform::IDENTITY;
        Rotation::compose_onto(&Some(degrees), &mut onto);
        onto.linear
    }

    #[test]
    fn a_positive_angle_about_z_turns_what_lies_at_x_towards_y() {
        // The patch's place on +y shows what lies on +x.
        let map = turned([90.0, 0.0, 0.0]);
        let seen_at_y: [f64; 3] = std::array::from_fn(|axis| map[axis][1]);
        assert!((seen_at_y[2] - 1.0).abs() < 1e-12 && seen_at_y[1].abs() < 1e-12, "{seen_at_y:?}");
    }

    #[test]
    fn no_angle_is_exactly_no_change() {
        assert_eq!(turned([0.0; 3]), IDENTITY);
    }

    #[test]
    fn lengths_and_handedness_are_kept() {
        let m = turned([33.0, -71.0, 140.0]);
        for row in m {
            assert!((row.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
        }
        let determinant = m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
        assert!((determinant - 1.0).abs() < 1e-12);
    }
}
