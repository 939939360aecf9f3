//! Listing of one folder of a dataset: names that can be used, and what is wrong with the others.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::{CaseError, Reason};
use crate::brats::layout::is_nifti;
use crate::storage;

/// Names in a folder, without the hidden ones (`._*` is what macOS leaves beside a file).
#[derive(Default)]
pub(super) struct FolderListing {
    /// Files by name. A folder that is named as a NIfTI file and holds one, as copies of BraTS on
    /// Kaggle do, is that file.
    pub(super) files: BTreeMap<String, PathBuf>,
    pub(super) folders: BTreeSet<String>,
    /// Errors of entries whose name or link cannot be used.
    pub(super) problems: Vec<CaseError>,
}

impl FolderListing {
    /// Lists `folder`. `above` holds the resolved folders that lead to it, itself the last: a link
    /// to one of them, or to one further up, would be walked for ever.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub(super) fn of_folder(folder: &Path, above: &[PathBuf]) -> Result<Self, CaseError> {
        let mut listing = Self::default();
        for path in storage::list_folder(folder)? {
            listing.add_entry(&path, above);
        }
        Ok(listing)
    }

    fn add_entry(&mut self, path: &Path, above: &[PathBuf]) {
        let name = path.file_name().unwrap_or_default();
        if name.as_bytes().starts_with(b".") {
            return;
        }
        let problem = match name.to_str() {
            None => Some("has a name that is not UTF-8"),
            Some(name) if name.contains(char::is_control) => {
                Some("has a control character in its name")
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            // Written escaped: the raw name would break the line that it is printed in.
            let error = CaseError::new(Reason::Format, format!("{path:?}"), problem, "rename it");
            self.problems.push(error);
            return;
        }
        let name = name.to_string_lossy().into_owned();
        // Links are followed: datasets are often linked together from several disks.
        if storage::is_folder(path) {
            if path.is_symlink() && leads_above(path, above) {
                self.problems.push(link_error(path, "links to a folder that it is in"));
            } else if let Some(inner) = only_file_of(path, &name) {
                self.files.insert(name, inner);
            } else {
                self.folders.insert(name);
            }
        } else if storage::is_file(path) {
            self.files.insert(name, path.to_owned());
        } else if path.is_symlink() {
            self.problems.push(link_error(path, "is a link to nothing, or to itself"));
        }
    }
}

/// The one NIfTI file of a folder that is named as one.
fn only_file_of(folder: &Path, name: &str) -> Option<PathBuf> {
    if !is_nifti(name) {
        return None;
    }
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_nifti(&name) && !name.starts_with('.') && storage::is_file(path)
    };
    let mut inner = storage::list_folder(folder).ok()?.into_iter().filter(named);
    let only = inner.next();
    if inner.next().is_some() { None } else { only }
}

fn leads_above(link: &Path, above: &[PathBuf]) -> bool {
    let target = link.canonicalize();
    target.is_ok_and(|target| above.iter().any(|folder| folder.starts_with(&target)))
}

fn link_error(path: &Path, problem: &str) -> CaseError {
    CaseError::new(Reason::Io, path.display(), problem, "delete the link, or point it elsewhere")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::base::fs;

    #[test]
    fn what_cannot_be_named_or_followed_is_said_once_and_the_rest_is_listed() {
        let root = tempfile::tempdir().unwrap();
        let here = root.path().canonicalize().unwrap();
        for name in ["a", ".hidden", "b\nc"].map(OsStr::new) {
            fs::create_dir(here.join(name)).unwrap();
        }
        fs::write(here.join(OsStr::from_bytes(b"t1\xff.nii")), []).unwrap();
        fs::write(here.join("file"), []).unwrap();
        symlink("..", here.join("up")).unwrap();
        symlink("self", here.join("self")).unwrap();
        symlink("nowhere", here.join("gone")).unwrap();
        symlink("a", here.join("fine")).unwrap();
        let listing = FolderListing::of_folder(&here, std::slice::from_ref(&here)).unwrap();
        assert_eq!(listing.files.into_keys().collect::<Vec<_>>(), ["file"]);
        assert_eq!(listing.folders.into_iter().collect::<Vec<_>>(), ["a", "fine"]);
        let problems: Vec<String> = listing.problems.iter().map(ToString::to_string).collect();
        let wanted = [
            ("b\\nc\": has a control character", "rename it"),
            ("gone: is a link to nothing", "delete the link"),
            ("self: is a link to nothing, or to itself", "delete the link"),
            ("t1\\xFF.nii\": has a name that is not UTF-8", "rename it"),
            ("up: links to a folder that it is in", "delete the link"),
        ];
        assert_eq!(problems.len(), wanted.len(), "{problems:#?}");
        for (problem, (words, way_out)) in problems.iter().zip(wanted) {
            assert!(problem.contains(words) && problem.contains(way_out), "{problem}");
            assert!(!problem.contains('\n'), "{problem}");
        }
    }
}
