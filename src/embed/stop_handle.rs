//! Handle by which a program stops a loader or a training run.

use crate::actor::StopLatch;

/// Handle that stops a loader or a training run from any thread.
///
/// ```no_run
/// # fn main() -> Result<(), gliaflow::prelude::Failure> {
/// use std::time::Duration;
///
/// use gliaflow::prelude::*;
///
/// let builder = Loader::builder("data/BraTS2020");
/// let stop = builder.stop_handle();
/// std::thread::spawn(move || {
///     std::thread::sleep(Duration::from_secs(3600));
///     stop.stop_run();
/// });
/// println!("{} batches in an hour", builder.start()?.count());
/// # Ok(())
/// # }
/// ```
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
