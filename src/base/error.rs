//! Two kinds of error: a [`CaseError`] concerns one item and travels with it; a [`Fault`] ends the
//! run. No stage may hide either: the first is counted, the second is the exit code.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Reason for skipping an item: the label of `loader_samples_total{reason}`, so a closed set.
#[derive(strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A file could not be opened or read.
    Io,
    /// A file that the case needs is not there.
    Missing,
    /// A header field, a compressed stream or a record that cannot be what it claims to be.
    Format,
    /// A stored checksum disagrees with the bytes.
    Checksum,
    /// The files of one case do not describe the same grid.
    Geometry,
    /// A label value that the layout does not define.
    Label,
    /// A stage panicked on the item.
    Panicked,
}

impl Reason {
    /// Every reason, in the order of the catalogue.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Metric label.
    pub fn label(self) -> &'static str {
        self.into()
    }
}

/// Beginning of the subject of an error about a case.
pub const OF_CASE: &str = "case ";

/// Error of one case or file: its subject, the problem, and the remedy.
///
/// The text is `subject: problem; remedy`, lower case, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{subject}: {problem}; {remedy}")]
pub struct CaseError {
    /// Reason under which the skip is counted.
    pub reason: Reason,
    /// File or case, and the field where there is one.
    pub subject: String,
    /// Problem, with the offending value.
    pub problem: String,
    /// Action for the user.
    pub remedy: String,
}

impl CaseError {
    /// Makes an error of the given reason about `subject`.
    pub fn new(
        reason: Reason,
        subject: impl fmt::Display,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            reason,
            subject: subject.to_string(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// Makes the error of a file that is missing or could not be read.
    pub fn from_io(path: &Path, error: &std::io::Error) -> Self {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        Self::new(
            if missing { Reason::Missing } else { Reason::Io },
            path.display(),
            error.to_string().to_lowercase(),
            if missing { "check the path" } else { "check the disk and the permissions" },
        )
    }

    /// True if the error is about a case, and not about a file or folder that is none.
    pub fn names_a_case(&self) -> bool {
        self.subject.starts_with(OF_CASE)
    }

    /// Puts the case's name in front of the subject.
    #[must_use]
    pub fn of_case(mut self, case: &impl fmt::Display) -> Self {
        self.subject = format!("{OF_CASE}{case}: {}", self.subject);
        self
    }
}

/// Reason for ending a run before its work is done. The first is the cause.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// More items were skipped than the run allows.
    #[error("{skipped} of {issued} items were skipped, the budget is {budget}; the last: {last}")]
    TooManySkipped {
        /// Items skipped so far.
        skipped: u64,
        /// Items issued so far.
        issued: u64,
        /// Items that may be skipped.
        budget: u64,
        /// The last error, in full.
        last: CaseError,
    },
    /// An item entered a stage and never came out.
    #[error("ticket {ordinal} was lost in stage {stage}; this is a bug, please report it")]
    Lost {
        /// Position of the item in the source's order.
        ordinal: u64,
        /// The stage that held it last.
        stage: &'static str,
    },
    /// A stage panics on whatever it is given.
    #[error("stage {stage} panicked {times} times in a row, the last: {message}; see the log")]
    StageBroken {
        /// Stage name.
        stage: &'static str,
        /// Consecutive panics.
        times: u32,
        /// The last panic's message.
        message: String,
    },
    /// No progress although there was work to do.
    #[error("nothing moved for {seconds} s:\n{report}")]
    Stalled {
        /// Time without progress.
        seconds: u64,
        /// Report of every worker: stage, ticket, item, age.
        report: String,
    },
    /// Failure of the machine: disk full, directory gone.
    #[error("{subject}: {problem}; {remedy}")]
    Environment {
        /// Path or device.
        subject: String,
        /// Problem found.
        problem: String,
        /// Action for the user.
        remedy: String,
    },
}

impl Fault {
    /// Makes the fault of a file or folder that the run itself needs (not a case's).
    pub fn from_io(path: &Path, error: &std::io::Error) -> Self {
        Self::Environment {
            subject: path.display().to_string(),
            problem: error.to_string().to_lowercase(),
            remedy: match error.kind() {
                std::io::ErrorKind::NotFound => "check the path",
                _ => "check free space and permissions",
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_text_names_the_subject_the_problem_and_the_way_out() {
        let error = CaseError::new(Reason::Format, "a.nii.gz: dim[1]", "is -3", "convert it again")
            .of_case(&"BraTS20_001");
        assert_eq!(
            error.to_string(),
            "case BraTS20_001: a.nii.gz: dim[1]: is -3; convert it again"
        );
    }

    #[test]
    fn a_missing_file_is_told_from_an_unreadable_one() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert_eq!(CaseError::from_io(Path::new("x"), &missing).reason, Reason::Missing);
        assert_eq!(CaseError::from_io(Path::new("x"), &denied).reason, Reason::Io);
    }
}
