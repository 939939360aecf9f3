//! Defects of cached files, and their conversion to errors.

use std::path::Path;

use zerocopy::little_endian::U32;

use crate::base::error::{CaseError, Reason};

/// Defect in a file's bytes.
#[derive(Debug)]
pub(super) struct FileFlaw {
    reason: Reason,
    field: &'static str,
    problem: String,
}

impl FileFlaw {
    pub(super) fn bad_format(field: &'static str, problem: impl Into<String>) -> Self {
        Self { reason: Reason::Format, field, problem: problem.into() }
    }

    pub(super) fn checksum_mismatch(field: &'static str, stored: u32, computed: u32) -> Self {
        let problem = format!("crc32c is {computed:08x}, {stored:08x} was stored");
        Self { reason: Reason::Checksum, field, problem }
    }

    /// Converts to the error of a case file.
    pub(super) fn into_case_error(self, path: &Path) -> CaseError {
        let remedy =
            "`gliaflow cache verify` lists such files, `gliaflow ingest` builds them again";
        self.into_error_with_remedy(path, remedy)
    }

    /// Converts to an error with this remedy.
    pub(super) fn into_error_with_remedy(self, path: &Path, remedy: &str) -> CaseError {
        let subject = format!("{}: {}", path.display(), self.field);
        CaseError::new(self.reason, subject, self.problem, remedy)
    }
}

/// Checks the version and the checksum of a first page.
pub(super) fn check_first_page(
    version: U32,
    read: u32,
    stored: U32,
    computed: u32,
) -> Result<(), FileFlaw> {
    match (version.get() == read, stored.get() == computed) {
        (false, _) => {
            Err(FileFlaw::bad_format("version", format!("{version}, this gliaflow reads {read}")))
        }
        (true, false) => Err(FileFlaw::checksum_mismatch("header", stored.get(), computed)),
        (true, true) => Ok(()),
    }
}
