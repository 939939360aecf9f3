//! What can be wrong with a cached file's bytes, and how a caller is told.

use std::path::Path;

use zerocopy::little_endian::U32;

use crate::base::error::{CaseError, Reason};

/// What is wrong with a file's bytes.
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

    /// The error that a caller sees of a case file.
    pub(super) fn at(self, path: &Path) -> CaseError {
        let remedy =
            "`gliaflow cache verify` lists such files, `gliaflow ingest` builds them again";
        self.at_with(path, remedy)
    }

    /// The error that a caller sees, with its way out.
    pub(super) fn at_with(self, path: &Path, remedy: &str) -> CaseError {
        let subject = format!("{}: {}", path.display(), self.field);
        CaseError::new(self.reason, subject, self.problem, remedy)
    }
}

/// Whether a first page is of the version that is read here, and as it was written.
pub(super) fn intact(version: U32, read: u32, stored: U32, computed: u32) -> Result<(), Flaw> {
    match (version.get() == read, stored.get() == computed) {
        (false, _) => {
            Err(Flaw::format("version", format!("{version}, this gliaflow reads {read}")))
        }
        (true, false) => Err(Flaw::checksum("header", stored.get(), computed)),
        (true, true) => Ok(()),
    }
}
