//! The surface of a mask as surfels: small facets between voxel centres, after DeepMind's
//! `surface-distance` (Nikolov et al., "Deep learning to achieve clinically applicable segmentation
//! of head and neck anatomy for radiotherapy", 2018, appendix), which BraTS uses since 2023.
//!
//! A cell is the cube between eight voxel centres. Where its corners disagree, the surface passes
//! through it, and the area that passes weighs the cell. Marching cubes cuts each crossed edge in
//! the middle; the facets follow from the corners alone, so no table of 256 cases is needed.

use crate::volume::Dims;

/// Codes of the cells of a voxel grid, one more along each axis, since the surface of a voxel at
/// the border lies beyond it. `codes[cell]` has bit [`corner_bit`] set where that corner is in the
/// mask.
pub(super) struct SurfaceCells {
    /// Extent, `[d + 1, h + 1, w + 1]`.
    pub(super) dims: Dims,
    codes: Vec<u8>,
}

/// Bit of a cell's corner `[z, y, x]`, each 0 or 1.
const fn corner_bit(at: [usize; 3]) -> usize {
    at[0] << 2 | at[1] << 1 | at[2]
}

impl SurfaceCells {
    /// Computes the cells of a mask in memory order `[d, h, w]`.
    ///
    /// # Panics
    /// If there are not as many values as voxels.
    pub(super) fn of_mask(mask: &[bool], dims: Dims) -> Self {
        assert_eq!(mask.len(), dims.voxel_count(), "one value per voxel");
        let cell_dims = Dims(dims.0.map(|extent| extent + 1));
        let mut codes = vec![0u8; cell_dims.voxel_count()];
        for (place, _) in mask.iter().enumerate().filter(|(_, inside)| **inside) {
            let [z, y, x] = dims.zyx_from_offset(place);
            // The voxel is the far corner of the cell with its own index, the near one of the next.
            for bit in 0..8 {
                let (dz, dy, dx) = (bit >> 2 & 1, bit >> 1 & 1, bit & 1);
                let cell = cell_dims.offset_from_zyx([z + 1 - dz, y + 1 - dy, x + 1 - dx]);
                codes[cell] |= 1 << corner_bit([dz, dy, dx]);
            }
        }
        Self { dims: cell_dims, codes }
    }

    /// Mask of the cells that the surface passes through.
    pub(super) fn crossed_cells(&self) -> Vec<bool> {
        self.codes.iter().map(|&code| code != 0 && code != u8::MAX).collect()
    }

    /// Code of one cell, for [`SurfelAreas::of_code`].
    pub(super) fn cell_code(&self, cell: usize) -> u8 {
        self.codes[cell]
    }
}

/// Area in mm² of the surface inside a cell, by code, for one spacing.
pub(super) struct SurfelAreas([f64; 256]);

impl SurfelAreas {
    /// Computes the areas for a spacing in mm, fastest axis first.
    pub(super) fn new(spacing_mm: [f64; 3]) -> Self {
        let [x, y, z] = spacing_mm;
        // A facet's components in units of the cell's faces, normal to z, y and x.
        let faces_mm2 = [x * y, z * x, z * y];
        let area = |facet: [f64; 3]| {
            let squares = facet.iter().zip(faces_mm2).map(|(part, face)| (part * face).powi(2));
            squares.sum::<f64>().sqrt()
        };
        Self(std::array::from_fn(|code| cell_facets(code as u8).into_iter().map(area).sum()))
    }

    /// Area of the surface in a cell of this code.
    pub(super) const fn of_code(&self, code: u8) -> f64 {
        self.0[code as usize]
    }
}

/// Facets of a cell: the components of each one's area vector along `[z, y, x]`, unsigned, in units
/// of the cell's faces. Coplanar triangles are one facet.
///
/// Each group of corners connected by edges is cut off by a surface of its own; of the
/// corners inside and those outside, the fewer are cut off (the inside ones if there are four of
/// each). So two opposite corners of a face are separated, not joined by a tunnel.
fn cell_facets(code: u8) -> Vec<[f64; 3]> {
    let minority = if code.count_ones() > 4 { !code } else { code };
    let mut left = minority;
    let mut facets = Vec::new();
    while left != 0 {
        let group = grow_group(1 << left.trailing_zeros(), left);
        left &= !group;
        facets.extend(facets_of_group(group));
    }
    facets
}

/// The corners of `within` that are reached from `group` along edges.
fn grow_group(group: u8, within: u8) -> u8 {
    let neighbours =
        (0..3).map(|axis| mirror_group(group, axis)).fold(group, |all, next| all | next);
    let grown = neighbours & within;
    if grown == group { group } else { grow_group(grown, within) }
}

