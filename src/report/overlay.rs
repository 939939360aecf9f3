//! Overlays of truth and prediction on FLAIR, for the worst, the median and the best case of each
//! region: `validation/overlays/*.png`, and an index of them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{Fault, fs, write_json};
use crate::eval::CohortScore;
use crate::report::picture;
use crate::report::sketch::{ErrorCounts, Sketch};
use crate::run_folder::read_json;
use crate::volume::CaseId;

/// Folder of the overlays, beside the scores.
pub const FOLDER: &str = "overlays";
/// Index of the overlays, in their folder.
pub(super) const INDEX: &str = "index.json";

/// Rank of a case among all, by the Dice of one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum Rank {
    /// Case with none below it.
    Worst,
    /// Case with as many below it as above it, or one less.
    Median,
    /// Case with none above it.
    Best,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Overlay {
    pub(super) region: String,
    pub(super) rank: Rank,
    pub(super) case: CaseId,
    pub(super) dice: f64,
    /// Errors of the region in the case; absent in the list of an early version.
    #[serde(default)]
    pub(super) errors: Option<ErrorCounts>,
    /// File name in the folder.
    pub(super) file: String,
}

/// Draws the overlays of a scored cohort into `validation/overlays`, in place of earlier ones.
/// Cases without a sketch are not drawn.
///
/// # Errors
/// If the disk does not take them.
pub fn write_overlays(
    validation: &Path,
    cohort: &CohortScore,
    sketches: &[Sketch],
) -> Result<(), Fault> {
    let folder = validation.join(FOLDER);
    fs::if_present(fs::remove_dir_all(&folder))?;
    if sketches.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&folder)?;
    let mut drawn = Vec::new();
    for region in cohort.summary_by_region().region_names() {
        for overlay in select_overlays(cohort, region) {
            let Some(sketch) = sketches.iter().find(|sketch| sketch.case == overlay.case) else {
                continue;
            };
            let path = folder.join(&overlay.file);
            let Some(slices) = sketch.of_region(region) else { continue };
            let png = picture::draw_overlay(slices).to_png();
            let png = png.map_err(|error| Fault::from_io(&path, &error.into()))?;
            fs::write(&path, png)?;
            drawn.push(Overlay { errors: sketch.errors_in(region), ..overlay });
        }
    }
    write_json(&folder.join(INDEX), &drawn)
}

/// The worst, median and best case of a region; of two the worst and the best, of one itself.
fn select_overlays(cohort: &CohortScore, region: &str) -> Vec<Overlay> {
    let scored = |case: usize| cohort.cases()[case].regions.get(region);
    let dice = |case: usize| scored(case).map_or(f64::NAN, |score| score.measures.dice);
    let mut order: Vec<usize> = (0..cohort.cases().len()).collect();
    // Stable: of equals the first in the cohort's order comes first.
    order.sort_by(|&a, &b| dice(a).total_cmp(&dice(b)));
    let last = order.len() - 1;
    let places = match last {
        0 => vec![(Rank::Worst, 0)],
        1 => vec![(Rank::Worst, 0), (Rank::Best, 1)],
        _ => vec![(Rank::Worst, 0), (Rank::Median, last / 2), (Rank::Best, last)],
    };
    let overlay = |(rank, place): (Rank, usize)| Overlay {
        region: region.to_owned(),
        rank,
        case: cohort.cases()[order[place]].case.clone(),
        dice: dice(order[place]),
        errors: None,
        file: format!("{region}-{rank}.png"),
    };
    places.into_iter().map(overlay).collect()
}

/// Reads the index of `validation/overlays`; empty if there is none.
///
/// # Errors
/// If the list is damaged.
pub(super) fn read_overlays(validation: &Path) -> Result<Vec<Overlay>, Fault> {
    let index = validation.join(FOLDER).join(INDEX);
    Ok(read_json(&index)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Hd95, score_case};
    use crate::report::sketch::tests::{test_case, test_segmentation};
    use crate::volume::{Dims, Region, RegionSet, RunChannels, label};

    /// Scores in which only the Dice of WT differs: `hits` of 8 voxels are found.
    fn cohort(hits: &[usize]) -> CohortScore {
        let truth = [label::ED; 8];
        let score = |place: usize, hits: usize| {
            let mut prediction = [label::BACKGROUND; 8];
            prediction[..hits].fill(label::ED);
            let id = CaseId::new(format!("case{place}"));
            let (brats, dims) = (RegionSet::BRATS, Dims::cube(2));
            score_case(brats, Hd95::default(), id, &truth, &prediction, dims, [1.0; 3])
        };
        let ids: Vec<CaseId> =
            (0..hits.len()).map(|place| CaseId::new(format!("case{place}"))).collect();
        let scores = hits.iter().enumerate().map(|(place, &hits)| score(place, hits)).collect();
        CohortScore::new(&ids, scores).unwrap()
    }

    fn names(hits: &[usize]) -> Vec<(Rank, String)> {
        let chosen = select_overlays(&cohort(hits), "WT");
        chosen.into_iter().map(|one| (one.rank, one.case.as_str().to_owned())).collect()
    }

    #[test]
    fn the_worst_the_median_and_the_best_are_drawn_and_no_case_twice() {
        let name = |place: usize| format!("case{place}");
        let three = [(Rank::Worst, name(1)), (Rank::Median, name(3)), (Rank::Best, name(2))];
        assert_eq!(names(&[5, 1, 8, 4]), three);
        assert_eq!(names(&[7, 2]), [(Rank::Worst, name(1)), (Rank::Best, name(0))]);
        assert_eq!(names(&[7]), [(Rank::Worst, name(0))]);
    }

    #[test]
    fn what_is_written_is_read_and_an_older_set_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_overlays(folder.path()).unwrap(), []);
        let sketch = |name: &str| {
            let case = test_case(name, [1; 3]);
            Sketch::from_case(RunChannels::default(), &case, &test_segmentation([1; 3])).unwrap()
        };
        let all = [sketch("case0"), sketch("case1"), sketch("case2")];
        write_overlays(folder.path(), &cohort(&[3, 2, 1]), &all).unwrap();
        let overlays = read_overlays(folder.path()).unwrap();
        assert_eq!(overlays.len(), 3 * Region::BRATS.len());
        for overlay in &overlays {
            let bytes = fs::read(folder.path().join(FOLDER).join(&overlay.file)).unwrap();
            assert!(bytes.starts_with(b"\x89PNG"));
        }
        let wt: Vec<_> = overlays.iter().filter(|one| one.region == "WT").collect();
        assert_eq!((wt[0].case.as_str(), wt[0].dice), ("case2", 2.0 / 9.0));
        write_overlays(folder.path(), &cohort(&[3]), &all[..1]).unwrap();
        assert_eq!(read_overlays(folder.path()).unwrap().len(), Region::BRATS.len());
        assert_eq!(
            std::fs::read_dir(folder.path().join(FOLDER)).unwrap().count(),
            1 + Region::BRATS.len()
        );
        write_overlays(folder.path(), &cohort(&[3]), &[]).unwrap();
        assert_eq!(
            read_overlays(folder.path()).unwrap(),
            [],
            "scores without sketches leave no old ones"
        );
    }
}
