//! Copying of case files from object storage into a cache. One is published only when its bytes are those that
//! its name says, and it reads back whole.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{CaseError, Fault, Fingerprint, Fingerprinter, Reason};
use crate::cache::shared::object_name::{ObjectName, StoredCases};
use crate::cache::shared::{TransferReport, Transferred, transfer_all};
use crate::cache::writer::{StagedFile, stage_file};
use crate::cache::{CacheError, CaseStore, MappedCase, Verify};
use crate::storage::{ObjectFolder, StoredObject};

impl CaseStore {
    /// Copies every case file of this format under `source` into the cache, unless it has one that was built from
    /// the same source files under the same settings: what was begun before goes on. An object whose bytes are
    /// not those that its name says is not published. `progress` gets the number of objects that are done, and of
    /// all.
    ///
    /// # Errors
    /// If the disk does not take them, or the server refuses.
    pub fn pull_cases(
        &self,
        source: &ObjectFolder,
        mut progress: impl FnMut(usize, usize) + Send,
    ) -> Result<TransferReport, CacheError> {
        let stored: Vec<(ObjectName, StoredObject)> =
            StoredCases::list(source)?.0.into_iter().collect();
        let total = stored.len();
        let stores = Mutex::new(self.stores_by_folder()?);
        let puller = Puller { source, root: self.root(), stores };
        transfer_all(stored, |stored| puller.pull(&stored), |done| progress(done, total))
    }

    /// Stores of the folders that hold a case already, by the folder's name.
    fn stores_by_folder(&self) -> Result<HashMap<String, Arc<CaseStore>>, Fault> {
        let mut stores = HashMap::new();
        for path in self.case_files()? {
            let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
            let folder = folder.to_string_lossy().into_owned();
            if stores.contains_key(&folder) {
                continue;
            }
            // One that cannot be read says nothing about its folder; the next one may.
            if let Ok(case) = MappedCase::open(&path, Verify::Header) {
                let store = Self::open(self.root(), case.preprocess_fingerprint())?;
                stores.insert(folder, Arc::new(store));
            }
        }
        Ok(stores)
    }

    /// True if there is a file of the case that was built from the source of this fingerprint, and can be used.
    fn has_case_of(&self, name: &ObjectName) -> Result<bool, CaseError> {
        let mut paths = self.case_paths(&name.id)?;
        Ok(paths.any(|path| {
            self.open_case(&path, &name.id).is_ok_and(|case| case.fingerprint() == name.source)
        }))
    }

    /// First path of a case that no file that can be used has.
    fn free_path(&self, name: &ObjectName) -> Result<PathBuf, CaseError> {
        let mut paths = self.case_paths(&name.id)?;
        paths.find(|path| self.open_case(path, &name.id).is_err()).ok_or_else(|| {
            let problem = "the cache holds cases of this name of too many other datasets";
            let remedy = "use another cache: --cache DIR";
            CaseError::new(Reason::Format, self.folder().display(), problem, remedy)
                .of_case(&name.id)
        })
    }
}

/// Copies of objects to a cache.
struct Puller<'a> {
    source: &'a ObjectFolder,
    root: &'a Path,
    /// Stores by folder. Locked while a file is put in its place: two files of one name must not take the same.
    stores: Mutex<HashMap<String, Arc<CaseStore>>>,
}

impl Puller<'_> {
    fn pull(&self, (name, object): &(ObjectName, StoredObject)) -> Result<Transferred, CacheError> {
        let known = self.stores.lock().get(&name.folder).cloned();
        if let Some(store) = known
            && store.has_case_of(name)?
        {
            return Ok(Transferred::Present);
        }
        let (staged, case) = match self.stage(name, object) {
            Ok(staged) => staged,
            Err(CacheError::Case(error)) if error.reason != Reason::Io => {
                return Ok(Transferred::Damaged(error));
            }
            Err(error) => return Err(error),
        };
        let mut stores = self.stores.lock();
        let store = match stores.get(&name.folder) {
            Some(store) => Arc::clone(store),
            None => {
                let store = CaseStore::open(self.root, case.preprocess_fingerprint())?;
                Arc::clone(stores.entry(name.folder.clone()).or_insert(Arc::new(store)))
            }
        };
        if store.has_case_of(name)? {
            return Ok(Transferred::Present);
        }
        staged.commit(&store.free_path(name)?)?;
        Ok(Transferred::Copied(object.bytes()))
    }

    /// Copies an object into the cache's folder of temporary files, and checks the copy.
    fn stage(
        &self,
        name: &ObjectName,
        object: &StoredObject,
    ) -> Result<(StagedFile, MappedCase), CacheError> {
        let mut refused = None;
        let mut opened = None;
        let write = |file: &mut File| {
            let copied = self.copy_object(name, object, file);
            copied.map_err(|error| {
                refused = Some(error);
                io::Error::other("not copied")
            })
        };
        let read_back = |path: &Path| {
            let case = MappedCase::open(path, Verify::Full)?;
            if !name.names_case(&case) {
                let damage = self.damage(object, "is another case's file than its name says");
                return Err(CaseError { reason: Reason::Format, ..damage });
            }
            opened = Some(case);
            Ok(())
        };
        let staged = stage_file(self.root, &name.id, write, read_back);
        if let Some(error) = refused {
            return Err(error.into());
        }
        let staged = staged?;
        let case = opened.ok_or_else(|| Fault::Environment {
            subject: self.root.display().to_string(),
            problem: "a case file was not read back".into(),
            remedy: "this is a bug, please report it".into(),
        })?;
        Ok((staged, case))
    }

    fn copy_object(
        &self,
        name: &ObjectName,
        object: &StoredObject,
        file: &mut File,
    ) -> Result<(), CaseError> {
        let mut print = Fingerprinter::default();
        self.source.read_object(object, |piece| {
            print.update(piece);
            file.write_all(piece)
        })?;
        let found: Fingerprint = print.finish();
        if found == name.bytes {
            return Ok(());
        }
        Err(self
            .damage(object, &format!("holds bytes of fingerprint {found}, its name says another")))
    }

    fn damage(&self, object: &StoredObject, problem: &str) -> CaseError {
        let subject = format!("{}/{}", self.source, object.name);
        let remedy = "delete the object, and push the case again from a cache that has it";
        CaseError::new(Reason::Checksum, subject, problem, remedy)
    }
}
