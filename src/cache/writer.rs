//! Publishing: a file appears under its name whole and synced, or not at all.
//!
//! `tmp/<id>.<pid>.<nonce>` → write → fsync → reopen and verify → rename → fsync the folder. A
//! killed writer leaves files in `tmp/` only. Every writer holds a shared lock on `tmp/lock` as
//! long as it owns a temporary file; an exclusive lock proves that all files there are left over,
//! whatever machine or container they came from.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::fs::{self, AtPath};
use crate::base::{
    CaseError, Fault, LockOutcome, Reason, lock_shared, rename_synced, try_lock_exclusive,
};
use crate::cache::compose::compose_case_file;
use crate::cache::{CacheError, CaseContents, MappedCase, Verify};
use crate::volume::CaseId;

/// Folder of temporary files below the cache's root: one file system, so that a rename is atomic.
pub(super) const TMP: &str = "tmp";

/// The lock file in [`TMP`].
pub(super) const LOCK: &str = "lock";

/// Time for which other writers are waited for before they are a fault.
const WRITERS_PATIENCE: Duration = Duration::from_secs(1);

/// Time between two attempts at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Tells apart the files that one process writes.
static NONCE: AtomicU64 = AtomicU64::new(0);

/// A verified file in `tmp/`; dropped without [`StagedFile::commit`], it is removed.
#[derive(Debug)]
pub(super) struct StagedFile {
    path: PathBuf,
    committed: bool,
    _writing: File,
}

/// Writes `contents` below `root/tmp` and verifies what was written.
pub(super) fn stage_case(root: &Path, contents: &CaseContents) -> Result<StagedFile, CacheError> {
    let composed = compose_case_file(contents)?;
    let read_back = |path: &Path| MappedCase::open(path, Verify::Full).map(drop);
    stage_file(root, &contents.id, |file| composed.write_to(file), read_back)
}

/// Writes a file of the case `id` below `root/tmp` and verifies it with `read_back`.
pub(super) fn stage_file(
    root: &Path,
    id: &CaseId,
    write: impl FnOnce(&mut File) -> io::Result<()>,
    read_back: impl FnOnce(&Path) -> Result<(), CaseError>,
) -> Result<StagedFile, CacheError> {
    let writing = lock_as_writer(root)?;
    let (path, mut file) = create_temporary(&root.join(TMP), id.as_str())?;
    let staged = StagedFile { path, committed: false, _writing: writing };
    write(&mut file).and_then(|()| file.sync_all()).at_path(&staged.path).map_err(Fault::from)?;
    match read_back(&staged.path) {
        Ok(()) => Ok(staged),
        // Whole but refused: the contents were never a case. Not whole: the disk is to blame.
        Err(error) if error.reason == Reason::Format => Err(error.of_case(id).into()),
        Err(CaseError { reason: Reason::Io, subject, problem, remedy }) => {
            Err(Fault::Environment { subject, problem, remedy }.into())
        }
        Err(error) => Err(Fault::Environment {
            subject: error.subject,
            problem: format!("does not read back as written: {}", error.problem),
            remedy: "check the disk".into(),
        }
        .into()),
    }
}

