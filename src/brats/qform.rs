//! NIfTI's qform: voxel sizes, a unit quaternion and an offset (nifti1.h, "METHOD 2"). It holds
//! rotations and a mirror (`qfac`), no shear.

use crate::volume::Affine;

/// Largest cosine between two axes of a rotation: what single precision leaves of a right angle.
const SKEW: f64 = 1e-4;

/// Largest excess over 1 of the square of a stored quaternion.
const EXCESS: f64 = 1e-3;

/// Smallest square of the first component that counts: below it the rotation is one of 180 degrees,
/// whose stored components carry the rounding of single precision (nifti1_io.c,
/// `nifti_quatern_to_mat44`).
const HALF_TURN: f64 = 1e-7;

/// The fields of a header's qform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Qform {
    /// `quatern_b`, `quatern_c`, `quatern_d`; the first component follows from unit length.
    pub(super) quaternion: [f64; 3],
    /// `qoffset_x`, `_y`, `_z`, in mm.
    pub(super) offset: [f64; 3],
    /// Voxel edges in mm.
    pub(super) spacing: [f64; 3],
    /// -1 where the third axis is mirrored, else 1.
    pub(super) qfac: f64,
}

impl Qform {
    /// World-from-voxel affine; `None` if the quaternion is longer than 1, so no rotation.
    pub(super) fn world_from_voxel(self) -> Option<Affine> {
        let square: f64 = self.quaternion.iter().map(|part| part * part).sum();
        if square.is_nan() || square > 1.0 + EXCESS {
            return None;
        }
        let is_half_turn = 1.0 - square < HALF_TURN;
        let (a, length) =
            if is_half_turn { (0.0, square.sqrt()) } else { ((1.0 - square).sqrt(), 1.0) };
        let [b, c, d] = self.quaternion.map(|part| part / length);
        let rotation = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        let [sx, sy, sz] = self.spacing;
        let step = [sx, sy, sz * self.qfac];
        let mut affine = [[0.0, 0.0, 0.0, 1.0]; 4];
        for row in 0..3 {
            for column in 0..3 {
                affine[row][column] = rotation[row][column] * step[column];
            }
            affine[row][3] = self.offset[row];
        }
        Some(Affine(affine))
    }

    /// Qform of a world-from-voxel affine; `None` if it shears or is flat.
    pub(super) fn from_affine(affine: &Affine) -> Option<Self> {
        let spacing = affine.spacing_mm();
        if !spacing.iter().all(|edge| edge.is_finite() && *edge > 0.0) {
            return None;
        }
        let qfac = if affine.determinant() < 0.0 { -1.0 } else { 1.0 };
        let [sx, sy, sz] = spacing;
        let step = [sx, sy, sz * qfac];
        let r: [[f64; 3]; 3] =
            std::array::from_fn(|row| std::array::from_fn(|col| affine.0[row][col] / step[col]));
        let cosine = |p: usize, q: usize| (0..3).map(|row| r[row][p] * r[row][q]).sum::<f64>();
        if [cosine(0, 1), cosine(0, 2), cosine(1, 2)].iter().any(|cosine| cosine.abs() > SKEW) {
            return None;
        }
        let offset = [affine.0[0][3], affine.0[1][3], affine.0[2][3]];
        Some(Self { quaternion: quaternion_of(&r), offset, spacing, qfac })
    }
}

