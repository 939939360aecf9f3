//! Detects a stall: no progress although there is work inside and the consumer does not wait.
//!
//! A slow consumer is not a stall (the sink waits for it), and neither is a source that waits for
//! the outside while nothing is in flight. A worker that never returns is: sooner or later it has
//! the oldest ticket, all others are behind it, and the report shows which worker has which item,
//! and for how long.

use std::time::{Duration, Instant};

use crate::actor::StopState;
use crate::actor::observe::{Observer, ProgressSnapshot};
use crate::actor::thread_tracker::WaitOutcome;
use crate::base::Fault;

/// Checks per stall period: a stall is noticed at most a quarter of the period late.
const CHECKS_PER_PERIOD: u32 = 4;

/// Detects a stall from the time of the last progress.
#[derive(Debug, Clone)]
pub struct Watchdog {
    stall_after: Duration,
    progress: u64,
    since: Instant,
}

impl Watchdog {
    /// Makes a watchdog that reports a stall after `stall_after` without progress.
    pub fn new(stall_after: Duration, now: Instant) -> Self {
        Self { stall_after, progress: 0, since: now }
    }

    /// Time that the observed topology has been without progress, if it is a stall.
    pub fn check_topology(&mut self, observer: &Observer, now: Instant) -> Option<Duration> {
        self.check_stall(observer.progress_snapshot(), now)
    }

    /// Time without progress, if it is a stall.
    fn check_stall(&mut self, snapshot: ProgressSnapshot, now: Instant) -> Option<Duration> {
        let moved = snapshot.progress != self.progress;
        if moved || snapshot.output_is_full || !snapshot.work_waits {
            self.progress = snapshot.progress;
            self.since = now;
            return None;
        }
        let quiet = now.duration_since(self.since);
        (quiet >= self.stall_after).then_some(quiet)
    }
}

/// Watches a topology for stalls until its last thread has ended.
pub(super) async fn watch_for_stalls(observer: Observer, stall_after: Duration, grace: Duration) {
    let mut watchdog = Watchdog::new(stall_after, Instant::now());
    let pause = (stall_after / CHECKS_PER_PERIOD).max(Duration::from_millis(1));
    let left = loop {
        let ended = tokio::time::timeout(pause, observer.0.threads.wait(grace)).await;
        if let Ok(left) = ended {
            break left;
        }
        let Some(quiet) = watchdog.check_topology(&observer, Instant::now()) else { continue };
        if observer.0.latch.state() < StopState::Aborted {
            observer.0.latch.abort(Some(stall_fault(&observer, quiet)));
        }
    };
    let topology = observer.topology_name();
    if let WaitOutcome::Stuck(stuck) = left {
        let report = observer.worker_report();
        tracing::error!(topology, stuck, %report, "threads left behind, stuck in a stage");
    }
    tracing::debug!(topology, ledger = ?observer.ticket_counts(), "ended");
}

/// Fault of a topology without progress.
pub(super) fn stall_fault(observer: &Observer, quiet: Duration) -> Fault {
    Fault::Stalled { seconds: quiet.as_secs(), report: observer.worker_report() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(10);

    fn sight(progress: u64) -> ProgressSnapshot {
        ProgressSnapshot { progress, output_is_full: false, work_waits: true }
    }

    /// What the watchdog says at each of the given seconds.
    fn looks(sights: &[(u64, ProgressSnapshot)]) -> Vec<Option<u64>> {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(STALL, start);
        let mut said = Vec::new();
        for &(second, sight) in sights {
            let quiet = watchdog.check_stall(sight, start + Duration::from_secs(second));
            said.push(quiet.map(|quiet| quiet.as_secs()));
        }
        said
    }

    #[test]
    fn work_that_does_not_move_is_a_stall_after_the_period_and_not_before() {
        let said = looks(&[(1, sight(5)), (10, sight(5)), (11, sight(5)), (12, sight(6))]);
        assert_eq!(said, [None, None, Some(10), None]);
    }

    #[test]
    fn waiting_for_the_consumer_is_no_stall_and_restarts_the_period() {
        let full = ProgressSnapshot { output_is_full: true, ..sight(5) };
        assert_eq!(looks(&[(1, full), (60, full), (65, sight(5))]), [None; 3]);
        assert_eq!(looks(&[(1, full), (60, full), (71, sight(5))]), [None, None, Some(11)]);
    }

    #[test]
    fn an_empty_topology_whose_source_waits_is_no_stall() {
        let empty = ProgressSnapshot { work_waits: false, ..sight(5) };
        assert_eq!(looks(&[(1, empty), (60, empty), (600, empty)]), [None; 3]);
    }
}
