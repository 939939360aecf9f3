//! Session: the context of every long command.

use std::sync::Arc;

use crate::actor::StopLatch;
use crate::base::{Progress, SilentProgress};
use crate::pipeline::observe::TopologyRegistry;
use crate::run_folder::EventObserver;
use crate::telemetry::Endpoint;

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
    /// Callback for every event that a run writes to its journal.
    pub event_observer: Option<EventObserver>,
}

impl Session {
    /// Session of a program that embeds the crate: without signal handlers, display and endpoint.
    pub fn new_unattended(runtime: tokio::runtime::Handle) -> Self {
        Self {
            runtime,
            stop: StopLatch::new(),
            progress: Arc::new(SilentProgress),
            board: TopologyRegistry::default(),
            endpoint: Endpoint::of_this_process(),
            event_observer: None,
        }
    }
}
