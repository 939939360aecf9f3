//! Overlap of a predicted and a true segmentation: Dice, sensitivity and specificity per region,
//! with the conventions of BraTS for regions that are empty.

use crate::volume::{Region, RegionSet, label};

/// Voxel counts of one region: the confusion matrix of truth and prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConfusionCounts {
    /// Voxels in both.
    pub true_positive: u64,
    /// Voxels in the prediction only.
    pub false_positive: u64,
    /// Voxels in the truth only.
    pub false_negative: u64,
    /// Voxels in neither.
    pub true_negative: u64,
}

impl ConfusionCounts {
    /// Computes the counts of all regions of two canonical label volumes in one pass, in the order of
    /// the regions. Voxels that the truth ignores are in none of the counts.
    ///
    /// # Panics
    /// If the volumes differ in length.
    pub fn per_region(regions: RegionSet, truth: &[u8], prediction: &[u8]) -> Vec<Self> {
        assert_eq!(truth.len(), prediction.len(), "truth and prediction share a grid");
        let count = regions.len();
        let membership = regions.membership_table();
        let mut joint = vec![0u64; 1 << (2 * count)];
        for (true_run, predicted_run) in truth.chunks(RUN).zip(prediction.chunks(RUN)) {
            let pairs = true_run.iter().zip(predicted_run);
            // Nearly all runs of a head are background in both, and this test vectorises.
            if pairs.clone().fold(0, |any, (t, p)| any | t | p) == 0 {
                joint[0] += true_run.len() as u64;
                continue;
            }
            for (&t, &p) in pairs {
                let of_truth = usize::from(membership[usize::from(t)]);
                let of_prediction = usize::from(membership[usize::from(p)]);
                joint[of_truth << count | of_prediction] += u64::from(t != label::IGNORE);
            }
        }
        regions.iter().map(|region| Self::of_region(&joint, region, count)).collect()
    }

    /// Sums the joint histogram over the other regions.
    fn of_region(joint: &[u64], region: Region, regions: usize) -> Self {
        let mut counts = Self::default();
        for (membership, &voxels) in joint.iter().enumerate() {
            let in_truth = membership >> (regions + region.index()) & 1 == 1;
            let in_prediction = membership >> region.index() & 1 == 1;
            *match (in_truth, in_prediction) {
                (true, true) => &mut counts.true_positive,
                (false, true) => &mut counts.false_positive,
                (true, false) => &mut counts.false_negative,
                (false, false) => &mut counts.true_negative,
            } += voxels;
        }
        counts
    }

    /// Voxels of the region in the truth.
    pub const fn truth_voxels(&self) -> u64 {
        self.true_positive + self.false_negative
    }

    /// Voxels of the region in the prediction.
    pub const fn predicted_voxels(&self) -> u64 {
        self.true_positive + self.false_positive
    }

    /// Dice coefficient, `2 TP / (2 TP + FP + FN)`.
    ///
    /// Both empty: 1, the network was right that there is nothing. Exactly one empty: 0, which is
    /// what the formula gives. A case without enhancing tumour is thus all or nothing.
    pub fn dice(&self) -> f64 {
        let sizes = self.truth_voxels() + self.predicted_voxels();
        if sizes == 0 {
            return 1.0;
        }
        2.0 * self.true_positive as f64 / sizes as f64
    }

    /// Sensitivity, `TP / (TP + FN)`: the share of the truth that was found.
    ///
    /// Both empty: 1. Truth empty and prediction not: 0, although nothing was missed (BraTS 2023).
    pub fn sensitivity(&self) -> f64 {
        match (self.truth_voxels(), self.predicted_voxels()) {
            (0, 0) => 1.0,
            (0, _) => 0.0,
            (truth, _) => self.true_positive as f64 / truth as f64,
        }
    }

    /// Specificity, `TN / (TN + FP)`: the share of the rest of the grid that was left alone.
    ///
    /// The air counts, so it is close to 1 whatever the prediction. Truth fills the grid: 0, as in
    /// BraTS 2023's own program, whose ratio has a tiny number in its divisor and no rule for this
    /// (`get_sensitivity_and_specificity` of `rachitsaluja/BraTS-2023-Metrics`, from GaNDLF).
    pub fn specificity(&self) -> f64 {
        let negatives = self.true_negative + self.false_positive;
        if negatives == 0 {
            return 0.0;
        }
        self.true_negative as f64 / negatives as f64
    }
}

