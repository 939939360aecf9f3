//! Files of the file system, read as those of datasets are.

use std::io::Read;
use std::path::Path;

use crate::base::fs::{self, AtPath};
use crate::base::{CaseError, Reason};

pub(super) fn file_length(path: &Path) -> Result<u64, CaseError> {
    Ok(path.metadata().at_path(path)?.len())
}

pub(super) fn read_bytes(path: &Path, limit: u64, into: &mut Vec<u8>) -> Result<(), CaseError> {
    let kind = path.metadata().at_path(path)?;
    if !kind.is_file() {
        return Err(CaseError::new(
            Reason::Io,
            path.display(),
            if kind.is_dir() { "is a folder" } else { "is no regular file" },
            "name a NIfTI file",
        ));
    }
    into.clear();
    // Without a limit nothing must hide the file from the reader: it sizes the buffer by it.
    let mut file = fs::open(path)?;
    let read = match limit {
        u64::MAX => file.read_to_end(into),
        _ => file.take(limit).read_to_end(into),
    };
    read.at_path(path)?;
    Ok(())
}
