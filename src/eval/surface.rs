//! The surface of a mask as medpy and MONAI take it: the mask without its erosion.

use crate::volume::Dims;

/// Voxels of the mask with at least one of the six face neighbours outside it; what lies beyond the
/// grid counts as outside. Memory order `[d, h, w]`.
///
/// # Panics
/// If there are not as many values as voxels.
pub(super) fn boundary_mask(mask: &[bool], dims: Dims) -> Vec<bool> {
    assert_eq!(mask.len(), dims.voxel_count(), "one value per voxel");
    let [depth, height, width] = dims.0;
    let row = |z: usize, y: usize| &mask[dims.offset_from_zyx([z, y, 0])..][..width];
    let mut shell = vec![false; mask.len()];
    for (number, surface) in shell.chunks_exact_mut(width).enumerate() {
        let z = number / height;
        let y = number % height;
        let own = row(z, y);
        let at_face = z == 0 || z + 1 == depth || y == 0 || y + 1 == height;
        if at_face {
            surface.copy_from_slice(own);
            continue;
        }
        let above = row(z - 1, y);
        let below = row(z + 1, y);
        let before = row(z, y - 1);
        let behind = row(z, y + 1);
        for x in 0..width {
            let beside = x > 0 && own[x - 1] && x + 1 < width && own[x + 1];
            let buried = beside && above[x] && below[x] && before[x] && behind[x];
            surface[x] = own[x] && !buried;
        }
    }
    shell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solid_cube_keeps_all_but_its_inside() {
        let dims = Dims([6, 7, 8]);
        let cube = |place: usize, low: usize, high: usize| {
            dims.zyx_from_offset(place).iter().all(|&at| (low..high).contains(&at))
        };
        let mask: Vec<bool> = (0..dims.voxel_count()).map(|place| cube(place, 1, 5)).collect();
        let expected: Vec<bool> =
            (0..dims.voxel_count()).map(|place| cube(place, 1, 5) && !cube(place, 2, 4)).collect();
        assert_eq!(boundary_mask(&mask, dims), expected);
        assert_eq!(expected.iter().filter(|&&inside| inside).count(), 64 - 8);
    }

    #[test]
    fn beyond_the_grid_is_outside() {
        let shell = boundary_mask(&[true; 27], Dims::cube(3));
        assert_eq!(shell.iter().filter(|&&inside| !inside).count(), 1);
        assert!(!shell[13]);
    }
}
