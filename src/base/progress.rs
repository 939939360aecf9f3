//! Progress of long work, shown as a bar, in a log, or not at all.

use std::sync::Arc;

/// Receives the progress of one named task after another.
pub trait Progress: Send + Sync {
    /// Starts a task of `total` units, called `unit` ("cases", "steps").
    fn begin_task(&self, task: &str, unit: &'static str, total: u64) -> Box<dyn ProgressTask>;
}

/// Progress of one task; dropping it ends the task.
pub trait ProgressTask: Send + Sync {
    /// Reports `done` finished units; `note` is the latest figure worth seeing, or empty.
    fn advance_to(&self, done: u64, note: &str);
}

/// Progress that is shown nowhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl NoProgress {
    /// Shared handle for functions that report progress.
    pub fn shared() -> Arc<dyn Progress> {
        Arc::new(Self)
    }
}

impl Progress for NoProgress {
    fn begin_task(&self, _task: &str, _unit: &'static str, _total: u64) -> Box<dyn ProgressTask> {
        Box::new(Self)
    }
}

impl ProgressTask for NoProgress {
    fn advance_to(&self, _done: u64, _note: &str) {}
}
