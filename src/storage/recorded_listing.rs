//! Listing of a dataset's folder in a file: which files there were, in which state, and the texts that describe
//! them, but no image. Where the cases are in a cache already, nothing else of the dataset is needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::base::{CaseError, Reason, fs};
use crate::storage::file_state::{FileState, FolderState};

/// Extension of the file.
pub const LISTING_EXTENSION: &str = "listing";

/// Folder levels that are listed; no layout is deeper.
const MAX_DEPTH: usize = 8;

/// Longest description or datalist that is taken along.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Listings that this process has opened, by the path of their file.
static OPENED: RwLock<Vec<(PathBuf, Arc<RecordedListing>)>> = RwLock::new(Vec::new());

/// Files of a dataset's folder as they were. Paths are from the folder on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedListing {
    folder: PathBuf,
    folders: BTreeMap<String, RecordedFolder>,
    pub(super) files: BTreeMap<String, RecordedFile>,
    /// Texts that describe the data.
    texts: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedFolder {
    path: PathBuf,
    identity: String,
}

/// State of a file, its identity in Base64.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordedFile {
    bytes: u64,
    modified_ns: i64,
    identity: String,
}

impl RecordedListing {
    /// Lists a folder of the file system; no image is opened.
    ///
    /// # Errors
    /// If a folder cannot be listed, or a description cannot be read.
    pub fn of_folder(folder: &Path) -> Result<Self, CaseError> {
        let state = FolderState::on_disk(folder)?;
        let mut listing = Self {
            folder: state.path,
            folders: BTreeMap::new(),
            files: BTreeMap::new(),
            texts: BTreeMap::new(),
        };
        listing.add_folder(folder, "", 0)?;
        Ok(listing)
    }

    fn add_folder(&mut self, folder: &Path, below: &str, depth: usize) -> Result<(), CaseError> {
        let state = FolderState::on_disk(folder)?;
        let identity = BASE64.encode(&state.identity);
        self.folders.insert(below.to_owned(), RecordedFolder { path: state.path, identity });
        for path in fs::list_dir(folder)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let below = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            if path.is_dir() {
                if depth < MAX_DEPTH {
                    self.add_folder(&path, &below, depth + 1)?;
                }
                continue;
            }
            // A link to nothing is no file; whoever looks for cases on the disk is told of it.
            let Ok(FileState { bytes, modified_ns, identity }) = FileState::on_disk(&path) else {
                continue;
            };
            let describes = name.ends_with(".toml") || name.ends_with(".json");
            if depth == 0 && describes && bytes <= MAX_TEXT_BYTES {
                self.texts.insert(below.clone(), fs::read_to_string(&path)?);
            }
            let identity = BASE64.encode(&identity);
            self.files.insert(below, RecordedFile { bytes, modified_ns, identity });
        }
        Ok(())
    }

    /// Reads a listing from the bytes of its file.
    ///
    /// # Errors
    /// If they are none.
    pub fn from_json(bytes: &[u8], path: impl std::fmt::Display) -> Result<Self, CaseError> {
        serde_json::from_slice(bytes).map_err(|error| {
            let problem = format!("is no listing of a dataset ({error})");
            let remedy = "pull it again, or make it again with `gliaflow cache push --data DIR`";
            CaseError::new(Reason::Format, path, problem, remedy)
        })
    }

    /// Writes a listing as the bytes of its file.
    ///
    /// # Panics
    /// Never: its keys are strings.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps of strings serialise to JSON")
    }

    /// Folder that was listed.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn text(&self, below: &str) -> Option<&str> {
        self.texts.get(below).map(String::as_str)
    }

    pub(super) fn file_state(&self, below: &str) -> Option<FileState> {
        let RecordedFile { bytes, modified_ns, identity } = self.files.get(below)?;
        let identity = BASE64.decode(identity).ok()?;
        Some(FileState { bytes: *bytes, modified_ns: *modified_ns, identity })
    }

    pub(super) fn folder_state(&self, below: &str) -> Option<FolderState> {
        let RecordedFolder { path, identity } = self.folders.get(below)?;
        Some(FolderState { path: path.clone(), identity: BASE64.decode(identity).ok()? })
    }
}

/// True if a path is that of a listing's file.
pub(super) fn is_listing_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == LISTING_EXTENSION) && path.is_file()
}

/// Opens the file of a listing, in place of an earlier one under its path.
pub(super) fn open_listing(path: &Path) -> Result<(), CaseError> {
    let listing = RecordedListing::from_json(&fs::read(path)?, path.display())?;
    let mut opened = OPENED.write();
    opened.retain(|(other, _)| other != path);
    opened.push((path.to_owned(), Arc::new(listing)));
    Ok(())
}

/// Finds the opened listing that a path is in, and the path from its root.
pub(super) fn find_opened(path: &Path) -> Option<(Arc<RecordedListing>, String)> {
    let opened = OPENED.read();
    opened.iter().find_map(|(root, listing)| {
        let below = path.strip_prefix(root).ok()?;
        Some((Arc::clone(listing), below.to_str()?.to_owned()))
    })
}
