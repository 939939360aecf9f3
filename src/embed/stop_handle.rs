//! Handle by which a program stops a loader or a training run.

use crate::actor::StopLatch;

/// Handle that stops a loader or a training run from any thread.
#[derive(Debug, Clone)]
pub struct StopHandle(pub(super) StopLatch);

impl StopHandle {
    /// Asks a training run to finish its step, write a checkpoint and end with
    /// [`Failure::Stopped`](crate::run::Failure::Stopped); asks a loader to deliver the samples under
    /// way, and its start to end with the same failure.
    pub fn stop_run(&self) {
        self.0.drain();
    }

    /// Ends a loader at once: samples under way are dropped, and a waiting
    /// [`Loader::next`](crate::embed::Loader) returns. A training run writes no further checkpoint.
    pub fn abort_run(&self) {
        self.0.abort(None);
    }
}
