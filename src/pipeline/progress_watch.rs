//! Checks of a topology and of the trainer that it feeds for progress, which `/healthz` shows.

use std::time::{Duration, Instant};

use smart_default::SmartDefault;

use crate::actor::{Observer, Watchdog};

/// Times without progress after which a run is no longer healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SmartDefault)]
pub struct HealthLimits {
    /// For a loader that has work: half of the time after which its watchdog ends the run.
    #[default(Duration::from_secs(60))]
    pub loader: Duration,
    /// For a trainer between two batches: a step that takes longer is a stall for the alerts, too.
    #[default(Duration::from_secs(300))]
    pub trainer: Duration,
}

/// Progress of one topology and of its consumer.
#[derive(Debug, Clone)]
pub(super) struct ProgressWatch {
    watchdog: Watchdog,
    trainer_limit: Duration,
    /// Batches that the trainer had taken, and when that, or a reason not to, was seen last.
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

    /// Problem of the trainer: it has neither taken a batch nor had a reason not to, which is a wait
    /// for the loader or a validation, for too long. It has taken `batches` so far.
    pub(super) fn trainer_problem(
        &mut self,
        batches: u64,
        has_reason: bool,
        now: Instant,
    ) -> Option<String> {
        if batches != self.taken.0 || has_reason {
            self.taken = (batches, now);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trainer_is_idle_after_the_limit_unless_it_waits_or_validates() {
        let start = Instant::now();
        let mut watch = ProgressWatch::within_limits(HealthLimits::default(), start);
        let looks = [
            (0, 299, false),
            (0, 300, false),
            (1, 301, false),
            (1, 500, false),
            (1, 900, true),
            (1, 1199, false),
            (1, 1200, false),
        ];
        let found = looks.map(|(batches, second, has_reason)| {
            let now = start + Duration::from_secs(second);
            watch.trainer_problem(batches, has_reason, now).is_some()
        });
        assert_eq!(found, [false, true, false, false, false, false, true]);
    }
}
