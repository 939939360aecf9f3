//! Store of case files: finds, builds once and publishes them.
//!
//! Shared by all workers of a process. Each case is mapped once and stays mapped: mappings cost
//! address space, not memory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::base::{CaseError, Fault, Fingerprint, Reason, fs};
use crate::cache::format::{EXTENSION, folder_prefix};
use crate::cache::known_places::KnownPlaces;
use crate::cache::writer::{TMP, stage_case};
use crate::cache::{CacheError, CaseContents, ExpectedSource, MappedCase, SourceState, Verify};
use crate::volume::{CaseId, case_id_problem};

/// Hex digits of the preprocess fingerprint in the folder's name.
pub(super) const FOLDER_DIGITS: usize = 16;

/// Times that a case's file is published before one that does not open is an error.
const PUBLISH_ATTEMPTS: usize = 3;

/// Mapping of a case, once it has one. Locked while the case is searched or built, so that one
/// thread of this process builds it.
type CaseSlot = Mutex<Option<Arc<MappedCase>>>;

/// Store of the case files of one preprocessing, below one root.
#[derive(Debug)]
pub struct CaseStore {
    root: PathBuf,
    folder: PathBuf,
    preprocess: Fingerprint,
    slots: Mutex<HashMap<CaseId, Arc<CaseSlot>>>,
    pub(super) places: KnownPlaces,
}

/// Published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishReport {
    /// The file.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
}

/// Provenance of a case that [`CaseStore::get_or_build`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseOrigin {
    /// Found in the cache.
    Cached,
    /// Built: it was absent, or made from other files than expected.
    Built,
    /// Built again: the cached file was damaged, as the error says.
    Repaired(CaseError),
}

impl CaseStore {
    /// Opens the cache at `root`, which is created where it is absent.
    ///
    /// # Errors
    /// When the folders cannot be created, or the cache's record of places cannot be read.
    pub fn open(root: &Path, preprocess: Fingerprint) -> Result<Self, Fault> {
        let folder = root.join(folder_prefix() + &preprocess.short_hex(FOLDER_DIGITS));
        for needed in [&folder, &root.join(TMP)] {
            fs::create_dir_all(needed)?;
        }
        let places = KnownPlaces::read(root)?;
        let root = root.to_owned();
        Ok(Self { root, folder, preprocess, slots: Mutex::default(), places })
    }

    /// Root folder of the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of the files of this preprocessing.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fingerprint of the preprocessing.
    pub const fn preprocess(&self) -> Fingerprint {
        self.preprocess
    }

    /// Path of a case's file, present or not.
    ///
    /// # Errors
    /// When the id cannot name a file.
    pub fn case_path(&self, id: &CaseId) -> Result<PathBuf, CaseError> {
        match case_id_problem(id.as_str()) {
            None => Ok(self.folder.join(format!("{id}.{EXTENSION}"))),
            Some(problem) => {
                Err(CaseError::new(Reason::Format, "case id", problem, "rename the case's folder")
                    .of_case(id))
            }
        }
    }

    /// True if this process has found or built a case of this name.
    pub fn is_held(&self, id: &CaseId) -> bool {
        self.case_slot(id).lock().is_some()
    }

    /// Finds a case that is cached and built from the expected source.
    ///
    /// Waits while another thread builds the same case.
    ///
    /// # Errors
    /// When a file is there and cannot be used: unreadable, damaged, or another case's.
    pub fn find_case(
        &self,
        id: &CaseId,
        expected: ExpectedSource<'_>,
    ) -> Result<Option<Arc<MappedCase>>, CaseError> {
        let slot = self.case_slot(id);
        self.find_in_slot(id, expected, &mut slot.lock())
    }

    /// Remembers that the files in this state hold what a case of this fingerprint was built from.
    pub fn remember_place(&self, id: &CaseId, content: Fingerprint, source: &SourceState) {
        self.places.remember(id, content, source);
    }

