//! Recursive search of a dataset's folder for files of cases. Each folder counts for the first layout
//! that fits its names; NIfTI files that fit none are problems, so that no case vanishes unseen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::{CaseError, Reason};
use crate::brats::TumourGrade;
use crate::brats::case_assembly::CaseAssembly;
use crate::brats::discovery_errors::and_more_text;
use crate::brats::folder_listing::FolderListing;
use crate::brats::layout::{LayoutChoice, NamedFile, is_nifti, path_components};
use crate::storage;
use crate::volume::Modality;

/// Folder levels below a dataset's root: `TrainingData/HGG/CASE` and one to spare.
const MAX_DEPTH: usize = 4;

/// File of a folder that a layout names.
pub(super) struct FileHit {
    pub(super) path: PathBuf,
    pub(super) named: NamedFile,
    pub(super) is_labels: bool,
    /// Tumour grade, from the name of a folder above.
    pub(super) grade: Option<TumourGrade>,
}

/// Search of a folder.
pub(super) struct FolderScan<'a> {
    choice: &'a LayoutChoice,
    /// Files of the cases.
    pub(super) found: CaseAssembly,
    /// Errors with the name that they are sorted by.
    pub(super) problems: Vec<(String, CaseError)>,
    /// First NIfTI file that fits no layout, and their number.
    stray: Option<(PathBuf, usize)>,
    /// Names of the folders from the file system's root to the one that is visited.
    names: Vec<String>,
    /// Resolved folders from the dataset's root to the one that is visited.
    above: Vec<PathBuf>,
}

