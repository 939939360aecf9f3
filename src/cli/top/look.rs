//! One look at a run: everything that its endpoint says at one moment.

use std::time::Duration;

use serde::Deserialize;

use crate::cli::top::ask;
use crate::telemetry::exposition::Scrape;

/// How long one answer may take: longer than the endpoint gives itself for `/topology`.
const PATIENCE: Duration = Duration::from_secs(4);

/// What an endpoint said.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// Seconds after the first look of this process.
    pub(super) at: f64,
    /// Of `/metrics`.
    pub(super) scrape: Scrape,
    /// Of `/topology`; none where it did not answer.
    pub(super) topologies: Vec<Topology>,
    /// The complaint of `/healthz`, if it has one.
    pub(super) complaint: Option<String>,
    /// Whose answer it is.
    pub(super) instance: Option<String>,
}

/// A topology as `/topology` describes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Topology {
    #[serde(rename = "topology")]
    pub(super) name: String,
    pub(super) actors: Vec<Actor>,
    pub(super) feed: Actor,
    pub(super) verdict: Verdict,
}

/// An actor, or the consumer, with its clocks since it began, in seconds of all its workers.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Actor {
    pub(super) name: String,
    pub(super) workers: usize,
    pub(super) items: u64,
    pub(super) busy_seconds: f64,
    pub(super) starved_seconds: f64,
    pub(super) blocked_seconds: f64,
    pub(super) worker_seconds: f64,
    pub(super) queue_depth: usize,
    pub(super) queue_capacity: usize,
    pub(super) busy_now: usize,
    pub(super) starved_now: usize,
    pub(super) blocked_now: usize,
}

/// What holds the topology back, since it began.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Verdict {
    pub(super) bottleneck: String,
    pub(super) sentence: String,
}

impl Topology {
    /// Whether anybody in it works or waits: one that has ended stays on show as long as the run does.
    pub(super) fn is_alive(&self) -> bool {
        self.actors.iter().any(|actor| actor.busy_now + actor.starved_now + actor.blocked_now > 0)
    }
}

impl Look {
    /// Asks `host:port` for everything. Only `/metrics` must answer: a stuck actor can keep the
    /// topology from being described, and then the rest is what one wants to see.
    ///
    /// # Errors
    /// In words for people: who answers is not there, or is something else.
    pub(super) fn take(address: &str, at: f64) -> Result<Self, String> {
        let metrics = ask::get(address, "/metrics", PATIENCE).map_err(|error| error.to_string())?;
        if metrics.status != 200 {
            return Err(format!("/metrics answers with status {}", metrics.status));
        }
        let scrape = Scrape::parse(&metrics.body).map_err(|error| error.to_string())?;
        let topology = ask::get(address, "/topology", PATIENCE).ok();
        let described = topology.filter(|answer| answer.status == 200);
        let topologies = described.map_or_else(Vec::new, |answer| topologies(&answer.body));
        let health = ask::get(address, "/healthz", PATIENCE).ok();
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

/// The topologies of a `/topology`; none before the run has one, or from another version that
/// describes them otherwise.
pub(super) fn topologies(json: &str) -> Vec<Topology> {
    serde_json::from_str::<Option<Vec<Topology>>>(json).ok().flatten().unwrap_or_default()
}
