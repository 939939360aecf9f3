//! Prediction of label files for cases, with labels or without.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{CaseError, fs};
use crate::brats::{CaseFiles, is_prediction, write_prediction, write_probabilities};
use crate::cache::PreprocessConfig;
use crate::eval::{PostProcess, Predictor, assess, regions_to_labels};
use crate::pipeline::whole_case::{WholeCase, WholeCaseSource};
use crate::run::evaluate::{process_each_case, stop_failure};
use crate::run::{Failure, Session};
use crate::volume::{CaseId, RegionSet};

/// Folder of the probabilities beside the label files, where `score` takes no notice of them.
const PROBABILITIES: &str = "probabilities";

/// A written prediction.
#[derive(Debug, Serialize)]
pub struct Prediction {
    /// The case.
    pub case: CaseId,
    /// The label file.
    pub file: PathBuf,
    /// Files of the probabilities in the order of the regions; left out where none are written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probabilities: Vec<PathBuf>,
    /// Voxels per region, in the order of [`Self::regions`].
    pub voxels: Vec<usize>,
    /// Names of the regions; left out where they are ET, TC and WT.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<&'static str>,
}

/// Preparation and post-processing of a prediction.
pub struct PredictOptions {
    /// Preprocessing of the cases.
    pub preprocess: PreprocessConfig,
    /// Post-processing of the predicted labels.
    pub postprocess: PostProcess,
    /// Probabilities as files, too: `probabilities/<case>_<region>.nii.gz` in the folder of the labels, f32 on
    /// the source's grid, ahead of any post-processing.
    pub probabilities: bool,
}

/// Segments `cases` straight from their files into `out/<case>.nii.gz`, in the source's grid and
/// label values. A case's own labels are not read, so they change nothing, whatever they are. A case
/// whose images cannot be read is listed; the others go on.
///
/// # Errors
/// If the run itself fails, is stopped, or a file cannot be written.
pub fn predict_cases(
    predictor: &mut dyn Predictor,
    options: &PredictOptions,
    cases: Vec<CaseFiles>,
    out: &Path,
    session: &Session,
) -> Result<(Vec<Prediction>, Vec<CaseError>), Failure> {
    fs::create_dir_all(out)?;
    let mut written = Vec::new();
    let mut failed = Vec::new();
    let names: Vec<CaseId> = cases.iter().map(|files| files.id.clone()).collect();
    check_segmentation_files(out, &names)?;
    let regions = predictor.run_channels().regions;
    if options.probabilities {
        fs::create_dir_all(out.join(PROBABILITIES))?;
        let files = names.iter().flat_map(|id| probability_files(out, id, regions));
        check_prediction_files(files)?;
    }
    let cases = cases.into_iter().map(|files| CaseFiles { labels: None, ..files }).collect();
    let source = WholeCaseSource::Files(options.preprocess.clone());
    let feed = source.start_topology(cases, &session.stop, &session.runtime)?;
    let mut place = 0;
    let region_names: Vec<&str> =
        if regions.is_brats() { Vec::new() } else { regions.region_names().collect() };
    process_each_case("predict", names.len(), feed, session, |outcome| {
        let id = names[place].clone();
        place += 1;
        let case = match outcome {
            Ok(case) => case,
            Err(skip) => {
                failed.push(skip.error);
                return Ok(id);
            }
        };
        let maps = match options.probabilities {
            true => assess::predict_on_file_grid(predictor, &case, &session.stop)?,
            false => None,
        };
        let segmentation = match (&maps, options.probabilities) {
            (Some(maps), _) => Some(regions_to_labels::labels_from_probabilities(regions, maps)),
            (None, true) => None,
            (None, false) => assess::segment_case(predictor, &case, &session.stop)?,
        };
        let mut segmentation = segmentation.ok_or_else(|| stop_failure(session))?;
        options.postprocess.apply_to(regions, &mut segmentation, case.file_grid().canonical_dims());
        let voxels = regions
            .iter()
            .map(|region| segmentation.iter().filter(|label| region.contains(**label)).count());
        let file = segmentation_file(out, &id);
        write_segmentation(&file, &case, &segmentation)?;
        let voxels = voxels.collect();
        let probabilities = match maps {
            Some(maps) => write_maps(probability_files(out, &id, regions), &case, &maps)?,
            None => Vec::new(),
        };
        let regions = region_names.clone();
        written.push(Prediction { case: id.clone(), file, probabilities, voxels, regions });
        Ok(id)
    })?;
    Ok((written, failed))
}

/// The file of a case's segmentation.
pub(super) fn segmentation_file(folder: &Path, id: &CaseId) -> PathBuf {
    folder.join(format!("{id}.nii.gz"))
}

/// Checks that no file of another origin lies where segmentations of `cases` are to be written.
pub(super) fn check_segmentation_files(folder: &Path, cases: &[CaseId]) -> Result<(), Failure> {
    check_prediction_files(cases.iter().map(|id| segmentation_file(folder, id)))
}

fn check_prediction_files(files: impl Iterator<Item = PathBuf>) -> Result<(), Failure> {
    for file in files {
        if file.exists() && !is_prediction(&file)? {
            return Err(Failure::Usage(format!(
                "{}: is there, and is no prediction of gliaflow's; name another folder, or move it away",
                file.display()
            )));
        }
    }
    Ok(())
}

/// Files of a case's probabilities, in the order of the regions.
fn probability_files(out: &Path, id: &CaseId, regions: RegionSet) -> Vec<PathBuf> {
    let folder = out.join(PROBABILITIES);
    regions.region_names().map(|name| folder.join(format!("{id}_{name}.nii.gz"))).collect()
}

/// Writes probabilities `[k, d, h, w]` of the whole canonical grid, a file for each region.
fn write_maps(
    files: Vec<PathBuf>,
    case: &WholeCase,
    maps: &[f32],
) -> Result<Vec<PathBuf>, Failure> {
    let grid = case.file_grid();
    for (file, map) in files.iter().zip(maps.chunks_exact(grid.dims.voxel_count())) {
        let written = write_probabilities(file, &grid.to_file_order(map), grid);
        written.map_err(Failure::of_output_file)?;
    }
    Ok(files)
}

/// Writes canonical labels of the whole grid as the case's files have theirs.
pub(super) fn write_segmentation(
    file: &Path,
    case: &WholeCase,
    segmentation: &[u8],
) -> Result<(), Failure> {
    let values: Vec<u8> = segmentation.iter().map(|label| case.scheme.to_file(*label)).collect();
    let grid = case.file_grid();
    let written = write_prediction(file, &grid.to_file_order(&values), grid);
    written.map_err(Failure::of_output_file)
}
