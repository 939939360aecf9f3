//! Session: the context of every long command.

#[cfg(feature = "train")]
use std::path::Path;
use std::sync::Arc;

use crate::actor::StopLatch;
use crate::base::Progress;
use crate::pipeline::observe::TopologyRegistry;
#[cfg(feature = "train")]
use crate::report::live_history;
#[cfg(feature = "train")]
use crate::run::device::ChosenDevice;
use crate::telemetry::{Endpoint, ShownRun};

/// Context of every long command.
#[derive(Clone)]
pub struct Session {
    /// Runtime of the actors' life cycles.
    pub runtime: tokio::runtime::Handle,
    /// Latch that ends the work.
    pub stop: StopLatch,
    /// Display of progress.
    pub progress: Arc<dyn Progress>,
    /// Board of the running topologies.
    pub board: TopologyRegistry,
    /// Endpoint of the metrics, for a run's folder.
    pub endpoint: Endpoint,
    /// Run that the endpoint shows.
    pub shown_run: ShownRun,
}

#[cfg(feature = "train")]
impl Session {
    /// Says, at any log level, that a run is on the CPU because there is no GPU; once in a process.
    pub(super) fn tell_fallback(&self, chosen: &ChosenDevice) {
        static TOLD: std::sync::Once = std::sync::Once::new();
        if let Some(notice) = chosen.fallback_notice() {
            TOLD.call_once(|| self.progress.print_line(&notice));
        }
    }

    /// Has the endpoint show the history of the run in `folder`, whose journal is open.
    pub(super) fn show_run(&self, folder: &Path) {
        self.shown_run.show_history(live_history(folder));
    }
}
