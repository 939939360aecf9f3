//! A training run inside another program.

use std::path::PathBuf;

use crate::actor::StopLatch;
use crate::embed::{StopHandle, TrainingBuilder};
use crate::run::config::CheckedConfig;
use crate::run::resume::{self, ResumeOptions};
use crate::run::train::{self, RunDestination};
use crate::run::{Failure, LifecycleRuntime, Session};
use crate::run_folder::{EventObserver, RunSummary};

/// Training run that is configured and not started yet.
///
/// It is the run of `gliaflow train`: the same files, checkpoints and figures, and it can be resumed
/// by either.
///
/// ```no_run
/// # fn main() -> Result<(), gliaflow::prelude::Failure> {
/// use gliaflow::prelude::*;
///
/// let summary = Training::builder("data/BraTS2020")
///     .network("resunet_vae")
///     .epochs(300)
///     .on_step(|step| println!("step {}: loss {:.4}", step.step, step.loss))
///     .run()?;
/// println!("{:?}", summary.best);
/// # Ok(())
/// # }
/// ```
pub struct Training {
    pub(super) start: TrainingStart,
    pub(super) observer: EventObserver,
    pub(super) stop: StopLatch,
}

/// Beginning of a run.
pub(super) enum TrainingStart {
    New { config: Box<CheckedConfig>, destination: RunDestination },
    Resumed { folder: PathBuf, assignments: Vec<String> },
}

impl Training {
    /// Builder of a run on the dataset in `folder`.
    pub fn builder(folder: impl Into<PathBuf>) -> TrainingBuilder {
        TrainingBuilder::new(folder.into())
    }

    /// Handle that stops the run from another thread or a callback.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.stop.clone())
    }

    /// Trains to the end, and scores the held-out cases. It takes the calling thread.
    ///
    /// # Errors
    /// As [`Failure`] tells; [`Failure::Stopped`] after a stop, with a checkpoint to resume from.
    pub fn run(self) -> Result<RunSummary, Failure> {
        let runtime = LifecycleRuntime::start()?;
        let session = Session {
            stop: self.stop,
            event_observer: Some(self.observer),
            ..Session::new_unattended(runtime.tokio_handle().clone())
        };
        match &self.start {
            TrainingStart::New { config, destination } => {
                train::train(config, destination, &session)
            }
            TrainingStart::Resumed { folder, assignments } => {
                let options = ResumeOptions { assignments, accepts_changed: false };
                resume::resume_run(folder, options, &session)
            }
        }
    }
}
