//! Discovery of the cases of a folder by file names alone: no file is opened. Missing files are
//! listed, never guessed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{CaseError, Fingerprint, Reason};
use crate::brats::ChosenScheme;
use crate::brats::datalist::read_datalist;
use crate::brats::description::DatasetDescription;
use crate::brats::discovery_errors::and_more_text;
use crate::brats::folder_scan::FolderScan;
use crate::brats::found_cases::FoundCases;
use crate::brats::layout::{Layout, LayoutChoice};
use crate::brats::read::read_volume_grid;
use crate::brats::scheme::{NameSchemes, SchemeRequest};
use crate::storage;
use crate::volume::{CaseId, LabelScheme, Modality, PatientId, RunChannels, SourceGrid};

/// Tumour grade, if the folders name it (BraTS 2018 and 2019).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TumourGrade {
    /// High-grade glioma.
    Hgg,
    /// Low-grade glioma.
    Lgg,
}

impl TumourGrade {
    pub(super) fn of_folder(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "HGG" => Some(Self::Hgg),
            "LGG" => Some(Self::Lgg),
            _ => None,
        }
    }
}

/// Places of the modalities in a file that holds them all, one volume each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StackPlaces {
    /// Place of each modality on the fourth axis, in the order of [`Modality::ALL`]; absent where it
    /// has none.
    pub places: [Option<usize>; Modality::COUNT],
    /// Number of volumes.
    pub volumes: usize,
}

impl StackPlaces {
    /// Bytes that tell one order of volumes from another.
    pub fn to_bytes(self) -> Vec<u8> {
        let places = self.places.iter().map(|place| place.map_or(u64::MAX, |place| place as u64));
        places.chain([self.volumes as u64]).flat_map(u64::to_le_bytes).collect()
    }
}

/// Files of one complete case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFiles {
    /// The folder's name.
    pub id: CaseId,
    /// Patient, as the layout names cases.
    pub patient: PatientId,
    /// Image per modality, in the order of [`Modality::ALL`]; the same for all where it is a stack, and
    /// empty where it is none of `channels`.
    pub images: [PathBuf; Modality::COUNT],
    /// Places of the modalities in the file of all of them, if there is one.
    pub stack: Option<StackPlaces>,
    /// Absent for unlabelled cases.
    pub labels: Option<PathBuf>,
    /// File that is not 0 where tissue is, if the run's settings name one.
    pub mask: Option<PathBuf>,
    /// Meaning of the label values.
    pub scheme: LabelScheme,
    /// Modalities that are read, and regions that the case is indexed by.
    pub channels: RunChannels,
    /// Tumour grade, from the name of a folder above.
    pub grade: Option<TumourGrade>,
    /// Voxels of the largest volume that is read.
    pub max_voxels: usize,
}

impl CaseFiles {
    /// Returns the paths of all files that decide the case, in the order of reading.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let most = if self.stack.is_some() { 1 } else { Modality::COUNT };
        self.image_paths().take(most).chain(&self.labels).chain(&self.mask)
    }

    /// Bytes that tell the case from one of the same files in another order, of other modalities or
    /// indexed by other regions; none for a case of a file for each of four modalities in the regions
    /// of BraTS.
    pub fn order_bytes(&self) -> Vec<u8> {
        let mut bytes = self.stack.map_or_else(Vec::new, |stack| stack.to_bytes());
        bytes.extend(self.channels.identity_bytes());
        bytes
    }

    /// Returns the file of each modality that is read, in the order of the modalities.
    pub fn image_paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.channels.modalities.iter().map(|modality| &self.images[modality.index()])
    }

    /// Returns the first file that is read.
    pub fn first_image(&self) -> &Path {
        self.image_paths().next().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Reads the grid of the case from the start of its first file.
    ///
    /// # Errors
    /// Those of [`crate::brats::read_grid`].
    pub fn read_grid(&self) -> Result<SourceGrid, CaseError> {
        read_volume_grid(self.first_image(), self.stack.map_or(1, |stack| stack.volumes))
    }
}

/// Cases of a folder.
#[derive(Debug)]
pub struct Dataset {
    /// Layout of most cases; the older one where two are equal.
    pub layout: Layout,
    /// Reason why it is that layout, as a sentence without its end.
    pub layout_reason: String,
    /// Description of that layout.
    pub description: DatasetDescription,
    /// The label scheme of that layout, and its source; each case carries its own scheme.
    pub labels: ChosenScheme,
    /// Schemes that the names of the cases allow.
    pub name_schemes: NameSchemes,
    /// Complete cases, sorted by id; labels may be absent.
    pub cases: Vec<CaseFiles>,
    /// Errors of what could not become a case, sorted by name.
    pub problems: Vec<CaseError>,
    /// Cases that lack a modality, each with its error, which is among the problems.
    pub incomplete: Vec<(CaseFiles, CaseError)>,
}

impl Dataset {
    /// Fingerprint of the description, if a file says another than a built-in layout.
    pub fn description_fingerprint(&self) -> Option<Fingerprint> {
        self.description.own_fingerprint()
    }

    /// Sets the number of voxels of the largest volume that is read.
    #[must_use]
    pub fn with_max_voxels(mut self, max_voxels: usize) -> Self {
        self.cases.iter_mut().for_each(|files| files.max_voxels = max_voxels);
        self
    }
}

