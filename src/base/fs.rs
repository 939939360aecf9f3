//! The file system, with errors that carry the path: the one door to `std::fs`, which clippy.toml
//! keeps shut for the rest of the crate.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::base::{CaseError, Fault};

/// Errors of a read that the next one may not meet: a network mount answers so while its server is
/// away for a moment.
const PASSING: [Errno; 5] = [Errno::IO, Errno::NOSPC, Errno::STALE, Errno::TIMEDOUT, Errno::AGAIN];

/// Pauses ahead of the second and the third attempt at a read.
const PAUSES: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(200)];

/// Error of a file or folder, with its path. In a case it becomes a [`CaseError`], elsewhere a
/// [`Fault`].
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct FileError {
    /// File or folder concerned.
    pub path: PathBuf,
    /// Cause, without the path.
    #[source]
    pub cause: io::Error,
}

impl FileError {
    /// Returns true if the file or folder is not there.
    pub fn is_missing(&self) -> bool {
        self.cause.kind() == io::ErrorKind::NotFound
    }
}

impl From<FileError> for Fault {
    fn from(FileError { path, cause }: FileError) -> Self {
        Self::from_io(&path, &cause)
    }
}

impl From<FileError> for CaseError {
    fn from(FileError { path, cause }: FileError) -> Self {
        Self::from_io(&path, &cause)
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        error.cause
    }
}

/// Names the file or folder that an error is about.
pub trait AtPath<T> {
    /// Adds the path to the error.
    ///
    /// # Errors
    /// Those of `self`.
    fn at_path(self, path: impl AsRef<Path>) -> Result<T, FileError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at_path(self, path: impl AsRef<Path>) -> Result<T, FileError> {
        self.map_err(|cause| FileError { path: path.as_ref().to_owned(), cause })
    }
}

/// Turns the error of a file that is not there into `None`.
///
/// # Errors
/// If the file is there and the access failed.
pub fn if_present<T>(accessed: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match accessed {
        Err(error) if error.is_missing() => Ok(None),
        other => other.map(Some),
    }
}

/// Reads again what failed with an error that may pass, twice at most: a case must not be left out of
/// a run, nor a run end, for a moment of the file system's.
///
/// # Errors
/// That of the last attempt.
pub fn try_again<T>(read: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let may_pass = |error: &io::Error| {
        let code = error.raw_os_error();
        PASSING.iter().any(|passing| code == Some(passing.raw_os_error()))
    };
    for pause in PAUSES {
        match read() {
            Err(error) if may_pass(&error) => thread::sleep(pause),
            other => return other,
        }
    }
    read()
}

/// Wraps functions of one path, and what else they take.
macro_rules! door {
    ($($doc:literal $name:ident($($other:ident: $kind:ty)?) -> $out:ty = $inner:expr;)*) => { $(
        #[doc = $doc]
        ///
        /// # Errors
        /// If the file system refuses.
        pub fn $name(path: impl AsRef<Path> $(, $other: $kind)?) -> Result<$out, FileError> {
            $inner(path.as_ref() $(, $other)?).at_path(path)
        }
    )* };
}

door! {
    "Reads a file." read() -> Vec<u8> = |path| try_again(|| fs::read(path));
    "Reads a text file." read_to_string() -> String = |path| try_again(|| fs::read_to_string(path));
    "Writes a file, over an earlier one." write(bytes: impl AsRef<[u8]>) -> () = fs::write;
    "Makes a folder, which must not be there." create_dir() -> () = fs::create_dir;
    "Makes a folder and those above it." create_dir_all() -> () = fs::create_dir_all;
    "Removes a file." remove_file() -> () = fs::remove_file;
    "Removes a folder and everything in it." remove_dir_all() -> () = fs::remove_dir_all;
    "Opens a file for reading." open() -> File = |path| try_again(|| File::open(path));
    "Opens a file for writing, emptied if it is there." create() -> File = File::create;
    "Opens a file for writing, which must not be there." create_new() -> File = File::create_new;
    "Opens a file as `options` say." open_with(options: &OpenOptions) -> File =
        |path, options: &OpenOptions| options.open(path);
    "Copies a file, over an earlier one at `to`." copy(to: &Path) -> u64 =
        |path, to: &Path| fs::copy(path, to);
    "Lists the paths in a folder, in no order." list_dir() -> Vec<PathBuf> = |path| {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()
    };
}

/// Renames a file or folder, over an earlier file.
///
/// # Errors
/// If the file system refuses; the path is the new one.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), FileError> {
    fs::rename(from, &to).at_path(to)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_read_that_fails_for_a_moment_is_tried_again_and_one_that_is_refused_is_not() {
        for (code, failures, attempts) in
            [(Errno::IO, 1, 2), (Errno::STALE, 2, 3), (Errno::IO, 9, 3), (Errno::ACCESS, 9, 1)]
        {
            let tried = Cell::new(0);
            let read = try_again(|| {
                tried.set(tried.get() + 1);
                match tried.get() <= failures {
                    true => Err(io::Error::from_raw_os_error(code.raw_os_error())),
                    false => Ok(()),
                }
            });
            assert_eq!((tried.get(), read.is_ok()), (attempts, failures < attempts), "{code:?}");
        }
    }
}
