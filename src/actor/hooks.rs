//! Callbacks on a topology's events: metrics, a journal, a quarantine.

use std::sync::Arc;
use std::time::Duration;

use crate::actor::SkippedItem;

/// Called on the threads of a topology, for metrics and journals; must be quick and not wait.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Called after each item of a stage with the stage's name and the item's service time.
    pub on_item: Option<ItemHook>,
    /// Called for each skipped item, in ticket order.
    pub on_skip: Option<SkipHook>,
}

/// See [`Hooks::on_item`].
pub type ItemHook = Arc<dyn Fn(&'static str, Duration) + Send + Sync>;
/// See [`Hooks::on_skip`].
pub type SkipHook = Arc<dyn Fn(&SkippedItem) + Send + Sync>;
