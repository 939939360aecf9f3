//! A snapshot of a run: all responses of its endpoint at one moment.

use std::time::Duration;

use serde::Deserialize;

use crate::actor::Observation;
use crate::cli::top::http;
use crate::pipeline::BottleneckVerdict;
use crate::telemetry::Scrape;

/// Longest wait for a response: longer than the endpoint gives itself for `/topology`.
const PATIENCE: Duration = Duration::from_secs(4);

/// Responses of an endpoint at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct EndpointSnapshot {
    /// Seconds after the first snapshot.
    pub(super) at: f64,
    /// Response of `/metrics`.
    pub(super) scrape: Scrape,
    /// Response of `/topology`; empty if there is none.
    pub(super) topologies: Vec<EndpointTopology>,
    /// Complaint of `/healthz`, if it has one.
    pub(super) complaint: Option<String>,
    pub(super) instance: Option<String>,
}

/// A topology as `/topology` describes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct EndpointTopology {
    #[serde(rename = "topology")]
    pub(super) name: String,
    pub(super) actors: Vec<EndpointActor>,
    pub(super) feed: EndpointActor,
    /// Bottleneck of the topology since it began.
    pub(super) verdict: BottleneckVerdict,
}

/// An actor, or the consumer, since it began.
pub(super) type EndpointActor = Observation<String>;

impl EndpointTopology {
    /// Returns true if any worker is busy or waits: an ended topology stays listed as long as the
    /// run goes on.
    pub(super) fn is_alive(&self) -> bool {
        self.actors.iter().any(|actor| actor.busy_now + actor.starved_now + actor.blocked_now > 0)
    }
}

impl EndpointSnapshot {
    /// Requests everything from `host:port`. Only `/metrics` must respond: a stuck actor can block
    /// `/topology`, and then the rest is of use.
    ///
    /// # Errors
    /// If the endpoint does not respond, or is another program's; as text for people.
    pub(super) fn fetch_from(address: &str, at: f64) -> Result<Self, String> {
        let metrics =
            http::get(address, "/metrics", PATIENCE).map_err(|error| error.to_string())?;
        if metrics.status != 200 {
            return Err(format!("/metrics answers with status {}", metrics.status));
        }
        let scrape = Scrape::parse(&metrics.body).map_err(|error| error.to_string())?;
        let topology = http::get(address, "/topology", PATIENCE).ok();
        let described = topology.filter(|answer| answer.status == 200);
        let topologies = described.map_or_else(Vec::new, |answer| parse_topologies(&answer.body));
        let health = http::get(address, "/healthz", PATIENCE).ok();
        let complaint = health.filter(|answer| answer.status == 503);
        Ok(Self {
            at,
            scrape,
            topologies,
            complaint: complaint.map(|answer| answer.body.trim().to_owned()),
            instance: metrics.instance,
        })
    }
}

/// Parses a response of `/topology`; empty before the run has one, or in the format of another
/// version.
pub(super) fn parse_topologies(json: &str) -> Vec<EndpointTopology> {
    serde_json::from_str::<Option<Vec<EndpointTopology>>>(json).ok().flatten().unwrap_or_default()
}
