//! Folder of one run: configuration, environment, dataset and results. A lock keeps a second
//! process out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::augment::kernel::Kernel;
use crate::base::error::Fault;
use crate::base::fingerprint::Fingerprint;
use crate::base::fs::{self, AtPath, FileError};
use crate::base::machine::core_count;
use crate::brats::dataset::CaseFiles;
use crate::volume::case::{CaseId, Split};

/// File that lists a run's cases.
pub const DATASET_LOCK: &str = "dataset.lock.json";

/// Run folder, locked against other processes for as long as this lives.
pub struct RunDirectory {
    path: PathBuf,
    _lock: File,
}

/// Environment of a run: `environment.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// Version of gliaflow.
    pub version: &'static str,
    /// Version of the tensor library.
    pub burn: &'static str,
    /// The device that trains.
    pub device: String,
    /// Number format of the factors in convolutions and matrix products: on CUDA not always the
    /// precision.
    pub products: &'static str,
    /// The machine's name, where it tells.
    pub host: Option<String>,
    /// Processor model, where the system tells.
    pub processor: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// Name of the augmentation kernel; every kernel makes the same voxels.
    pub kernel: &'static str,
    /// Fingerprint of `Cargo.lock`: the exact versions of all dependencies.
    pub lock_file: Fingerprint,
    /// Bit-exactness that may be claimed on this device.
    pub reproducibility: &'static str,
}

impl Environment {
    /// Describes this process, training on `device`, which multiplies in `products`.
    pub fn of_process(device: &str, products: &'static str, deterministic: bool) -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let processor = read("/proc/cpuinfo").and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            line.split_once(':').map(|(_, name)| name.trim().to_string())
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            burn: "0.22.1",
            device: device.to_string(),
            products,
            host: read("/proc/sys/kernel/hostname").map(|name| name.trim().to_string()),
            processor,
            cores: core_count(),
            kernel: Kernel::fastest_available().name(),
            lock_file: Fingerprint::of_bytes(include_bytes!("../../Cargo.lock")),
            reproducibility: if deterministic {
                "batches are bit-exact; losses and weights too, on the same processor and thread count"
            } else {
                "batches are bit-exact; losses and weights as far as the device's kernels are"
            },
        }
    }
}

/// Case in `dataset.lock.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedCase {
    /// The case.
    pub id: CaseId,
    /// Fingerprint of its files.
    pub fingerprint: Fingerprint,
    /// Split that it belongs to.
    pub split: Split,
}

/// Cases of a run by fingerprint, and those left out with their cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetLock {
    /// Folder of the files.
    pub folder: PathBuf,
    /// Cases in use.
    pub cases: Vec<LockedCase>,
    /// Cases left out: name and cause.
    pub excluded: Vec<(CaseId, String)>,
    /// Problems with other files of the folder, such as a case without a modality.
    pub problems: Vec<String>,
}

impl DatasetLock {
    /// Selects the files of one split's locked cases, in the lock's order, out of those found.
    pub fn files_in_split(&self, found: &[CaseFiles], part: Split) -> Vec<CaseFiles> {
        let wanted = self.cases.iter().filter(|case| case.split == part);
        let files = wanted.filter_map(|case| found.iter().find(|files| files.id == case.id));
        files.cloned().collect()
    }

    /// Names of the locked cases of these splits that are not among those found.
    pub fn missing_cases(&self, found: &[CaseFiles], parts: &[Split]) -> Vec<&str> {
        let wanted = self.cases.iter().filter(|case| parts.contains(&case.split));
        let gone = wanted.filter(|case| found.iter().all(|files| files.id != case.id));
        gone.map(|case| case.id.as_str()).collect()
    }
}

