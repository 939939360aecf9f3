//! Prediction topologies: whole cases, normalised, one ahead of the network.
//!
//! From the cache for evaluation, whose cases are there already; from the source files, keeping
//! nothing, for prediction of a dataset seen once.

use crate::actor::{
    Feed, Limits, Outcome, RunningTopology, Sink, SkipBudget, Source, Stage, StopLatch, Topology,
};
use crate::augment::CaseView;
use crate::base::{CaseError, Fault, OutOfMemory, collect_values, zeroed_values};
use crate::brats::CaseFiles;
use crate::buffers::CaseBuffers;
use crate::cache::{CaseContents, MappedCase, OutsideLabel, PreprocessConfig, SourceLabels};
use crate::pipeline::files::CaseFilesSource;
use crate::pipeline::publish::warn_of_findings;
use crate::pipeline::recovery::ATTEMPTS;
use crate::pipeline::{Decode, Fetch, Normalize, observe};
use crate::resampling::{GridMap, resample_labels};
use crate::volume::{Box3, CaseId, LabelScheme, Modality, SourceGrid};

/// Case at inference: the whole brain box.
#[derive(Debug, Clone)]
pub struct WholeCase {
    /// Identifier of the case.
    pub id: CaseId,
    /// z-scores `[c, d, h, w]` over the brain box, background 0.
    pub images: Vec<f32>,
    /// Tissue `[d, h, w]` over the brain box: true where one image at least is not background.
    pub tissue: Vec<bool>,
    /// Canonical labels `[d, h, w]` over the brain box.
    pub labels: Option<Vec<u8>>,
    /// Labels of the voxels outside the brain box.
    pub outside: Vec<OutsideLabel>,
    /// Brain box in the canonical grid.
    pub brain: Box3,
    /// Grid of the voxels: that of the source files, or the one that they were resampled to.
    pub source: SourceGrid,
    /// Source of a case that was resampled.
    pub resampled_from: Option<ResampledSource>,
    /// Meaning of the label values in the source files.
    pub scheme: LabelScheme,
}

/// Grid and labels of the source files of a resampled case: predictions go back there.
#[derive(Debug, Clone)]
pub struct ResampledSource {
    /// Grid of the source files.
    pub grid: SourceGrid,
    /// Labels on it.
    pub labels: Option<SourceLabels>,
}

impl WholeCase {
    /// z-scores of one modality, `[d, h, w]`.
    pub fn modality_image(&self, modality: Modality) -> &[f32] {
        let voxels = self.brain.dims.voxel_count();
        &self.images[modality.index() * voxels..][..voxels]
    }

    /// Grid of the source files, on which predictions are written and scored.
    pub fn file_grid(&self) -> &SourceGrid {
        self.resampled_from.as_ref().map_or(&self.source, |source| &source.grid)
    }

    /// Labels `[d, h, w]` of the brain box, of labels of the whole canonical grid of the source files.
    ///
    /// # Errors
    /// If there is no memory to resample them.
    ///
    /// # Panics
    /// If there are not as many labels as voxels.
    pub fn crop_labels(&self, labels: &[u8]) -> Result<Vec<u8>, OutOfMemory> {
        let dims = self.source.canonical_dims();
        let Some(source) = &self.resampled_from else {
            return Ok(self.brain.crop_from(labels, dims));
        };
        let resampled = resample_labels(labels, &GridMap::between(&source.grid, &self.source))?;
        Ok(self.brain.crop_from(&resampled, dims))
    }

    fn of_mapped(case: &MappedCase) -> Result<Self, CaseError> {
        let view = CaseView::of_mapped(case);
        let no_memory = |error| no_memory_error(case.id(), &error);
        let labels =
            case.labels().map(|labels| collect_values(labels.len(), labels.iter().copied()));
        Ok(Self {
            id: case.id().clone(),
            images: normalise_images(&view).map_err(no_memory)?,
            tissue: find_tissue(&view).map_err(no_memory)?,
            labels: labels.transpose().map_err(no_memory)?,
            outside: case.outside_labels().to_vec(),
            brain: case.brain_box(),
            source: *case.source_grid(),
            resampled_from: case.resampled_from().map(|grid| ResampledSource {
                grid: *grid,
                labels: case.source_labels().map(|labels| labels.to_owned()),
            }),
            scheme: case.label_scheme(),
        })
    }

    fn of_contents(contents: CaseContents) -> Result<Self, CaseError> {
        let view = CaseView::of_contents(&contents);
        let no_memory = |error| no_memory_error(&contents.id, &error);
        Ok(Self {
            images: normalise_images(&view).map_err(no_memory)?,
            tissue: find_tissue(&view).map_err(no_memory)?,
            resampled_from: contents
                .description
                .resampled_from()
                .map(|grid| ResampledSource { grid: *grid, labels: contents.source_labels }),
            id: contents.id,
            labels: contents.labels,
            outside: contents.outside,
            brain: contents.brain,
            source: contents.source,
            scheme: contents.scheme,
        })
    }
}

fn no_memory_error(id: &CaseId, error: &OutOfMemory) -> CaseError {
    error.to_case_error("brain box").of_case(id)
}

/// z-scores `[c, d, h, w]`: `factor * raw + offset`, 0 where raw is 0.
fn normalise_images(view: &CaseView<'_>) -> Result<Vec<f32>, OutOfMemory> {
    let raw = view.images();
    let count = Modality::COUNT * raw.len();
    let mut planes = zeroed_values(0.0, count)?;
    let channels = planes.chunks_exact_mut(raw.len()).zip(view.intensities()).enumerate();
    for (channel, (plane, intensity)) in channels {
        let factor = intensity.factor as f32;
        let offset = intensity.offset as f32;
        for (value, voxel) in plane.iter_mut().zip(raw) {
            let code = voxel[channel];
            *value = if code == 0 { 0.0 } else { factor * f32::from(code) + offset };
        }
    }
    Ok(planes)
}

