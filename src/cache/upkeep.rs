//! Maintenance of a cache: inventory, verification, garbage collection.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::fs::{self, AtPath};
use crate::base::{CaseError, Fault, Fingerprint, Reason};
use crate::cache::annotation::{self, MappedAnnotation};
use crate::cache::format::{EXTENSION, folder_prefix, same_name_extensions};
use crate::cache::rebuild::rebuild_remedy;
use crate::cache::store::{CaseStore, check_identity};
use crate::cache::writer::{LOCK, TMP, lock_out_writers};
use crate::cache::{MappedCase, Verify};
use crate::volume::{CaseId, Dims, Targets};

/// Cached case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CachedCase {
    /// Case id.
    pub id: CaseId,
    /// The file.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// Extent of the brain box.
    pub dims: Dims,
    /// True if it has labels.
    pub labelled: bool,
    /// Fingerprint of the source's compressed bytes.
    pub fingerprint: Fingerprint,
    /// Fingerprint of the preprocessing.
    pub preprocess: Fingerprint,
    /// True if this store serves it.
    pub current: bool,
}

/// Annotation of one case by one teacher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CachedAnnotation {
    /// The case.
    pub id: CaseId,
    /// The file.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// The teacher.
    pub teacher: Fingerprint,
    /// Labels or probabilities.
    pub targets: Targets,
    /// True if the case file beside it is the one that it was made for.
    pub current: bool,
}

/// Content of a cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheInventory {
    /// Cases, by folder and name.
    pub entries: Vec<CachedCase>,
    /// Annotations, by folder and name.
    pub annotations: Vec<CachedAnnotation>,
    /// Files that should be cases or annotations and cannot be opened.
    pub damaged: Vec<CaseError>,
}

/// Result of the verification of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedFile {
    /// The file.
    pub path: PathBuf,
    /// Damage, if there is any.
    pub damage: Option<CaseError>,
}

/// Files that [`CaseStore::collect_garbage`] removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GcReport {
    /// Files of killed writers, folders of other formats, and annotations of cases that are gone or
    /// were built again.
    pub removed: Vec<PathBuf>,
    /// Bytes in them.
    pub bytes: u64,
    /// True if no file was removed.
    pub dry_run: bool,
}

impl CaseStore {
    /// Lists every case and annotation below the root, in all folders; of cases it reads headers
    /// only.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn read_inventory(&self) -> Result<CacheInventory, Fault> {
        let mut inventory =
            CacheInventory { entries: Vec::new(), annotations: Vec::new(), damaged: Vec::new() };
        for path in self.case_files()? {
            match open_in_place(&path, Verify::Header) {
                Ok(case) => inventory.entries.push(CachedCase {
                    id: case.id().clone(),
                    bytes: case.file_bytes(),
                    dims: case.brain_box().dims,
                    labelled: case.labels().is_some(),
                    fingerprint: case.fingerprint(),
                    preprocess: case.preprocess_fingerprint(),
                    current: path.parent() == Some(self.folder()),
                    path,
                }),
                Err(error) => inventory.damaged.push(error),
            }
        }
        for path in self.annotation_files()? {
            match open_annotation(&path) {
                Ok(found) => inventory.annotations.push(CachedAnnotation {
                    id: found.id.clone(),
                    bytes: found.file_bytes(),
                    teacher: found.teacher,
                    targets: found.targets,
                    current: annotation::has_its_case(&found),
                    path,
                }),
                Err(error) => inventory.damaged.push(error),
            }
        }
        Ok(inventory)
    }

    /// Bytes of all case files below the root, of every preprocessing; reads no file.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn cached_bytes(&self) -> Result<u64, Fault> {
        let files = self.case_files()?;
        files.iter().map(|path| bytes_below(path)).sum()
    }

    /// Checks every byte of every case file and annotation below the root; calls `progress` with
    /// `(done, total)` after each.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn verify_all(
        &self,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Vec<VerifiedFile>, Fault> {
        let cases = self.case_files()?;
        let annotations = self.annotation_files()?;
        let of_cases = cases.len();
        let total = of_cases + annotations.len();
        let mut verdicts = Vec::with_capacity(total);
        for (place, path) in cases.into_iter().chain(annotations).enumerate() {
            let damage = match place < of_cases {
                true => self.verify_case_file(&path).err(),
                false => open_annotation(&path).err(),
            };
            verdicts.push(VerifiedFile { path, damage });
            progress(verdicts.len(), total);
        }
        Ok(verdicts)
    }

    fn verify_case_file(&self, path: &Path) -> Result<(), CaseError> {
        let checked = MappedCase::open(path, Verify::Full);
        checked
            .map_err(|damage| CaseError { remedy: rebuild_remedy(path, self.root()), ..damage })?;
        open_in_place(path, Verify::Header).map(drop)
    }

    /// Removes what no run of this version will read: temporary files of killed writers, folders of
    /// other formats, and annotations whose case is gone or was built again from other files.
    /// Everything else below the root stays, cases of other settings too, and temporary files where the
    /// file system has no locks to tell whose they are.
    ///
    /// # Errors
    /// When another process is writing to the cache, or something cannot be removed.
    pub fn collect_garbage(&self, dry_run: bool) -> Result<GcReport, Fault> {
        let no_writers = lock_out_writers(self.root())?;
        let tmp = self.root().join(TMP);
        let mut leftover = sorted_entries(&tmp)?;
        leftover.retain(|path| *path != tmp.join(LOCK));
        if no_writers.is_none() && !leftover.is_empty() {
            tracing::warn!(
                "{}: {} files stay, because another gliaflow may be writing them; delete them by hand \
                 when none is running",
                tmp.display(),
                leftover.len()
            );
            leftover.clear();
        }
        let others =
            version_folders(self.root())?.into_iter().filter(|path| !is_of_this_format(path));
        let own = self.annotation_files()?.into_iter();
        let own = own.filter(|path| path.parent().is_some_and(is_of_this_format));
        // One that cannot be read is named by `verify`, and made again when it is needed.
        let stale = own.filter(|path| {
            open_annotation(path).is_ok_and(|found| !annotation::has_its_case(&found))
        });
        let mut report = GcReport { removed: Vec::new(), bytes: 0, dry_run };
        for path in leftover.into_iter().chain(others).chain(stale) {
            report.bytes += bytes_below(&path)?;
            if !dry_run {
                let remove = if path.is_dir() { fs::remove_dir_all } else { fs::remove_file };
                remove(&path)?;
            }
            report.removed.push(path);
        }
        Ok(report)
    }

    /// Case files in all folders.
    pub(super) fn case_files(&self) -> Result<Vec<PathBuf>, Fault> {
        self.files_with_extensions(&same_name_extensions(EXTENSION).collect::<Vec<_>>())
    }

    /// Annotations in all folders.
    fn annotation_files(&self) -> Result<Vec<PathBuf>, Fault> {
        let extensions = same_name_extensions(annotation::EXTENSION);
        self.files_with_extensions(&extensions.collect::<Vec<_>>())
    }

    /// Files of these extensions in all folders, sorted.
    fn files_with_extensions(&self, extensions: &[String]) -> Result<Vec<PathBuf>, Fault> {
        let mut files = Vec::new();
        for folder in version_folders(self.root())? {
            files.extend(sorted_entries(&folder)?.into_iter().filter(|path| {
                let own = path.extension().and_then(OsStr::to_str);
                own.is_some_and(|own| extensions.iter().any(|extension| extension == own))
            }));
        }
        Ok(files)
    }
}

