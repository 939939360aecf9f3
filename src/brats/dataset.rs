//! Discovery of the cases of a folder by file names alone: no file is opened. Missing files are
//! listed, never guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::error::{CaseError, Reason};
use crate::brats::discovery_errors::{DoubledFiles, and_more_text, duplicate_error};
use crate::brats::folder_listing::FolderListing;
use crate::brats::layout::{self, Layout, NamedFiles};
use crate::volume::case::{CaseId, case_id_problem};
use crate::volume::modality::Modality;
use crate::volume::patient::PatientId;
use crate::volume::region::LabelScheme;

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
    /// Meaning of the label values.
    pub scheme: LabelScheme,
    /// Tumour grade, from the name of a folder above.
    pub grade: Option<TumourGrade>,
}

/// Cases of a folder.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The naming of most cases; the older one where two are equal.
    pub layout: Layout,
    /// The label scheme of that layout; each case carries its own.
    pub scheme: LabelScheme,
    /// Complete cases, sorted by id; labels may be absent.
    pub cases: Vec<CaseFiles>,
    /// Errors of what could not become a case, sorted by name.
    pub problems: Vec<CaseError>,
}

/// Finds the cases in a dataset's folder, or the one case whose folder it is.
///
/// # Errors
/// If the folder cannot be listed, or holds nothing that any layout names. A folder of incomplete
/// cases is no error: they are the problems.
pub fn discover_cases(folder: &Path) -> Result<Dataset, CaseError> {
    let mut walk = FolderScan::default();
    walk.visit_folder(folder, &name_of(folder), None, 0)?;
    let mut layouts = BTreeMap::<Layout, (usize, LabelScheme)>::new();
    for (layout, scheme) in &walk.layouts {
        layouts.entry(*layout).or_insert((0, *scheme)).0 += 1;
    }
    // Of equal counts the last is taken, so the order is turned.
    let most = layouts.into_iter().rev().max_by_key(|(_, (count, _))| *count);
    let Some((layout, (_, scheme))) = most else { return Err(walk.no_case_error(folder)) };

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
    Ok(Dataset { layout, scheme, cases, problems })
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
    /// Layout of each case folder, complete or not.
    layouts: Vec<(Layout, LabelScheme)>,
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
        self.layouts.push((named.naming.layout, named.naming.scheme));
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
            scheme: named.naming.scheme,
            grade,
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
mod tests {
    use super::*;
    use crate::base::fs;

    const IMAGES: [&str; 4] = ["_t1", "_t1ce", "_t2", "_flair"];

    fn put(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, []).unwrap();
        }
    }

    fn put_case(folder: &Path, endings: &[&str]) {
        let name = name_of(folder);
        for ending in endings {
            put(folder, &[&format!("{name}{ending}.nii.gz")]);
        }
    }

    #[test]
    fn grades_come_from_the_folders_and_cases_are_sorted() {
        let root = tempfile::tempdir().unwrap();
        put_case(&root.path().join("data/LGG/a"), &IMAGES);
        put_case(&root.path().join("data/HGG/b"), &[&IMAGES[..], &["_seg"]].concat());
        put_case(&root.path().join("data/c"), &IMAGES);
        let found = discover_cases(root.path()).unwrap();
        let cases: Vec<_> =
            found.cases.iter().map(|c| (c.id.as_str(), c.grade, c.labels.is_some())).collect();
        assert_eq!(
            cases,
            [
                ("a", Some(TumourGrade::Lgg), false),
                ("b", Some(TumourGrade::Hgg), true),
                ("c", None, false)
            ]
        );
        assert_eq!((found.layout, found.problems.len()), (Layout::Brats2018, 0));
        assert!(found.cases[1].images[3].ends_with("data/HGG/b/b_flair.nii.gz"));
    }

    #[test]
    fn a_single_case_folder_is_a_dataset() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("BraTS20_Training_001");
        put_case(&folder, &IMAGES);
        for path in [folder.clone(), folder.join(".")] {
            let found = discover_cases(&path).unwrap();
            assert_eq!((found.layout, found.cases.len()), (Layout::Brats2020, 1));
        }
    }

    #[test]
    fn what_is_missing_is_listed_and_nothing_vanishes() {
        let root = tempfile::tempdir().unwrap();
        put_case(&root.path().join("b"), &IMAGES[..3]);
        put_case(&root.path().join("a"), &["_seg"]);
        put_case(&root.path().join("HGG/twice"), &IMAGES);
        put_case(&root.path().join("LGG/twice"), &IMAGES);
        put(root.path(), &["other/stray_t1.nii", "other/._stray_t2.nii", "notes/read.me"]);
        let found = discover_cases(root.path()).unwrap();
        assert_eq!(found.cases.len(), 1);
        let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems[0].contains("case a: a_t1.nii.gz and a_t1ce.nii.gz and a_t2"));
        assert!(problems[1].contains("case b: b_flair.nii.gz is not in"));
        assert!(problems[2].contains("other: stray_t1.nii fits no layout; name"));
        assert!(problems[3].contains("case twice: is there twice"));
    }

    #[test]
    fn a_folder_without_cases_is_an_error_that_says_what_was_looked_for() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), &["imagesTr/BRATS_001.nii.gz", "imagesTr/._BRATS_001.nii.gz"]);
        let error = discover_cases(root.path()).unwrap_err().to_string();
        assert!(error.contains("CASE{-t1n,-t1c,-t2w,-t2f}"), "{error}");
        assert!(error.contains("found ") && error.contains("BRATS_001.nii.gz"), "{error}");
        assert_eq!(discover_cases(&root.path().join("no")).unwrap_err().reason, Reason::Missing);
    }

    #[test]
    fn the_layout_of_most_cases_names_the_dataset() {
        let root = tempfile::tempdir().unwrap();
        put_case(&root.path().join("x"), &IMAGES);
        for case in ["BraTS-GLI-00000-000", "BraTS-GLI-00002-000"] {
            put_case(&root.path().join(case), &["-t1n", "-t1c", "-t2w", "-t2f", "-seg"]);
        }
        let found = discover_cases(root.path()).unwrap();
        assert_eq!((found.layout, found.scheme), (Layout::Brats2023, LabelScheme::Brats2023));
        assert_eq!(found.cases.iter().filter(|c| c.scheme == LabelScheme::Brats2018).count(), 1);
    }
}