/// The group mirrored along `axis` (0 is z): every corner's neighbour on that axis.
const fn mirror_group(group: u8, axis: usize) -> u8 {
    match axis {
        0 => group.rotate_left(4),
        1 => (group & 0x33) << 2 | group >> 2 & 0x33,
        _ => (group & 0x55) << 1 | group >> 1 & 0x55,
    }
}

/// Facets that cut off one group of one to four connected corners.
fn facets_of_group(group: u8) -> Vec<[f64; 3]> {
    // Inner edges along each axis, and their corners.
    let paired: [u8; 3] = std::array::from_fn(|axis| group & mirror_group(group, axis));
    let edges = paired.map(|corners| corners.count_ones() / 2);
    let across = |size: f64| edges.map(|along| if along == 0 { size } else { 0.0 });
    let without = |axis: usize, size: f64| {
        std::array::from_fn(|other| if other == axis { 0.0 } else { size })
    };
    match (group.count_ones(), edges.iter().sum::<u32>()) {
        // One corner: a triangle.
        (1, _) => vec![[0.125; 3]],
        // An edge: a rectangle along it.
        (2, _) => vec![across(0.5)],
        // Two edges at a right angle: half a face and the trapezium below it.
        (3, _) => vec![across(0.5), [0.375; 3]],
        // A face.
        (4, 4) => vec![across(1.0)],
        // A corner and its three neighbours: a regular hexagon. All edges meet in one corner.
        (4, _) if paired[0] & paired[1] & paired[2] != 0 => vec![[0.75; 3]],
        // A path of three edges, one along each axis: a slanted quadrilateral between two
        // triangles, each parallel to one of the end edges.
        _ => {
            let is_middle = |axis: usize| {
                let others = paired[(axis + 1) % 3] | paired[(axis + 2) % 3];
                paired[axis] & !others == 0
            };
            let ends = (0..3).filter(|&axis| !is_middle(axis));
            ends.map(|axis| without(axis, 0.25)).chain([[0.5; 3]]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_has_its_own_area() {
        // A half space: every crossed cell holds one face.
        let dims = Dims([4, 5, 6]);
        let mask: Vec<bool> =
            (0..dims.voxel_count()).map(|place| dims.zyx_from_offset(place)[0] < 2).collect();
        let cells = SurfaceCells::of_mask(&mask, dims);
        let areas = SurfelAreas::new([0.5, 2.0, 7.0]);
        let inner = cells.dims.offset_from_zyx([2, 3, 3]);
        assert!(cells.crossed_cells()[inner]);
        assert_eq!(areas.of_code(cells.cell_code(inner)), 0.5 * 2.0);
        assert!(!cells.crossed_cells()[cells.dims.offset_from_zyx([1, 3, 3])], "inside");
        assert!(!cells.crossed_cells()[cells.dims.offset_from_zyx([3, 3, 3])], "outside");
    }

    #[test]
    fn one_voxel_is_an_octahedron() {
        let cells = SurfaceCells::of_mask(&[true], Dims::cube(1));
        let areas = SurfelAreas::new([1.0; 3]);
        let total: f64 = (0..8).map(|cell| areas.of_code(cells.cell_code(cell))).sum();
        // Edge length sqrt(1/2), area 2 sqrt(3) edge².
        assert!((total - 3.0_f64.sqrt()).abs() < 1e-15, "{total}");
    }

    #[test]
    fn the_areas_of_all_codes_are_the_packages() {
        let text = include_str!("../../tests/fixtures/oracles/surfel_areas.json");
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        let numbers =
            |field: &str| -> Vec<f64> { serde_json::from_value(json[field].clone()).unwrap() };
        let areas = SurfelAreas::new(numbers("spacing_mm").try_into().unwrap());
        let expected = numbers("area_mm2");
        assert_eq!(expected.len(), 256);
        for (code, want) in (0..=u8::MAX).zip(expected) {
            assert!(
                (areas.of_code(code) - want).abs() < 1e-12,
                "{code:08b}: {} {want}",
                areas.of_code(code)
            );
        }
    }

    #[test]
    fn inside_and_outside_have_the_same_surface() {
        let areas = SurfelAreas::new([0.7, 1.5, 3.0]);
        for code in 0..=u8::MAX {
            assert!((areas.of_code(code) - areas.of_code(!code)).abs() < 1e-12, "{code:08b}");
            assert_eq!(areas.of_code(code) == 0.0, code == 0 || code == u8::MAX);
        }
    }
}
