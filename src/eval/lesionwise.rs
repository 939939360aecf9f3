//! Lesion-wise scores, the ranking measure of BraTS since 2023: each lesion counts the same,
//! however small, and one that is invented costs as much as one that is missed.
//!
//! In BraTS 2023, lesions of the truth are the connected components after a dilation, which joins the
//! fragments of one tumour. A component of the prediction belongs to every lesion whose dilation it
//! touches. The rules are those of the challenge's own program (Saluja,
//! `rachitsaluja/BraTS-2023-Metrics`, `get_LesionWiseScores`), whose figures `tests/measures.rs`
//! reproduces: dilations are counted in voxels, volumes in mm³. In BraTS 2025 components are matched
//! one to one ([`MatchedInstances`]). [`LesionRules`] names both.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::eval::dilate::dilate;
use crate::eval::instance_match::MatchedInstances;
use crate::eval::score::clear_ignored;
use crate::eval::{ByRegion, Components, Hd95, LesionMatching, LesionRules, Summary};
use crate::volume::{Box3, CaseId, Dims, RegionSet, label};

/// Lesion-wise scores of one region of one case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LesionScore {
    /// Mean Dice over counted and spurious lesions, in BraTS 2025 over matched ones; 1 where there are
    /// none of either.
    pub dice: f64,
    /// Mean HD95 in mm over the same, in the definition of DeepMind's `surface-distance`, in BraTS 2025
    /// in medpy's; 0 where there are none.
    pub hd95_mm: f64,
    /// Lesions of the truth, those too small to count among them.
    pub lesions: usize,
    /// Lesions of the truth that count.
    pub counted: usize,
    /// Counted lesions that no component of the prediction touches, or is matched with.
    pub missed: usize,
    /// Components of the prediction that touch no lesion, counted or not, or are not matched.
    pub spurious: usize,
}

/// Lesion-wise scores of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseLesions {
    /// The case.
    pub case: CaseId,
    /// Rules of the scores.
    #[serde(default)]
    pub rules: LesionRules,
    /// Scores per region.
    pub regions: ByRegion<LesionScore>,
}

/// Distribution of one region's lesion-wise scores over the cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LesionSummary {
    /// Distribution of the cases' mean Dice.
    pub dice: Summary,
    /// Distribution of the cases' mean HD95 in mm.
    pub hd95_mm: Summary,
    /// Counted lesions of all cases.
    pub counted: usize,
    /// Missed ones.
    pub missed: usize,
    /// Spurious ones.
    pub spurious: usize,
}

/// Lesion-wise scores of a cohort.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CohortLesions {
    /// Rules of the scores.
    #[serde(default)]
    pub rules: LesionRules,
    /// Per region.
    pub regions: ByRegion<LesionSummary>,
    /// Every case.
    pub cases: Vec<CaseLesions>,
}

impl CohortLesions {
    /// Summarizes all cases of a cohort, which follow the same rules; `None` without cases.
    pub fn of_cases(cases: Vec<CaseLesions>) -> Option<Self> {
        let first = cases.first()?;
        let rules = first.rules;
        let regions = first.regions.try_map(|region, _| {
            let scores = cases.iter().filter_map(|case| case.regions.get(region).copied());
            let mut scores: Vec<LesionScore> = scores.collect();
            let has_lesions = |score: &LesionScore| score.lesions + score.spurious > 0;
            // BraTS 2025 has no score for a region that is in neither segmentation, where others have 1.
            if rules.matching == LesionMatching::OneToOne && scores.iter().any(has_lesions) {
                scores.retain(has_lesions);
            }
            let spread = |measure: fn(&LesionScore) -> f64| {
                Summary::of_values(&scores.iter().map(measure).collect::<Vec<_>>())
            };
            let total = |count: fn(&LesionScore) -> usize| scores.iter().map(count).sum();
            Some(LesionSummary {
                dice: spread(|score| score.dice)?,
                hd95_mm: spread(|score| score.hd95_mm)?,
                counted: total(|score| score.counted),
                missed: total(|score| score.missed),
                spurious: total(|score| score.spurious),
            })
        });
        Some(Self { rules, regions: regions?, cases })
    }
}

