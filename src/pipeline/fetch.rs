//! Stage `fetch`: looks up the mapped case of a planned sample, and builds it if the cache does not
//! have it.

use std::sync::Arc;

use crate::actor::{Stage, StopLatch};
use crate::base::CaseError;
use crate::brats::{CaseFiles, CaseReader};
use crate::buffers::CaseBuffers;
use crate::cache::{CaseOrigin, CaseStore, ExpectedSource, MappedCase, PreprocessConfig};
use crate::pipeline::publish::as_case_error;
use crate::pipeline::{
    Annotations, Arrivals, CaseHandle, Normalize, PlannedSample, decode_case, find_current_case,
    stat_files,
};
use crate::telemetry::catalog;

/// Planned sample and its case.
pub struct FetchedSample {
    /// Planned sample.
    pub planned: PlannedSample,
    /// Case of the sample.
    pub case: CaseHandle,
    /// Case whose tumour is put into it, if the sample is mixed.
    pub donor: Option<CaseHandle>,
}

/// Stage that looks cases up in the store and builds missing ones.
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
    /// Stage over `store` that builds missing cases under `preprocess`; a fault of the store itself
    /// aborts the run through `stop`.
    pub fn new(store: Arc<CaseStore>, preprocess: PreprocessConfig, stop: StopLatch) -> Self {
        let case_buffers = CaseBuffers::default();
        let reader = CaseReader::new(case_buffers.clone());
        let normalize = Normalize::new(preprocess, case_buffers);
        Self { store, reader, normalize, stop, arrivals: Arrivals::default(), annotations: None }
    }

    /// Store of the cases.
    pub const fn store(&self) -> &Arc<CaseStore> {
        &self.store
    }

    /// Waits for cases that are being ingested.
    #[must_use]
    pub fn waiting_for(self, arrivals: Arrivals) -> Self {
        Self { arrivals, ..self }
    }

    /// Uses a teacher's labels for the annotated cases.
    #[must_use]
    pub fn with_annotations(self, annotations: Option<Annotations>) -> Self {
        Self { annotations, ..self }
    }

    /// Handle of the case of `files`, with the teacher's labels if it is annotated.
    ///
    /// # Errors
    /// As [`mapped_case`](Self::mapped_case), and if an annotation is missing.
    pub fn case_handle(&self, files: &CaseFiles) -> Result<CaseHandle, CaseError> {
        let case = self.mapped_case(files)?;
        match &self.annotations {
            Some(annotations) => annotations.annotate_case(case, &self.store),
            None => Ok(CaseHandle::Mapped(case)),
        }
    }

    /// Handle of a donor with its own labels; `None` if it cannot be had. Its own samples are skipped then and say
    /// why; those that it should have been mixed into are good without it.
    fn donor_handle(&self, files: &CaseFiles) -> Option<CaseHandle> {
        self.mapped_case(files).map(CaseHandle::Mapped).ok()
    }

    /// The mapped case of `files`.
    ///
    /// A case that this process has found or built is not checked again: a file that changes during
    /// a run must not change the run's samples. Another one must be built from these very files:
    /// the cache may hold cases of the same name of other datasets.
    ///
    /// # Errors
    /// Failures of decoding, preparing or publishing, here or in the background ingest, under the
    /// case's id.
    pub fn mapped_case(&self, files: &CaseFiles) -> Result<Arc<MappedCase>, CaseError> {
        self.arrivals.wait_for(&files.id)?;
        let sources;
        let expected = match self.store.is_held(&files.id) {
            true => ExpectedSource::Anything,
            false => {
                sources = stat_files(files)?;
                // What fails here fails again below, where a damaged case file is mended.
                let _ = find_current_case(&self.store, &self.reader, files, &sources);
                ExpectedSource::State(&sources.state)
            }
        };
        let found = self.store.get_or_build(&files.id, expected, || {
            self.normalize.prepare_contents(decode_case(&self.reader, files)?)
        });
        let (case, origin) = found.map_err(|error| as_case_error(error, &files.id, &self.stop))?;
        let result = match origin {
            CaseOrigin::Cached => "hit",
            CaseOrigin::Built => "build",
            CaseOrigin::Repaired(damage) => {
                tracing::warn!("built again: {damage}");
                "corrupt"
            }
        };
        catalog::LOADER_CACHE_REQUESTS.with_labels([result]).increment(1);
        Ok(case)
    }
}

impl Stage for Fetch {
    const NAME: &'static str = "fetch";
    type In = PlannedSample;
    type Out = FetchedSample;

    fn process(&mut self, planned: PlannedSample) -> Result<FetchedSample, CaseError> {
        let case = self.case_handle(planned.case_files())?;
        let donor = planned.donor_files().and_then(|files| self.donor_handle(files));
        Ok(FetchedSample { planned, case, donor })
    }
}
