//! Floor 1: the places where files of datasets lie: folders of this machine, or prefixes of object storage
//! (`s3://bucket/prefix`). Both are named by a path. Whoever looks for cases or reads their files asks here
//! what there is; a path of the file system goes straight to it.
//!
//! A prefix is listed once for a search of cases. What is asked about paths below it is answered from that
//! listing, and an object is read only as it was listed: one that changed since is an error of its case. The
//! listing of a folder may also lie in a file ([`RecordedListing`]): then there is nothing to read, and cases come
//! from the cache alone.
//!
//! Caches, runs and configurations lie on a file system and do not come here. [`ObjectFolder`] is the place
//! that `cache push` and `cache pull` copy case files to and from.

#[cfg(feature = "object-store")]
mod client;
#[cfg(not(feature = "object-store"))]
#[path = "no_client.rs"]
mod client;
mod disk;
mod file_state;
mod listing;
mod object_folder;
mod object_url;
mod recorded_listing;
mod remote_file;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{CaseError, Reason, fs};
use crate::storage::listing::{Listing, find_listing};
use crate::storage::object_url::ObjectUrl;
use crate::storage::recorded_listing::{find_opened, is_listing_file, open_listing};

pub use self::file_state::{FileState, FolderState};
pub use self::object_folder::{ObjectFolder, StoredObject};
pub use self::recorded_listing::{LISTING_EXTENSION, RecordedListing};

/// Place that a path names.
enum Place {
    /// File or folder of the file system.
    Disk,
    /// File or folder of a recorded listing, with its path from the root.
    Recorded(Arc<RecordedListing>, String),
    /// Object or prefix at or below a listed prefix, with its path from there.
    Listed(Arc<Listing>, String),
    /// Object or prefix that no listing covers.
    Unlisted(ObjectUrl),
}

impl Place {
    fn of_path(path: &Path) -> Self {
        let Some(url) = ObjectUrl::of_path(path) else {
            return find_opened(path)
                .map_or(Self::Disk, |(listing, below)| Self::Recorded(listing, below));
        };
        match find_listing(&url) {
            Some((listing, below)) => Self::Listed(listing, below),
            None => Self::Unlisted(url),
        }
    }
}

/// True if a path names an object or a prefix of object storage.
pub fn is_remote(path: &Path) -> bool {
    ObjectUrl::of_path(path).is_some()
}

/// Names of the folders that a prefix of object storage, or the folder of a recorded listing, leads through;
/// `None` for a path of the file system.
pub fn named_components(path: &Path) -> Option<Vec<String>> {
    if let Some(url) = ObjectUrl::of_path(path) {
        return Some(url.components().map(str::to_owned).collect());
    }
    let (listing, below) = find_opened(path)?;
    let whole = listing.folder().join(below);
    let names = whole.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    Some(names.collect())
}

/// Lists a prefix of object storage as it is now, or reads the file of a recorded listing, for the questions to
/// come. Nothing is done for a folder of the file system.
///
/// # Errors
/// If it cannot be listed, or there is no object under it.
pub fn list_anew(folder: &Path) -> Result<(), CaseError> {
    match ObjectUrl::of_path(folder) {
        Some(url) => Listing::take(url).map(drop),
        None if is_listing_file(folder) => open_listing(folder),
        None => Ok(()),
    }
}

/// Does what [`list_anew`] does, unless this process has done it for the folder before.
///
/// # Errors
/// As [`list_anew`].
pub fn list_once(folder: &Path) -> Result<(), CaseError> {
    match Place::of_path(folder) {
        Place::Unlisted(_) | Place::Disk => list_anew(folder),
        Place::Recorded(..) | Place::Listed(..) => Ok(()),
    }
}

/// True if there is a file. An object about which the server gives no answer counts as none.
pub fn is_file(path: &Path) -> bool {
    match Place::of_path(path) {
        Place::Disk => path.is_file(),
        Place::Recorded(listing, below) => listing.files.contains_key(&below),
        Place::Listed(listing, below) => listing.file(&below).is_some(),
        Place::Unlisted(url) => client::find_object(&url).is_ok_and(|found| found.is_some()),
    }
}

/// True if there is a folder, an object under the prefix, or the file of a recorded listing.
pub fn is_folder(path: &Path) -> bool {
    match Place::of_path(path) {
        Place::Disk => path.is_dir() || is_listing_file(path),
        Place::Recorded(listing, below) => tree::has_folder(&listing.files, &below),
        Place::Listed(listing, below) => tree::has_folder(listing.files(), &below),
        Place::Unlisted(url) => Listing::take(url).is_ok(),
    }
}