/// Scores a predicted against a true segmentation lesion by lesion, both canonical labels in memory
/// order `[d, h, w]`; `spacing_mm` is fastest axis first. Voxels that the truth ignores are in
/// neither.
///
/// # Panics
/// If there are not as many labels as voxels.
pub fn score_lesions(
    regions: RegionSet,
    case: CaseId,
    truth: &[u8],
    prediction: &[u8],
    dims: Dims,
    spacing_mm: [f64; 3],
    rules: LesionRules,
) -> CaseLesions {
    assert!(truth.len() == dims.voxel_count() && prediction.len() == dims.voxel_count());
    // Lesions may be joined by a dilation that leaves the tumour's box, but by no wider one.
    let tumour = |at: usize| truth[at] | prediction[at] != label::BACKGROUND;
    let tight = Box3::bounding_box_or_voxel(dims, tumour);
    let around = grow_box(tight, rules.dilations(), dims);
    let true_labels = around.crop_from(truth, dims);
    let mut predicted = around.crop_from(prediction, dims);
    clear_ignored(&true_labels, &mut predicted);
    let regions = ByRegion::of_regions(regions, |region| {
        let masks = [&true_labels, &predicted].map(|labels| -> Vec<bool> {
            labels.iter().map(|&label| region.contains(label)).collect()
        });
        match rules.matching {
            LesionMatching::ByDilation { dilations, ignored_mm3 } => {
                let lesions = Lesions::match_lesions(masks, around.dims, dilations);
                lesions.score_region(spacing_mm, ignored_mm3, rules.penalty_mm)
            }
            LesionMatching::OneToOne => {
                let [truth, prediction] = masks;
                let matched = MatchedInstances::match_masks(&truth, &prediction, around.dims);
                matched.score_region(spacing_mm, rules.penalty_mm)
            }
        }
    });
    CaseLesions { case, rules, regions }
}

/// Adds a margin to a box, clipped to the grid.
fn grow_box(tight: Box3, margin: usize, dims: Dims) -> Box3 {
    let start = tight.start.map(|first| first.saturating_sub(margin));
    let end = |axis: usize| (tight.start[axis] + tight.dims.0[axis] + margin).min(dims.0[axis]);
    Box3 { start, dims: Dims(std::array::from_fn(|axis| end(axis) - start[axis])) }
}

/// A lesion of the truth.
#[derive(Debug, Clone, Default)]
struct Lesion {
    voxels: usize,
    /// Components of the prediction that touch its dilation.
    found: BTreeSet<usize>,
}

/// The lesions of a region, matched with the components of the prediction.
struct Lesions {
    truth: Vec<bool>,
    dims: Dims,
    /// Index of the lesion whose dilation each voxel lies in.
    lesion_at: Vec<Option<u32>>,
    lesions: Vec<Lesion>,
    predicted: Components,
}

impl Lesions {
    fn match_lesions([truth, prediction]: [Vec<bool>; 2], dims: Dims, dilations: usize) -> Self {
        let dilated = dilate(&truth, dims, dilations);
        let components = Components::of_mask(&dilated, dims);
        let mut lesion_at = vec![None; dims.voxel_count()];
        let mut lesions = vec![Lesion::default(); components.count()];
        for (number, places) in components.voxel_runs() {
            lesions[number].voxels += truth[places.clone()].iter().filter(|&&set| set).count();
            lesion_at[places].fill(Some(number as u32));
        }
        let predicted = Components::of_mask(&prediction, dims);
        for (component, places) in predicted.voxel_runs() {
            for lesion in lesion_at[places].iter().flatten() {
                lesions[*lesion as usize].found.insert(component);
            }
        }
        Self { truth, dims, lesion_at, lesions, predicted }
    }

