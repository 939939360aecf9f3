//! What the cache can fail with: one case's misfortune, or the machine's.

use crate::base::error::{CaseError, Fault};

/// Either kind of error, kept apart so that a full disk is never counted as a bad case.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CacheError {
    /// This case cannot be cached or read; others can.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The cache itself cannot be used: disk full, folder gone, permissions.
    #[error(transparent)]
    Fault(#[from] Fault),
}
