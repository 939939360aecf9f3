//! Discovery of the cases of a folder by file names alone: no file is opened. Missing files are
//! listed, never guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{CaseError, Reason};
use crate::brats::discovery_errors::{DoubledFiles, and_more_text, duplicate_error};
use crate::brats::folder_listing::FolderListing;
use crate::brats::layout::{self, Layout, NamedFiles};
use crate::brats::read::DEFAULT_MAX_VOXELS;
use crate::brats::scheme::{ChosenScheme, NameSchemes, SchemeRequest, choose_for_case};
use crate::volume::{CaseId, Channels, LabelScheme, Modality, PatientId, case_id_problem};

/// Folder levels below a dataset's root: `TrainingData/HGG/CASE` and one to spare.
const MAX_DEPTH: usize = 4;

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
    fn of_folder(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "HGG" => Some(Self::Hgg),
            "LGG" => Some(Self::Lgg),
            _ => None,
        }
    }
}

/// Files of one complete case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFiles {
    /// The folder's name.
    pub id: CaseId,
    /// Patient, as the layout names cases.
    pub patient: PatientId,
    /// Image per modality, in the order of [`Modality::ALL`].
    pub images: [PathBuf; Modality::COUNT],
    /// Absent for unlabelled cases.
    pub labels: Option<PathBuf>,
    /// File that is not 0 where tissue is, if the run's settings name one.
    pub mask: Option<PathBuf>,
    /// Meaning of the label values.
    pub scheme: LabelScheme,
    /// Modalities that are read, and regions that the case is indexed by.
    pub channels: Channels,
    /// Tumour grade, from the name of a folder above.
    pub grade: Option<TumourGrade>,
    /// Voxels of the largest volume that is read.
    pub max_voxels: usize,
}

impl CaseFiles {
    /// Returns the paths of all files that decide the case, in the order of reading.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.images.iter().chain(&self.labels).chain(&self.mask)
    }
}

/// Cases of a folder.
#[derive(Debug)]
pub struct Dataset {
    /// The naming of most cases; the older one where two are equal.
    pub layout: Layout,
    /// The label scheme of that layout, and its source; each case carries its own scheme.
    pub labels: ChosenScheme,
    /// Schemes that the names of the cases allow.
    pub name_schemes: NameSchemes,
    /// Complete cases, sorted by id; labels may be absent.
    pub cases: Vec<CaseFiles>,
    /// Errors of what could not become a case, sorted by name.
    pub problems: Vec<CaseError>,
}

impl Dataset {
    /// Sets the modalities that are read of each case, and the regions that it is indexed by.
    #[must_use]
    pub fn with_channels(mut self, channels: Channels) -> Self {
        self.cases.iter_mut().for_each(|files| files.channels = channels);
        self
    }

    /// Sets the number of voxels of the largest volume that is read.
    #[must_use]
    pub fn with_max_voxels(mut self, max_voxels: usize) -> Self {
        self.cases.iter_mut().for_each(|files| files.max_voxels = max_voxels);
        self
    }
}

/// Finds the cases in a dataset's folder, or the one case whose folder it is.
///
/// # Errors
/// If the folder cannot be listed, holds nothing that any layout names, or names leave open what a
/// label value means. A folder of incomplete cases is no error: they are the problems.
pub fn discover_cases(
    folder: &Path,
    labels: impl Into<SchemeRequest>,
) -> Result<Dataset, CaseError> {
    let mut walk = FolderScan { request: labels.into(), ..FolderScan::default() };
    walk.visit_folder(folder, &name_of(folder), None, 0)?;
    walk.name_schemes.check_request(folder, walk.request)?;
    let mut layouts = BTreeMap::<Layout, (usize, ChosenScheme)>::new();
    for (layout, labels) in &walk.layouts {
        layouts.entry(*layout).or_insert((0, *labels)).0 += 1;
    }
    // Of equal counts the last is taken, so the order is turned.
    let most = layouts.into_iter().rev().max_by_key(|(_, (count, _))| *count);
    let Some((layout, (_, labels))) = most else { return Err(walk.no_case_error(folder)) };

    walk.cases.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| a.images.cmp(&b.images)));
    let mut cases: Vec<CaseFiles> = Vec::with_capacity(walk.cases.len());
    for case in walk.cases {
        match cases.last() {
            Some(last) if last.id == case.id => {
                walk.problems.push((
                    case.id.to_string(),
                    duplicate_error(&case.id, &last.images[0], &case.images[0]),
                ));
            }
            _ => cases.push(case),
        }
    }
    walk.problems.extend(walk.doubled.take().map(|doubled| (String::new(), doubled.into_error())));
    walk.problems.sort_by(|(a, one), (b, other)| a.cmp(b).then(one.subject.cmp(&other.subject)));
    let problems = walk.problems.into_iter().map(|(_, problem)| problem).collect();
    Ok(Dataset { layout, labels, name_schemes: walk.name_schemes, cases, problems })
}

/// The folder's own name, also where the path ends in `.` or `..`.
fn name_of(folder: &Path) -> String {
    let resolved = || folder.canonicalize().ok().and_then(|path| last_name(&path));
    last_name(folder).or_else(resolved).unwrap_or_default()
}

