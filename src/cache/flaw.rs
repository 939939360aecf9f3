//! Defects of cached files, and their conversion to errors.

use std::path::Path;

use zerocopy::little_endian::U32;

use crate::base::error::{CaseError, Reason};

/// Defect in a file's bytes.
#[derive(Debug)]
pub(super) struct Flaw {
    reason: Reason,
    field: &'static str,
    problem: String,
}

impl Flaw {
    pub(super) fn format(field: &'static str, problem: impl Into<String>) -> Self {
        Self { reason: Reason::Format, field, problem: problem.into() }
    }

    pub(super) fn checksum(field: &'static str, stored: u32, computed: u32) -> Self {
        let problem = format!("crc32c is {computed:08x}, {stored:08x} was stored");
        Self { reason: Reason::Checksum, field, problem }
    }

    /// Converts to the error of a case file.
    pub(super) fn at(self, path: &Path) -> CaseError {
        let remedy =
            "`gliaflow cache verify` lists such files, `gliaflow ingest` builds them again";
        self.at_with(path, remedy)
    }

    /// Converts to an error with this remedy.
    pub(super) fn at_with(self, path: &Path, remedy: &str) -> CaseError {
        let subject = format!("{}: {}", path.display(), self.field);
        CaseError::new(self.reason, subject, self.problem, remedy)
    }
}

/// Checks the version and the checksum of a first page.
pub(super) fn intact(version: U32, read: u32, stored: U32, computed: u32) -> Result<(), Flaw> {
    match (version.get() == read, stored.get() == computed) {
        (false, _) => {
            Err(Flaw::format("version", format!("{version}, this gliaflow reads {read}")))
        }
        (true, false) => Err(Flaw::checksum("header", stored.get(), computed)),
        (true, true) => Ok(()),
    }
}
