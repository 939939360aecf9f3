//! Stage `fetch`: a planned sample to its mapped case, which is built on the spot where the cache
//! does not have it.

use std::sync::Arc;

use crate::actor::stage::Stage;
use crate::actor::stop::StopLatch;
use crate::base::error::CaseError;
use crate::brats::case::CaseReader;
use crate::brats::dataset::CaseFiles;
use crate::cache::map::MappedCase;
use crate::cache::preprocess::PreprocessConfig;
use crate::cache::source::Expected;
use crate::cache::store::{CaseStore, Origin};
use crate::pipeline::annotations::Annotations;
use crate::pipeline::arrivals::Arrivals;
use crate::pipeline::decode::decode;
use crate::pipeline::handle::CaseHandle;
use crate::pipeline::normalize::Normalize;
use crate::pipeline::plan::PlannedSample;
use crate::pipeline::publish::of_the_case;
use crate::telemetry::catalog;
use crate::volume::shelf::CaseShelf;

/// A sample whose case is at hand.
pub struct FetchedSample {
    /// Which sample.
    pub planned: PlannedSample,
    /// Its case.
    pub case: CaseHandle,
}

/// Looks cases up in the store, builds what is missing.
#[derive(Clone)]
pub struct Fetch {
    store: Arc<CaseStore>,
    reader: CaseReader,
    normalize: Normalize,
    stop: StopLatch,
    arrivals: Arrivals,
    annotations: Option<Annotations>,
}

impl Fetch {
    /// From `store`, building under `preprocess`; a store that fails as a whole ends the run through
    /// `stop`.
    pub fn new(store: Arc<CaseStore>, preprocess: PreprocessConfig, stop: StopLatch) -> Self {
        let shelf = CaseShelf::default();
        let reader = CaseReader::new(shelf.clone());
        let normalize = Normalize::new(preprocess, shelf);
        let (arrivals, annotations) = (Arrivals::default(), None);
        Self { store, reader, normalize, stop, arrivals, annotations }
    }

    /// The same, which waits for what is on its way into the store.
    #[must_use]
    pub fn waiting_for(self, arrivals: Arrivals) -> Self {
        Self { arrivals, ..self }
    }

    /// The same, for samples of which some have a teacher's labels.
    #[must_use]
    pub fn annotated(self, annotations: Option<Annotations>) -> Self {
        Self { annotations, ..self }
    }

    /// The case of `files` as samples are cut from it: with a teacher's labels, where it is one of
    /// those that are annotated.
    ///
    /// # Errors
    /// As [`case`](Self::case), and if there is no annotation where there is to be one.
    pub fn handle(&self, files: &CaseFiles) -> Result<CaseHandle, CaseError> {
        let case = self.case(files)?;
        match &self.annotations {
            Some(annotations) => annotations.onto(case, &self.store),
            None => Ok(CaseHandle::Mapped(case)),
        }
    }

    /// The mapped case of `files`.
    ///
    /// Whether a cached case is current was settled by ingest; it is not asked again here, because
    /// a file that changes in the middle of a run must not change the run's samples.
    ///
    /// # Errors
    /// What decoding, preparing or publishing found, here or ahead of this, under the case's name.
    pub fn case(&self, files: &CaseFiles) -> Result<Arc<MappedCase>, CaseError> {
        self.arrivals.wait(&files.id)?;
        let build = || self.normalize.contents(decode(&self.reader, files)?);
        let found = self.store.get_or_build(&files.id, Expected::Anything, build);
        let (case, origin) = found.map_err(|error| of_the_case(error, &files.id, &self.stop))?;
        let result = match origin {
            Origin::Cached => "hit",
            Origin::Built => "build",
            Origin::Repaired(damage) => {
                tracing::warn!("built again: {damage}");
                "corrupt"
            }
        };
        catalog::LOADER_CACHE_REQUESTS.with([result]).increment(1);
        Ok(case)
    }
}

impl Stage for Fetch {
    const NAME: &'static str = "fetch";
    type In = PlannedSample;
    type Out = FetchedSample;

    fn process(&mut self, planned: PlannedSample) -> Result<FetchedSample, CaseError> {
        let case = self.handle(planned.files())?;
        Ok(FetchedSample { planned, case })
    }
}
