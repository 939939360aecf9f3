//! Failures of a command, by the kinds that callers tell apart, each with its exit code.

use crate::base::fs::FileError;
use crate::base::{CaseError, ConfigError, Fault, Reason};

/// Failure of a command.
///
/// ```
/// use gliaflow::prelude::*;
///
/// let refused = Loader::builder("nowhere").batch(0).start().err().expect("no batch is that small");
/// assert_eq!(refused.exit_code(), 2); // usage or configuration
/// assert!(refused.to_string().starts_with("batch = 0 is out of range"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The run itself failed: disk, a broken stage, a stall.
    #[error(transparent)]
    Run(#[from] Fault),
    /// The command line or the configuration is invalid.
    #[error("{0}")]
    Usage(String),
    /// More cases are bad than a run allows.
    #[error("{fault}; {advice}")]
    TooManySkipped {
        /// The fault, with the last error.
        fault: Box<Fault>,
        /// Bad cases, and the commands that go on.
        advice: String,
    },
    /// A case or its data is invalid.
    #[error(transparent)]
    Data(#[from] CaseError),
    /// Several cases are invalid; all are listed.
    #[error("{}", list(.0))]
    Cases(Vec<CaseError>),
    /// The device asked for is not there.
    #[error("{0}")]
    Device(String),
    /// Stopped on request, after a checkpoint.
    #[error("stopped on request; {0}")]
    Stopped(String),
    /// Stopped at once.
    #[error("stopped at once, on request; what was published before is whole")]
    Aborted,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

fn list(errors: &[CaseError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl Failure {
    /// The process's exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Run(Fault::TooManySkipped { .. })
            | Self::TooManySkipped { .. }
            | Self::Data(_)
            | Self::Cases(_) => 3,
            Self::Run(_) => 1,
            Self::Usage(_) => 2,
            Self::Device(_) => 4,
            Self::Stopped(_) => 75,
            Self::Aborted => 130,
        }
    }
}

impl Failure {
    /// Makes the failure of a file that was to be written for a case: where the disk refused it, the
    /// case is not to blame.
    pub fn of_output_file(error: CaseError) -> Self {
        let CaseError { reason, subject, problem, remedy } = error;
        match reason {
            Reason::Io | Reason::Missing => {
                Self::Run(Fault::Environment { subject, problem, remedy })
            }
            _ => Self::Data(CaseError { reason, subject, problem, remedy }),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Run(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_bad_cases_are_bad_data_not_a_broken_run() {
        let last = CaseError::new(Reason::Format, "x", "is odd", "mend it");
        let fault = Fault::TooManySkipped { skipped: 4, issued: 10, budget: 3, last };
        assert_eq!(Failure::from(fault).exit_code(), 3);
        let fault = Fault::Stalled { seconds: 60, report: String::new() };
        assert_eq!(Failure::from(fault).exit_code(), 1);
    }
}
