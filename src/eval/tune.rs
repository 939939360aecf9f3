//! Search for the thresholds of [`PostProcess`] on validation cases.
//!
//! One threshold after the other, outer regions first, each the one that gives the highest mean
//! Dice with those chosen before. Of equals the smallest is taken.

use serde::Serialize;

use crate::eval::{ByRegion, ConfusionCounts, PostProcess};
use crate::volume::{Box3, Dims, RegionSet, label};

/// Thresholds that are tried, in voxels.
pub const CANDIDATES: [usize; 14] = [0, 5, 10, 20, 32, 50, 75, 100, 150, 200, 300, 500, 1000, 2000];

/// The thresholds chosen, and their mean Dice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TunedThresholds {
    /// The thresholds.
    pub chosen: PostProcess,
    /// Mean Dice over cases and regions of the predictions as they are.
    pub before: f64,
    /// The same with the thresholds, on the very cases that they were chosen on.
    pub after: f64,
}

/// Validation cases, collected one by one. Of each only the box around the tumour is kept, in truth
/// and prediction: two bytes a voxel of it.
pub struct PostProcessSearch {
    regions: RegionSet,
    cases: Vec<ValidationCase>,
}

struct ValidationCase {
    truth: Vec<u8>,
    prediction: Vec<u8>,
    dims: Dims,
}

impl ValidationCase {
    /// Mean Dice over the regions with `rules` applied to the prediction.
    fn dice_with(&self, regions: RegionSet, rules: &PostProcess) -> f64 {
        let mut labels = self.prediction.clone();
        rules.apply_to(regions, &mut labels, self.dims);
        let counts = ConfusionCounts::per_region(regions, &self.truth, &labels);
        counts.iter().map(ConfusionCounts::dice).sum::<f64>() / regions.len() as f64
    }
}

impl PostProcessSearch {
    /// Search for the thresholds of these regions.
    pub const fn of_regions(regions: RegionSet) -> Self {
        Self { regions, cases: Vec::new() }
    }

    /// Adds a case: canonical labels in memory order `[d, h, w]`.
    ///
    /// # Panics
    /// If there are not as many labels as voxels.
    pub fn add_case(&mut self, truth: &[u8], prediction: &[u8], dims: Dims) {
        assert!(truth.len() == dims.voxel_count() && prediction.len() == dims.voxel_count());
        let tumour = |at: usize| truth[at] | prediction[at] != label::BACKGROUND;
        // A case without tumour in either has Dice 1 with any thresholds: one voxel is enough of it.
        let around = Box3::bounding_box_or_voxel(dims, tumour);
        self.cases.push(ValidationCase {
            truth: around.crop_from(truth, dims),
            prediction: around.crop_from(prediction, dims),
            dims: around.dims,
        });
    }

    /// The best thresholds for the cases added; `None` without cases.
    pub fn best_thresholds(&self) -> Option<TunedThresholds> {
        if self.cases.is_empty() {
            return None;
        }
        let smallest_component = ByRegion::of_regions(self.regions, |_| 0);
        let mut chosen = PostProcess { smallest_component, smallest_et: 0 };
        let before = self.mean_dice(&chosen);
        let mut after = before;
        let components = self.regions.painting_order().iter().map(|region| Some(*region));
        for of_region in components.chain([None]) {
            // The first candidate is what `chosen` has already.
            for &candidate in &CANDIDATES[1..] {
                let mut rules = chosen.clone();
                match of_region {
                    Some(region) => rules.smallest_component.set_region(region.name(), candidate),
                    None => rules.smallest_et = candidate,
                }
                let dice = self.mean_dice(&rules);
                if dice > after {
                    (chosen, after) = (rules, dice);
                }
            }
        }
        Some(TunedThresholds { chosen, before, after })
    }

    fn mean_dice(&self, rules: &PostProcess) -> f64 {
        self.cases.iter().map(|case| case.dice_with(self.regions, rules)).sum::<f64>()
            / self.cases.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Region;
    use crate::volume::label::{ED, ET, NCR};

    const DIMS: Dims = Dims([1, 4, 200]);

    /// Labels with runs of a label at the given rows, from the first voxel on.
    fn rows(runs: &[(usize, usize, usize, u8)]) -> Vec<u8> {
        let mut labels = vec![0; DIMS.voxel_count()];
        for &(row, from, length, value) in runs {
            labels[row * 200 + from..][..length].fill(value);
        }
        labels
    }

    fn tuned(cases: &[(Vec<u8>, Vec<u8>)]) -> TunedThresholds {
        let mut search = PostProcessSearch::of_regions(RegionSet::BRATS);
        cases.iter().for_each(|(truth, prediction)| search.add_case(truth, prediction, DIMS));
        search.best_thresholds().unwrap()
    }

    #[test]
    fn a_perfect_prediction_is_left_alone() {
        let labels = rows(&[(0, 0, 60, ED), (0, 20, 10, NCR), (0, 25, 1, ET)]);
        let found = tuned(&[(labels.clone(), labels)]);
        assert!(found.chosen.is_nothing());
        assert_eq!((found.before, found.after), (1.0, 1.0));
    }

    #[test]
    fn specks_are_dropped_by_the_smallest_threshold_that_does() {
        let truth = rows(&[(0, 0, 60, ED)]);
        let specked = rows(&[(0, 0, 60, ED), (2, 100, 7, ED), (2, 150, 12, ED)]);
        let found = tuned(&[(truth, specked)]);
        let smallest: Vec<usize> = found.chosen.smallest_component.values().copied().collect();
        assert_eq!(smallest, [0, 0, 20]);
        assert_eq!(found.after, 1.0);
        assert!(found.before < 1.0);
    }

    #[test]
    fn traces_of_enhancing_tumour_are_weighed_over_all_cases() {
        // Scattered traces in two cases without enhancing tumour, and one small true one.
        let core = (0, 0, 60, NCR);
        let traced = rows(&[core, (0, 3, 8, ET), (0, 30, 8, ET)]);
        let without = rows(&[core]);
        let small = rows(&[core, (0, 10, 18, ET)]);
        let found =
            tuned(&[(without.clone(), traced.clone()), (without, traced), (small.clone(), small)]);
        // Components of eight are dropped; the true one of eighteen stays.
        assert_eq!(found.chosen.smallest_component[Region::ET], 10);
        assert_eq!((found.chosen.smallest_et, found.after), (0, 1.0));
    }

    #[test]
    fn without_cases_nothing_is_chosen_and_an_empty_case_is_perfect() {
        assert_eq!(PostProcessSearch::of_regions(RegionSet::BRATS).best_thresholds(), None);
        let empty = vec![0; DIMS.voxel_count()];
        assert_eq!(tuned(&[(empty.clone(), empty)]).before, 1.0);
    }
}