/// Opens an annotation and checks it against its file name.
fn open_annotation(path: &Path) -> Result<MappedAnnotation, CaseError> {
    let found = MappedAnnotation::open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut names = annotation::file_names(&found.id, found.teacher, found.targets);
    if names.any(|own| own == name) {
        return Ok(found);
    }
    let problem = format!("is about case {}, by {}", found.id, found.teacher);
    let subject = format!("{}: header", path.display());
    Err(CaseError::new(Reason::Format, subject, problem, "delete the file"))
}

/// Opens a case file and checks it against its name and its folder's name.
pub(super) fn open_in_place(path: &Path, verify: Verify) -> Result<MappedCase, CaseError> {
    let case = MappedCase::open(path, verify)?;
    let id = CaseId::new(path.file_stem().unwrap_or_default().to_string_lossy());
    check_identity(&case, &id, case.preprocess_fingerprint())?;
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let digits = folder.split_once('-').map_or("", |(_, digits)| digits);
    if case.preprocess_fingerprint().to_string().starts_with(digits) {
        return Ok(case);
    }
    let subject = format!("{}: preprocess fingerprint", path.display());
    let problem = format!("is {}, the folder is {folder}", case.preprocess_fingerprint());
    let remedy = "delete the file, `gliaflow ingest` builds the case again";
    Err(CaseError::new(Reason::Format, subject, problem, remedy))
}

/// True for `v<number>-<hex digits>` only: a cache may share its folder with other files.
fn is_version_folder(name: &str) -> bool {
    let Some((version, digits)) = name.strip_prefix('v').and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    !version.is_empty()
        && version.chars().all(|c| c.is_ascii_digit())
        && (8..=16).contains(&digits.len())
        && digits.chars().all(|c| c.is_ascii_hexdigit())
}

/// True for a folder of this format, under whatever settings its cases were built.
pub(super) fn is_of_this_format(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(&folder_prefix())
}

fn version_folders(root: &Path) -> Result<Vec<PathBuf>, Fault> {
    let is_version = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_dir() && is_version_folder(&name)
    };
    Ok(sorted_entries(root)?.into_iter().filter(is_version).collect())
}

/// Sorted paths in a folder, so that reports are the same on every file system.
fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut paths = fs::list_dir(folder)?;
    paths.sort();
    Ok(paths)
}

fn bytes_below(path: &Path) -> Result<u64, Fault> {
    // Gone already is as good as removed.
    let Some(metadata) = fs::if_present(path.symlink_metadata().at_path(path))? else {
        return Ok(0);
    };
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut bytes = 0;
    for entry in sorted_entries(path)? {
        bytes += bytes_below(&entry)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_store_makes_are_version_folders() {
        for name in ["v1-0123456789abcdef", "v2-00ff00ff"] {
            assert!(is_version_folder(name), "{name}");
        }
        for name in ["v1", "v1-", "v-0123abcd", "v1-notes", "soft", "tmp", "v1-0123456789abcdef0"] {
            assert!(!is_version_folder(name), "{name}");
        }
    }
}
