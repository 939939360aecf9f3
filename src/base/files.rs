//! Files that appear whole or not at all.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::base::Fault;
use crate::base::fs::{self, AtPath, FileError};
use crate::base::lock::is_unsupported;

/// End of the name of a draft, which begins with a point.
pub const DRAFT_END: &str = ".draft";

/// Replaces a file: `write` gets a draft beside it, which is renamed when it is complete. Readers
/// see the old file or the new one; a failure leaves the old one and no draft. The draft is not
/// synced: for files that must survive a power failure there is [`write_atomically`].
///
/// # Errors
/// Those of `write`, and of the disk.
pub fn replace_file_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    // Unique among threads and processes: several may write the same file.
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !folder_of(path).is_dir() {
        let missing = "its folder is not there (`mkdir -p` makes it)";
        let cause = io::Error::new(io::ErrorKind::NotFound, missing);
        return Err(FileError { path: path.to_owned(), cause });
    }
    let draft = path.with_file_name(format!(".{name}.{}-{number}{DRAFT_END}", process::id()));
    let written = fs::create(&draft)
        .and_then(|mut file| write(&mut file).at_path(path))
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // The cause is worth more than a second error about the draft.
        let _ = fs::remove_file(&draft);
    }
    written.map_err(|error| FileError { path: path.to_owned(), ..error })
}

/// Replaces a file by `bytes`, which are on the disk when this returns.
///
/// # Errors
/// If the disk does not take it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    replace_file_with(path, |file| file.write_all(bytes).and_then(|()| file.sync_all()))?;
    Ok(sync_folder(folder_of(path))?)
}

/// Replaces a file by indented JSON and a line's end, as [`write_atomically`] does.
///
/// # Errors
/// If the disk does not take it.
///
/// # Panics
/// If the value cannot be written as JSON (a map with keys that are not strings).
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Fault> {
    let text = serde_json::to_string_pretty(value).expect("records serialise to JSON");
    write_atomically(path, (text + "\n").as_bytes())
}

/// Renames a file or folder whose contents are synced, and syncs the folder that it is in.
///
/// # Errors
/// If the disk does not take it.
pub fn rename_synced(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).and_then(|()| sync_folder(folder_of(to)))
}

/// Flushes a file to the disk.
///
/// # Errors
/// If the disk does not take it.
pub fn sync_to_disk(path: &Path) -> Result<(), FileError> {
    fs::open(path)?.sync_all().at_path(path)
}

/// Flushes a folder's entries to the disk. Some CIFS, FUSE and 9p mounts cannot: one warning in a
/// process says so, and work goes on.
///
/// # Errors
/// If the disk does not take them.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    static WARNED: Once = Once::new();
    if !can_sync_folder(folder)? {
        WARNED.call_once(|| {
            tracing::warn!(
                "{}: this file system cannot sync a folder; after a power failure the last files \
                 written here may be missing",
                folder.display()
            );
        });
    }
    Ok(())
}

/// Flushes a folder's entries to the disk; false where the file system does not have that.
///
/// # Errors
/// If the disk does not take them.
pub fn can_sync_folder(folder: &Path) -> Result<bool, FileError> {
    match fs::open(folder)?.sync_all() {
        Err(error) if is_unsupported(&error) => Ok(false),
        synced => synced.map(|()| true).at_path(folder),
    }
}

/// Finds the end of the last whole line in the first `length` bytes of a file: a killed process may
/// have left half of one behind it.
///
/// # Errors
/// If the file cannot be read.
pub fn end_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    /// Bytes that are looked at in one piece.
    const PIECE: u64 = 4096;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        let mut piece = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut piece)?;
        if let Some(place) = piece.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Folder of a file; for a bare name the working folder.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
    fn a_folder_that_is_missing_is_named_and_how_to_make_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no/such/a.txt");
        let error = write_atomically(&path, b"text").unwrap_err().to_string();
        assert!(error.contains("no/such/a.txt: its folder is not there (`mkdir -p`"), "{error}");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let read = || fs::if_present(fs::read_to_string(&path)).unwrap();
        assert_eq!(read(), None);
        write_atomically(&path, b"old").unwrap();
        let failed = replace_file_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().cause.to_string(), "disk full");
        assert_eq!(read().unwrap(), "old");
        assert_eq!(fs::list_dir(folder.path()).unwrap().len(), 1);
    }
}
