//! Prediction topologies: whole cases, normalised, one ahead of the network.
//!
//! From the cache for evaluation, whose cases are there already; from the source files, keeping
//! nothing, for prediction of a dataset seen once.

use crate::actor::feed::{Feed, Running};
use crate::actor::stage::{Outcome, Sink, Skip, Source, Stage};
use crate::actor::stop::StopLatch;
use crate::actor::ticket::SkipBudget;
use crate::actor::topology::{Limits, Topology};
use crate::augment::view::View;
use crate::base::error::{CaseError, Fault};
use crate::brats::dataset::CaseFiles;
use crate::buffers::case::CaseShelf;
use crate::cache::contents::CaseContents;
use crate::cache::map::MappedCase;
use crate::cache::preprocess::PreprocessConfig;
use crate::pipeline::decode::Decode;
use crate::pipeline::fetch::Fetch;
use crate::pipeline::files::Files;
use crate::pipeline::normalize::Normalize;
use crate::pipeline::observe;
use crate::volume::case::{CaseId, SourceGrid};
use crate::volume::grid::Box3;
use crate::volume::modality::Modality;
use crate::volume::region::LabelScheme;

/// Case at inference: the whole brain box.
#[derive(Debug, Clone)]
pub struct WholeCase {
    /// Identifier of the case.
    pub id: CaseId,
    /// z-scores `[c, d, h, w]` over the brain box, background 0.
    pub images: Vec<f32>,
    /// Canonical labels `[d, h, w]` over the brain box.
    pub labels: Option<Vec<u8>>,
    /// Brain box in the canonical grid.
    pub brain: Box3,
    /// Grid of the source files.
    pub source: SourceGrid,
    /// Meaning of the label values in the source files.
    pub scheme: LabelScheme,
}

impl WholeCase {
    /// z-scores of one modality, `[d, h, w]`.
    pub fn channel(&self, modality: Modality) -> &[f32] {
        let voxels = self.brain.dims.voxels();
        &self.images[modality.index() * voxels..][..voxels]
    }

    fn of_mapped(case: &MappedCase) -> Self {
        Self {
            id: case.id().clone(),
            images: normalised(&View::of_mapped(case)),
            labels: case.labels().map(<[u8]>::to_vec),
            brain: case.brain(),
            source: *case.source(),
            scheme: case.scheme(),
        }
    }

    fn of_contents(contents: CaseContents) -> Self {
        Self {
            images: normalised(&View::of_contents(&contents)),
            id: contents.id,
            labels: contents.labels,
            brain: contents.brain,
            source: contents.source,
            scheme: contents.scheme,
        }
    }
}

/// z-scores `[c, d, h, w]`: `factor * raw + offset`, 0 where raw is 0.
fn normalised(view: &View<'_>) -> Vec<f32> {
    let raw = view.images();
    let mut planes = vec![0.0; Modality::COUNT * raw.len()];
    let channels = planes.chunks_exact_mut(raw.len()).zip(view.intensities()).enumerate();
    for (channel, (plane, intensity)) in channels {
        let factor = intensity.factor as f32;
        let offset = intensity.offset as f32;
        for (value, voxel) in plane.iter_mut().zip(raw) {
            let code = voxel[channel];
            *value = if code == 0 { 0.0 } else { factor * f32::from(code) + offset };
        }
    }
    planes
}

/// Outcome of one case on its way to the network.
pub type WholeOutcome = Result<WholeCase, Skip>;

/// Stage `open`: maps a case and normalises it.
#[derive(Clone)]
struct Open(Fetch);

impl Stage for Open {
    const NAME: &'static str = "open";
    type In = CaseFiles;
    type Out = WholeCase;

    fn process(&mut self, files: CaseFiles) -> Result<WholeCase, CaseError> {
        self.0.case(&files).map(|case| WholeCase::of_mapped(&case))
    }
}

/// Stage `unfold`: normalises decoded contents, without a case file between.
struct Unfold;

impl Stage for Unfold {
    const NAME: &'static str = "unfold";
    type In = CaseContents;
    type Out = WholeCase;

