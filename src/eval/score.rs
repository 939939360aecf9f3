//! Scores of one case: every measure of every region.

use serde::{Deserialize, Serialize};

use crate::eval::mask_pair::MaskPair;
use crate::eval::{ByRegion, ConfusionCounts, Hd95};
use crate::volume::{Box3, CaseId, Dims, RegionSet, label};

/// Measures of one region: numbers, or summaries of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measures<T> {
    /// Dice coefficient, 0 to 1.
    pub dice: T,
    /// 95th percentile of the surface distance in mm.
    pub hd95_mm: T,
    /// Surface Dice at 0.5 mm, 0 to 1.
    pub nsd_half_mm: T,
    /// Surface Dice at 1 mm, 0 to 1.
    pub nsd_one_mm: T,
    /// Share of the truth that was found, 0 to 1.
    pub sensitivity: T,
    /// Share of the rest of the grid that was left alone, 0 to 1.
    pub specificity: T,
}

impl<T> Measures<T> {
    /// The column names of files and tables, in the order of [`Measures::map`].
    pub const NAMES: [&'static str; 6] =
        ["dice", "hd95_mm", "nsd_half_mm", "nsd_one_mm", "sensitivity", "specificity"];

    /// Applies a function to each measure.
    pub fn map<U>(&self, mut of: impl FnMut(&T) -> U) -> Measures<U> {
        Measures {
            dice: of(&self.dice),
            hd95_mm: of(&self.hd95_mm),
            nsd_half_mm: of(&self.nsd_half_mm),
            nsd_one_mm: of(&self.nsd_one_mm),
            sensitivity: of(&self.sensitivity),
            specificity: of(&self.specificity),
        }
    }

    /// The values, in the order of [`Measures::NAMES`].
    pub fn into_array(self) -> [T; 6] {
        let Self { dice, hd95_mm, nsd_half_mm, nsd_one_mm, sensitivity, specificity } = self;
        [dice, hd95_mm, nsd_half_mm, nsd_one_mm, sensitivity, specificity]
    }
}

/// Scores of one region of one case. The rules for empty regions are those of `ConfusionCounts`
/// and [`Hd95`]; the surface Dice is 1 where both masks are empty and 0 where one is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RegionScore {
    /// The measures.
    #[serde(flatten)]
    pub measures: Measures<f64>,
    /// Voxels of the region in the truth.
    pub truth_voxels: u64,
    /// Voxels of the region in the prediction.
    pub predicted_voxels: u64,
}

/// Scores of one case. In JSON `regions.{ET,TC,WT}` with the names of the run's regions, each with
/// the names of [`Measures::NAMES`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseScore {
    /// The case.
    pub case: CaseId,
    /// Definition that `hd95_mm` follows.
    pub hd95: Hd95,
    /// Scores per region.
    pub regions: ByRegion<RegionScore>,
}

/// Scores a predicted against a true segmentation, both canonical labels in memory order
/// `[d, h, w]`; `spacing_mm` is fastest axis first, as [`crate::volume::Affine::spacing_mm`]
/// gives it. Voxels that the truth ignores are in neither.
///
/// ```
/// use gliaflow::embed::dataset::{CaseId, Dims, RegionSet, label};
/// use gliaflow::embed::scoring::{Hd95, score_case};
///
/// let truth = [label::ET, label::ET, label::NCR, label::ED, 0, 0, 0, 0];
/// let found = [label::ET, 0, label::NCR, label::ED, 0, 0, 0, 0];
/// let case = CaseId::new("case");
/// let (regions, dims) = (RegionSet::BRATS, Dims([2, 2, 2]));
/// let score = score_case(regions, Hd95::Medpy, case, &truth, &found, dims, [1.0, 1.0, 1.0]);
/// let dice = score.regions.get("ET").map(|of_region| of_region.measures.dice);
/// assert_eq!(dice, Some(2.0 / 3.0));
/// ```
///
/// # Panics
/// If there are not as many labels as voxels: the geometry is the caller's to check.
pub fn score_case(
    regions: RegionSet,
    hd95: Hd95,
    case: CaseId,
    truth: &[u8],
    prediction: &[u8],
    dims: Dims,
    spacing_mm: [f64; 3],
) -> CaseScore {
    assert!(truth.len() == dims.voxel_count() && prediction.len() == dims.voxel_count());
    let counts = ConfusionCounts::per_region(regions, truth, prediction);
    // Distances need the tumour only; most of a head is neither in the truth nor in the prediction.
    let around = Box3::bounding_box_or_voxel(dims, |at| truth[at] | prediction[at] != 0);
    let true_labels = around.crop_from(truth, dims);
    let mut predicted = around.crop_from(prediction, dims);
    clear_ignored(&true_labels, &mut predicted);
    let regions = ByRegion::of_regions(regions, |region| {
        let mask = |labels: &[u8]| -> Vec<bool> {
            labels.iter().map(|&label| region.contains(label)).collect()
        };
        let overlap = counts[region.index()];
        let masks =
            MaskPair::of_masks(&mask(&true_labels), &mask(&predicted), around.dims, spacing_mm);
        RegionScore {
            measures: Measures {
                dice: overlap.dice(),
                hd95_mm: hd95.between_surfaces(&masks),
                nsd_half_mm: masks.surface_dice(0.5),
                nsd_one_mm: masks.surface_dice(1.0),
                sensitivity: overlap.sensitivity(),
                specificity: overlap.specificity(),
            },
            truth_voxels: overlap.truth_voxels(),
            predicted_voxels: overlap.predicted_voxels(),
        }
    });
    CaseScore { case, hd95, regions }
}

