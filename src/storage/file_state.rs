//! State of files and folders: what a file must still have for its case file to be current.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::base::CaseError;
use crate::base::fs::AtPath;
use crate::storage::object_url::ObjectUrl;
use crate::storage::remote_file::RemoteFile;

/// State of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// Length in bytes.
    pub bytes: u64,
    /// Time of modification in nanoseconds since 1970; 0 where none is kept.
    pub modified_ns: i64,
    /// Bytes that differ once the file has changed: of a file on a disk its length, number in the file system
    /// and times, of an object its length, time, ETag and version.
    pub identity: Vec<u8>,
}

impl FileState {
    /// Reads the state of a file on a disk.
    pub(super) fn on_disk(path: &Path) -> Result<Self, CaseError> {
        let metadata = path.metadata().at_path(path)?;
        let since_epoch =
            metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified_ns = since_epoch.map_or(0, |age| i64::try_from(age.as_nanos()).unwrap_or(0));
        let bytes = metadata.len();
        let changed = [metadata.ctime(), metadata.ctime_nsec(), modified_ns];
        let numbers = [bytes, metadata.ino()].into_iter();
        let numbers = numbers.chain(changed.map(i64::cast_unsigned));
        let identity = numbers.flat_map(u64::to_le_bytes).collect();
        Ok(Self { bytes, modified_ns, identity })
    }

    /// State of an object.
    pub(super) fn of_object(file: &RemoteFile) -> Self {
        let RemoteFile { bytes, modified_ns, tag, version, .. } = file;
        let mut identity = [*bytes, modified_ns.cast_unsigned()].map(u64::to_le_bytes).concat();
        for text in [tag, version] {
            let text = text.as_deref().unwrap_or_default();
            identity.extend((text.len() as u64).to_le_bytes());
            identity.extend(text.as_bytes());
        }
        Self { bytes: *bytes, modified_ns: *modified_ns, identity }
    }
}

/// State of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderState {
    /// Path, resolved; of a prefix its URL.
    pub path: PathBuf,
    /// Bytes that tell it from others: length and bytes of the path, and the number in the file system of a
    /// folder on a disk, because two disks may be mounted at one path in turn.
    pub identity: Vec<u8>,
}

impl FolderState {
    /// Reads the state of a folder on a disk.
    pub(super) fn on_disk(folder: &Path) -> Result<Self, CaseError> {
        let path = folder.canonicalize().at_path(folder)?;
        let number = path.metadata().at_path(&path)?.ino();
        let mut identity = text_bytes(path.as_os_str().as_bytes());
        identity.extend(number.to_le_bytes());
        Ok(Self { path, identity })
    }

    /// State of a prefix: it is where its URL says, on whatever machine.
    pub(super) fn of_prefix(url: &ObjectUrl) -> Self {
        let text = url.to_string();
        Self { identity: text_bytes(text.as_bytes()), path: PathBuf::from(text) }
    }
}

fn text_bytes(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}
