//! Stage `publish`: writes a case file's contents to the cache, atomically.

use std::sync::Arc;

use crate::actor::{Stage, StopLatch};
use crate::base::{CaseError, Reason};
use crate::buffers::CaseBuffers;
use crate::cache::{CacheError, CaseContents, CaseStore};
use crate::volume::{CaseId, Dims};

/// Case that is now in the cache.
#[derive(Debug, Clone)]
pub struct PublishedCase {
    /// Identifier of the case.
    pub id: CaseId,
    /// Extent of the brain box.
    pub brain: Dims,
    /// Size of the case file.
    pub bytes: u64,
}

/// Stage that writes case files into a store.
#[derive(Clone)]
pub struct Publish {
    store: Arc<CaseStore>,
    case_buffers: CaseBuffers,
    stop: StopLatch,
}

impl Publish {
    /// Stage over `store`; contents return to `case_buffers`, and a fault of the store itself aborts the
    /// run through `stop`.
    pub const fn new(store: Arc<CaseStore>, case_buffers: CaseBuffers, stop: StopLatch) -> Self {
        Self { store, case_buffers, stop }
    }
}

impl Stage for Publish {
    const NAME: &'static str = "publish";
    type In = CaseContents;
    type Out = PublishedCase;

    fn process(&mut self, contents: CaseContents) -> Result<PublishedCase, CaseError> {
        warn_of_findings(&contents);
        let published = self.store.publish(&contents);
        let report = published.map_err(|error| as_case_error(error, &contents.id, &self.stop))?;
        let id = contents.id.clone();
        let published = PublishedCase { id, brain: contents.brain.dims, bytes: report.bytes };
        contents.give_back(&self.case_buffers);
        Ok(published)
    }
}

/// Logs what the user is to be told about a case's images.
pub(super) fn warn_of_findings(contents: &CaseContents) {
    for finding in &contents.findings {
        tracing::warn!("case {}: {finding}", contents.id);
    }
}

/// Converts a cache error to the case's; a fault that is not about the case (a full disk) aborts
/// the run.
pub(super) fn as_case_error(error: CacheError, id: &CaseId, stop: &StopLatch) -> CaseError {
    match error {
        CacheError::Case(error) => error,
        CacheError::Fault(fault) => {
            let problem = format!("the cache failed: {fault}");
            stop.abort(Some(fault));
            CaseError::new(Reason::Io, format!("case {id}"), problem, "the run ends here")
        }
    }
}
