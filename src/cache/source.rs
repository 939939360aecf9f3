//! State of a case's source files, to tell without decoding if a cached case is current.
//!
//! Length and modification time are the cheap test, and err towards rebuilding: a copied dataset
//! has new times. The fingerprint of the compressed bytes is the exact one.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::base::fs::AtPath;
use crate::base::{CaseError, Fingerprint};

/// Source file as it was when the case was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// File name without the folder, so that a dataset may move.
    pub name: String,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Modification time in nanoseconds since 1970; 0 where the file system keeps none.
    pub modified_ns: i64,
}

impl SourceFile {
    /// Reads a file's name, length and modification time.
    ///
    /// # Errors
    /// When the file is missing or unreadable.
    pub fn read_metadata(path: &Path) -> Result<Self, CaseError> {
        let metadata = path.metadata().at_path(path)?;
        let since_epoch =
            metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: metadata.len(),
            modified_ns: since_epoch.map_or(0, |age| i64::try_from(age.as_nanos()).unwrap_or(0)),
        })
    }
}

/// Source that a cached case must have been built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedSource<'a> {
    /// Any source.
    Anything,
    /// Files with this fingerprint of their compressed bytes.
    Fingerprint(Fingerprint),
    /// Files unchanged in number, name, length and modification time.
    Files(&'a [SourceFile]),
}