/// `[b, c, d]` of a rotation, with the first component not negative.
fn quaternion_of(r: &[[f64; 3]; 3]) -> [f64; 3] {
    // Four times the square of each component; the largest is safe to divide by.
    let squares = [
        1.0 + r[0][0] + r[1][1] + r[2][2],
        1.0 + r[0][0] - r[1][1] - r[2][2],
        1.0 - r[0][0] + r[1][1] - r[2][2],
        1.0 - r[0][0] - r[1][1] + r[2][2],
    ];
    let largest = (1..4).fold(0, |best, i| if squares[i] > squares[best] { i } else { best });
    let root = squares[largest].max(0.0).sqrt();
    let by = 2.0 * root;
    let [a, b, c, d] = match largest {
        0 => [
            root / 2.0,
            (r[2][1] - r[1][2]) / by,
            (r[0][2] - r[2][0]) / by,
            (r[1][0] - r[0][1]) / by,
        ],
        1 => [
            (r[2][1] - r[1][2]) / by,
            root / 2.0,
            (r[0][1] + r[1][0]) / by,
            (r[0][2] + r[2][0]) / by,
        ],
        2 => [
            (r[0][2] - r[2][0]) / by,
            (r[0][1] + r[1][0]) / by,
            root / 2.0,
            (r[1][2] + r[2][1]) / by,
        ],
        _ => [
            (r[1][0] - r[0][1]) / by,
            (r[0][2] + r[2][0]) / by,
            (r[1][2] + r[2][1]) / by,
            root / 2.0,
        ],
    };
    if a < 0.0 { [-b, -c, -d] } else { [b, c, d] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affine(rows: [[f64; 4]; 3]) -> Affine {
        Affine([rows[0], rows[1], rows[2], [0.0, 0.0, 0.0, 1.0]])
    }

    #[test]
    fn every_axis_aligned_orientation_round_trips() {
        for axes in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for signs in 0..8 {
                let mut rows = [[0.0; 4]; 3];
                for (column, row) in axes.into_iter().enumerate() {
                    let sign = if signs >> column & 1 == 1 { -1.0 } else { 1.0 };
                    rows[row][column] = sign * (1.0 + column as f64);
                    rows[row][3] = 10.0 * row as f64 - 7.0;
                }
                let own = affine(rows);
                let back = Qform::from_affine(&own).unwrap().world_from_voxel().unwrap();
                assert!(back.distance_mm(&own) < 1e-9, "{own:?} {back:?}");
            }
        }
    }

    #[test]
    fn an_oblique_rotation_round_trips_and_a_shear_has_no_qform() {
        let (sin, cos) = 12f64.to_radians().sin_cos();
        let own = affine([[-cos, sin, 0.0, 3.0], [-sin, -cos, 0.0, 4.0], [0.0, 0.0, 2.0, 5.0]]);
        let back = Qform::from_affine(&own).unwrap().world_from_voxel().unwrap();
        assert!(back.distance_mm(&own) < 1e-9);
        let sheared = affine([[1.0, 0.1, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        assert_eq!(Qform::from_affine(&sheared), None);
        let flat = affine([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        assert_eq!(Qform::from_affine(&flat), None);
    }

    #[test]
    fn a_half_turn_in_single_precision_is_one_as_in_the_reference() {
        // 1 - (b^2 + c^2 + d^2) is rounding, above or below 0: a turn of 180 degrees about an axis.
        for axis in [[3.0, 0.0, 4.0], [1.0, 1.0, 1.0], [-1.0, 2.0, 5.0], [0.0, 1.0, 1e-3f64]] {
            let length = axis.iter().map(|part| part * part).sum::<f64>().sqrt();
            let quaternion = axis.map(|part| f64::from((part / length) as f32));
            let spacing = [1.0, 1.0, 5.0];
            let qform = Qform { quaternion, offset: [0.0; 3], spacing, qfac: 1.0 };
            let mut expected = [[0.0; 4]; 3];
            for (row, values) in expected.iter_mut().enumerate() {
                for column in 0..3 {
                    let along = 2.0 * axis[row] * axis[column] / (length * length);
                    values[column] = (along - f64::from(u8::from(row == column))) * spacing[column];
                }
            }
            let found = qform.world_from_voxel().unwrap();
            assert!(found.distance_mm(&affine(expected)) < 2e-6, "{axis:?}: {found:?}");
        }
        // A turn that is nearly one keeps its first component.
        let (sin, cos) = 89.9f64.to_radians().sin_cos();
        let qform =
            Qform { quaternion: [0.0, 0.0, sin], offset: [0.0; 3], spacing: [1.0; 3], qfac: 1.0 };
        let found = qform.world_from_voxel().unwrap();
        assert!((found.0[1][0] - 2.0 * sin * cos).abs() < 1e-12);
    }

    #[test]
    fn a_quaternion_that_is_no_rotation_is_refused() {
        for quaternion in [[0.0, 1.0, 0.5], [f64::NAN, 0.0, 0.0], [f64::INFINITY, 0.0, 0.0]] {
            let qform = Qform { quaternion, offset: [0.0; 3], spacing: [1.0; 3], qfac: 1.0 };
            assert_eq!(qform.world_from_voxel(), None);
        }
    }
}
