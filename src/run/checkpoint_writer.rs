//! Checkpoints of a run as it goes: published, journalled, and tried again where the disk does not
//! take one.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::actor::StopState;
use crate::base::Fault;
use crate::nets::Learner;
use crate::run::Failure;
use crate::run::context::RunContext;
use crate::run_folder::{CheckpointEvent, Event};
use crate::telemetry::{catalog, health};
use crate::train::{TrainingProgress, TrainingState, checkpoint};

/// Interval at which a wait for the disk looks for a second stop request.
const POLL: Duration = Duration::from_millis(20);

/// Longest and shortest time between two attempts.
const RETRY_SECONDS: [f64; 2] = [0.1, 10.0];

/// Attempts per patience.
const ATTEMPTS: f64 = 20.0;

/// Writer of a run's checkpoints.
pub(super) struct CheckpointWriter<'a> {
    context: &'a RunContext<'a>,
    /// Steps of the last checkpoint.
    saved: Option<u64>,
    failing: Option<FailingWrites>,
}

/// Times of the first and the last of the attempts that failed since the last success.
#[derive(Clone, Copy)]
struct FailingWrites {
    first: Instant,
    last: Instant,
}

impl<'a> CheckpointWriter<'a> {
    /// Makes the writer of a run whose last checkpoint has `saved` steps.
    pub(super) fn new(context: &'a RunContext<'a>, saved: Option<u64>) -> Self {
        context.session.board.health().clear_problem(health::CHECKPOINT);
        Self { context, saved, failing: None }
    }

    /// True while the disk does not take what is to be written.
    pub(super) const fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// True if something failed and it is time to try again.
    pub(super) fn retry_is_due(&self) -> bool {
        self.failing.is_some_and(|failing| failing.last.elapsed() >= self.retry_interval())
    }

    /// Publishes a checkpoint, if there is none of this step; a failure is put up with for as long
    /// as `train.checkpoint.patience` says, and training goes on meanwhile.
    pub(super) fn save_or_go_on(
        &mut self,
        learner: &dyn Learner,
        progress: &TrainingProgress,
    ) -> Result<(), Failure> {
        let saved = self.save(learner, progress);
        self.put_up_with(saved)
    }

    /// Publishes a checkpoint, if there is none of this step; waits for the disk for as long as
    /// `train.checkpoint.patience` says.
    pub(super) fn save_or_wait(
        &mut self,
        learner: &dyn Learner,
        progress: &TrainingProgress,
    ) -> Result<(), Failure> {
        self.wait_for_disk(|writer| writer.save(learner, progress))
    }

    /// Records a validation in the checkpoint of its step; waits for the disk likewise.
    pub(super) fn record_validation(&mut self, progress: &TrainingProgress) -> Result<(), Failure> {
        self.wait_for_disk(|writer| {
            let state = writer.state_of(progress)?;
            let context = writer.context;
            checkpoint::record_validation(context.directory.path(), &state, writer.keep())
        })
    }

    fn wait_for_disk(
        &mut self,
        mut write: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Failure> {
        loop {
            let written = write(self);
            self.put_up_with(written)?;
            if !self.is_failing() {
                return Ok(());
            }
            while !self.retry_is_due() {
                if self.context.session.stop.state() == StopState::Aborted {
                    return Err(Failure::Aborted);
                }
                thread::sleep(POLL);
            }
        }
    }

    /// Shows the health of the disk; fails if it has not taken anything for too long.
    fn put_up_with(&mut self, written: Result<(), Fault>) -> Result<(), Failure> {
        let health = self.context.session.board.health();
        let Err(fault) = written else {
            if self.failing.take().is_some() {
                tracing::warn!("the disk takes checkpoints again");
                health.clear_problem(health::CHECKPOINT);
            }
            return Ok(());
        };
        let now = Instant::now();
        let first = self.failing.map_or(now, |failing| failing.first);
        self.failing = Some(FailingWrites { first, last: now });
        let patience = self.patience();
        if now - first >= patience {
            return Err(fault.into());
        }
        if first == now {
            tracing::warn!(
                "no checkpoint: {fault}; it is tried again, and the run ends if that fails for {} s \
                 (train.checkpoint.patience)",
                patience.as_secs()
            );
            health.report_problem(health::CHECKPOINT, fault.to_string());
        }
        // What was written in part takes up the space that is missing.
        if let Err(problem) = checkpoint::remove_unfinished(self.context.directory.path()) {
            tracing::warn!("{problem}");
        }
        Ok(())
    }

    fn save(&mut self, learner: &dyn Learner, progress: &TrainingProgress) -> Result<(), Fault> {
        let step = progress.step;
        let context = self.context;
        if self.saved == Some(step) {
            return Ok(());
        }
        let since = Instant::now();
        let state = self.state_of(progress)?;
        let run = context.directory.path();
        let folder = checkpoint::publish(run, &state, self.keep(), |to| learner.save(to))?;
        self.saved = Some(step);
        let seconds = since.elapsed().as_secs_f64();
        catalog::TRAIN_CHECKPOINT_TIME.with_labels([]).record(seconds);
        catalog::TRAIN_CHECKPOINTS.with_labels([]).increment(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        catalog::TRAIN_CHECKPOINT_TIMESTAMP.with_labels([]).set(now.as_secs_f64());
        context.journal.write_event(&Event::Checkpoint(CheckpointEvent { step, folder, seconds }))
    }

    fn state_of(&self, progress: &TrainingProgress) -> Result<TrainingState, Fault> {
        let config = self.context.config;
        Ok(TrainingState {
            model: config.blueprint.name().to_string(),
            config: config.fingerprint(),
            planned_epochs: config.run.train.epochs,
            journal: self.context.journal.sync_position()?,
            progress: progress.clone(),
        })
    }

    const fn keep(&self) -> usize {
        self.context.config.run.train.checkpoint.keep
    }

    const fn patience(&self) -> Duration {
        Duration::from_secs(self.context.config.run.train.checkpoint.patience)
    }

    fn retry_interval(&self) -> Duration {
        let [least, most] = RETRY_SECONDS;
        Duration::from_secs_f64((self.patience().as_secs_f64() / ATTEMPTS).clamp(least, most))
    }
}