    fn process(&mut self, contents: CaseContents) -> Result<WholeCase, CaseError> {
        Ok(WholeCase::of_contents(contents))
    }
}

struct Deliver;

impl Sink for Deliver {
    const NAME: &'static str = "deliver";
    type In = WholeCase;
    type Out = WholeOutcome;

    fn accept(&mut self, outcome: Outcome<WholeCase>) -> Option<WholeOutcome> {
        Some(match outcome {
            Outcome::Ready(case) => Ok(case),
            Outcome::Skipped(skip) => Err(skip),
        })
    }
}

/// Names of the actors of [`start_from_cache`], source first.
pub const CACHE_ACTORS: [&str; 3] = [Files::NAME, Open::NAME, Deliver::NAME];

/// Names of the actors of [`start_from_files`], source first.
pub const FILE_ACTORS: [&str; 5] =
    [Files::NAME, Decode::NAME, Normalize::NAME, Unfold::NAME, Deliver::NAME];

/// Limits for one case in flight and one waiting: a whole volume is 140 MB as f32.
fn limits() -> Limits {
    Limits { skip_budget: SkipBudget::UNLIMITED, ..Limits::new(2) }
}

/// Source of whole cases.
#[derive(Clone)]
pub enum WholeSource {
    /// Case files; missing ones are built.
    Cache(Fetch),
    /// Source files, decoded without a cache.
    Files(PreprocessConfig),
}

impl WholeSource {
    /// Starts to deliver whole cases in the order of `cases`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        self,
        cases: Vec<CaseFiles>,
        stop: &StopLatch,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(Feed<WholeOutcome>, Running), Fault> {
        match self {
            Self::Cache(fetch) => from_cache(cases, fetch, stop, runtime),
            Self::Files(preprocess) => from_files(cases, &preprocess, stop, runtime),
        }
    }
}

/// Starts to deliver whole cases from the cache, building missing ones, in the order of `cases`.
///
/// # Errors
/// If a thread cannot be started.
pub fn from_cache(
    cases: Vec<CaseFiles>,
    fetch: Fetch,
    stop: &StopLatch,
    runtime: &tokio::runtime::Handle,
) -> Result<(Feed<WholeOutcome>, Running), Fault> {
    Topology::new("evaluate", limits(), stop)
        .hooks(observe::hooks())
        .source(Files::new(cases))
        .stage(move || Open(fetch.clone()), 1)
        .sink(Deliver, 1)
        .start(runtime)
}

/// Starts to deliver whole cases decoded from their files, in the order of `cases`.
///
/// # Errors
/// If a thread cannot be started.
pub fn from_files(
    cases: Vec<CaseFiles>,
    preprocess: &PreprocessConfig,
    stop: &StopLatch,
    runtime: &tokio::runtime::Handle,
) -> Result<(Feed<WholeOutcome>, Running), Fault> {
    let shelf = CaseShelf::default();
    let decode = Decode::new(shelf.clone());
    let normalize = Normalize::new(preprocess.clone(), shelf);
    Topology::new("predict", limits(), stop)
        .hooks(observe::hooks())
        .source(Files::new(cases))
        .stage(move || decode.clone(), 1)
        .stage(move || normalize.clone(), 1)
        .stage(|| Unfold, 1)
        .sink(Deliver, 1)
        .start(runtime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::view::Intensity;
    use crate::volume::grid::Dims;

    #[test]
    fn background_stays_zero_whatever_the_shift() {
        let raw = [[0, 10, 0, -4], [2, 0, 1, 0]];
        let by = [(1.0, 5.0), (0.5, -1.0), (2.0, 0.0), (1.0, 1.0)];
        let range = [0.0; 2];
        let intensities = by.map(|(factor, offset)| Intensity { factor, offset, range });
        let view = View::new(&raw, None, Dims([1, 1, 2]), [1.0; 3], intensities);
        assert_eq!(normalised(&view), [0.0, 7.0, 4.0, 0.0, 0.0, 2.0, -3.0, 0.0]);
    }
}