fn last_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// Recursive search of a folder for cases.
#[derive(Default)]
struct FolderScan {
    cases: Vec<CaseFiles>,
    /// Layout and label scheme of each case folder, complete or not.
    layouts: Vec<(Layout, ChosenScheme)>,
    request: SchemeRequest,
    name_schemes: NameSchemes,
    /// Errors with the name that they are sorted by.
    problems: Vec<(String, CaseError)>,
    /// First NIfTI file that fits no layout, and their number.
    stray: Option<(PathBuf, usize)>,
    /// Files that are there compressed and not.
    doubled: Option<DoubledFiles>,
    /// Resolved folders from the root to the one that is visited.
    above: Vec<PathBuf>,
}

impl FolderScan {
    fn visit_folder(
        &mut self,
        folder: &Path,
        name: &str,
        grade: Option<TumourGrade>,
        depth: usize,
    ) -> Result<(), CaseError> {
        let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        self.above.push(resolved);
        let visited = self.visit_listed(folder, name, grade, depth);
        self.above.pop();
        visited
    }

    /// Visits the folder that `above` ends with.
    fn visit_listed(
        &mut self,
        folder: &Path,
        name: &str,
        grade: Option<TumourGrade>,
        depth: usize,
    ) -> Result<(), CaseError> {
        let FolderListing { files, folders, problems } =
            FolderListing::of_folder(folder, &self.above)?;
        self.problems.extend(problems.into_iter().map(|problem| (name.to_owned(), problem)));
        if let Some(named) = layout::identify_files(name, &files) {
            self.add_case(folder, name, grade, named);
            return Ok(());
        }
        self.report_strays(folder, name, &files);
        if depth == MAX_DEPTH {
            return Ok(());
        }
        let grade_below = TumourGrade::of_folder(name).or(grade);
        for child in folders {
            let visited = self.visit_folder(&folder.join(&child), &child, grade_below, depth + 1);
            if let Err(unreadable) = visited {
                self.problems.push((child, unreadable));
            }
        }
        Ok(())
    }

    fn add_case(
        &mut self,
        folder: &Path,
        name: &str,
        grade: Option<TumourGrade>,
        named: NamedFiles,
    ) {
        let schemes = named.naming.schemes;
        self.name_schemes.add_case(name, schemes);
        let labels = choose_for_case(name, schemes, self.request);
        self.layouts.push((named.naming.layout, labels));
        if let Some(problem) = case_id_problem(name) {
            let subject = format!("case {name:?} in {}", folder.display());
            let remedy = "rename the folder and its files";
            let error = CaseError::new(Reason::Format, subject, problem, remedy);
            self.problems.push((name.to_owned(), error));
            return;
        }
        if let Some(first) = named.doubled.first() {
            let first = folder.join(first);
            let doubled = self.doubled.get_or_insert(DoubledFiles { first, count: 0 });
            doubled.count += named.doubled.len();
        }
        let missing: Vec<&str> = named
            .images
            .iter()
            .filter_map(|image| image.as_ref().err().map(String::as_str))
            .collect();
        if !missing.is_empty() {
            let error = CaseError::new(
                Reason::Missing,
                format!("case {name}"),
                format!("{} is not in {}", missing.join(" and "), folder.display()),
                "download the case again, or move its folder away",
            );
            self.problems.push((name.to_owned(), error));
            return;
        }
        let path = |image: Result<String, String>| folder.join(image.unwrap_or_default());
        self.cases.push(CaseFiles {
            id: CaseId::new(name),
            patient: named.naming.patient_of(name),
            images: named.images.map(path),
            labels: named.labels.map(|file| folder.join(file)),
            mask: None,
            scheme: labels.scheme,
            channels: Channels { regions: labels.scheme.default_regions(), ..Channels::default() },
            grade,
            max_voxels: DEFAULT_MAX_VOXELS,
        });
    }

    /// Reports NIfTI files outside case folders: else a case of another naming would vanish unseen.
    fn report_strays(&mut self, folder: &Path, name: &str, files: &BTreeSet<String>) {
        let strays: Vec<&String> = files.iter().filter(|file| layout::is_nifti(file)).collect();
        let Some(first) = strays.first() else { return };
        let (_, count) = self.stray.get_or_insert((folder.join(first), 0));
        *count += strays.len();
        let error = CaseError::new(
            Reason::Missing,
            folder.display(),
            format!("{first} fits no layout{}", and_more_text(strays.len() - 1)),
            "name folder and files after the case, or move them away",
        );
        self.problems.push((name.to_owned(), error));
    }

    fn no_case_error(&self, folder: &Path) -> CaseError {
        let mut problem = format!("holds no case; looked for {}", layout::naming_patterns());
        if let Some((file, count)) = &self.stray {
            problem = format!("{problem}, found {}{}", file.display(), and_more_text(count - 1));
        }
        if let (None, Some((_, first))) = (&self.stray, self.problems.first()) {
            problem = format!("{problem}; {}: {}", first.subject, first.problem);
        }
        let remedy = "name the folder that holds the case folders, or one case folder";
        CaseError::new(Reason::Missing, folder.display(), problem, remedy)
    }
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;
