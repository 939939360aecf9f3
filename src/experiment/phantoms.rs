//! A phantom cohort on disk, written by as many threads as there are cores.

use std::path::{Path, PathBuf};

use crate::actor::stage::{Describe, Outcome, Sink, Source, Stage};
use crate::actor::ticket::SkipBudget;
use crate::actor::topology::{Limits, Topology};
use crate::base::error::CaseError;
use crate::brats::phantom::{PhantomConfig, cohort};
use crate::experiment::failure::Failure;
use crate::experiment::prepare::{Session, stopped_early};
use crate::volume::case::CaseId;

/// One case to write, by its number.
struct Number(u64);

impl Describe for Number {
    fn describe(&self) -> String {
        format!("phantom {}", self.0)
    }
}

struct Numbers(std::ops::Range<u64>);

impl Source for Numbers {
    const NAME: &'static str = "number";
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        self.0.next().map(Number)
    }
}

/// Stage `draw`: a number to a case on disk.
struct Draw {
    folder: PathBuf,
    config: PhantomConfig,
}

impl Stage for Draw {
    const NAME: &'static str = "draw";
    type In = Number;
    type Out = CaseId;

    fn process(&mut self, Number(index): Number) -> Result<CaseId, CaseError> {
        cohort::write_case(&self.folder, &self.config, index)
    }
}

struct Collect;

impl Sink for Collect {
    const NAME: &'static str = "collect";
    type In = CaseId;
    type Out = Result<CaseId, CaseError>;

    fn accept(&mut self, outcome: Outcome<CaseId>) -> Option<Self::Out> {
        Some(match outcome {
            Outcome::Ready(id) => Ok(id),
            Outcome::Skipped(skip) => Err(skip.error),
        })
    }
}

/// Writes `cases` phantoms into `folder`; those that are there already, of the same configuration,
/// are left alone.
///
/// # Errors
/// If the folder holds another cohort, a case cannot be written, or the session is stopped.
pub fn write_phantoms(
    folder: &Path,
    config: &PhantomConfig,
    cases: u64,
    session: &Session,
) -> Result<Vec<CaseId>, Failure> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let limits = Limits { skip_budget: SkipBudget::UNLIMITED, ..Limits::new(2 * workers) };
    let (target, drawn) = (folder.to_path_buf(), config.clone());
    let (mut feed, running) = Topology::new("phantom", limits, &session.stop)
        .source(Numbers(0..cases))
        .stage(move || Draw { folder: target.clone(), config: drawn.clone() }, workers)
        .sink(Collect, 1)
        .start(&session.runtime)?;
    let task = session.progress.begin("phantom", "cases", cases);
    let mut written = Vec::new();
    let mut failed = None;
    while let Some(outcome) = feed.take() {
        match outcome {
            Ok(id) => {
                written.push(id);
                let last = written.last().map_or("", |id| id.as_str());
                task.advance_to(written.len() as u64, last);
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop((task, feed));
    running.join_blocking()?;
    if let Some(error) = failed {
        return Err(Failure::Data(error));
    }
    stopped_early(&session.stop, "run the same command again to go on")?;
    Ok(written)
}