/// Tissue `[d, h, w]`: voxels that are background, 0, in no more than all images but one.
fn find_tissue(view: &CaseView<'_>) -> Result<Vec<bool>, OutOfMemory> {
    let raw = view.images();
    collect_values(raw.len(), raw.iter().map(|voxel| voxel.iter().any(|code| *code != 0)))
}

/// Outcome of one case on its way to the network.
pub type WholeCaseOutcome = Outcome<WholeCase>;

/// Stage `open`: maps a case and normalises it.
#[derive(Clone)]
struct OpenWholeCase(Fetch);

impl Stage for OpenWholeCase {
    const NAME: &'static str = "open";
    type In = CaseFiles;
    type Out = WholeCase;

    fn process(&mut self, files: CaseFiles) -> Result<WholeCase, CaseError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let case = self.0.mapped_case(&files)?;
            let whole = WholeCase::of_mapped(&case)?;
            match case.check_pages() {
                Ok(()) => return Ok(whole),
                Err(lost) if attempt >= ATTEMPTS => return Err(lost.of_case(case.id())),
                Err(lost) => tracing::warn!("case {}: {lost}; it is opened again", case.id()),
            }
        }
    }
}

/// Stage `unfold`: normalises decoded contents, without a case file between.
struct BuildWholeCase;

impl Stage for BuildWholeCase {
    const NAME: &'static str = "unfold";
    type In = CaseContents;
    type Out = WholeCase;

    fn process(&mut self, contents: CaseContents) -> Result<WholeCase, CaseError> {
        warn_of_findings(&contents);
        WholeCase::of_contents(contents)
    }
}

struct WholeCaseSink;

impl Sink for WholeCaseSink {
    const NAME: &'static str = "deliver";
    type In = WholeCase;
    type Out = WholeCaseOutcome;

    fn accept_outcome(&mut self, outcome: Outcome<WholeCase>) -> Option<WholeCaseOutcome> {
        Some(outcome)
    }
}

/// Names of the actors of [`WholeCaseSource::Cache`], source first.
pub const CACHE_ACTORS: [&str; 3] =
    [CaseFilesSource::NAME, OpenWholeCase::NAME, WholeCaseSink::NAME];

/// Names of the actors of [`WholeCaseSource::Files`], source first.
pub const FILE_ACTORS: [&str; 5] = [
    CaseFilesSource::NAME,
    Decode::NAME,
    Normalize::NAME,
    BuildWholeCase::NAME,
    WholeCaseSink::NAME,
];

/// Cases that a topology holds: one in flight, one waiting. A whole volume is 140 MB as f32.
const IN_FLIGHT: usize = 2;

/// Source of whole cases.
#[derive(Clone)]
pub enum WholeCaseSource {
    /// Case files of the cache; missing ones are built.
    Cache(Fetch),
    /// Source files, decoded without a cache.
    Files(PreprocessConfig),
}

impl WholeCaseSource {
    /// Starts to deliver whole cases in the order of `cases`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start_topology(
        self,
        cases: Vec<CaseFiles>,
        stop: &StopLatch,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(Feed<WholeCaseOutcome>, RunningTopology), Fault> {
        let limits = Limits { skip_budget: SkipBudget::UNLIMITED, ..Limits::new(IN_FLIGHT) };
        let new_topology =
            |name| Topology::new(name, limits, stop).with_hooks(observe::topology_hooks());
        match self {
            Self::Cache(fetch) => new_topology("evaluate")
                .source(CaseFilesSource::new(cases))
                .stage(move || OpenWholeCase(fetch.clone()), 1)
                .sink(WholeCaseSink, 1)
                .start(runtime),
            Self::Files(preprocess) => {
                let case_buffers = CaseBuffers::default();
                let decode = Decode::new(case_buffers.clone());
                let normalize = Normalize::new(preprocess, case_buffers);
                new_topology("predict")
                    .source(CaseFilesSource::new(cases))
                    .stage(move || decode.clone(), 1)
                    .stage(move || normalize.clone(), 1)
                    .stage(|| BuildWholeCase, 1)
                    .sink(WholeCaseSink, 1)
                    .start(runtime)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::IntensityNormalisation;
    use crate::volume::Dims;

    #[test]
    fn background_stays_zero_whatever_the_shift() {
        let raw = [[0, 10, 0, -4], [2, 0, 1, 0]];
        let by = [(1.0, 5.0), (0.5, -1.0), (2.0, 0.0), (1.0, 1.0)];
        let range = [0.0; 2];
        let intensities =
            by.map(|(factor, offset)| IntensityNormalisation { factor, offset, range });
        let view = CaseView::new(&raw, None, Dims([1, 1, 2]), [1.0; 3], intensities);
        assert_eq!(normalise_images(&view).unwrap(), [0.0, 7.0, 4.0, 0.0, 0.0, 2.0, -3.0, 0.0]);
    }

    #[test]
    fn a_voxel_of_one_image_is_tissue_even_at_its_mean() {
        let raw = [[0, 0, 0, 0], [0, 0, 3, 0], [-1, 2, 3, 4]];
        let intensities = [IntensityNormalisation { factor: 0.0, offset: 0.0, range: [0.0; 2] }; 4];
        let view = CaseView::new(&raw, None, Dims([1, 1, 3]), [1.0; 3], intensities);
        assert_eq!(normalise_images(&view).unwrap(), [0.0; 12]);
        assert_eq!(find_tissue(&view).unwrap(), [false, true, true]);
    }
}
