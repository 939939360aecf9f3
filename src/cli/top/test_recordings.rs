//! Recorded snapshots of an endpoint, for tests.

use crate::cli::top::snapshot::{
    EndpointActor, EndpointSnapshot, EndpointTopology, parse_topologies,
};
use crate::pipeline::{Bottleneck, BottleneckVerdict};
use crate::telemetry::Scrape;

/// A training run on a card, scraped twice 5 s apart.
pub(super) const METRICS: [&str; 2] = [
    include_str!("../../../tests/fixtures/top/metrics_0.prom"),
    include_str!("../../../tests/fixtures/top/metrics_5.prom"),
];

/// Topologies of a run, 5 s apart, with this bottleneck: `augment` or `trainer`.
pub(super) fn recorded_topologies(bottleneck: &str) -> [Vec<EndpointTopology>; 2] {
    let texts = match bottleneck {
        "augment" => [
            include_str!("../../../tests/fixtures/top/augment_0.json"),
            include_str!("../../../tests/fixtures/top/augment_5.json"),
        ],
        "trainer" => [
            include_str!("../../../tests/fixtures/top/trainer_0.json"),
            include_str!("../../../tests/fixtures/top/trainer_5.json"),
        ],
        other => panic!("nothing is recorded of {other}"),
    };
    texts.map(parse_topologies)
}

/// Snapshot with metrics alone.
pub(super) fn test_snapshot(at: f64, metrics: &str) -> EndpointSnapshot {
    EndpointSnapshot { at, scrape: Scrape::parse(metrics).unwrap(), ..EndpointSnapshot::default() }
}

/// An actor after these seconds busy, starved and blocked.
pub(super) fn test_actor(name: &str, workers: usize, clocks: [f64; 3]) -> EndpointActor {
    let [busy_seconds, starved_seconds, blocked_seconds] = clocks;
    EndpointActor {
        name: name.into(),
        workers,
        items: 0,
        busy_seconds,
        starved_seconds,
        blocked_seconds,
        worker_seconds: clocks.iter().sum(),
        queue_depth: 0,
        queue_capacity: 4,
        restarts: 0,
        busy_now: 0,
        starved_now: workers,
        blocked_now: 0,
    }
}

/// Topology without a bottleneck.
pub(super) fn test_topology(
    name: &str,
    actors: Vec<EndpointActor>,
    feed: EndpointActor,
) -> EndpointTopology {
    let verdict = BottleneckVerdict {
        bottleneck: Bottleneck::None,
        sentence: "nothing was delivered".into(),
    };
    EndpointTopology { name: name.into(), actors, feed, verdict }
}
