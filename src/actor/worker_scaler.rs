//! Changes the number of workers of a stage while its topology runs.
//!
//! The worker that takes an item decides when it is done, never its result, so a change touches
//! neither the order nor the counts; the tickets do not change with it, so neither do memory and
//! back-pressure.

use std::sync::Arc;

use crate::actor::StopState;
use crate::actor::actor_cell::ActorCell;
use crate::actor::shell::TopologyContext;
use crate::base::Fault;

/// Changes the workers of a topology's stages. It keeps no thread, queue or stage.
#[derive(Clone)]
pub struct WorkerScaler(pub(super) Arc<TopologyContext>);

impl WorkerScaler {
    /// Sets the number of workers of `stage`, at least one.
    ///
    /// New ones start at once. One that is too many leaves when it has handed on the item it is
    /// working on or, if it waits for one, the next: no item is interrupted. A topology that
    /// drains, is aborted or has ended stays as it is. Stages of the same name are treated alike.
    ///
    /// # Errors
    /// There is no stage of that name (the source and the sink have one worker for good), or the
    /// system refuses a thread; those that have been started stay.
    pub fn resize_stage(&self, stage: &str, workers: usize) -> Result<(), Fault> {
        let stages = self.0.actors.iter().filter(|actor| actor.worker_factory.is_some());
        let named: Vec<&Arc<ActorCell>> = stages.filter(|actor| actor.name == stage).collect();
        if named.is_empty() {
            return Err(self.unknown_stage(stage));
        }
        if self.0.latch.state() > StopState::Running {
            return Ok(());
        }
        for actor in named {
            actor.set_wanted(workers.max(1));
            self.0.spawn_missing_workers(actor)?;
        }
        Ok(())
    }

    fn unknown_stage(&self, stage: &str) -> Fault {
        let stages = self.0.actors.iter().filter(|actor| actor.worker_factory.is_some());
        let names: Vec<&str> = stages.map(|actor| actor.name).collect();
        Fault::Environment {
            subject: format!("topology {}: workers of {stage}", self.0.topology),
            problem: "it has no such stage".to_owned(),
            remedy: format!("name one of: {}", names.join(", ")),
        }
    }
}
