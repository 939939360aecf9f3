//! Stage `publish`: a case file's contents to the cache, atomically.

use std::sync::Arc;

use crate::actor::stage::Stage;
use crate::actor::stop::StopLatch;
use crate::base::error::{CaseError, Reason};
use crate::cache::contents::CaseContents;
use crate::cache::error::CacheError;
use crate::cache::store::CaseStore;
use crate::volume::case::CaseId;
use crate::volume::grid::Dims;
use crate::volume::shelf::CaseShelf;

/// A case that is now in the cache.
#[derive(Debug, Clone)]
pub struct PublishedCase {
    /// Its name.
    pub id: CaseId,
    /// Extent of its brain box.
    pub brain: Dims,
    /// Size of its case file.
    pub bytes: u64,
}

/// Writes case files into one store.
#[derive(Clone)]
pub struct Publish {
    store: Arc<CaseStore>,
    shelf: CaseShelf,
    stop: StopLatch,
}

impl Publish {
    /// Into `store`, and what was written goes back to `shelf`; a store that fails as a whole ends
    /// the run through `stop`.
    pub const fn new(store: Arc<CaseStore>, shelf: CaseShelf, stop: StopLatch) -> Self {
        Self { store, shelf, stop }
    }
}

impl Stage for Publish {
    const NAME: &'static str = "publish";
    type In = CaseContents;
    type Out = PublishedCase;

    fn process(&mut self, contents: CaseContents) -> Result<PublishedCase, CaseError> {
        let published = self.store.publish(&contents);
        let report = published.map_err(|error| of_the_case(error, &contents.id, &self.stop))?;
        let id = contents.id.clone();
        let published = PublishedCase { id, brain: contents.brain.dims, bytes: report.bytes };
        contents.give_back(&self.shelf);
        Ok(published)
    }
}

/// A cache's error as the case's; one that is not about the case (a full disk) ends the run.
pub(super) fn of_the_case(error: CacheError, id: &CaseId, stop: &StopLatch) -> CaseError {
    match error {
        CacheError::Case(error) => error,
        CacheError::Fault(fault) => {
            let problem = format!("the cache failed: {fault}");
            stop.abort(Some(fault));
            CaseError::new(Reason::Io, format!("case {id}"), problem, "the run ends here")
        }
    }
}
