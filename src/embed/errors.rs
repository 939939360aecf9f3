//! Errors, by what they end: a setting is refused, a case is left out, a run ends, a command fails.

pub use crate::base::{CaseError, ConfigError, Fault, Reason};
pub use crate::run::Failure;