    fn score_region(&self, spacing_mm: [f64; 3], ignored_mm3: f64, penalty_mm: f64) -> LesionScore {
        let touching: BTreeSet<usize> =
            self.lesions.iter().flat_map(|lesion| lesion.found.iter().copied()).collect();
        let spurious = self.predicted.count() - touching.len();
        let mut counted = 0;
        let mut missed = 0;
        let mut dice = 0.0;
        let mut hd95_mm = spurious as f64 * penalty_mm;
        let voxel_mm3: f64 = spacing_mm.iter().product();
        for (number, lesion) in self.lesions.iter().enumerate() {
            if lesion.voxels as f64 * voxel_mm3 <= ignored_mm3 {
                continue;
            }
            counted += 1;
            if lesion.found.is_empty() {
                missed += 1;
                hd95_mm += penalty_mm;
                continue;
            }
            let [true_mask, found_mask] = self.lesion_masks(number, lesion);
            dice += mask_dice(&true_mask, &found_mask);
            hd95_mm +=
                Hd95::SurfaceDistance.between_masks(&true_mask, &found_mask, self.dims, spacing_mm);
        }
        let lesions = self.lesions.len();
        let averaged = counted + spurious;
        if averaged == 0 {
            return LesionScore { dice: 1.0, hd95_mm: 0.0, lesions, counted, missed, spurious };
        }
        let mean = |sum: f64| sum / averaged as f64;
        LesionScore { dice: mean(dice), hd95_mm: mean(hd95_mm), lesions, counted, missed, spurious }
    }

    /// Masks of a lesion of the truth, without its dilation, and of all components that touch it.
    fn lesion_masks(&self, number: usize, lesion: &Lesion) -> [Vec<bool>; 2] {
        let own = self.lesion_at.iter().zip(&self.truth);
        let true_mask =
            own.map(|(at, &set)| set && at.is_some_and(|at| at as usize == number)).collect();
        let mut found_mask = vec![false; self.dims.voxel_count()];
        for (component, places) in self.predicted.voxel_runs() {
            if lesion.found.contains(&component) {
                found_mask[places].fill(true);
            }
        }
        [true_mask, found_mask]
    }
}

