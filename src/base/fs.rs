//! The file system, with errors that carry the path: the one door to `std::fs`, which clippy.toml
//! keeps shut for the rest of the crate.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::base::{CaseError, Fault};

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
    "Reads a file." read() -> Vec<u8> = fs::read;
    "Reads a text file." read_to_string() -> String = fs::read_to_string;
    "Writes a file, over an earlier one." write(bytes: impl AsRef<[u8]>) -> () = fs::write;
    "Makes a folder, which must not be there." create_dir() -> () = fs::create_dir;
    "Makes a folder and those above it." create_dir_all() -> () = fs::create_dir_all;
    "Removes a file." remove_file() -> () = fs::remove_file;
    "Removes a folder and everything in it." remove_dir_all() -> () = fs::remove_dir_all;
    "Opens a file for reading." open() -> File = File::open;
    "Opens a file for writing, emptied if it is there." create() -> File = File::create;
    "Opens a file for writing, which must not be there." create_new() -> File = File::create_new;
    "Opens a file as `options` say." open_with(options: &OpenOptions) -> File =
        |path, options: &OpenOptions| options.open(path);
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
