//! The 95th percentile of the surface distance (HD95), in the three definitions of published
//! tables. They differ by a millimetre or more on ragged masks, so a number needs its definition.

use serde::{Deserialize, Serialize};

use crate::eval::mask_pair::{MaskPair, Surfel};
use crate::eval::percentile::percentile;
use crate::volume::Dims;

/// HD95 in mm where exactly one of truth and prediction is empty: the diagonal of the BraTS grid,
/// `|(240, 240, 155)|`, the longest distance that fits it.
pub const ONE_EMPTY_MM: f64 = 373.128_664_136_112_7;

/// The percentile, in percent.
const PERCENT: f64 = 95.0;

/// Definition of the 95 % Hausdorff distance.
#[derive(strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case",
    parse_err_ty = String, parse_err_fn = unknown_definition)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hd95 {
    /// medpy's `hd95`, which nnU-Net used to reproduce the BraTS ranking: surface voxels are those
    /// that a six-neighbour erosion takes away; one percentile of both directions pooled.
    #[default]
    Medpy,
    /// MONAI's `compute_hausdorff_distance`: the same surface; the larger of the two directions'
    /// percentiles.
    Monai,
    /// DeepMind's `surface-distance`, used by BraTS since 2023: surfels weighted by area; the
    /// larger of the two directions' weighted percentiles, without interpolation.
    #[strum(to_string = "surface-distance", serialize = "brats")]
    SurfaceDistance,
}

impl Hd95 {
    /// Every definition.
    pub const ALL: [Self; 3] = [Self::Medpy, Self::Monai, Self::SurfaceDistance];

    /// The name of the package it comes from.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// HD95 in mm between two masks in memory order `[d, h, w]`; `spacing_mm` is fastest axis
    /// first.
    ///
    /// Both empty: 0. Exactly one empty: [`ONE_EMPTY_MM`], whatever the grid.
    ///
    /// # Panics
    /// If there are not as many values as voxels.
    pub fn between_masks(
        self,
        truth: &[bool],
        prediction: &[bool],
        dims: Dims,
        spacing_mm: [f64; 3],
    ) -> f64 {
        self.between_surfaces(&MaskPair::of_masks(truth, prediction, dims, spacing_mm))
    }

    /// HD95 in mm between the surfaces of a pair of masks.
    pub(super) fn between_surfaces(self, pair: &MaskPair) -> f64 {
        let surfaces = match pair {
            MaskPair::BothEmpty => return 0.0,
            MaskPair::OneEmpty => return ONE_EMPTY_MM,
            MaskPair::Surfaces(surfaces) => surfaces,
        };
        let largest = |directed: [f64; 2]| directed.into_iter().fold(0.0, f64::max);
        match self {
            Self::Medpy => percentile(&mut surfaces.boundary_distances().concat(), PERCENT),
            Self::Monai => largest(
                surfaces
                    .boundary_distances()
                    .map(|mut distances| percentile(&mut distances, PERCENT)),
            ),
            Self::SurfaceDistance => largest(
                surfaces.directed_surfels().each_ref().map(|of| weighted_percentile(of, PERCENT)),
            ),
        }
    }
}

fn unknown_definition(text: &str) -> String {
    let known = Hd95::ALL.map(Hd95::name).join(", ");
    format!("`{text}` is no definition of HD95; write one of {known}, brats")
}

