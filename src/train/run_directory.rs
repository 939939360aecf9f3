//! The folder of one run: what it was told, where it ran, on what, and what came of it. A lock
//! keeps a second process out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::Fault;
use crate::base::fingerprint::Fingerprint;
use crate::brats::dataset::CaseFiles;
use crate::pipeline::augment::kernel::Kernel;
use crate::volume::case::{CaseId, Split};

/// The file that lists a run's cases.
pub const DATASET_LOCK: &str = "dataset.lock.json";

/// A run's folder, locked against other processes for as long as this lives.
pub struct RunDirectory {
    path: PathBuf,
    _lock: File,
}

/// Where a run happens: `environment.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// Of gliaflow.
    pub version: &'static str,
    /// Of the tensor library.
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
    /// What makes the voxels of samples; every kernel makes the same.
    pub kernel: &'static str,
    /// Of the exact versions of all dependencies.
    pub lock_file: Fingerprint,
    /// Bit-exactness that may be claimed on this device.
    pub reproducibility: &'static str,
}

impl Environment {
    /// Of this process, training on `device`, which multiplies in `products`.
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
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: Kernel::best().name(),
            lock_file: Fingerprint::of_bytes(include_bytes!("../../Cargo.lock")),
            reproducibility: if deterministic {
                "batches are bit-exact; losses and weights too, on the same processor and thread count"
            } else {
                "batches are bit-exact; losses and weights as far as the device's kernels are"
            },
        }
    }
}

/// One line of `dataset.lock.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedCase {
    /// The case.
    pub id: CaseId,
    /// Of its files.
    pub fingerprint: Fingerprint,
    /// Which part it belongs to.
    pub split: Split,
}

/// The cases of a run, by fingerprint; a case left out is listed with its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetLock {
    /// Where the files were.
    pub folder: PathBuf,
    /// Cases in use.
    pub cases: Vec<LockedCase>,
    /// Cases left out: name and cause.
    pub excluded: Vec<(CaseId, String)>,
    /// What else the folder held that could not become a case, such as one without a modality.
    pub problems: Vec<String>,
}

impl DatasetLock {
    /// The files of the locked cases of one part, in the lock's order, out of those found.
    pub fn files(&self, found: &[CaseFiles], part: Split) -> Vec<CaseFiles> {
        let wanted = self.cases.iter().filter(|case| case.split == part);
        let files = wanted.filter_map(|case| found.iter().find(|files| files.id == case.id));
        files.cloned().collect()
    }

    /// Names of the locked cases of these parts that are not among those found.
    pub fn gone(&self, found: &[CaseFiles], parts: &[Split]) -> Vec<&str> {
        let wanted = self.cases.iter().filter(|case| parts.contains(&case.split));
        let gone = wanted.filter(|case| found.iter().all(|files| files.id != case.id));
        gone.map(|case| case.id.as_str()).collect()
    }
}

impl RunDirectory {
    /// A new folder `root/<stem>-NNN` with the next free number.
    ///
    /// # Errors
    /// If it cannot be made or locked.
    pub fn create(root: &Path, stem: &str) -> Result<Self, Fault> {
        fs::create_dir_all(root).map_err(|error| Fault::io(root, &error))?;
        for number in 1..=999_999 {
            let path = root.join(format!("{stem}-{number:03}"));
            match fs::create_dir(&path) {
                Ok(()) => return Self::lock(path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Fault::io(&path, &error)),
            }
        }
        Err(Fault::Environment {
            subject: root.display().to_string(),
            problem: format!("holds {stem}-001 to {stem}-999999"),
            remedy: "delete old runs or choose another folder with --out".into(),
        })
    }

    /// Exactly this folder, which must not hold a run yet.
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
        fs::create_dir_all(path).map_err(|error| Fault::io(path, &error))?;
        Self::lock(path.to_path_buf())
    }

    /// Exactly this folder, which holds a run that is to go on.
    ///
    /// # Errors
    /// If another process is writing to it.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        Self::lock(path.to_path_buf())
    }

    /// The kernel lets go of the lock when a process ends, however it ends.
    fn lock(path: PathBuf) -> Result<Self, Fault> {
        let lock_path = path.join("run.lock");
        let failed = |error| Fault::io(&lock_path, &error);
        let mut options = OpenOptions::new();
        let opened = options.create(true).read(true).write(true).truncate(false).open(&lock_path);
        let mut lock = opened.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Fault::Environment {
                    subject: path.display().to_string(),
                    problem: format!("process {} is writing to this run", holder(&mut lock)),
                    remedy: "wait for it or stop it, or choose another folder with --run".into(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let named = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        named.map_err(failed)?;
        for folder in ["checkpoints", "validation"] {
            let inside = path.join(folder);
            fs::create_dir_all(&inside).map_err(|error| Fault::io(&inside, &error))?;
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

/// The process that has the lock, as it has written there.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.read_to_string(&mut text);
    if read.is_ok() && !text.is_empty() { text } else { "(unknown)".into() }
}

/// Writes beside, syncs, renames: readers see the old file or the new one, never half of either.
///
/// # Errors
/// If the disk does not take it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync(folder_of(path)));
    written.map_err(|error| Fault::io(path, &error))
}

/// The folder that a file is in; a bare name is in the one that the process is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Flushes a file, or a folder's entries, to the disk.
pub(super) fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path).and_then(|file| file.sync_all())
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
        let first = RunDirectory::create(root.path(), "unet").unwrap();
        let second = RunDirectory::create(root.path(), "unet").unwrap();
        assert!(first.path().ends_with("unet-001") && second.path().ends_with("unet-002"));
        first.write_text("config.toml", "seed = 1\n").unwrap();
        let refused = RunDirectory::create_at(first.path()).err().unwrap().to_string();
        assert!(refused.contains("already holds a run"), "{refused}");
        let busy = RunDirectory::lock(second.path().to_path_buf()).err().unwrap().to_string();
        let holder = format!("process {} is writing", std::process::id());
        assert!(busy.contains(&holder), "{busy}");
        drop(second);
        RunDirectory::open(&root.path().join("unet-002")).unwrap();
    }
}
