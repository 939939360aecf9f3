//! Cases of a dataset that a loader can draw from: found, and in the cache where it has one.

use std::path::Path;
use std::sync::Arc;

use crate::brats::{CaseFiles, Dataset};
use crate::cache::{CaseStore, PreprocessConfig};
use crate::pipeline::Footprint;
use crate::pipeline::ingest::{IngestResources, IngestWorkers};
use crate::pipeline::loader::CaseSource;
use crate::run::{Failure, Session, prepare};
use crate::run_folder::ExcludedCase;
use crate::volume::Dims;

/// Cases that are ready for a loader, any number of times.
pub struct LoaderCases {
    /// Usable cases, sorted by id.
    pub cohort: Arc<[CaseFiles]>,
    /// Cases that could not be used.
    pub excluded: Vec<ExcludedCase>,
    /// The cache's case files; absent where cases are decoded for each sample.
    store: Option<Arc<CaseStore>>,
    /// Extent of the largest case, where there is no cache.
    largest: Dims,
}

impl LoaderCases {
    /// Source of the cases, for one loader.
    pub fn case_source(&self) -> CaseSource {
        match &self.store {
            Some(store) => CaseSource::from_store(Arc::clone(store)),
            None => CaseSource::Files { largest: self.largest },
        }
    }

    /// Memory that a sample holds of its case under `preprocess`.
    pub fn footprint(&self, preprocess: &PreprocessConfig) -> Footprint {
        self.case_source().footprint(preprocess)
    }

    /// Bytes of case files in the address space: page cache, not memory of the process.
    pub fn mapped_bytes(&self) -> u64 {
        self.store.as_ref().map_or(0, |store| store.mapped_size().1)
    }

    /// Returns the cases whose header can be read; the others are excluded.
    fn read_extents(&mut self, cases: Vec<CaseFiles>) -> Vec<CaseFiles> {
        let mut usable = Vec::new();
        for files in cases {
            match files.read_grid().map(|grid| grid.canonical_dims()) {
                Ok(grid) => {
                    if grid.voxel_count() > self.largest.voxel_count() {
                        self.largest = grid;
                    }
                    usable.push(files);
                }
                Err(error) => self.excluded.push(ExcludedCase { case: files.id, error }),
            }
        }
        usable
    }
}

/// Ingests the cases that were found into the cache, or reads their extents if there is none.
/// `memory_bytes` is the budget of the ingest.
///
/// # Errors
/// If no case is usable, or ingest is stopped or fails.
pub fn prepare_loader_cases(
    found: Dataset,
    cache: Option<&Path>,
    preprocess: &PreprocessConfig,
    memory_bytes: usize,
    session: &Session,
) -> Result<LoaderCases, Failure> {
    let mut cases =
        LoaderCases { cohort: [].into(), excluded: Vec::new(), store: None, largest: Dims([0; 3]) };
    let usable = match cache {
        Some(root) => {
            let store = prepare::open_store(root, preprocess)?;
            let resources = IngestResources { workers: IngestWorkers::default(), memory_bytes };
            let done =
                prepare::ingest_cases(&found.cases, &store, preprocess, &resources, session)?;
            let mut usable = found.cases;
            usable.retain(|files| done.excluded.iter().all(|left| left.case != files.id));
            cases.store = Some(store);
            cases.excluded = done.excluded;
            usable
        }
        None => cases.read_extents(found.cases),
    };
    if usable.is_empty() {
        let errors = cases.excluded.into_iter().map(|left| left.error);
        return Err(Failure::Cases(errors.chain(found.problems).collect()));
    }
    cases.cohort = usable.into();
    Ok(cases)
}
