//! Geometry of the part of a patch that sees a box of a donor.

use crate::augment::{Matrix3, Placement, Window};
use crate::volume::{Box3, Dims};

/// Part of a patch: its first voxel `[z, y, x]` and extent.
pub(super) type PatchPart = Box3;

impl Placement {
    /// Voxels of the box that a voxel of the patch may be made of; `None` if there are none.
    pub(super) fn seen_box(&self) -> Option<Box3> {
        let last = self.window.dims.0.map(|side| side as f64 - 1.0);
        let corners = box_corners([0.0; 3], last).map(|at| self.box_from_patch(at));
        // A voxel is made of the two that its position lies between, on every axis.
        box_of_corners(corners, self.brain)
    }

    /// Part of the patch whose voxels may see the box; `None` if none does.
    pub(super) fn covered_part(&self) -> Option<PatchPart> {
        let patch_from_box = inverse_matrix(&self.step)?;
        let last = self.brain.0.map(|side| side as f64);
        let corners = box_corners([-1.0; 3], last).map(|at| {
            let from_origin: [f64; 3] = std::array::from_fn(|axis| at[axis] - self.origin[axis]);
            patch_from_box.map(|row| (0..3).map(|axis| row[axis] * from_origin[axis]).sum())
        });
        box_of_corners(corners, self.window.dims)
    }

    /// Placement of a part of the patch.
    pub(super) fn placed_part(&self, part: PatchPart) -> Self {
        let PatchPart { start, dims } = part;
        let corner = std::array::from_fn(|axis| {
            let within = match self.step[axis][axis] < 0.0 {
                true => self.window.dims.0[axis] - start[axis] - dims.0[axis],
                false => start[axis],
            };
            self.window.corner[axis] + within as isize
        });
        let origin = self.box_from_patch(start.map(|at| at as f64));
        Self { window: Window { corner, dims }, origin, ..self.clone() }
    }
}

fn box_corners(low: [f64; 3], high: [f64; 3]) -> [[f64; 3]; 8] {
    std::array::from_fn(|corner| {
        std::array::from_fn(|axis| if corner >> axis & 1 == 1 { high[axis] } else { low[axis] })
    })
}

/// Whole voxels of a grid of `dims` that lie between corners, or next to what does.
fn box_of_corners(corners: [[f64; 3]; 8], dims: Dims) -> Option<Box3> {
    let (mut start, mut sides) = ([0; 3], [0; 3]);
    for axis in 0..3 {
        let along = corners.map(|corner| corner[axis]);
        let low = along.into_iter().fold(f64::INFINITY, f64::min).floor();
        let high = along.into_iter().fold(f64::NEG_INFINITY, f64::max).ceil() + 1.0;
        start[axis] = low.max(0.0) as usize;
        sides[axis] = (high.max(0.0) as usize).min(dims.0[axis]).saturating_sub(start[axis]);
    }
    (!sides.contains(&0)).then_some(Box3 { start, dims: Dims(sides) })
}

/// Inverse of a matrix by its cofactors; `None` if it has none.
fn inverse_matrix(of: &Matrix3) -> Option<Matrix3> {
    let cofactor = |row: usize, column: usize| {
        let [above, below] = [(row + 1) % 3, (row + 2) % 3];
        let [left, right] = [(column + 1) % 3, (column + 2) % 3];
        of[above][left] * of[below][right] - of[above][right] * of[below][left]
    };
    let determinant: f64 = (0..3).map(|column| of[0][column] * cofactor(0, column)).sum();
    (determinant != 0.0).then(|| {
        std::array::from_fn(|row| std::array::from_fn(|column| cofactor(column, row) / determinant))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_part_holds_every_voxel_that_sees_the_box_and_lies_where_the_patch_has_it(
            corner in prop::array::uniform3(-12_isize..12),
            linear in prop::array::uniform3(prop::array::uniform3(-0.4_f64..0.4)),
            mirrored in prop::array::uniform3(any::<bool>()),
            brain in prop::array::uniform3(1_usize..9),
        ) {
            let mut linear = linear;
            for axis in 0..3 {
                linear[axis][axis] += if mirrored[axis] { -1.0 } else { 1.0 };
            }
            let window = Window { corner, dims: Dims([9, 8, 10]) };
            let whole = Placement::new(window, Dims(brain), [1.0, 2.0, 1.5], &linear);
            let found = whole.covered_part();
            for place in 0..window.dims.voxel_count() {
                let at = window.dims.zyx_from_offset(place);
                let position = whole.box_from_patch(at.map(|along| along as f64));
                let sees = (0..3).all(|axis| position[axis] > -1.0 && position[axis] < brain[axis] as f64);
                prop_assert!(!sees || found.is_some_and(|part| part.contains_voxel(at)), "{:?}", at);
            }
            if let Some(part) = found {
                let placed = whole.placed_part(part);
                let first = whole.box_from_patch(part.start.map(|at| at as f64));
                for (own, wanted) in placed.box_from_patch([0.0; 3]).into_iter().zip(first) {
                    prop_assert!((own - wanted).abs() < 1e-9);
                }
                prop_assert_eq!(placed.patch_dims(), part.dims);
            }
        }
    }
}