/// The smallest distance up to which at least `percent` of the area lies.
fn weighted_percentile(surfels: &[Surfel], percent: f64) -> f64 {
    let mut ordered: Vec<&Surfel> = surfels.iter().collect();
    ordered.sort_unstable_by(|a, b| {
        a.distance_mm.total_cmp(&b.distance_mm).then(a.area_mm2.total_cmp(&b.area_mm2))
    });
    let total: f64 = ordered.iter().map(|surfel| surfel.area_mm2).sum();
    let mut covered = 0.0;
    for surfel in &ordered {
        covered += surfel.area_mm2;
        if covered / total >= percent / 100.0 {
            return surfel.distance_mm;
        }
    }
    ordered.last().map_or(0.0, |surfel| surfel.distance_mm)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::volume::Box3;

    const DIMS: Dims = Dims([9, 10, 11]);

    fn masks() -> impl Strategy<Value = (Vec<bool>, Vec<bool>)> {
        let mask = || proptest::collection::vec(proptest::bool::weighted(0.1), DIMS.voxel_count());
        (mask(), mask())
    }

    /// A ball by its centre and radius in mm, on a cube of 44 voxels; axes `[z, y, x]`.
    fn ball(centre_mm: [f64; 3], radius_mm: f64, steps_mm: [f64; 3]) -> Vec<bool> {
        let dims = Dims::cube(44);
        let inside = |place| {
            let at: [usize; 3] = dims.zyx_from_offset(place);
            let offset = |axis: usize| at[axis] as f64 * steps_mm[axis] - centre_mm[axis];
            (0..3).map(|axis| offset(axis).powi(2)).sum::<f64>() < radius_mm * radius_mm
        };
        (0..dims.voxel_count()).map(inside).collect()
    }

    /// medpy's and MONAI's definitions word by word, on the whole grid, pair by pair.
    fn by_the_book(truth: &[bool], prediction: &[bool], steps_mm: [f64; 3]) -> [f64; 2] {
        let surface = |mask: &[bool]| -> Vec<[usize; 3]> {
            let inside = |at: [isize; 3]| {
                let in_grid = (0..3).all(|axis| (0..DIMS.0[axis] as isize).contains(&at[axis]));
                in_grid && mask[DIMS.offset_from_zyx(at.map(|index| index as usize))]
            };
            let buried = |at: [usize; 3]| {
                (0..3).all(|axis| {
                    [-1, 1].iter().all(|step| {
                        let mut next = at.map(|index| index as isize);
                        next[axis] += step;
                        inside(next)
                    })
                })
            };
            let places = (0..mask.len()).filter(|&place| mask[place]);
            places.map(|place| DIMS.zyx_from_offset(place)).filter(|&at| !buried(at)).collect()
        };
        let (a, b) = (surface(truth), surface(prediction));
        let distance = |from: &[usize; 3], to: &[usize; 3]| {
            let along = |axis: usize| from[axis].abs_diff(to[axis]) as f64 * steps_mm[axis];
            (0..3).map(|axis| along(axis).powi(2)).sum::<f64>().sqrt()
        };
        let directed = |from: &[[usize; 3]], to: &[[usize; 3]]| -> Vec<f64> {
            let nearest = |at| to.iter().map(|other| distance(at, other)).fold(f64::MAX, f64::min);
            from.iter().map(nearest).collect()
        };
        let (mut forth, mut back) = (directed(&a, &b), directed(&b, &a));
        let pooled = percentile(&mut [forth.clone(), back.clone()].concat(), 95.0);
        [pooled, percentile(&mut forth, 95.0).max(percentile(&mut back, 95.0))]
    }

    #[test]
    fn two_voxels_apart_give_the_distance_between_their_centres() {
        let (mut truth, mut prediction) =
            (vec![false; DIMS.voxel_count()], vec![false; DIMS.voxel_count()]);
        truth[DIMS.offset_from_zyx([1, 2, 3])] = true;
        prediction[DIMS.offset_from_zyx([3, 5, 9])] = true;
        let expected = (4.0_f64 * 9.0 + 9.0 * 4.0 + 36.0 * 0.25).sqrt();
        for definition in Hd95::ALL {
            let found = definition.between_masks(&truth, &prediction, DIMS, [0.5, 2.0, 3.0]);
            assert!((found - expected).abs() < 1e-12, "{} {found}", definition.name());
        }
    }

    #[test]
    fn pooled_and_directed_percentiles_worked_out_by_hand() {
        // Truth: one voxel. Prediction: that voxel and one 10 mm away, all of them surface.
        // Pooled distances 0, 0, 10: place 1.9, so 9. Directed: 0, and 0, 10 at place 0.95: 9.5.
        // The far voxel holds half of the prediction's area: 10.
        let dims = Dims([1, 1, 11]);
        let truth: Vec<bool> = (0..11).map(|x| x == 0).collect();
        let prediction: Vec<bool> = (0..11).map(|x| x == 0 || x == 10).collect();
        let found = Hd95::ALL.map(|each| each.between_masks(&truth, &prediction, dims, [1.0; 3]));
        assert_eq!(found[0], 9.0);
        assert_eq!(found[1], 9.5);
        assert_eq!(found[2], 10.0);
    }

    #[test]
    fn empty_masks_follow_the_written_rules() {
        let (none, all) = (vec![false; 27], vec![true; 27]);
        for definition in Hd95::ALL {
            let hd95 =
                |a: &[bool], b: &[bool]| definition.between_masks(a, b, Dims::cube(3), [1.0; 3]);
            assert_eq!(hd95(&none, &none), 0.0);
            assert_eq!(hd95(&all, &none), ONE_EMPTY_MM);
            assert_eq!(hd95(&none, &all), ONE_EMPTY_MM);
            assert_eq!(hd95(&all, &all), 0.0);
        }
        assert_eq!(ONE_EMPTY_MM, (240.0_f64.powi(2) * 2.0 + 155.0_f64.powi(2)).sqrt());
    }

    #[test]
    fn a_ball_moved_along_an_axis_is_about_as_far_as_it_moved() {
        let (radius_mm, steps_mm) = (12.0, [1.2, 1.0, 0.8]);
        let [step_z, step_y, step_x] = steps_mm;
        let still = ball([14.0; 3], radius_mm, steps_mm);
        for axis in 0..3 {
            let moved_mm = 6.0 * steps_mm[axis];
            let mut centre_mm = [14.0; 3];
            centre_mm[axis] += moved_mm;
            let moved = ball(centre_mm, radius_mm, steps_mm);
            for definition in Hd95::ALL {
                let spacing_mm = [step_x, step_y, step_z];
                let found = definition.between_masks(&still, &moved, Dims::cube(44), spacing_mm);
                // About the 95th percentile of |cos| on a sphere, 0.95; the grid blurs it.
                let ratio = found / moved_mm;
                assert!((0.85..1.0001).contains(&ratio), "axis {axis} {definition:?}: {ratio}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn distances_are_symmetric_and_zero_between_equals((truth, prediction) in masks()) {
            for definition in Hd95::ALL {
                let hd95 = |a: &[bool], b: &[bool]| definition.between_masks(a, b, DIMS, [1.0, 0.7, 2.5]);
                prop_assert_eq!(hd95(&truth, &prediction), hd95(&prediction, &truth));
                prop_assert_eq!(hd95(&truth, &truth), 0.0);
            }
        }

        #[test]
        fn cropped_and_separable_equals_the_definition_on_the_whole_grid(
            (truth, prediction) in masks(),
            start in proptest::array::uniform3(0usize..4),
        ) {
            // Clear the margins, so that there is something to crop.
            let margin = Box3 { start, dims: Dims(std::array::from_fn(|axis| DIMS.0[axis] - 5)) };
            let within = |mask: &[bool]| margin.paste_into(&margin.crop_from(mask, DIMS), DIMS, false);
            let (true_mask, predicted) = (within(&truth), within(&prediction));
            prop_assume!(true_mask.contains(&true) && predicted.contains(&true));
            let expected = by_the_book(&true_mask, &predicted, [2.5, 0.7, 1.0]);
            for (definition, want) in Hd95::ALL.into_iter().zip(expected) {
                let found = definition.between_masks(&true_mask, &predicted, DIMS, [1.0, 0.7, 2.5]);
                prop_assert!((found - want).abs() < 1e-12 * want.max(1.0), "{found} {want}");
            }
        }
    }
}
