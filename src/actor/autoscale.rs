//! Moves the workers of a running topology to its slowest stages.
//!
//! [`WorkerBalancer`] decides what to change, a
//! [`WorkerScaler`](crate::actor::WorkerScaler) changes it; here is the timer
//! between the two.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::actor::{RunningTopology, WorkerBalancer, WorkerChange};
use crate::base::core_count;

/// Time between two observations: many items of a warm loader. A cold one is judged over several,
/// until enough items have passed.
pub const TICK: Duration = Duration::from_secs(1);

/// Number of worker threads that uses the machine up and no more: one stage can have every core,
/// and each of the others still has a thread, which may hardly run.
pub fn threads_for(stages: usize) -> usize {
    let cores = core_count();
    cores + stages.saturating_sub(1)
}

/// Shares `threads` workers out among the stages of `running` every `tick` (`TICK`) until it has
/// ended, on a `runtime` with a timer. Batches do not depend on it.
pub fn keep_balanced(running: &RunningTopology, threads: usize, tick: Duration, runtime: &Handle) {
    let observer = running.observer();
    let scaler = running.worker_scaler();
    let grace = running.grace;
    runtime.spawn(async move {
        let mut balancer = WorkerBalancer::new(threads);
        let topology = observer.topology_name();
        while tokio::time::timeout(tick, observer.0.threads.wait(grace)).await.is_err() {
            for change in balancer.plan_changes(observer.take_snapshot()) {
                let WorkerChange { stage, from, to } = change;
                if let Err(refused) = scaler.resize_stage(stage, to) {
                    tracing::warn!(topology, stage, %refused, "workers stay where they are");
                    return;
                }
                tracing::info!(topology, stage, from, to, "workers moved");
            }
        }
    });
}
