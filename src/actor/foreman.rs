//! Keeps the workers of a topology where they help most, for as long as it runs.
//!
//! What to change is [`Balance`]'s decision, and how is that of a [`Crew`](crate::actor::crew::Crew);
//! here is the timer between the two.

use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::actor::balance::Balance;
use crate::actor::feed::Running;

/// Time between two looks: many items of a warm loader, and soon enough for a cold one, whose looks
/// grow until they have seen enough.
pub const TICK: Duration = Duration::from_secs(1);

/// Worker threads that use the machine up and no more: one stage can have every core, and each of
/// the others still has a thread of its own, which may hardly run.
pub fn threads_for(stages: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores + stages.saturating_sub(1)
}

/// Shares `threads` workers out among the stages of `running`, looking every `tick` ([`TICK`]), until
/// it has ended, on a `runtime` with a timer. Batches do not depend on it.
pub fn keep_balanced(running: &Running, threads: usize, tick: Duration, runtime: &Handle) {
    let (observer, crew, grace) = (running.observer(), running.crew(), running.grace);
    runtime.spawn(async move {
        let mut balance = Balance::new(threads);
        let topology = observer.topology();
        while tokio::time::timeout(tick, observer.0.roll.wait(grace)).await.is_err() {
            for change in balance.look(observer.observations(), observer.feed()) {
                let (stage, from, to) = (change.stage, change.from, change.to);
                if let Err(refused) = crew.resize(stage, to) {
                    tracing::warn!(topology, stage, %refused, "workers stay where they are");
                    return;
                }
                tracing::info!(topology, stage, from, to, "workers moved");
            }
        }
    });
}
