//! Recent rates: the newest snapshot of a run against one of a few seconds ago.

use std::collections::VecDeque;

use crate::cli::top::snapshot::{Actor, Look, Topology};

/// Span of the rates, in seconds: steps of a large network take about as long.
const SPAN: f64 = 10.0;

/// The snapshots of the last seconds, at least the newest two; never empty.
#[derive(Debug, Clone)]
pub(super) struct Window {
    newest: Look,
    /// Oldest first.
    earlier: VecDeque<Look>,
}

impl Window {
    pub(super) const fn new(first: Look) -> Self {
        Self { newest: first, earlier: VecDeque::new() }
    }

    /// Adds the next snapshot. One of another process replaces those before.
    pub(super) fn add(&mut self, look: Look) {
        if look.instance != self.newest.instance {
            *self = Self::new(look);
            return;
        }
        self.earlier.push_back(std::mem::replace(&mut self.newest, look));
        // The one before the span's start stays, so that the span is covered.
        while self.earlier.get(1).is_some_and(|next| next.at <= self.newest.at - SPAN) {
            self.earlier.pop_front();
        }
    }

    pub(super) const fn newest(&self) -> &Look {
        &self.newest
    }

    /// Seconds that the rates span; 0 after a single snapshot.
    pub(super) fn seconds(&self) -> f64 {
        self.earlier.front().map_or(0.0, |oldest| self.newest.at - oldest.at)
    }

    /// Growth of a counter per second, over all series that fit.
    pub(super) fn rate(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let oldest = self.earlier.front()?;
        let now = self.newest.scrape.sum(name, labels)?;
        let then = oldest.scrape.sum(name, labels)?;
        let seconds = self.seconds();
        // A counter that fell belongs to another process without a signature.
        (seconds > 0.0 && now >= then).then(|| (now - then) / seconds)
    }

    /// Items per second at the end of a topology.
    pub(super) fn throughput(&self, topology: &Topology) -> Option<f64> {
        let sink = topology.actors.last()?;
        let then = find(self.earlier.front()?, topology, sink)?;
        let seconds = self.seconds();
        let out = sink.items.checked_sub(then.items)?;
        (seconds > 0.0).then(|| out as f64 / seconds)
    }

    /// Shares of an actor's time that it was busy, starved and blocked; since it began if there is
    /// no earlier snapshot, and `None` if no time has passed for it.
    pub(super) fn shares(&self, topology: &Topology, actor: &Actor) -> Option<[f64; 3]> {
        let before = self.earlier.front().and_then(|oldest| find(oldest, topology, actor));
        // A topology of the same name may have begun anew, with clocks from zero.
        let before = before.filter(|then| then.worker_seconds <= actor.worker_seconds);
        let spent = |clock: fn(&Actor) -> f64| clock(actor) - before.map_or(0.0, clock);
        let all = spent(|actor| actor.worker_seconds);
        let clocks: [fn(&Actor) -> f64; 3] =
            [|a| a.busy_seconds, |a| a.starved_seconds, |a| a.blocked_seconds];
        (all > 0.0).then(|| clocks.map(|clock| (spent(clock) / all).clamp(0.0, 1.0)))
    }
}

/// Finds the same actor in another snapshot.
fn find<'a>(look: &'a Look, topology: &Topology, actor: &Actor) -> Option<&'a Actor> {
    let same = look.topologies.iter().find(|there| there.name == topology.name)?;
    same.actors.iter().chain([&same.feed]).find(|there| there.name == actor.name)
}

#[cfg(test)]
mod tests {
    use super::super::test_recordings::{self, actor, look};
    use super::*;

    #[test]
    fn a_rate_is_over_the_last_seconds_and_not_over_the_whole_run() {
        let mut window = Window::new(look(0.0, "x_total{a=\"1\"} 0\nx_total{a=\"2\"} 500\n"));
        assert_eq!(window.rate("x_total", &[]), None, "one look tells no rate");
        for second in 1..=60u32 {
            let grown = if second <= 40 { 1000 } else { 1000 + 3 * (second - 40) };
            let text = format!("x_total{{a=\"1\"}} {grown}\nx_total{{a=\"2\"}} 500\n");
            window.add(look(f64::from(second), &text));
        }
        assert_eq!(window.seconds(), SPAN);
        assert_eq!(window.rate("x_total", &[]), Some(3.0));
        assert_eq!(window.rate("x_total", &[("a", "2")]), Some(0.0));
        assert_eq!(window.rate("y_total", &[]), None);
        window.add(look(61.0, "x_total{a=\"1\"} 2\n"));
        assert_eq!(window.rate("x_total", &[]), None, "it began anew");
    }

    #[test]
    fn looks_at_another_process_do_not_mix() {
        let mut window = Window::new(look(0.0, "x_total 5\n"));
        window.add(Look { instance: Some("other".into()), ..look(1.0, "x_total 9\n") });
        assert_eq!((window.seconds(), window.rate("x_total", &[])), (0.0, None));
    }

    #[test]
    fn shares_add_up_to_the_time_between_two_looks_of_all_workers() {
        let at = |seconds: f64, crop: Actor| {
            let line = test_recordings::topology(
                "train",
                vec![crop],
                actor("feed", 1, [seconds, 0.0, 0.0]),
            );
            Look { topologies: vec![line], ..look(seconds, "") }
        };
        let mut window = Window::new(at(0.0, actor("crop", 2, [20.0, 60.0, 0.0])));
        let crop = |clocks, items| Actor { items, ..actor("crop", 2, clocks) };
        let shares = |window: &Window| {
            let line = &window.newest().topologies[0];
            window.shares(line, &line.actors[0]).unwrap()
        };
        assert_eq!(shares(&window), [0.25, 0.75, 0.0], "since it began");
        window.add(at(5.0, crop([28.0, 61.0, 1.0], 20)));
        assert_eq!(shares(&window), [0.8, 0.1, 0.1]);
        assert_eq!(window.throughput(&window.newest().topologies[0]), Some(4.0));
        window.add(at(6.0, actor("crop", 2, [1.0, 1.0, 0.0])));
        assert_eq!(shares(&window), [0.5, 0.5, 0.0], "a second topology of that name");
        window.add(at(7.0, actor("crop", 2, [0.0; 3])));
        let line = &window.newest().topologies[0];
        assert_eq!(window.shares(line, &line.actors[0]), None);
    }
}
