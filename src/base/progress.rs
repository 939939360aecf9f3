//! How long work tells what it has done, without knowing who listens: a bar, a line in a log, or
//! nobody.

use std::sync::Arc;

/// Receives the progress of one named task after another.
pub trait Progress: Send + Sync {
    /// A task of `total` units begins; `unit` is what one is called ("cases", "steps").
    fn begin(&self, task: &str, unit: &'static str, total: u64) -> Box<dyn Task>;
}

/// One task under way; dropping it ends it.
pub trait Task: Send + Sync {
    /// `done` units are finished; `note` is the latest figure worth seeing, or empty.
    fn advance_to(&self, done: u64, note: &str);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Silent {
    /// As the shared handle that long work takes.
    pub fn shared() -> Arc<dyn Progress> {
        Arc::new(Self)
    }
}

impl Progress for Silent {
    fn begin(&self, _task: &str, _unit: &'static str, _total: u64) -> Box<dyn Task> {
        Box::new(Self)
    }
}

impl Task for Silent {
    fn advance_to(&self, _done: u64, _note: &str) {}
}