/// Takes the prediction away where the truth is ignored.
pub(super) fn clear_ignored(truth: &[u8], prediction: &mut [u8]) {
    for (found, _) in prediction.iter_mut().zip(truth).filter(|(_, t)| **t == label::IGNORE) {
        *found = label::BACKGROUND;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::ONE_EMPTY_MM;
    use crate::volume::Region;

    const DIMS: Dims = Dims([4, 5, 6]);

    /// Labels with the given voxels set.
    fn labels(voxels: &[([usize; 3], u8)]) -> Vec<u8> {
        let mut labels = vec![label::BACKGROUND; DIMS.voxel_count()];
        for &(at, value) in voxels {
            labels[DIMS.offset_from_zyx(at)] = value;
        }
        labels
    }

    fn score(truth: &[u8], prediction: &[u8]) -> CaseScore {
        let id = CaseId::new("case");
        score_case(RegionSet::BRATS, Hd95::default(), id, truth, prediction, DIMS, [1.0, 2.0, 3.0])
    }

    #[test]
    fn a_case_worked_out_by_hand() {
        let truth = labels(&[([1, 1, 1], label::ET), ([1, 1, 2], label::ED)]);
        let prediction = labels(&[([1, 1, 1], label::NCR), ([1, 3, 2], label::ED)]);
        let scored = score(&truth, &prediction).regions;
        let [et, tc, wt] = Region::BRATS.map(|region| scored[region]);
        assert_eq!((et.truth_voxels, et.predicted_voxels), (1, 0));
        assert_eq!((et.measures.dice, et.measures.hd95_mm), (0.0, ONE_EMPTY_MM));
        assert_eq!((tc.measures.dice, tc.measures.hd95_mm), (1.0, 0.0));
        assert_eq!((wt.truth_voxels, wt.predicted_voxels), (2, 2));
        assert_eq!((wt.measures.dice, wt.measures.sensitivity), (0.5, 0.5));
        assert_eq!(wt.measures.specificity, 117.0 / 118.0);
        // Pooled distances 0, 1 and 0, 4 mm; place 2.85 of 0, 0, 1, 4.
        assert!((wt.measures.hd95_mm - (1.0 + 3.0 * 0.85)).abs() < 1e-12);
    }

    #[test]
    fn background_against_background_is_perfect() {
        for region in score(&labels(&[]), &labels(&[])).regions.values() {
            assert_eq!(region.measures.into_array(), [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        }
    }

    #[test]
    fn a_cavity_is_in_no_region_and_changes_nothing() {
        let cavity = labels(&[([0, 0, 0], label::RC), ([3, 4, 5], label::RC)]);
        assert_eq!(score(&cavity, &labels(&[])).regions, score(&labels(&[]), &cavity).regions);
        assert_eq!(score(&cavity, &labels(&[])).regions[Region::WT].truth_voxels, 0);
    }

    #[test]
    fn json_is_keyed_by_region_and_measure() {
        let truth = labels(&[([1, 1, 1], label::ET)]);
        let scored = score(&truth, &truth);
        let json = serde_json::to_value(&scored).unwrap();
        assert_eq!(json["case"], "case");
        assert_eq!(json["hd95"], "medpy");
        for region in Region::BRATS {
            for (name, value) in Measures::<f64>::NAMES.iter().zip([1.0, 0.0, 1.0, 1.0, 1.0, 1.0]) {
                assert_eq!(json["regions"][region.name()][name], value, "{region} {name}");
            }
            assert_eq!(json["regions"][region.name()]["truth_voxels"], 1);
        }
        assert_eq!(serde_json::from_value::<CaseScore>(json).unwrap(), scored);
    }
}
