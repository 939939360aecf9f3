//! Orientation of a file's axes in the patient, and reorientation to LPS+ (x to the left, y to the
//! back, z to the head), that of BraTS.
//!
//! Reorientation is exact: axes are permuted and flipped, voxels are never resampled. An oblique
//! grid goes to the nearest orientation and stays oblique.

use crate::volume::{Affine, Dims, SourceGrid};

/// Directions of LPS+ along the world's axes, which are RAS+.
const CANONICAL: [f64; 3] = [-1.0, -1.0, 1.0];

/// Letters of the world's axes: towards plus, towards minus.
const LETTERS: [(char, char); 3] = [('R', 'L'), ('A', 'P'), ('S', 'I')];

/// Orders of the axes, the file's own first: it wins where two are equally near.
const ORDERS: [[u8; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// Least gain in nearness, a sum of cosines, by which another order wins: single precision's noise.
const CLEARLY: f64 = 1e-4;

/// Grid of a file with its reorientation to LPS+.
pub fn source_grid(dims: Dims, affine: Affine) -> SourceGrid {
    let cosines = axis_cosines(&affine);
    let axes = nearest_order(&cosines);
    let flipped =
        std::array::from_fn(|axis| cosines[axis][usize::from(axes[axis])] * CANONICAL[axis] < 0.0);
    SourceGrid { dims, world_from_voxel: affine, axes, flipped }
}

/// The three letters of a file's orientation, fastest axis first: `LPS` where the first voxels lie
/// right, front and low.
pub fn axis_codes(affine: &Affine) -> String {
    let cosines = axis_cosines(affine);
    let axes = nearest_order(&cosines);
    let mut codes = [' '; 3];
    for (world, file) in axes.into_iter().map(usize::from).enumerate() {
        let (plus, minus) = LETTERS[world];
        codes[file] = if cosines[world][file] < 0.0 { minus } else { plus };
    }
    codes.into_iter().collect()
}

/// Cosines between the world's axes (rows) and the file's (columns).
fn axis_cosines(affine: &Affine) -> [[f64; 3]; 3] {
    let spacing = affine.spacing_mm();
    std::array::from_fn(|row| std::array::from_fn(|col| affine.0[row][col] / spacing[col]))
}

/// File axis that runs along each axis of the world.
fn nearest_order(cosines: &[[f64; 3]; 3]) -> [u8; 3] {
    let nearness = |order: [u8; 3]| -> f64 {
        (0..3).map(|world| cosines[world][usize::from(order[world])].abs()).sum()
    };
    let mut best = ORDERS[0];
    for order in ORDERS {
        if nearness(order) > nearness(best) + CLEARLY {
            best = order;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affine(rows: [[f64; 3]; 3]) -> Affine {
        let [x, y, z] = rows.map(|[i, j, k]| [i, j, k, 9.0]);
        Affine([x, y, z, [0.0, 0.0, 0.0, 1.0]])
    }

    #[test]
    fn the_grid_of_brats_is_left_as_it_is() {
        let own = affine([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]);
        let dims = Dims::from_nifti([2, 3, 4]);
        assert_eq!(source_grid(dims, own), SourceGrid::canonical(dims, own));
        assert_eq!(axis_codes(&own), "LPS");
    }

    #[test]
    fn every_orientation_turns_the_patient_the_same_way() {
        for order in ORDERS {
            for signs in 0..8u8 {
                let sign = |axis: usize| if signs >> axis & 1 == 1 { -1.0 } else { 1.0 };
                let mut rows = [[0.0; 3]; 3];
                for world in 0..3 {
                    rows[world][usize::from(order[world])] = sign(world) * 2.0;
                }
                let dims = Dims::from_nifti([2, 3, 4]);
                let source = source_grid(dims, affine(rows));
                assert_eq!(source.axes, order);
                assert_eq!(source.flipped, [sign(0) > 0.0, sign(1) > 0.0, sign(2) < 0.0]);
                // The first canonical voxel lies right, front and low: at the least value of each
                // world axis times LPS's direction.
                let first = source.file_offsets().next().unwrap();
                let at = dims.zyx_from_offset(first);
                for world in 0..3 {
                    let file = usize::from(order[world]);
                    let length = dims.to_nifti()[file];
                    let index = [at[2], at[1], at[0]][file];
                    let along = rows[world][file] * CANONICAL[world];
                    assert_eq!(index, if along > 0.0 { 0 } else { length - 1 });
                }
            }
        }
    }

    #[test]
    fn letters_name_the_files_axes_in_the_files_order() {
        let pir = affine([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]);
        assert_eq!(axis_codes(&pir), "PIR");
        let asl = affine([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
        assert_eq!(axis_codes(&asl), "ASL");
    }

    #[test]
    fn an_oblique_grid_keeps_its_order_up_to_the_diagonal() {
        for degrees in [0.0f64, 12.0, -30.0, 44.0, 45.0] {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let own = affine([[-cos, sin, 0.0], [-sin, -cos, 0.0], [0.0, 0.0, 1.0]]);
            let source = source_grid(Dims::cube(2), own);
            assert_eq!((source.axes, source.flipped), ([0, 1, 2], [false; 3]), "{degrees}");
        }
        let (sin, cos) = 60f64.to_radians().sin_cos();
        let turned = affine([[-cos, sin, 0.0], [-sin, -cos, 0.0], [0.0, 0.0, 1.0]]);
        assert_eq!(source_grid(Dims::cube(2), turned).axes, [1, 0, 2]);
    }
}
