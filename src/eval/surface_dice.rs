//! Surface Dice at a tolerance, also called normalised surface Dice (NSD): the share of both surfaces
//! that lies within the tolerance of the other one (Nikolov et al., "Deep learning to achieve
//! clinically applicable segmentation of head and neck anatomy for radiotherapy", 2018, section
//! "Metrics"), by surfels as DeepMind's `surface-distance` counts them.

use crate::eval::mask_pair::{MaskPair, Surfel};

impl MaskPair {
    /// Computes the surface Dice at `tolerance_mm`, 0 to 1.
    ///
    /// Both empty: 1. Exactly one empty: 0.
    pub(super) fn surface_dice(&self, tolerance_mm: f64) -> f64 {
        let surfaces = match self {
            Self::BothEmpty => return 1.0,
            Self::OneEmpty => return 0.0,
            Self::Surfaces(surfaces) => surfaces,
        };
        let surfels = || surfaces.directed_surfels().iter().flatten();
        let area_of = |surfels: &mut dyn Iterator<Item = &Surfel>| -> f64 {
            surfels.map(|surfel| surfel.area_mm2).sum()
        };
        let is_near = |surfel: &&Surfel| surfel.distance_mm <= tolerance_mm;
        let total = area_of(&mut surfels());
        if total == 0.0 {
            // Voxels without extent, as of a header that lacks the spacing: each cell counts alike.
            return surfels().filter(is_near).count() as f64 / surfels().count() as f64;
        }
        area_of(&mut surfels().filter(is_near)) / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Dims;

    const DIMS: Dims = Dims::cube(8);

    fn cube(from: usize, to: usize) -> Vec<bool> {
        let inside = |place| DIMS.zyx_from_offset(place).iter().all(|at| (from..to).contains(at));
        (0..DIMS.voxel_count()).map(inside).collect()
    }

    fn surface_dice(truth: &[bool], prediction: &[bool], tolerance_mm: f64) -> f64 {
        MaskPair::of_masks(truth, prediction, DIMS, [1.0; 3]).surface_dice(tolerance_mm)
    }

    #[test]
    fn a_surface_within_the_tolerance_counts_whole_and_one_beyond_it_not_at_all() {
        let (inner, outer) = (cube(3, 5), cube(2, 6));
        assert_eq!(surface_dice(&outer, &outer, 0.0), 1.0);
        assert_eq!(surface_dice(&inner, &outer, 0.5), 0.0, "one voxel apart everywhere");
        assert_eq!(surface_dice(&inner, &outer, 3.0), 1.0);
        // Faces and edges of the outer cube are 1 and 1.41 mm away, its corners 1.73.
        let within = surface_dice(&inner, &outer, 1.5);
        assert!((0.9..1.0).contains(&within), "{within}");
        assert_eq!(surface_dice(&outer, &inner, 1.5), within, "either way round");
    }

    #[test]
    fn voxels_without_extent_have_a_share_too() {
        let pair = MaskPair::of_masks(&cube(3, 5), &cube(2, 6), DIMS, [0.0; 3]);
        assert_eq!(pair.surface_dice(0.5), 1.0, "nothing is away from anything");
    }

    #[test]
    fn nothing_found_of_nothing_is_perfect_and_nothing_of_something_is_not() {
        let (none, some) = (cube(0, 0), cube(2, 6));
        assert_eq!(surface_dice(&none, &none, 1.0), 1.0);
        assert_eq!(surface_dice(&none, &some, 1.0), 0.0);
        assert_eq!(surface_dice(&some, &none, 1.0), 0.0);
    }
}
