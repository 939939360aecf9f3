//! The baseline that every network must beat: the best single threshold on FLAIR for the whole
//! tumour.
//!
//! The threshold is chosen on the very cases that it is scored on, with their truth in view. That
//! flatters the baseline: no threshold fixed in advance does better on them. A network that is
//! ahead of it is ahead of every threshold.

use serde::{Deserialize, Serialize};

use crate::eval::ConfusionCounts;
use crate::volume::{CaseId, Region, label};

/// Candidate thresholds: -3 to 6 standard deviations in steps of a hundredth.
const CANDIDATES: usize = 901;

/// Candidate threshold number `place`, as a z-score.
fn candidate_z(place: usize) -> f64 {
    (place as f64 - 300.0) / 100.0
}

/// Number of candidates below `z`: a voxel is predicted at exactly those.
fn candidates_below(z: f64) -> usize {
    let estimate = (z * 100.0 + 300.0).ceil().clamp(0.0, CANDIDATES as f64) as usize;
    // The product is rounded; the comparison with the candidates themselves is not.
    let mut below = estimate;
    while below > 0 && candidate_z(below - 1) >= z {
        below -= 1;
    }
    while below < CANDIDATES && candidate_z(below) < z {
        below += 1;
    }
    below
}

/// Voxels of one case by the number of candidate thresholds that they exceed: some kilobytes,
/// whatever the grid, and enough for the Dice at every candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateHistogram {
    case: CaseId,
    tumour: Vec<u32>,
    other: Vec<u32>,
}

impl CandidateHistogram {
    /// Counts the voxels of a case: for each the FLAIR z-score over the tissue, `None` where there
    /// is no tissue, and the canonical label. Voxels without tissue are never predicted; a tumour
    /// there counts as missed. Ignored voxels do not count.
    ///
    /// # Panics
    /// If there are not as many z-scores as labels.
    pub fn of_case(
        case: CaseId,
        whole_tumour: Region,
        flair: impl IntoIterator<Item = Option<f32>>,
        labels: &[u8],
    ) -> Self {
        let mut tumour = vec![0; CANDIDATES + 1];
        let mut other = vec![0; CANDIDATES + 1];
        let mut scores = flair.into_iter();
        for &canonical in labels {
            let score = scores.next().expect("one z-score per label");
            if canonical == label::IGNORE {
                continue;
            }
            let exceeded =
                score.filter(|z| !z.is_nan()).map_or(0, |z| candidates_below(f64::from(z)));
            let histogram = if whole_tumour.contains(canonical) { &mut tumour } else { &mut other };
            histogram[exceeded] += 1;
        }
        assert!(scores.next().is_none(), "one label per z-score");
        Self { case, tumour, other }
    }

    /// Whole-tumour Dice at every candidate, from the lowest.
    fn dice_at_candidates(&self) -> Vec<f64> {
        let total = |voxels: &[u32]| voxels.iter().map(|&count| u64::from(count)).sum::<u64>();
        let all_tumour = total(&self.tumour);
        let mut true_positive = all_tumour;
        let mut false_positive = total(&self.other);
        let mut dice = Vec::with_capacity(CANDIDATES);
        for place in 0..CANDIDATES {
            // These exceed the candidates before this one and no more.
            true_positive -= u64::from(self.tumour[place]);
            false_positive -= u64::from(self.other[place]);
            let false_negative = all_tumour - true_positive;
            // The background's size does not enter Dice.
            let counts =
                ConfusionCounts { true_positive, false_positive, false_negative, true_negative: 0 };
            dice.push(counts.dice());
        }
        dice
    }
}

/// The baseline's Dice on one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdCase {
    /// The case.
    pub case: CaseId,
    /// Whole-tumour Dice.
    pub dice: f64,
}

/// The best single threshold, and its Dice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdBaseline {
    /// Voxels with a FLAIR z-score above it are taken for tumour.
    pub threshold: f64,
    /// Mean whole-tumour Dice over the cases.
    pub mean_dice: f64,
    /// Per case, in the order in which they were added.
    pub cases: Vec<ThresholdCase>,
}

/// Collects held-out cases one by one, then finds the threshold.
#[derive(Default)]
pub struct ThresholdSearch {
    histograms: Vec<CandidateHistogram>,
}

impl ThresholdSearch {
    /// Adds a case.
    pub fn add_case(&mut self, histogram: CandidateHistogram) {
        self.histograms.push(histogram);
    }

