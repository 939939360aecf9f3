//! Health of a run, as `/healthz` answers it. Set by the watchdog and the trainer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Problems by the watcher that reported them. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Health {
    /// Reports a problem of `watcher`; replaces its earlier one.
    pub fn report_problem(&self, watcher: &'static str, reason: impl Into<String>) {
        self.with_problems(|all| all.insert(watcher, reason.into()));
    }

    /// Clears the problem of `watcher`.
    pub fn clear_problem(&self, watcher: &'static str) {
        self.with_problems(|all| all.remove(watcher));
    }

    /// Lists every problem, one a line as `watcher: reason`; `None` when all is well.
    pub fn unhealthy_reason(&self) -> Option<String> {
        self.with_problems(|all| {
            let lines: Vec<String> =
                all.iter().map(|(watcher, reason)| format!("{watcher}: {reason}")).collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        })
    }

    fn with_problems<T>(&self, f: impl FnOnce(&mut BTreeMap<&'static str, String>) -> T) -> T {
        // Nothing in here can leave the map half changed, so a panic elsewhere does not matter.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
