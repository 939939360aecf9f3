//! Session: the context of every long command.

use std::sync::Arc;

use crate::actor::StopLatch;
use crate::base::Progress;
use crate::pipeline::observe::TopologyRegistry;
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
}
