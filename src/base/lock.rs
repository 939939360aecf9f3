//! Locks on files, which keep a second process out where the file system has locks.
//!
//! Lustre, some NFS, FUSE and CIFS mounts have none. Work goes on there, and one warning says that
//! two writers are not kept apart.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Once;

use rustix::io::Errno;

use crate::base::fs::{AtPath, FileError};

/// Outcome of asking for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockOutcome {
    /// Held until the file is closed.
    Held,
    /// Another process holds it.
    HeldByAnother,
    /// The file system has no locks.
    Unsupported,
}

/// Locks `file`, which is at `path`, for this process alone, or tells that another has it.
///
/// # Errors
/// If the file system has locks and refuses this one.
pub fn try_lock_exclusive(file: &File, path: &Path) -> Result<LockOutcome, FileError> {
    match file.try_lock() {
        Ok(()) => Ok(LockOutcome::Held),
        Err(TryLockError::WouldBlock) => Ok(LockOutcome::HeldByAnother),
        Err(TryLockError::Error(error)) => outcome_of(Err(error), path),
    }
}

/// Locks `file`, which is at `path`, for this process alone; waits for others to let it go.
///
/// # Errors
/// If the file system has locks and refuses this one.
pub fn lock_exclusive(file: &File, path: &Path) -> Result<LockOutcome, FileError> {
    outcome_of(file.lock(), path)
}

/// Locks `file`, which is at `path`, beside others that share it; waits for one that does not.
///
/// # Errors
/// If the file system has locks and refuses this one.
pub fn lock_shared(file: &File, path: &Path) -> Result<LockOutcome, FileError> {
    outcome_of(file.lock_shared(), path)
}

/// True if the file system of `file`, which is at `path`, has locks; warns of nothing.
///
/// # Errors
/// If it has and refuses one.
pub fn has_locks(file: &File, path: &Path) -> Result<bool, FileError> {
    match file.lock_shared() {
        Err(error) if is_unsupported(&error) => Ok(false),
        locked => locked.map(|()| true).at_path(path),
    }
}

/// Reads the outcome of a lock, and warns once in a process of a file system without locks.
fn outcome_of(locked: io::Result<()>, path: &Path) -> Result<LockOutcome, FileError> {
    static WARNED: Once = Once::new();
    match locked {
        Ok(()) => Ok(LockOutcome::Held),
        Err(error) if is_unsupported(&error) => {
            WARNED.call_once(|| {
                tracing::warn!(
                    "{}: this file system has no locks ({error}), so that two writers are not kept \
                     apart; let one process at a time write to a run or a cache here",
                    path.display()
                );
            });
            Ok(LockOutcome::Unsupported)
        }
        Err(error) => Err(error).at_path(path),
    }
}

/// True if a call failed because the file system does not have it, whatever it is asked for: ENOSYS
/// and EOPNOTSUPP (Lustre, FUSE), ENOLCK (NFS without a lock service), EINVAL (CIFS, 9p).
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == ErrorKind::Unsupported
        || [Errno::NOLCK, Errno::INVAL].iter().any(|errno| code == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_told_from_one_that_fails() {
        let path = Path::new("run.lock");
        let outcome = |errno: Errno| outcome_of(Err(errno.into()), path);
        for errno in [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL] {
            assert_eq!(outcome(errno).unwrap(), LockOutcome::Unsupported, "{errno:?}");
        }
        for errno in [Errno::IO, Errno::ACCESS, Errno::NOSPC] {
            assert!(outcome(errno).is_err(), "{errno:?}");
        }
    }

    #[test]
    fn a_second_holder_is_kept_out_until_the_first_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = File::create(&path).unwrap();
        let second = File::create(&path).unwrap();
        assert_eq!(try_lock_exclusive(&first, &path).unwrap(), LockOutcome::Held);
        assert_eq!(try_lock_exclusive(&second, &path).unwrap(), LockOutcome::HeldByAnother);
        drop(first);
        assert_eq!(lock_shared(&second, &path).unwrap(), LockOutcome::Held);
    }
}