/// Voxels tested for background at once.
const RUN: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn brats(truth: &[u8], prediction: &[u8]) -> [ConfusionCounts; 3] {
        ConfusionCounts::per_region(RegionSet::BRATS, truth, prediction).try_into().unwrap()
    }

    fn one(
        true_positive: u64,
        false_positive: u64,
        false_negative: u64,
        rest: u64,
    ) -> ConfusionCounts {
        ConfusionCounts { true_positive, false_positive, false_negative, true_negative: rest }
    }

    #[test]
    fn a_case_counted_by_hand() {
        let truth = [label::ET, label::ET, label::NCR, label::ED, label::RC, 0, 0, 0];
        let prediction = [label::ET, label::NCR, label::ED, label::ED, 0, label::ET, 0, label::ED];
        let [et, tc, wt] = brats(&truth, &prediction);
        assert_eq!(et, one(1, 1, 1, 5));
        assert_eq!(tc, one(2, 1, 1, 4));
        assert_eq!(wt, one(4, 2, 0, 2));
        assert_eq!((et.dice(), tc.dice(), wt.dice()), (0.5, 2.0 / 3.0, 0.8));
        assert_eq!((et.sensitivity(), wt.sensitivity()), (0.5, 1.0));
        assert_eq!((et.specificity(), wt.specificity()), (5.0 / 6.0, 0.5));
    }

    #[test]
    fn empty_regions_follow_the_written_rules() {
        let both = one(0, 0, 0, 9);
        assert_eq!((both.dice(), both.sensitivity(), both.specificity()), (1.0, 1.0, 1.0));
        let no_truth = one(0, 3, 0, 6);
        assert_eq!((no_truth.dice(), no_truth.sensitivity()), (0.0, 0.0));
        assert_eq!(no_truth.specificity(), 6.0 / 9.0);
        let no_prediction = one(0, 0, 3, 6);
        assert_eq!((no_prediction.dice(), no_prediction.sensitivity()), (0.0, 0.0));
        assert_eq!(no_prediction.specificity(), 1.0);
        for filled in [one(9, 0, 0, 0), one(4, 0, 5, 0), one(0, 0, 9, 0)] {
            assert_eq!(filled.specificity(), 0.0, "as BraTS 2023: {filled:?}");
        }
    }

    #[test]
    fn all_background_is_a_perfect_score() {
        for counts in brats(&[0; 1000], &[0; 1000]) {
            assert_eq!(counts, one(0, 0, 0, 1000));
        }
    }

    proptest! {
        #[test]
        fn counting_equals_the_definition_and_dice_is_symmetric(
            labels in proptest::collection::vec((0u8..=5, 0u8..=5), 0..300),
            air in 0usize..200,
        ) {
            let truth: Vec<u8> =
                labels.iter().map(|pair| pair.0).chain(std::iter::repeat_n(0, air)).collect();
            let prediction: Vec<u8> =
                labels.iter().map(|pair| pair.1).chain(std::iter::repeat_n(0, air)).collect();
            let forth = brats(&truth, &prediction);
            let back = brats(&prediction, &truth);
            for region in Region::BRATS {
                let count = |in_truth: bool, in_prediction: bool| {
                    let pairs = truth.iter().zip(&prediction);
                    pairs.filter(|(t, p)| {
                        region.contains(**t) == in_truth && region.contains(**p) == in_prediction
                    }).count() as u64
                };
                let counts = forth[region.index()];
                let expected =
                    one(count(true, true), count(false, true), count(true, false), count(false, false));
                prop_assert_eq!(counts, expected);
                prop_assert_eq!(counts.dice(), back[region.index()].dice());
                for value in [counts.dice(), counts.sensitivity(), counts.specificity()] {
                    prop_assert!((0.0..=1.0).contains(&value));
                }
            }
        }
    }
}
