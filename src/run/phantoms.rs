//! A phantom cohort on disk, written by as many threads as there are cores.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::actor::{Describe, Limits, Outcome, Sink, SkipBudget, Source, Stage, Topology};
use crate::base::{CaseError, Reason, core_count};
use crate::brats::phantom::{PhantomConfig, cohort};
use crate::run::prepare::{fail_if_stopped, process_outcomes};
use crate::run::{Failure, Session};
use crate::volume::{CaseId, Dims};

/// Phantom cohort, as a configuration file describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhantomCohort {
    /// Number of cases.
    pub cases: u64,
    /// Seed, which decides every voxel.
    pub seed: u64,
    /// Extent in file order, fastest axis first.
    pub shape: [usize; 3],
}

impl PhantomCohort {
    /// Configuration of its cases.
    pub fn phantom_config(&self) -> PhantomConfig {
        PhantomConfig { dims: Dims::from_nifti(self.shape), seed: self.seed }
    }
}

/// Index of a case to write.
struct PhantomIndex(u64);

impl Describe for PhantomIndex {
    fn describe(&self) -> String {
        format!("phantom {}", self.0)
    }
}

struct PhantomIndices(std::ops::Range<u64>);

impl Source for PhantomIndices {
    const NAME: &'static str = "number";
    type Item = PhantomIndex;

    fn next(&mut self) -> Option<PhantomIndex> {
        self.0.next().map(PhantomIndex)
    }
}

/// Stage `draw`: writes the case of an index.
struct DrawPhantom {
    folder: PathBuf,
    config: PhantomConfig,
}

impl Stage for DrawPhantom {
    const NAME: &'static str = "draw";
    type In = PhantomIndex;
    type Out = CaseId;

    fn process(&mut self, PhantomIndex(index): PhantomIndex) -> Result<CaseId, CaseError> {
        cohort::write_case(&self.folder, &self.config, index)
    }
}

struct CollectPhantoms;

impl Sink for CollectPhantoms {
    const NAME: &'static str = "collect";
    type In = CaseId;
    type Out = Outcome<CaseId>;

    fn accept_outcome(&mut self, outcome: Outcome<CaseId>) -> Option<Self::Out> {
        Some(outcome)
    }
}

/// The actors of the topology that writes phantoms, source first.
pub const ACTORS: [&str; 3] = [PhantomIndices::NAME, DrawPhantom::NAME, CollectPhantoms::NAME];

/// Blames the command line for an impossible grid, and the environment for a disk that refuses to
/// be written to; neither is a fault of the data.
fn write_failure(error: CaseError) -> Failure {
    match error.reason {
        Reason::Geometry => Failure::Usage(error.to_string()),
        _ => Failure::of_output_file(error),
    }
}

/// Writes `cases` phantoms into `folder`, and leaves those that are there already alone.
///
/// # Errors
/// If the grid is out of range, the folder holds another cohort, a case cannot be written, or the
/// session is stopped.
pub fn write_phantoms(
    folder: &Path,
    config: &PhantomConfig,
    cases: u64,
    session: &Session,
) -> Result<Vec<CaseId>, Failure> {
    // Here as well as for each case: asked by every worker, it would be refused once a case.
    cohort::claim_folder(folder, config).map_err(write_failure)?;
    let workers = core_count();
    let limits = Limits { skip_budget: SkipBudget::UNLIMITED, ..Limits::new(2 * workers) };
    let target = folder.to_path_buf();
    let drawn = config.clone();
    let feed = Topology::new("phantom", limits, &session.stop)
        .source(PhantomIndices(0..cases))
        .stage(move || DrawPhantom { folder: target.clone(), config: drawn.clone() }, workers)
        .sink(CollectPhantoms, 1)
        .start(&session.runtime)?;
    let mut written = Vec::new();
    process_outcomes("phantom", cases, feed, session, |outcome| {
        let id = outcome.map_err(|skip| write_failure(skip.error))?;
        written.push(id.clone());
        Ok(id)
    })?;
    fail_if_stopped(&session.stop, "run the same command again to go on")?;
    Ok(written)
}
