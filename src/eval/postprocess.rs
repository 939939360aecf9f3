//! Postprocessing of predicted labels: small components are dropped, and a trace of enhancing
//! tumour is taken for a mistake.
//!
//! Both help Dice by its rule for empty regions: a case without enhancing tumour scores 1 if none
//! is predicted and 0 for a single voxel. So the thresholds are chosen on validation
//! ([`crate::eval::tune`]), never on the reported cases.

use serde::{Deserialize, Serialize};

use crate::eval::{ByRegion, Components};
use crate::volume::{Box3, Dims, Region, RegionSet};

/// Name of the region of enhancing tumour.
const ENHANCING: &str = "ET";

/// Thresholds in voxels; 0 leaves the labels as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostProcess {
    /// Components of a region with fewer voxels than this leave it; 0 where it is not named.
    pub smallest_component: ByRegion<usize>,
    /// A case with fewer voxels of the region ET than this has none: they become what is around ET,
    /// necrotic core.
    pub smallest_et: usize,
}

impl PostProcess {
    /// Applies the rules to canonical labels in memory order `[d, h, w]`, in the order of painting,
    /// outer regions first: WT, TC, ET, and then the rule for enhancing tumour as a whole. Components
    /// are those of 26 neighbours.
    ///
    /// A component that leaves WT becomes background; one that leaves TC becomes oedema; one that
    /// leaves ET becomes necrotic core. So a region loses what is dropped, and no outer one gains.
    /// Thresholds of regions that the set does not have are passed over.
    ///
    /// # Panics
    /// If there are not as many labels as voxels.
    pub fn apply_to(&self, regions: RegionSet, labels: &mut [u8], dims: Dims) {
        assert_eq!(labels.len(), dims.voxel_count(), "one label per voxel");
        for &region in regions.painting_order() {
            let smallest = self.smallest_component.get(region.name()).copied();
            drop_small_components(labels, dims, region, smallest.unwrap_or_default());
        }
        let Some(et) = regions.find_region(ENHANCING) else { return };
        let enhancing = labels.iter().filter(|found| et.contains(**found)).count();
        if enhancing < self.smallest_et {
            let traces = labels.iter_mut().filter(|found| et.contains(**found));
            traces.for_each(|found| *found = et.label_beyond());
        }
    }

    /// Returns true if every label stays as it is.
    pub fn is_nothing(&self) -> bool {
        self.smallest_et == 0 && self.smallest_component.values().all(|smallest| *smallest == 0)
    }
}

fn drop_small_components(labels: &mut [u8], dims: Dims, region: Region, smallest: usize) {
    // Every component has a voxel.
    if smallest <= 1 {
        return;
    }
    let Some(around) = Box3::bounding_box(dims, |place| region.contains(labels[place])) else {
        return;
    };
    let mut inside = around.crop_from(labels, dims);
    let mask: Vec<bool> = inside.iter().map(|&found| region.contains(found)).collect();
    let components = Components::of_mask(&mask, around.dims);
    for (component, places) in components.voxel_runs() {
        if components.sizes()[component] < smallest {
            inside[places].fill(region.label_beyond());
        }
    }
    for (row, values) in around.row_ranges(dims).zip(inside.chunks_exact(around.dims.0[2])) {
        labels[row].copy_from_slice(values);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::volume::label::{BACKGROUND, ED, ET, NCR, RC};

    fn processed(rules: PostProcess, labels: &[u8]) -> Vec<u8> {
        let mut found = labels.to_vec();
        rules.apply_to(RegionSet::BRATS, &mut found, Dims([1, 1, labels.len()]));
        found
    }

    fn smallest(region: Region, voxels: usize) -> PostProcess {
        let mut rules = PostProcess::default();
        rules.smallest_component.set_region(region.name(), voxels);
        rules
    }

    #[test]
    fn a_component_falls_back_to_the_region_around_it() {
        let labels = [ED, ET, NCR, ET, ED, 0, ET, 0, ED, ED];
        let without_wt = [ED, ET, NCR, ET, ED, 0, 0, 0, ED, ED];
        assert_eq!(processed(smallest(Region::WT, 2), &labels), without_wt);
        let without_tc = [ED, ET, NCR, ET, ED, 0, ED, 0, ED, ED];
        assert_eq!(processed(smallest(Region::TC, 3), &labels), without_tc);
        let without_et = [ED, NCR, NCR, NCR, ED, 0, NCR, 0, ED, ED];
        assert_eq!(processed(smallest(Region::ET, 2), &labels), without_et);
    }

    #[test]
    fn traces_of_enhancing_tumour_become_core_and_enough_of_it_stays() {
        let rule = |smallest_et| PostProcess { smallest_et, ..PostProcess::default() };
        assert_eq!(processed(rule(3), &[ET, ED, ET, 0]), [NCR, ED, NCR, 0]);
        assert_eq!(processed(rule(2), &[ET, ED, ET, 0]), [ET, ED, ET, 0]);
    }

    #[test]
    fn cavities_are_left_alone_and_join_nothing() {
        let labels = [ED, RC, RC, ED, ED, BACKGROUND];
        let expected = [BACKGROUND, RC, RC, ED, ED, BACKGROUND];
        assert_eq!(processed(smallest(Region::WT, 2), &labels), expected);
    }

    proptest! {
        #[test]
        fn regions_only_shrink_and_no_small_component_is_left(
            labels in proptest::collection::vec(0u8..=4, 4 * 5 * 6),
            sizes in proptest::array::uniform3(0usize..9),
            smallest_et in 0usize..40,
        ) {
            let dims = Dims([4, 5, 6]);
            let brats = RegionSet::BRATS;
            let smallest_component = ByRegion::of_regions(brats, |region| sizes[region.index()]);
            let rules = PostProcess { smallest_component, smallest_et };
            let mut found = labels.clone();
            rules.apply_to(brats, &mut found, dims);
            for region in Region::BRATS {
                let pairs = labels.iter().zip(&found);
                let grew = pairs.filter(|(a, b)| !region.contains(**a) && region.contains(**b));
                prop_assert_eq!(grew.count(), 0, "{}", region);
                let mask: Vec<bool> = found.iter().map(|&l| region.contains(l)).collect();
                let left = Components::of_mask(&mask, dims);
                let small = left.sizes().iter().filter(|&&size| size < sizes[region.index()]);
                prop_assert_eq!(small.count(), 0, "{}", region);
            }
            let mut again = found.clone();
            rules.apply_to(brats, &mut again, dims);
            prop_assert_eq!(again, found, "applying twice is applying once");
            let nothing = processed(PostProcess::default(), &labels);
            prop_assert_eq!(nothing, labels);
        }
    }
}