    /// Writes a case's file and maps it, replacing an older one; readers of that keep what they
    /// have.
    ///
    /// # Errors
    /// A case error when the contents cannot be a file, a fault when the disk fails.
    pub fn publish(&self, contents: &CaseContents) -> Result<PublishReport, CacheError> {
        let slot = self.case_slot(&contents.id);
        let case = self.write_and_map(contents, &mut slot.lock())?;
        Ok(PublishReport { path: case.path().to_owned(), bytes: case.file_bytes() })
    }

    /// Removes the file of a case that must not be served any more. Readers keep their mapping.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn withdraw(&self, case: &MappedCase) -> Result<(), Fault> {
        let slot = self.case_slot(case.id());
        *slot.lock() = None;
        Ok(fs::remove_file(case.path())?)
    }

    /// The case, built and published when there is none that can be used. Among the threads of
    /// this process only one builds; the others wait for it and share the result.
    ///
    /// # Errors
    /// Those of `build` and of [`Self::publish`]; a waiting thread then builds in turn.
    pub fn get_or_build(
        &self,
        id: &CaseId,
        expected: ExpectedSource<'_>,
        build: impl FnOnce() -> Result<CaseContents, CaseError>,
    ) -> Result<(Arc<MappedCase>, CaseOrigin), CacheError> {
        let slot = self.case_slot(id);
        let mut held = slot.lock();
        let found = self.find_in_slot(id, expected, &mut held).and_then(|found| {
            // Damage must be known before anybody relies on the voxels: then it can be repaired.
            found.map(|case| case.verify_voxels().map(|()| case)).transpose()
        });
        let origin = match found {
            Ok(Some(case)) => return Ok((case, CaseOrigin::Cached)),
            Ok(None) => CaseOrigin::Built,
            Err(damage) if damage.reason != Reason::Io => CaseOrigin::Repaired(damage),
            // Not the file's contents: a build would meet the same disk, or hide a permission.
            Err(unreadable) => return Err(unreadable.into()),
        };
        let contents = build().map_err(|error| match &origin {
            CaseOrigin::Repaired(damage) => unrepaired_error(error, damage),
            _ => error,
        })?;
        // Samples of the case as it was may have been made already: others must not follow them.
        if let Some(before) = held.as_ref().map(|case| case.fingerprint())
            && before != contents.fingerprint
            && !matches!(expected, ExpectedSource::State(_))
        {
            let problem = "its files have changed since its case file was mapped, which is lost";
            let remedy = "bring back the files that the run was begun with";
            return Err(CaseError::new(Reason::Checksum, "source files", problem, remedy)
                .of_case(id)
                .into());
        }
        if contents.id != *id {
            let problem = format!("was built as case {}", contents.id);
            let remedy = "this is a bug, please report it";
            return Err(CaseError::new(Reason::Format, "case id", problem, remedy)
                .of_case(id)
                .into());
        }
        let case = self.write_and_map(&contents, &mut held)?;
        Ok((case, origin))
    }

    /// Cases mapped by this store, and the bytes that they map.
    pub fn mapped_size(&self) -> (usize, u64) {
        let slots: Vec<Arc<CaseSlot>> = self.slots.lock().values().cloned().collect();
        // A slot under construction is not mapped yet, and not worth waiting for.
        let held = slots.iter().filter_map(|slot| slot.try_lock());
        held.filter_map(|case| case.as_ref().map(|case| case.file_bytes()))
            .fold((0, 0), |(cases, bytes), own| (cases + 1, bytes + own))
    }

    fn case_slot(&self, id: &CaseId) -> Arc<CaseSlot> {
        self.slots.lock().entry(id.clone()).or_default().clone()
    }

    fn find_in_slot(
        &self,
        id: &CaseId,
        expected: ExpectedSource<'_>,
        held: &mut Option<Arc<MappedCase>>,
    ) -> Result<Option<Arc<MappedCase>>, CaseError> {
        let expected = match expected {
            ExpectedSource::State(source) => {
                let known = self.places.content_of(source);
                known.map_or(expected, ExpectedSource::Fingerprint)
            }
            other => other,
        };
        let serves = |case: &&Arc<MappedCase>| case.matches_source(expected) && !case.is_damaged();
        if let Some(case) = held.as_ref().filter(serves) {
            return Ok(Some(Arc::clone(case)));
        }
        // What is held may have been replaced by another process, but not by another dataset.
        let expected = match (expected, held.as_ref()) {
            (ExpectedSource::Anything, Some(case)) => {
                ExpectedSource::Fingerprint(case.fingerprint())
            }
            _ => expected,
        };
        let mut damage = None;
        for path in self.case_paths(id)? {
            match self.open_case(&path, id) {
                Ok(case) if case.matches_source(expected) => {
                    return Ok(Some(Arc::clone(held.insert(Arc::new(case)))));
                }
                Ok(_) => {}
                Err(error) if error.reason == Reason::Missing => {}
                Err(error) => _ = damage.get_or_insert(error),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    pub(super) fn open_case(&self, path: &Path, id: &CaseId) -> Result<MappedCase, CaseError> {
        let case = MappedCase::open(path, Verify::default())?;
        check_identity(&case, id, self.preprocess)?;
        Ok(case)
    }

    fn write_and_map(
        &self,
        contents: &CaseContents,
        held: &mut Option<Arc<MappedCase>>,
    ) -> Result<Arc<MappedCase>, CacheError> {
        let path = self.choose_path(contents)?;
        if contents.preprocess != self.preprocess {
            let problem =
                format!("prepared as {}, the folder is {}", contents.preprocess, self.preprocess);
            let remedy = "open the store with the same preprocess config";
            return Err(CaseError::new(Reason::Format, path.display(), problem, remedy).into());
        }
        let mut attempt = 1;
        loop {
            stage_case(&self.root, contents)?.commit(&path)?;
            match MappedCase::open(&path, Verify::default()) {
                Ok(case) => return Ok(Arc::clone(held.insert(Arc::new(case)))),
                // It was whole in `tmp/`: another process cut or replaced it under its name.
                Err(error) if error.reason != Reason::Io && attempt < PUBLISH_ATTEMPTS => {
                    tracing::warn!("{error}; it is written again");
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Refuses a file that lies under another name, or in another folder, than its header says.
pub(super) fn check_identity(
    case: &MappedCase,
    id: &CaseId,
    preprocess: Fingerprint,
) -> Result<(), CaseError> {
    let flaw = |field: &str, problem: String| {
        let subject = format!("{}: {field}", case.path().display());
        let remedy = "delete the file, `gliaflow ingest` builds the case again";
        Err(CaseError::new(Reason::Format, subject, problem, remedy))
    };
    if case.id() != id {
        return flaw("case id", format!("holds case {}, not {id}", case.id()));
    }
    if case.preprocess_fingerprint() != preprocess {
        let problem = format!("is {}, the folder's is {preprocess}", case.preprocess_fingerprint());
        return flaw("preprocess fingerprint", problem);
    }
    Ok(())
}

/// Error of a damaged case that could not be built again; it also names the damage.
fn unrepaired_error(mut error: CaseError, damage: &CaseError) -> CaseError {
    let CaseError { subject, problem, .. } = damage;
    error.problem =
        format!("{}, and its case file is damaged ({subject}: {problem})", error.problem);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_is_a_file_is_a_fault_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("cache");
        fs::write(&root, b"not a folder").unwrap();
        let fault = CaseStore::open(&root, Fingerprint([0; 16])).unwrap_err();
        assert!(fault.to_string().contains("cache/v2-0000000000000000"), "{fault}");
    }

    #[test]
    fn an_id_that_would_leave_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = CaseStore::open(folder.path(), Fingerprint([0; 16])).unwrap();
        let error = store.find_case(&CaseId::new("../x"), ExpectedSource::Anything).unwrap_err();
        assert!(error.to_string().contains("rename the case's folder"), "{error}");
    }
}