impl RunDirectory {
    /// Creates and locks a folder `root/<stem>-NNN` with the next free number.
    ///
    /// # Errors
    /// If it cannot be made or locked.
    pub fn create_numbered(root: &Path, stem: &str) -> Result<Self, Fault> {
        fs::create_dir_all(root)?;
        for number in 1..=999_999 {
            let path = root.join(format!("{stem}-{number:03}"));
            match fs::create_dir(&path) {
                Ok(()) => return Self::lock_folder(path),
                Err(error) if error.cause.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::Environment {
            subject: root.display().to_string(),
            problem: format!("holds {stem}-001 to {stem}-999999"),
            remedy: "delete old runs or choose another folder with --out".into(),
        })
    }

    /// Creates and locks exactly this folder, which must not hold a run yet.
    ///
    /// # Errors
    /// If it holds one, or cannot be made or locked.
    pub fn create_at(path: &Path) -> Result<Self, Fault> {
        if path.join("config.toml").exists() {
            return Err(Fault::Environment {
                subject: path.display().to_string(),
                problem: "already holds a run".into(),
                remedy: "choose another folder with --run".into(),
            });
        }
        fs::create_dir_all(path)?;
        Self::lock_folder(path.to_path_buf())
    }

    /// Locks exactly this folder, which holds a run to be resumed.
    ///
    /// # Errors
    /// If another process is writing to it.
    pub fn open_existing(path: &Path) -> Result<Self, Fault> {
        Self::lock_folder(path.to_path_buf())
    }

    /// Locks the folder. The operating system releases the lock when a process ends, however it
    /// ends.
    fn lock_folder(path: PathBuf) -> Result<Self, Fault> {
        let lock_path = path.join("run.lock");
        let failed = |error| Fault::from_io(&lock_path, &error);
        let mut options = OpenOptions::new();
        let options = options.create(true).read(true).write(true).truncate(false);
        let mut lock = fs::open_with(&lock_path, options)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Fault::Environment {
                    subject: path.display().to_string(),
                    problem: format!("process {} is writing to this run", lock_holder(&mut lock)),
                    remedy: "wait for it or stop it, or choose another folder with --run".into(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let named = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        named.map_err(failed)?;
        for folder in ["checkpoints", "validation"] {
            let inside = path.join(folder);
            fs::create_dir_all(&inside)?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a text file of the run, whole or not at all.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write_text(&self, name: &str, text: &str) -> Result<(), Fault> {
        write_atomically(&self.path.join(name), text.as_bytes())
    }

    /// Writes a JSON file of the run, whole or not at all.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Fault> {
        let mut text = serde_json::to_string_pretty(value).expect("run records serialise to JSON");
        text.push('\n');
        self.write_text(name, &text)
    }
}

/// Process id written into the lock by its holder.
fn lock_holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.read_to_string(&mut text);
    if read.is_ok() && !text.is_empty() { text } else { "(unknown)".into() }
}

/// Writes a temporary file, syncs and renames it: readers see the old file or the new one, never
/// half of either.
///
/// # Errors
/// If the disk does not take it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let mut file = fs::create(&beside)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).at_path(path)?;
    fs::rename(&beside, path)?;
    Ok(sync_to_disk(folder_of(path))?)
}

/// Folder of a file; for a bare name the working folder.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Flushes a file, or a folder's entries, to the disk.
pub(super) fn sync_to_disk(path: &Path) -> Result<(), FileError> {
    fs::open(path)?.sync_all().at_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_folder_is_in_the_one_at_hand() {
        let folders = ["a", "a/b", "/a"].map(|path| folder_of(Path::new(path)));
        assert_eq!(folders, [".", "a", "/"].map(Path::new));
    }

    #[test]
    fn runs_are_numbered_and_never_shared() {
        let root = tempfile::tempdir().unwrap();
        let first = RunDirectory::create_numbered(root.path(), "unet").unwrap();
        let second = RunDirectory::create_numbered(root.path(), "unet").unwrap();
        assert!(first.path().ends_with("unet-001") && second.path().ends_with("unet-002"));
        first.write_text("config.toml", "seed = 1\n").unwrap();
        let refused = RunDirectory::create_at(first.path()).err().unwrap().to_string();
        assert!(refused.contains("already holds a run"), "{refused}");
        let busy =
            RunDirectory::lock_folder(second.path().to_path_buf()).err().unwrap().to_string();
        let holder = format!("process {} is writing", std::process::id());
        assert!(busy.contains(&holder), "{busy}");
        drop(second);
        RunDirectory::open_existing(&root.path().join("unet-002")).unwrap();
    }
}
