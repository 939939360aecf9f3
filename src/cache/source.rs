//! The source files of a case as last seen: whether a cached case is current, without decoding it.
//!
//! Length and time of modification are the cheap answer, and err towards rebuilding: a copied
//! dataset has new times. The fingerprint of the compressed bytes is the truth.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::base::error::CaseError;
use crate::base::fingerprint::Fingerprint;

/// One source file as it was when the case was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its name without the folder, so that a dataset may move.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its time of modification in nanoseconds since 1970; 0 where the file system keeps none.
    pub modified_ns: i64,
}

impl SourceFile {
    /// Looks at a file without reading it.
    ///
    /// # Errors
    /// When the file is missing or unreadable.
    pub fn look(path: &Path) -> Result<Self, CaseError> {
        let metadata = path.metadata().map_err(|error| CaseError::io(path, &error))?;
        let since_epoch =
            metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: metadata.len(),
            modified_ns: since_epoch.map_or(0, |age| i64::try_from(age.as_nanos()).unwrap_or(0)),
        })
    }
}

/// What a cached case must have been built from to be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// Whatever is there.
    Anything,
    /// Files with this fingerprint of their compressed bytes.
    Fingerprint(Fingerprint),
    /// These files, unchanged in number, name, length and time of modification.
    Files(&'a [SourceFile]),
}
