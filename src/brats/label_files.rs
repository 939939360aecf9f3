//! Label files of a folder that says how they are named and what their values mean, with or without the
//! images of their cases: what `score` compares.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use crate::base::{CaseError, Reason};
use crate::brats::ChosenScheme;
use crate::brats::description::{DATASET_JSON, DESCRIPTION_FILE};
use crate::brats::folder_scan::FolderScan;
use crate::brats::layout::LayoutChoice;
use crate::storage;
use crate::volume::{CaseId, LabelScheme, RegionSet};

/// Label files of a folder, and their meaning, as the folder's own description says.
#[derive(Debug)]
pub struct DescribedLabelFiles {
    /// File of each case; empty where the description names files otherwise.
    pub files: BTreeMap<CaseId, PathBuf>,
    /// Meaning of the values; absent where the description leaves it open.
    pub labels: Option<ChosenScheme>,
    /// Regions that the description names.
    pub regions: Option<RegionSet>,
}

/// Finds the label files of `folder` by the file `described`, or the `dataset.toml` or `dataset.json` in
/// it; `None` where there is none.
///
/// # Errors
/// If the description cannot be used, the folder cannot be read, or a case has two files.
pub fn find_described_labels(
    folder: &Path,
    described: Option<&Path>,
) -> Result<Option<DescribedLabelFiles>, CaseError> {
    let names = [DESCRIPTION_FILE, DATASET_JSON];
    if described.is_none() && !names.iter().any(|name| storage::is_file(&folder.join(name))) {
        return Ok(None);
    }
    let choice = LayoutChoice::of_folder(folder, described)?;
    let (Some(_), [layout]) = (&choice.file, choice.layouts.as_slice()) else { return Ok(None) };
    let labels = match layout.schemes() {
        [only] if layout.tells_scheme() => {
            Some(ChosenScheme { scheme: *only, reason: layout.scheme_reason })
        }
        _ => None,
    };
    let regions = layout.regions.as_ref().and(labels).map(|own| layout.regions_of(own.scheme));
    let scan = FolderScan::of_folder(folder, &choice)?;
    let mut files = BTreeMap::new();
    for case in scan.found.into_cases(&choice.layouts) {
        let Some(path) = case.labels else { continue };
        match files.entry(CaseId::new(case.name)) {
            Entry::Vacant(place) => _ = place.insert(path),
            Entry::Occupied(place) => {
                let known: &PathBuf = place.get();
                let problem = format!("case {} has {} already", place.key(), known.display());
                let remedy =
                    "move one away, or tell the cases apart by case = \"…\" in dataset.toml";
                return Err(CaseError::new(Reason::Format, path.display(), problem, remedy));
            }
        }
    }
    Ok(Some(DescribedLabelFiles { files, labels, regions }))
}

/// Scheme of a prediction in the tissues of its truth.
///
/// # Errors
/// If one has a tissue that the other has not.
pub fn align_prediction(
    prediction: ChosenScheme,
    truth: LabelScheme,
    folder: &Path,
) -> Result<ChosenScheme, CaseError> {
    let scheme = prediction.scheme.align_with(truth).map_err(|problem| {
        let remedy = "name tissues alike under [labels] in the dataset.toml of both folders, or name \
                      their meaning with --truth-labels and --prediction-labels";
        CaseError::new(Reason::Label, folder.display(), format!("against its truth, {problem}"), remedy)
    })?;
    Ok(ChosenScheme { scheme, ..prediction })
}
