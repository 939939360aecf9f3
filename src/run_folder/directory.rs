//! A run's folder under a lock that keeps a second process out.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::base::{Fault, LockOutcome, fs, try_lock_exclusive};
use crate::run_folder::{CHECKPOINTS, CONFIG, VALIDATION};

/// Run folder, locked against other processes for as long as this lives.
pub struct RunDirectory {
    path: PathBuf,
    _lock: File,
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
                Ok(()) => return Self::lock_existing(&path),
                Err(error) if error.cause.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::Environment {
            subject: root.display().to_string(),
            problem: format!("holds {stem}-001 to {stem}-999999"),
            remedy: "delete old runs or choose a folder with --run".into(),
        })
    }

    /// Folder that [`Self::create_numbered`] would create now.
    pub fn next_numbered(root: &Path, stem: &str) -> PathBuf {
        let numbered = (1..=999_999).map(|number| root.join(format!("{stem}-{number:03}")));
        { numbered }.find(|path| !path.exists()).unwrap_or_else(|| root.join(stem))
    }

    /// Creates and locks exactly this folder, which must not hold a run yet.
    ///
    /// # Errors
    /// If it holds one, or cannot be made or locked.
    pub fn create_at(path: &Path) -> Result<Self, Fault> {
        if path.join(CONFIG).exists() {
            return Err(Fault::Environment {
                subject: path.display().to_string(),
                problem: "already holds a run".into(),
                remedy: "choose another folder with --run".into(),
            });
        }
        fs::create_dir_all(path)?;
        Self::lock_existing(path)
    }

    /// Locks exactly this folder, which holds a run to be resumed. The operating system releases the
    /// lock when a process ends, however it ends.
    ///
    /// # Errors
    /// If another process is writing to it.
    pub fn lock_existing(path: &Path) -> Result<Self, Fault> {
        let lock_path = path.join("run.lock");
        let failed = |error| Fault::from_io(&lock_path, &error);
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        let mut lock = fs::open_with(&lock_path, &options)?;
        if try_lock_exclusive(&lock, &lock_path)? == LockOutcome::HeldByAnother {
            return Err(Fault::Environment {
                subject: path.display().to_string(),
                problem: format!("process {} is writing to this run", lock_holder(&mut lock)),
                remedy: "wait for it or stop it, or choose another folder with --run".into(),
            });
        }
        let named = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        named.map_err(failed)?;
        for folder in [CHECKPOINTS, VALIDATION] {
            let inside = path.join(folder);
            fs::create_dir_all(&inside)?;
        }
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Process id written into the lock by its holder.
fn lock_holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.read_to_string(&mut text);
    if read.is_ok() && !text.is_empty() { text } else { "(unknown)".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_and_never_shared() {
        let root = tempfile::tempdir().unwrap();
        let first = RunDirectory::create_numbered(root.path(), "unet").unwrap();
        let next = RunDirectory::next_numbered(root.path(), "unet");
        let second = RunDirectory::create_numbered(root.path(), "unet").unwrap();
        assert_eq!(next, second.path());
        assert!(first.path().ends_with("unet-001") && second.path().ends_with("unet-002"));
        fs::write(first.path().join(CONFIG), "seed = 1\n").unwrap();
        let refused = RunDirectory::create_at(first.path()).err().unwrap().to_string();
        assert!(refused.contains("already holds a run"), "{refused}");
        let busy = RunDirectory::lock_existing(second.path()).err().unwrap().to_string();
        let holder = format!("process {} is writing", std::process::id());
        assert!(busy.contains(&holder), "{busy}");
        drop(second);
        RunDirectory::lock_existing(&root.path().join("unet-002")).unwrap();
    }
}
