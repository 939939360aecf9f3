//! Progress of long work, shown as a bar, in a log, or not at all.

use std::ops::Range;

/// Receives the progress of one named task after another.
pub trait Progress: Send + Sync {
    /// Starts a task of some units, called `unit` ("cases", "steps"). Units ahead of `units.start` are done: a resumed
    /// run's rate and time left are those of its own steps.
    fn begin_task(
        &self,
        task: &str,
        unit: &'static str,
        units: Range<u64>,
    ) -> Box<dyn ProgressTask>;

    /// Shows a line that stays, above what is under way.
    fn print_line(&self, line: &str);
}

/// Progress of one task; dropping it ends the task.
pub trait ProgressTask: Send + Sync {
    /// Reports `done` finished units; `note` is the latest figure worth seeing, or empty.
    fn advance_to(&self, done: u64, note: &str);
}

/// Progress that is not shown.
#[derive(Debug, Clone, Copy)]
pub struct SilentProgress;

impl Progress for SilentProgress {
    fn begin_task(&self, _: &str, _: &'static str, _: Range<u64>) -> Box<dyn ProgressTask> {
        Box::new(Self)
    }

    fn print_line(&self, _: &str) {}
}

impl ProgressTask for SilentProgress {
    fn advance_to(&self, _: u64, _: &str) {}
}