impl StagedFile {
    /// Renames the file to `target`, replacing an older one, and syncs the folder.
    pub(super) fn commit(mut self, target: &Path) -> Result<(), Fault> {
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        rename_synced(&self.path, target)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.committed {
            // The caller has an error to report already; what stays is removed by `gc`.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn create_temporary(folder: &Path, id: &str) -> Result<(PathBuf, File), Fault> {
    loop {
        let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{id}.{}.{nonce}", std::process::id()));
        match fs::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            // Another container's process may have the same number.
            Err(error) if error.cause.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn open_lock(root: &Path) -> Result<(PathBuf, File), Fault> {
    let folder = root.join(TMP);
    fs::create_dir_all(&folder)?;
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    let file = fs::open_with(&path, options.write(true).create(true).truncate(false))?;
    Ok((path, file))
}

fn lock_as_writer(root: &Path) -> Result<File, Fault> {
    let (path, file) = open_lock(root)?;
    lock_shared(&file, &path)?;
    Ok(file)
}

/// Locks all writers out until the file is dropped; `None` where the file system has no locks, and
/// whether one is writing cannot be known. A fault while one is writing.
pub(super) fn lock_out_writers(root: &Path) -> Result<Option<File>, Fault> {
    let (path, file) = open_lock(root)?;
    // A writer holds the lock for one file, and a process that was started meanwhile for a moment more.
    let end = Instant::now() + WRITERS_PATIENCE;
    let outcome = loop {
        match try_lock_exclusive(&file, &path)? {
            LockOutcome::HeldByAnother if Instant::now() < end => thread::sleep(LOCK_PAUSE),
            outcome => break outcome,
        }
    };
    match outcome {
        LockOutcome::Held => Ok(Some(file)),
        LockOutcome::Unsupported => Ok(None),
        LockOutcome::HeldByAnother => Err(Fault::Environment {
            subject: path.display().to_string(),
            problem: "another gliaflow is writing to this cache".into(),
            remedy: "wait for its ingest to end".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::base::Fingerprint;
    use crate::buffers::CaseBuffers;
    use crate::cache::{CaseStore, ExpectedSource, PreprocessConfig, prepare_in_buffers};
    use crate::volume::{Affine, Case, Dims, LabelScheme, RunChannels, SourceGrid, Voxels};

    /// Tells the second process of the crash test where to die.
    const ROOT: &str = "GLIAFLOW_TEST_CRASH_ROOT";

    fn contents() -> CaseContents {
        let dims = Dims::cube(3);
        let case = Case {
            id: CaseId::new("c"),
            source: SourceGrid::canonical(dims, Affine([[1.0; 4]; 4])),
            images: std::array::from_fn(|_| Voxels::from_whole((0..27).collect())),
            labels: Some(vec![1; 27]),
            mask: None,
            scheme: LabelScheme::Brats2023,
            channels: RunChannels::default(),
            fingerprint: Fingerprint([5; 16]),
            bytes_read: 0,
        };
        prepare_in_buffers(&CaseBuffers::default(), &case, &PreprocessConfig::default()).unwrap()
    }

    fn store(root: &Path) -> CaseStore {
        CaseStore::open(root, PreprocessConfig::default().fingerprint()).unwrap()
    }

    /// Names in `tmp/` besides the lock's.
    fn rubbish(root: &Path) -> usize {
        let names =
            std::fs::read_dir(root.join(TMP)).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != LOCK).count()
    }

    #[test]
    #[ignore = "the other process of the test below"]
    fn a_writer_that_dies_before_the_rename() {
        let Ok(root) = std::env::var(ROOT) else { return };
        let _staged = stage_case(Path::new(&root), &contents()).unwrap();
        std::process::abort();
    }

    #[test]
    fn a_crash_between_write_and_rename_leaves_the_store_clean() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let died = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored"])
            .arg("cache::writer::tests::a_writer_that_dies_before_the_rename")
            .env(ROOT, root)
            .output()
            .unwrap();
        assert!(!died.status.success(), "the writer was to be killed");
        assert_eq!(rubbish(root), 1, "it died after writing, before renaming");
        let store = store(root);
        assert!(store.find_case(&contents().id, ExpectedSource::Anything).unwrap().is_none());
        assert!(store.read_inventory().unwrap().entries.is_empty());
        assert_eq!(store.collect_garbage(true).unwrap().removed.len(), 1);
        assert_eq!(rubbish(root), 1, "a dry run removes nothing");
        store.collect_garbage(false).unwrap();
        assert_eq!(rubbish(root), 0);
        store.publish(&contents()).unwrap();
        assert_eq!(store.read_inventory().unwrap().entries.len(), 1);
    }

    #[test]
    fn gc_stays_away_from_a_writer_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let staged = stage_case(folder.path(), &contents()).unwrap();
        let fault = store.collect_garbage(false).unwrap_err();
        assert!(fault.to_string().contains("wait for its ingest to end"), "{fault}");
        assert_eq!(rubbish(folder.path()), 1);
        drop(staged);
        assert_eq!(rubbish(folder.path()), 0, "given up, the file goes");
        assert!(store.collect_garbage(false).unwrap().removed.is_empty());
    }

    /// A child that another thread starts has this process's locks until it is another program.
    #[test]
    fn gc_waits_for_a_lock_that_is_held_for_a_moment() {
        let root = tempfile::tempdir().unwrap();
        let store =
            CaseStore::open(root.path(), PreprocessConfig::default().fingerprint()).unwrap();
        store.publish(&contents()).unwrap();
        let lock = lock_as_writer(root.path()).unwrap();
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            drop(lock);
        });
        assert!(store.collect_garbage(true).unwrap().removed.is_empty());
        writer.join().unwrap();
    }

    #[test]
    fn contents_that_no_reader_would_accept_are_the_cases_fault_and_not_published() {
        let folder = tempfile::tempdir().unwrap();
        let mut wrong = contents();
        wrong.foreground[0].voxels = vec![99];
        let error = store(folder.path()).publish(&wrong).unwrap_err();
        assert!(matches!(&error, CacheError::Case(_)), "{error}");
        assert!(error.to_string().contains("section FOREGROUND"), "{error}");
        assert_eq!(rubbish(folder.path()), 0);
    }
}
