//! Errors of the cache: of one case, or of the machine.

use crate::base::{CaseError, Fault};

/// Error of a case or of the cache, kept apart so that a full disk never counts as a bad case.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CacheError {
    /// This case cannot be cached or read; others can.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The cache itself cannot be used: disk full, folder gone, permissions.
    #[error(transparent)]
    Fault(#[from] Fault),
}