/// Lists the paths in a folder, sorted.
///
/// # Errors
/// If it cannot be listed.
pub fn list_folder(folder: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let names = match Place::of_path(folder) {
        Place::Disk => {
            let mut paths = fs::list_dir(folder)?;
            paths.sort();
            return Ok(paths);
        }
        Place::Recorded(listing, below) => tree::names_in(&listing.files, &below),
        Place::Listed(listing, below) => tree::names_in(listing.files(), &below),
        Place::Unlisted(url) => tree::names_in(Listing::take(url)?.files(), ""),
    };
    match names.is_empty() {
        true => Err(missing_error(folder)),
        false => Ok(names.into_iter().map(|name| folder.join(name)).collect()),
    }
}

/// Length of a file in bytes.
///
/// # Errors
/// If it is not there, or the file system or the server refuses.
pub fn file_length(path: &Path) -> Result<u64, CaseError> {
    match Place::of_path(path) {
        Place::Disk => disk::file_length(path),
        Place::Recorded(..) => Ok(stat_file(path)?.bytes),
        place => Ok(place.remote_file(path)?.1.bytes),
    }
}

/// Reads the first `limit` bytes of a file, or all of it if it is shorter, in place of the content of `into`.
///
/// # Errors
/// If it cannot be read, or an object is not what was listed.
pub fn read_bytes(path: &Path, limit: u64, into: &mut Vec<u8>) -> Result<(), CaseError> {
    match Place::of_path(path) {
        Place::Disk => disk::read_bytes(path, limit, into),
        Place::Recorded(listing, below) => Err(not_here_error(path, &listing, &below)),
        place => {
            let (url, file) = place.remote_file(path)?;
            into.clear();
            let wanted = file.bytes.min(limit);
            into.try_reserve(usize::try_from(wanted).unwrap_or(usize::MAX)).map_err(|_| {
                let problem = format!("there is no memory for its {wanted} bytes");
                CaseError::new(Reason::Io, path.display(), problem, crate::base::FREE_MEMORY)
            })?;
            client::read_object(&url, &file, wanted, &mut |piece| {
                into.extend_from_slice(piece);
                Ok(())
            })
        }
    }
}

/// Reads a text file.
///
/// # Errors
/// As [`read_bytes`], and if it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, CaseError> {
    match Place::of_path(path) {
        Place::Disk => return Ok(fs::read_to_string(path)?),
        Place::Recorded(listing, below) => {
            let text = listing.text(&below).map(str::to_owned);
            return text.ok_or_else(|| not_here_error(path, &listing, &below));
        }
        Place::Listed(..) | Place::Unlisted(_) => {}
    }
    let mut bytes = Vec::new();
    read_bytes(path, u64::MAX, &mut bytes)?;
    String::from_utf8(bytes).map_err(|_| {
        CaseError::new(Reason::Format, path.display(), "is not UTF-8", "write it as UTF-8")
    })
}

/// State of a file, by which it is recognised as unchanged.
///
/// # Errors
/// If it is not there, or the file system or the server refuses.
pub fn stat_file(path: &Path) -> Result<FileState, CaseError> {
    match Place::of_path(path) {
        Place::Disk => FileState::on_disk(path),
        Place::Recorded(listing, below) => {
            listing.file_state(&below).ok_or_else(|| missing_error(path))
        }
        place => Ok(FileState::of_object(&place.remote_file(path)?.1)),
    }
}

/// State of a folder, by which it is told from another one under its path.
///
/// # Errors
/// If it is not there.
pub fn stat_folder(folder: &Path) -> Result<FolderState, CaseError> {
    match Place::of_path(folder) {
        Place::Disk => FolderState::on_disk(folder),
        Place::Recorded(listing, below) => {
            listing.folder_state(&below).ok_or_else(|| missing_error(folder))
        }
        Place::Listed(listing, below) => Ok(FolderState::of_prefix(&listing.url_of(&below))),
        Place::Unlisted(url) => Ok(FolderState::of_prefix(&url)),
    }
}

impl Place {
    /// Finds the object that a path of object storage names.
    fn remote_file(self, path: &Path) -> Result<(ObjectUrl, remote_file::RemoteFile), CaseError> {
        let (url, found) = match self {
            Self::Disk | Self::Recorded(..) => return Err(missing_error(path)),
            Self::Listed(listing, below) => (listing.url_of(&below), listing.file(&below).cloned()),
            Self::Unlisted(url) => {
                let found = client::find_object(&url)?;
                (url, found)
            }
        };
        found.map(|file| (url, file)).ok_or_else(|| missing_error(path))
    }
}

fn missing_error(path: &Path) -> CaseError {
    let remedy = "check the bucket and the path";
    CaseError::new(Reason::Missing, path.display(), "is not there", remedy)
}

/// Error of a file whose listing is here, and whose bytes are not.
fn not_here_error(path: &Path, listing: &RecordedListing, below: &str) -> CaseError {
    let folder = listing.folder().join(below);
    let problem = format!("is only listed here, and was {} where it was listed", folder.display());
    let remedy =
        "bring its case into the cache with `gliaflow cache pull`, or name the folder itself";
    CaseError::new(Reason::Missing, path.display(), problem, remedy)
}