/// Finds the cases in a dataset's folder, or the one case whose folder it is, in the layout that a
/// description beside the data says or that its names fit.
///
/// # Errors
/// If the folder cannot be listed, holds nothing that any layout names, or names leave open what a
/// label value means. A folder of incomplete cases is no error: they are the problems.
///
/// ```
/// # fn main() -> Result<(), gliaflow::prelude::Failure> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// use gliaflow::embed::dataset::discover_cases;
/// use gliaflow::prelude::write_phantom_cases;
///
/// write_phantom_cases(folder.path(), 2, [24, 24, 24])?;
/// let dataset = discover_cases(folder.path(), None)?;
/// assert_eq!(dataset.cases.len(), 2);
/// assert!(dataset.problems.is_empty());
/// # Ok(())
/// # }
/// ```
pub fn discover_cases(
    folder: &Path,
    labels: impl Into<SchemeRequest>,
) -> Result<Dataset, CaseError> {
    discover_described_cases(folder, None, labels)
}

/// Finds the cases in a dataset's folder as [`discover_cases`] does, in the layout that the file
/// `description` says, if one is given.
///
/// # Errors
/// As [`discover_cases`], and if the description cannot be used.
pub fn discover_described_cases(
    folder: &Path,
    description: Option<&Path>,
    labels: impl Into<SchemeRequest>,
) -> Result<Dataset, CaseError> {
    storage::list_anew(folder)?;
    let mut choice = LayoutChoice::of_folder(folder, description)?;
    choice.check_images()?;
    let request = labels.into();
    let mut found = FoundCases { request, ..FoundCases::default() };
    let nothing_found = if choice.datalist().is_some() {
        None
    } else {
        let mut scan = FolderScan::of_folder(folder, &choice)?;
        let nothing_found = scan.no_case_error(folder);
        found.problems.append(&mut scan.problems);
        found.add_cases(scan.found.into_cases(&choice.layouts), &choice.layouts);
        Some(nothing_found)
    };
    // A list that names labels says more than names that tell of none.
    let is_unlabelled = found.cases.iter().all(|files| files.labels.is_none());
    if is_unlabelled && choice.use_datalist_of(folder) {
        found = FoundCases { request, ..FoundCases::default() };
    }
    if let Some(list) = choice.datalist() {
        let listed = read_datalist(folder, list, &choice.layouts[0])?;
        found.problems.extend(listed.problems);
        found.add_cases(listed.cases, &choice.layouts);
    }
    if let Some((case, count)) = found.without_meaning.take() {
        return Err(no_meaning_error(folder, &case, count));
    }
    found.name_schemes.check_request(folder, found.request)?;
    let total = found.layouts.len();
    let mut layouts = BTreeMap::<(Layout, usize), (usize, ChosenScheme)>::new();
    for (place, labels) in &found.layouts {
        let name = choice.layouts[*place].layout_name();
        layouts.entry((name, *place)).or_insert((0, *labels)).0 += 1;
    }
    let counts: Vec<(usize, String, usize)> =
        layouts.iter().map(|((name, place), own)| (*place, name.to_string(), own.0)).collect();
    // Of equal counts the last is taken, so the order is turned.
    let most = layouts.into_iter().rev().max_by_key(|(_, (count, _))| *count);
    let Some(((layout, place), (count, labels))) = most else {
        let of_list = || found.problems.first().map(|(_, problem)| problem.clone());
        return Err(nothing_found.or_else(of_list).unwrap_or_else(|| no_entry_error(folder)));
    };
    let description = choice.layouts[place].clone();
    let layout_reason = match &choice.file {
        Some(file) => format!("as {} says", file.display()),
        None => {
            let names = description.shown_patterns().join(" or ");
            let others = counts.iter().filter(|(other, ..)| *other != place);
            let others: String =
                others.map(|(_, name, count)| format!(", {count} those of {name}")).collect();
            format!("{count} of {total} cases have the names {names}{others}")
        }
    };
    let FoundCases { name_schemes, incomplete, .. } = &mut found;
    let name_schemes = std::mem::take(name_schemes);
    let incomplete = std::mem::take(incomplete);
    let (cases, problems) = found.into_sorted();
    Ok(Dataset {
        layout,
        layout_reason,
        description,
        labels,
        name_schemes,
        cases,
        problems,
        incomplete,
    })
}

/// Finds the description of the data in `folder`: the file `described`, one that lies there, or the
/// built-in layout that most of its cases have; `None` where it holds no case.
///
/// # Errors
/// If a file that describes it cannot be read or used.
pub fn find_description(
    folder: &Path,
    described: Option<&Path>,
) -> Result<Option<DatasetDescription>, CaseError> {
    let LayoutChoice { layouts, file } = LayoutChoice::of_folder(folder, described)?;
    if file.is_some() {
        return Ok(layouts.into_iter().next());
    }
    // What is wrong with the cases is said when they are looked for.
    let found = discover_described_cases(folder, None, SchemeRequest::LeftOpen);
    Ok(found.ok().map(|dataset| dataset.description))
}

fn no_entry_error(folder: &Path) -> CaseError {
    let remedy = "name another datalist, or describe the files in dataset.toml (docs/datasets.md)";
    CaseError::new(Reason::Missing, folder.display(), "holds no case", remedy)
}

fn no_meaning_error(folder: &Path, case: &str, count: usize) -> CaseError {
    let problem =
        format!("nothing tells what the labels of {case}{} mean", and_more_text(count - 1));
    let remedy = "write label_scheme = \"brats2018\", or another, in dataset.toml, or ask for one \
                  with --labels or data.labels (docs/labels.md)";
    CaseError::new(Reason::Label, folder.display(), problem, remedy)
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "described_tests.rs"]
mod described_tests;