/// Dice coefficient of two masks that are not both empty.
fn mask_dice(truth: &[bool], prediction: &[bool]) -> f64 {
    let count = |mask: &[bool]| mask.iter().filter(|&&set| set).count();
    let both = truth.iter().zip(prediction).filter(|(t, p)| **t && **p).count();
    2.0 * both as f64 / (count(truth) + count(prediction)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Region;

    const DIMS: Dims = Dims([12, 12, 40]);
    const PENALTY_MM: f64 = LesionRules::BRATS2023_GLI.penalty_mm;

    /// Labels with cubes of enhancing tumour of the given sides at the given corners.
    fn cubes(corners: &[([usize; 3], usize)]) -> Vec<u8> {
        let mut labels = vec![label::BACKGROUND; DIMS.voxel_count()];
        for &(start, side) in corners {
            for row in (Box3 { start, dims: Dims::cube(side) }).row_ranges(DIMS) {
                labels[row].fill(label::ET);
            }
        }
        labels
    }

    fn et(truth: &[u8], prediction: &[u8]) -> LesionScore {
        let rules = LesionRules::BRATS2023_GLI;
        let id = CaseId::new("case");
        let scored = score_lesions(RegionSet::BRATS, id, truth, prediction, DIMS, [1.0; 3], rules);
        scored.regions[Region::ET]
    }

    fn expect(found: LesionScore, dice: f64, hd95_mm: f64, counts: [usize; 4]) {
        let LesionScore { lesions, counted, missed, spurious, .. } = found;
        assert_eq!([lesions, counted, missed, spurious], counts, "{found:?}");
        assert!((found.dice - dice).abs() < 1e-12, "{found:?}");
        assert!((found.hd95_mm - hd95_mm).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn missed_and_spurious_lesions_pay_in_full() {
        let truth = cubes(&[([1, 1, 1], 5), ([1, 1, 20], 5)]);
        let prediction = cubes(&[([1, 1, 1], 5), ([4, 4, 36], 2)]);
        expect(et(&truth, &prediction), 1.0 / 3.0, 2.0 * PENALTY_MM / 3.0, [2, 2, 1, 1]);
    }

    #[test]
    fn a_small_lesion_is_neither_counted_nor_is_finding_it_punished() {
        let truth = cubes(&[([1, 1, 1], 5), ([1, 1, 30], 3)]);
        expect(et(&truth, &truth), 1.0, 0.0, [2, 1, 0, 0]);
        let small = cubes(&[([1, 1, 30], 3)]);
        expect(et(&small, &small), 1.0, 0.0, [1, 0, 0, 0]);
        expect(et(&small, &cubes(&[])), 1.0, 0.0, [1, 0, 0, 0]);
        expect(et(&small, &cubes(&[([1, 1, 1], 3)])), 0.0, PENALTY_MM, [1, 0, 0, 1]);
    }

    #[test]
    fn crumbs_within_the_dilations_are_one_lesion() {
        // Three dilations from either side meet in the middle of six voxels.
        let apart = |gap: usize| cubes(&[([1, 1, 1], 5), ([1, 1, 6 + gap], 5)]);
        let lesions = |gap: usize| et(&apart(gap), &apart(gap)).lesions;
        assert_eq!([lesions(5), lesions(6), lesions(7)], [1, 1, 2]);
    }

    #[test]
    fn one_component_over_two_lesions_is_held_against_each() {
        let truth = cubes(&[([1, 1, 1], 5), ([1, 1, 20], 5)]);
        let mut prediction = truth.clone();
        let bridge = Box3 { start: [3, 3, 6], dims: Dims([1, 1, 14]) };
        bridge.row_ranges(DIMS).for_each(|row| prediction[row].fill(label::ET));
        let found = et(&truth, &prediction);
        assert_eq!([found.counted, found.missed, found.spurious], [2, 0, 0]);
        assert!((found.dice - 2.0 * 125.0 / (125.0 + 264.0)).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn nothing_in_either_is_perfect_and_lesions_at_the_border_are_found() {
        expect(et(&cubes(&[]), &cubes(&[])), 1.0, 0.0, [0; 4]);
        let corner = cubes(&[([7, 7, 35], 5)]);
        expect(et(&corner, &corner), 1.0, 0.0, [1, 1, 0, 0]);
    }

    #[test]
    fn a_cohort_sums_its_lesions_and_spreads_its_scores() {
        let (truth, nothing) = (cubes(&[([1, 1, 1], 5)]), cubes(&[]));
        let score = |name: &str, prediction: &[u8]| {
            let rules = LesionRules::default();
            let brats = RegionSet::BRATS;
            score_lesions(brats, CaseId::new(name), &truth, prediction, DIMS, [1.0; 3], rules)
        };
        let cases = vec![score("a", &truth), score("b", &nothing)];
        let json = serde_json::to_value(CohortLesions::of_cases(cases).unwrap()).unwrap();
        assert_eq!(json["regions"]["ET"]["dice"]["mean"], 0.5);
        assert_eq!(json["regions"]["WT"]["hd95_mm"]["max"], PENALTY_MM);
        assert_eq!(
            (&json["regions"]["TC"]["counted"], &json["regions"]["TC"]["missed"]),
            (&2.into(), &1.into())
        );
        assert_eq!(json["cases"][1]["case"], "b");
        assert_eq!(CohortLesions::of_cases(vec![]), None);
    }
}
