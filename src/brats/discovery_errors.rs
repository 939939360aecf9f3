//! Errors of the discovery of cases that need more than a sentence to make.

use std::path::{Path, PathBuf};

use crate::base::{CaseError, Reason};
use crate::volume::CaseId;

/// Files that are there compressed and not.
pub(super) struct DoubledFiles {
    /// The first of those that are not taken.
    pub(super) first: PathBuf,
    /// Number of those.
    pub(super) count: usize,
}

impl DoubledFiles {
    pub(super) fn into_error(self) -> CaseError {
        let more = and_more_text(self.count - 1);
        CaseError::new(
            Reason::Format,
            self.first.display(),
            format!("is there compressed as well{more}, and the compressed file is taken"),
            "delete whichever of the two is not wanted",
        )
    }
}

/// Error of two cases of one name.
pub(super) fn duplicate_error(case: &CaseId, taken: &Path, other: &Path) -> CaseError {
    CaseError::new(
        Reason::Format,
        format!("case {case}"),
        format!("is there twice: {} is taken, {} is not", taken.display(), other.display()),
        "move or rename one of the two folders",
    )
}

/// Words about further ones, if there are any.
pub(super) fn and_more_text(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} more)") }
}