    /// The threshold with the highest mean whole-tumour Dice over the cases added, the lowest if
    /// several are equal; `None` if no case was added.
    ///
    /// Thresholds are -3.00, -2.99, … 6.00. The rule for cases without tumour is that of
    /// [`ConfusionCounts::dice`].
    pub fn best_threshold(&self) -> Option<ThresholdBaseline> {
        let per_case: Vec<Vec<f64>> =
            self.histograms.iter().map(CandidateHistogram::dice_at_candidates).collect();
        if per_case.is_empty() {
            return None;
        }
        let mean = |place: usize| {
            per_case.iter().map(|dice| dice[place]).sum::<f64>() / per_case.len() as f64
        };
        let mut best = (0, mean(0));
        for place in 1..CANDIDATES {
            let found = mean(place);
            if found > best.1 {
                best = (place, found);
            }
        }
        let (place, mean_dice) = best;
        let names = self.histograms.iter().map(|histogram| histogram.case.clone());
        let cases =
            names.zip(&per_case).map(|(case, dice)| ThresholdCase { case, dice: dice[place] });
        Some(ThresholdBaseline { threshold: candidate_z(place), mean_dice, cases: cases.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Domain, KeyedRng, SampleKey};
    use crate::volume::RegionSet;

    fn search(cases: &[(Vec<Option<f32>>, Vec<u8>)]) -> ThresholdBaseline {
        let mut search = ThresholdSearch::default();
        for (number, (flair, labels)) in cases.iter().enumerate() {
            let case = CaseId::new(format!("case{number}"));
            search.add_case(CandidateHistogram::of_case(
                case,
                Region::WT,
                flair.iter().copied(),
                labels,
            ));
        }
        search.best_threshold().unwrap()
    }

    #[test]
    fn the_threshold_serves_all_cases_at_once() {
        // Alone, the first case is perfect from 0.5 to 1, the second from 2 to 3. Nothing suits
        // both: at 0.5 the second takes three voxels too many (4/7), at 2 the first misses one of
        // two (2/3).
        let first = (
            vec![Some(0.5), Some(1.0), Some(3.5), None],
            vec![0, label::ED, label::ET, label::BACKGROUND],
        );
        let second = (
            vec![Some(1.5), Some(1.5), Some(2.0), Some(3.0), Some(9.0)],
            vec![0, 0, label::RC, label::NCR, label::ED],
        );
        let found = search(&[first.clone(), second.clone()]);
        assert_eq!(found.threshold, 2.0, "at 2.0 itself the voxel of 2.0 is not above");
        assert_eq!(found.cases[0].dice, 2.0 / 3.0);
        assert_eq!(found.cases[1].dice, 1.0);
        assert_eq!(found.mean_dice, 0.5 * (2.0 / 3.0 + 1.0));
        assert_eq!(search(&[first]).threshold, 0.5);
        assert_eq!(search(&[second]).threshold, 2.0);
    }

    #[test]
    fn tumour_without_tissue_is_missed_and_nan_is_no_tissue() {
        let flair = vec![None, Some(f32::NAN), Some(2.0), Some(1.0)];
        let found = search(&[(flair, vec![label::ED, label::ED, label::ED, 0])]);
        assert_eq!((found.threshold, found.mean_dice), (1.0, 0.5));
    }

    #[test]
    fn without_cases_there_is_no_baseline() {
        assert_eq!(ThresholdSearch::default().best_threshold(), None);
    }

    #[test]
    fn the_search_equals_trying_every_threshold() {
        let mut rng = KeyedRng::new(SampleKey { seed: 4, epoch: 0, index: 0 }, Domain::Phantom);
        let cases: Vec<(Vec<Option<f32>>, Vec<u8>)> = (0..3)
            .map(|_| {
                let voxels = (0..400).map(|_| {
                    let ill = rng.draw_bool(0.2);
                    // A third lies on candidates, where rounding could tip a voxel over.
                    let z = rng.standard_normal() * 3.0 + if ill { 1.5 } else { 0.0 };
                    let z = if rng.draw_bool(0.3) { (z * 100.0).round() / 100.0 } else { z };
                    (Some(z as f32), if ill { label::ED } else { label::BACKGROUND })
                });
                voxels.unzip()
            })
            .collect();
        let dice_at = |threshold: f64, (flair, labels): &(Vec<Option<f32>>, Vec<u8>)| {
            let prediction: Vec<u8> =
                flair.iter().map(|z| u8::from(f64::from(z.unwrap()) > threshold) * 2).collect();
            ConfusionCounts::per_region(RegionSet::BRATS, labels, &prediction)[Region::WT.index()]
                .dice()
        };
        let mean_at = |threshold| {
            cases.iter().map(|case| dice_at(threshold, case)).sum::<f64>() / cases.len() as f64
        };
        let found = search(&cases);
        let best = (0..CANDIDATES).map(|place| mean_at(candidate_z(place))).fold(0.0, f64::max);
        assert_eq!(found.mean_dice, best);
        assert_eq!(mean_at(found.threshold), best);
        for (case, scored) in cases.iter().zip(&found.cases) {
            assert_eq!(scored.dice, dice_at(found.threshold, case));
        }
    }
}