impl<'a> FolderScan<'a> {
    /// Searches `folder` for cases in one of the layouts.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub(super) fn of_folder(folder: &Path, choice: &'a LayoutChoice) -> Result<Self, CaseError> {
        let mut scan = Self {
            choice,
            found: CaseAssembly::default(),
            problems: Vec::new(),
            stray: None,
            names: folder_names(folder),
            above: Vec::new(),
        };
        scan.visit_folder(folder, None, false, 0)?;
        Ok(scan)
    }

    fn visit_folder(
        &mut self,
        folder: &Path,
        grade: Option<TumourGrade>,
        is_in_case: bool,
        depth: usize,
    ) -> Result<(), CaseError> {
        let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        self.above.push(resolved);
        let visited = self.visit_listed(folder, grade, is_in_case, depth);
        self.above.pop();
        visited
    }

    /// Visits the folder that `above` and `names` end with.
    fn visit_listed(
        &mut self,
        folder: &Path,
        grade: Option<TumourGrade>,
        is_in_case: bool,
        depth: usize,
    ) -> Result<(), CaseError> {
        let FolderListing { files, folders, problems } =
            FolderListing::of_folder(folder, &self.above)?;
        let name = self.names.last().cloned().unwrap_or_default();
        self.problems.extend(problems.into_iter().map(|problem| (name.clone(), problem)));
        let hits = self.match_files(&files, grade);
        let is_found = hits.is_some();
        if let Some((layout, hits)) = hits {
            hits.into_iter().for_each(|hit| self.found.add_file(&self.choice.layouts, layout, hit));
            // Whatever else lies in a case's folder is the case's; a layout of one's own may say more.
            if self.choice.file.is_none() {
                return Ok(());
            }
        }
        if !is_found && !is_in_case {
            self.report_strays(folder, &name, &files);
        }
        if depth == MAX_DEPTH.max(self.deepest_pattern()) {
            return Ok(());
        }
        let grade_below = TumourGrade::of_folder(&name).or(grade);
        for child in folders {
            self.names.push(child.clone());
            let path = folder.join(&child);
            let visited = self.visit_folder(&path, grade_below, is_in_case || is_found, depth + 1);
            self.names.pop();
            if let Err(unreadable) = visited {
                self.problems.push((child, unreadable));
            }
        }
        Ok(())
    }

    fn deepest_pattern(&self) -> usize {
        let patterns = self.choice.layouts.iter().flat_map(|layout| layout.images.iter());
        patterns.map(|pattern| pattern.depth()).max().unwrap_or(0)
    }

    /// Files of the first layout that fits. Images decide before labels do: a label file named in
    /// another release's way must not hide the images beside it.
    fn match_files(
        &self,
        files: &BTreeMap<String, PathBuf>,
        grade: Option<TumourGrade>,
    ) -> Option<(usize, Vec<FileHit>)> {
        let mut of_labels = None;
        for (place, layout) in self.choice.layouts.iter().enumerate() {
            let mut hits = Vec::new();
            for (name, path) in files {
                let image = layout.match_image(&self.names, name);
                let is_labels = image.is_none();
                let named = image.or_else(|| layout.match_labels(&self.names, name));
                let Some(named) = named else { continue };
                hits.push(FileHit { path: path.clone(), named, is_labels, grade });
            }
            let has_images = hits.iter().any(|hit| !hit.is_labels);
            let is_certain =
                self.choice.file.is_some() || !is_loose(&hits) || has_whole_case(&hits);
            if has_images && is_certain {
                return Some((place, hits));
            }
            if !hits.is_empty() && is_certain && of_labels.is_none() {
                of_labels = Some((place, hits));
            }
        }
        of_labels
    }

    /// Reports NIfTI files outside case folders: else a case of another naming would vanish unseen.
    fn report_strays(&mut self, folder: &Path, name: &str, files: &BTreeMap<String, PathBuf>) {
        let strays: Vec<&String> = files.keys().filter(|file| is_nifti(file)).collect();
        let Some(first) = strays.first() else { return };
        let (_, count) = self.stray.get_or_insert((folder.join(first), 0));
        *count += strays.len();
        let error = CaseError::new(
            Reason::Missing,
            folder.display(),
            format!("{first} fits no layout{}", and_more_text(strays.len() - 1)),
            "name folder and files after the case, say in dataset.toml how they are named, as images = \
             \"{case}/{case}_{modality}.nii[.gz]\" (docs/datasets.md), or move them away",
        );
        self.problems.push((name.to_owned(), error));
    }

    /// Error of a folder in which nothing was found.
    pub(super) fn no_case_error(&self, folder: &Path) -> CaseError {
        let looked_for = self.choice.patterns_text();
        let mut problem = format!("holds no case; looked for {looked_for}");
        if let Some((file, count)) = &self.stray {
            problem = format!("{problem}, found {}{}", file.display(), and_more_text(count - 1));
        }
        if let (None, Some((_, first))) = (&self.stray, self.problems.first()) {
            problem = format!("{problem}; {}: {}", first.subject, first.problem);
        }
        let remedy = "name the folder that holds the case folders, or one case folder, or say in \
                      dataset.toml how the files are named (docs/datasets.md)";
        CaseError::new(Reason::Missing, folder.display(), problem, remedy)
    }
}

/// Names of the folders that lead to one, itself the last, also where its path ends in `.` or `..`.
fn folder_names(folder: &Path) -> Vec<String> {
    if let Some(components) = storage::named_components(folder) {
        return components;
    }
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let resolved = match whole.components().any(|part| part == std::path::Component::ParentDir) {
        true => whole.canonicalize().unwrap_or(whole),
        false => whole,
    };
    path_components(&resolved)
}

/// True if files are told by their own names alone, as those of one case in any folder would be.
fn is_loose(hits: &[FileHit]) -> bool {
    hits.iter().all(|hit| hit.named.depth == 1)
}

/// True if all images of one case are among the files.
fn has_whole_case(hits: &[FileHit]) -> bool {
    let images = || hits.iter().filter(|hit| !hit.is_labels);
    images().any(|first| {
        let is_beside = |hit: &&FileHit| hit.named.parts == first.named.parts;
        Modality::ALL.into_iter().all(|modality| {
            images().filter(is_beside).any(|hit| hit.named.modality == Some(modality))
        })
    })
}
