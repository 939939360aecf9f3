//! Health of a run, as `/healthz` and the metric `health_problem` show it. Set by the registry of
//! running topologies, the trainer, and the end of a verb.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::catalog;

/// Watcher of the loader: nothing has moved in it for a while although there is work.
pub const WATCHDOG: &str = catalog::WATCHERS[0];
/// Watcher of the trainer: it has taken no batch for a while.
pub const TRAINER: &str = catalog::WATCHERS[1];
/// Watcher of the steps: too many of the last ones were not finite.
pub const STEPS: &str = catalog::WATCHERS[2];
/// Watcher of the run: it failed.
pub const RUN: &str = catalog::WATCHERS[3];
/// Watcher of the checkpoints: the disk does not take them.
pub const CHECKPOINT: &str = catalog::WATCHERS[4];

/// Problems by the watcher that reported them. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Health {
    /// Reports a problem of `watcher`; replaces its earlier one.
    pub fn report_problem(&self, watcher: &'static str, reason: impl Into<String>) {
        self.set_problem(watcher, Some(reason.into()));
    }

    /// Clears the problem of `watcher`.
    pub fn clear_problem(&self, watcher: &'static str) {
        self.set_problem(watcher, None);
    }

    /// Reports the problem that `watcher` has found, or clears its earlier one if it found none.
    pub fn set_problem(&self, watcher: &'static str, found: Option<String>) {
        let value = f64::from(u8::from(found.is_some()));
        catalog::HEALTH_PROBLEM.with_labels([watcher]).set(value);
        let mut problems = self.0.lock();
        match found {
            Some(reason) => problems.insert(watcher, reason),
            None => problems.remove(watcher),
        };
    }

    /// Lists every problem, one a line as `watcher: reason`; `None` when all is well.
    pub fn unhealthy_reason(&self) -> Option<String> {
        let problems = self.0.lock();
        let lines: Vec<String> =
            problems.iter().map(|(watcher, reason)| format!("{watcher}: {reason}")).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_takes_back_its_own_complaint_only() {
        let health = Health::default();
        assert_eq!(health.unhealthy_reason(), None);
        health.report_problem("watchdog", "nothing moved for 60 s");
        health.clone().report_problem("trainer", "loss is not a number");
        health.clear_problem("watchdog");
        assert_eq!(health.unhealthy_reason().as_deref(), Some("trainer: loss is not a number"));
        health.clear_problem("trainer");
        assert_eq!(health.unhealthy_reason(), None);
    }
}
