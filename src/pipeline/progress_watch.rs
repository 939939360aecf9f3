//! Checks of a topology and of the trainer that it feeds for progress, which `/healthz` shows.

use std::time::{Duration, Instant};

use crate::actor::observe::Observer;
use crate::actor::watchdog::Watchdog;

/// Times without progress after which a run is no longer healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthLimits {
    /// For a loader that has work: half of the time after which its watchdog ends the run.
    pub loader: Duration,
    /// For a trainer between two batches: a step that takes longer is a stall for the alerts, too.
    pub trainer: Duration,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self { loader: Duration::from_secs(60), trainer: Duration::from_secs(300) }
    }
}

/// Progress of one topology and of its consumer.
#[derive(Debug, Clone)]
pub(super) struct ProgressWatch {
    watchdog: Watchdog,
    trainer_limit: Duration,
    /// Outputs that the consumer had taken, and when that or its waiting was seen last.
    taken: (u64, Instant),
}

impl ProgressWatch {
    pub(super) fn within_limits(limits: HealthLimits, now: Instant) -> Self {
        Self {
            watchdog: Watchdog::new(limits.loader, now),
            trainer_limit: limits.trainer,
            taken: (0, now),
        }
    }

    /// Problem of the loader: it has work, and nothing in it has moved for too long.
    pub(super) fn loader_problem(&mut self, observer: &Observer, now: Instant) -> Option<String> {
        let quiet = self.watchdog.check_topology(observer, now)?;
        Some(format!(
            "nothing has moved in {} for {} s; /topology shows which actor is at work",
            observer.topology_name(),
            quiet.as_secs()
        ))
    }

    /// Problem of the trainer: it has neither taken a batch nor waited for one for too long, and no
    /// validation, `is_evaluating`, is the reason.
    pub(super) fn trainer_problem(
        &mut self,
        observer: &Observer,
        is_evaluating: bool,
        now: Instant,
    ) -> Option<String> {
        let feed = observer.feed();
        if feed.items != self.taken.0 || feed.starved_now > 0 || is_evaluating {
            self.taken = (feed.items, now);
        }
        let quiet = now.duration_since(self.taken.1);
        (quiet >= self.trainer_limit).then(|| {
            format!(
                "no batch has been taken for {} s; a step is slow, or the device hangs",
                quiet.as_secs()
            )
        })
    }
}
