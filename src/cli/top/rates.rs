//! Recent rates: the newest snapshot of a run against one of a few seconds ago.

use std::collections::VecDeque;

use crate::cli::top::snapshot::{EndpointActor, EndpointSnapshot, EndpointTopology};

/// Span of the rates, in seconds: steps of a large network take about as long.
const SPAN: f64 = 10.0;

/// The snapshots of the last seconds, at least the newest two; never empty.
#[derive(Debug, Clone)]
pub(super) struct SnapshotWindow {
    newest: EndpointSnapshot,
    /// Oldest first.
    earlier: VecDeque<EndpointSnapshot>,
}

impl SnapshotWindow {
    pub(super) const fn new(first: EndpointSnapshot) -> Self {
        Self { newest: first, earlier: VecDeque::new() }
    }

    /// Adds the next snapshot. One of another process replaces those before.
    pub(super) fn add_snapshot(&mut self, snapshot: EndpointSnapshot) {
        if snapshot.instance != self.newest.instance {
            *self = Self::new(snapshot);
            return;
        }
        self.earlier.push_back(std::mem::replace(&mut self.newest, snapshot));
        // The one before the span's start stays, so that the span is covered.
        while self.earlier.get(1).is_some_and(|next| next.at <= self.newest.at - SPAN) {
            self.earlier.pop_front();
        }
    }

    pub(super) const fn newest(&self) -> &EndpointSnapshot {
        &self.newest
    }

    /// Seconds that the rates span; 0 after a single snapshot.
    pub(super) fn span_seconds(&self) -> f64 {
        self.earlier.front().map_or(0.0, |oldest| self.newest.at - oldest.at)
    }

    /// Growth of a counter per second, over all series that fit.
    pub(super) fn counter_rate(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let oldest = self.earlier.front()?;
        let now = self.newest.scrape.sum_values(name, labels)?;
        let then = oldest.scrape.sum_values(name, labels)?;
        let seconds = self.span_seconds();
        // A counter that fell belongs to another process without a signature.
        (seconds > 0.0 && now >= then).then(|| (now - then) / seconds)
    }

    /// Items per second at the end of a topology.
    pub(super) fn throughput(&self, topology: &EndpointTopology) -> Option<f64> {
        let sink = topology.actors.last()?;
        let then = find_actor(self.earlier.front()?, topology, sink)?;
        let seconds = self.span_seconds();
        let out = sink.items.checked_sub(then.items)?;
        (seconds > 0.0).then(|| out as f64 / seconds)
    }

    /// Shares of an actor's time that it was busy, starved and blocked; since it began if there is
    /// no earlier snapshot, and `None` if no time has passed for it.
    pub(super) fn time_shares(
        &self,
        topology: &EndpointTopology,
        actor: &EndpointActor,
    ) -> Option<[f64; 3]> {
        let before = self.earlier.front().and_then(|oldest| find_actor(oldest, topology, actor));
        // A topology of the same name may have begun anew, with clocks from zero.
        let before = before.filter(|then| then.worker_seconds <= actor.worker_seconds);
        let spent = |clock: fn(&EndpointActor) -> f64| clock(actor) - before.map_or(0.0, clock);
        let all = spent(|actor| actor.worker_seconds);
        let clocks: [fn(&EndpointActor) -> f64; 3] =
            [|a| a.busy_seconds, |a| a.starved_seconds, |a| a.blocked_seconds];
        (all > 0.0).then(|| clocks.map(|clock| (spent(clock) / all).clamp(0.0, 1.0)))
    }
}

/// Finds the same actor in another snapshot.
fn find_actor<'a>(
    snapshot: &'a EndpointSnapshot,
    topology: &EndpointTopology,
    actor: &EndpointActor,
) -> Option<&'a EndpointActor> {
    let same = snapshot.topologies.iter().find(|there| there.name == topology.name)?;
    same.actors.iter().chain([&same.feed]).find(|there| there.name == actor.name)
}

#[cfg(test)]
mod tests {
    use super::super::test_recordings::{self, test_actor, test_snapshot};
    use super::*;

    #[test]
    fn a_rate_is_over_the_last_seconds_and_not_over_the_whole_run() {
        let mut window =
            SnapshotWindow::new(test_snapshot(0.0, "x_total{a=\"1\"} 0\nx_total{a=\"2\"} 500\n"));
        assert_eq!(window.counter_rate("x_total", &[]), None, "one look tells no rate");
        for second in 1..=60u32 {
            let grown = if second <= 40 { 1000 } else { 1000 + 3 * (second - 40) };
            let text = format!("x_total{{a=\"1\"}} {grown}\nx_total{{a=\"2\"}} 500\n");
            window.add_snapshot(test_snapshot(f64::from(second), &text));
        }
        assert_eq!(window.span_seconds(), SPAN);
        assert_eq!(window.counter_rate("x_total", &[]), Some(3.0));
        assert_eq!(window.counter_rate("x_total", &[("a", "2")]), Some(0.0));
        assert_eq!(window.counter_rate("y_total", &[]), None);
        window.add_snapshot(test_snapshot(61.0, "x_total{a=\"1\"} 2\n"));
        assert_eq!(window.counter_rate("x_total", &[]), None, "it began anew");
    }

    #[test]
    fn looks_at_another_process_do_not_mix() {
        let mut window = SnapshotWindow::new(test_snapshot(0.0, "x_total 5\n"));
        window.add_snapshot(EndpointSnapshot {
            instance: Some("other".into()),
            ..test_snapshot(1.0, "x_total 9\n")
        });
        assert_eq!((window.span_seconds(), window.counter_rate("x_total", &[])), (0.0, None));
    }

    #[test]
    fn shares_add_up_to_the_time_between_two_looks_of_all_workers() {
        let at = |seconds: f64, crop: EndpointActor| {
            let line = test_recordings::test_topology(
                "train",
                vec![crop],
                test_actor("feed", 1, [seconds, 0.0, 0.0]),
            );
            EndpointSnapshot { topologies: vec![line], ..test_snapshot(seconds, "") }
        };
        let mut window = SnapshotWindow::new(at(0.0, test_actor("crop", 2, [20.0, 60.0, 0.0])));
        let crop = |clocks, items| EndpointActor { items, ..test_actor("crop", 2, clocks) };
        let shares = |window: &SnapshotWindow| {
            let line = &window.newest().topologies[0];
            window.time_shares(line, &line.actors[0]).unwrap()
        };
        assert_eq!(shares(&window), [0.25, 0.75, 0.0], "since it began");
        window.add_snapshot(at(5.0, crop([28.0, 61.0, 1.0], 20)));
        assert_eq!(shares(&window), [0.8, 0.1, 0.1]);
        assert_eq!(window.throughput(&window.newest().topologies[0]), Some(4.0));
        window.add_snapshot(at(6.0, test_actor("crop", 2, [1.0, 1.0, 0.0])));
        assert_eq!(shares(&window), [0.5, 0.5, 0.0], "a second topology of that name");
        window.add_snapshot(at(7.0, test_actor("crop", 2, [0.0; 3])));
        let line = &window.newest().topologies[0];
        assert_eq!(window.time_shares(line, &line.actors[0]), None);
    }
}
