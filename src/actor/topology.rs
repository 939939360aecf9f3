//! Typed builder of a topology: a source, stages, a sink; wired, checked and started.
//!
//! A stage's input must be the output of the one before it, or it does not compile. Nothing runs
//! before [`Assembly::start`].

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::actor::actor_cell::ActorCell;
use crate::actor::mailbox::{Inbox, mailbox};
use crate::actor::shell::TopologyContext;
use crate::actor::skip_account::{EarlierSkips, SkipAccount};
use crate::actor::source_sink::{Resolver, issue_items};
use crate::actor::thread_tracker::ThreadTracker;
use crate::actor::ticket::{SkipBudget, TicketPool, TicketedItem};
use crate::actor::watchdog::watch_for_stalls;
use crate::actor::worker::worker_factory;
use crate::actor::{Feed, Hooks, Observer, RunningTopology, Sink, Source, Stage, StopLatch};
use crate::base::Fault;
use crate::telemetry::Activity;

/// Limits of a topology's memory, skips and waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Items that may exist between source and sink; memory is this times the largest item.
    pub tickets: usize,
    /// Items that may be skipped before the run fails.
    pub skip_budget: SkipBudget,
    /// Time without any progress that is a fault.
    pub stall_after: Duration,
    /// Time that a join waits, after an abort, for threads that are inside a stage.
    pub grace: Duration,
}

impl Limits {
    /// Limits with so many tickets, no skips, two minutes to a stall (a case decoded from a cold
    /// network disk, the slowest item, takes seconds) and ten seconds of grace.
    pub const fn new(tickets: usize) -> Self {
        Self {
            tickets,
            skip_budget: SkipBudget::NONE,
            stall_after: Duration::from_secs(120),
            grace: Duration::from_secs(10),
        }
    }
}

type ActorStarter = Box<dyn FnOnce(&Arc<TopologyContext>) -> Result<(), Fault>>;

struct TopologyPlan {
    name: &'static str,
    limits: Limits,
    latch: StopLatch,
    hooks: Hooks,
    skips: SkipAccount,
    actors: Vec<Arc<ActorCell>>,
    /// Starters of the actors, in the same order.
    starters: Vec<ActorStarter>,
    /// First invalid count.
    refused: Option<Fault>,
}

impl TopologyPlan {
    fn require_at_least_one(&mut self, what: String, count: usize, why: &str) {
        if count == 0 && self.refused.is_none() {
            self.refused = Some(Fault::Environment {
                subject: format!("topology {}: {what}", self.name),
                problem: "is 0".to_owned(),
                remedy: why.to_owned(),
            });
        }
    }
}

/// Builder of a topology: name, limits, and the latch that stops it.
pub struct Topology(TopologyPlan);

/// Builder of a topology up to some stage, whose output is `T`.
pub struct Chain<T> {
    plan: TopologyPlan,
    tail: Inbox<TicketedItem<T>>,
}

/// A complete topology, not yet running.
pub struct Assembly<T> {
    plan: TopologyPlan,
    output: Inbox<T>,
    feed: Arc<ActorCell>,
}

impl Topology {
    /// Makes an empty topology, which stops with `stop`; a fault in it aborts all of `stop`.
    pub fn new(name: &'static str, limits: Limits, stop: &StopLatch) -> Self {
        let mut plan = TopologyPlan {
            name,
            limits,
            latch: stop.child(),
            hooks: Hooks::default(),
            skips: SkipAccount::within(limits.skip_budget),
            actors: Vec::new(),
            starters: Vec::new(),
            refused: None,
        };
        plan.require_at_least_one("tickets".to_owned(), limits.tickets, "raise loader.memory");
        Self(plan)
    }

    /// Calls `hooks` on the topology's threads.
    #[must_use]
    pub fn with_hooks(mut self, hooks: Hooks) -> Self {
        self.0.hooks = hooks;
        self
    }

    /// Counts skips on from `earlier` ones, and those of one subject, of which there are `subjects`,
    /// once: the run fails when both the items and the subjects are over the budget.
    #[must_use]
    pub fn with_subjects(mut self, subjects: u64, earlier: EarlierSkips) -> Self {
        self.0.skips = self.0.skips.about_subjects(subjects, earlier);
        self
    }

    /// Adds the source.
    pub fn source<S: Source>(self, source: S) -> Chain<S::Item> {
        let mut plan = self.0;
        let (outbox, tail) = mailbox(plan.limits.tickets);
        let actor = ActorCell::new(S::NAME, None, 1, None);
        plan.actors.push(Arc::clone(&actor));
        plan.starters.push(Box::new(move |context| {
            let own = Arc::clone(context);
            context.spawn_end(&actor, Activity::Blocked, move |handle| {
                issue_items(&own, source, &outbox, handle)
            })
        }));
        Chain { plan, tail }
    }
}

impl<T: Send + 'static> Chain<T> {
    /// Adds a stage with `workers` workers, each with a stage of its own from `factory`.
    #[must_use]
    pub fn stage<S, F>(self, factory: F, workers: usize) -> Chain<S::Out>
    where
        S: Stage<In = T>,
        F: Fn() -> S + Send + Sync + 'static,
    {
        let Self { mut plan, tail: inbox } = self;
        let key = format!("workers of {}", S::NAME);
        plan.require_at_least_one(key, workers, "give every stage a worker");
        let (outbox, tail) = mailbox(plan.limits.tickets);
        let factory = Arc::new(factory);
        let queue = (inbox.control(), plan.limits.tickets);
        let more_workers = worker_factory(&factory, &inbox, &outbox);
        let actor = ActorCell::new(S::NAME, Some(queue), workers, Some(more_workers));
        plan.actors.push(Arc::clone(&actor));
        plan.starters.push(Box::new(move |context| {
            // The actor's references to these are weak: they live here until workers have them.
            let _stage = (factory, inbox, outbox);
            context.spawn_missing_workers(&actor)
        }));
        Chain { plan, tail }
    }

    /// Adds the sink, with `prefetch` places for its outputs.
    pub fn sink<S: Sink<In = T>>(self, sink: S, prefetch: usize) -> Assembly<S::Out> {
        let Self { mut plan, tail: inbox } = self;
        let (outbox, output) = mailbox(prefetch);
        let queue = (inbox.control(), plan.limits.tickets);
        let actor = ActorCell::new(S::NAME, Some(queue), 1, None);
        let feed = ActorCell::new("feed", Some((output.control(), prefetch)), 1, None);
        plan.actors.push(Arc::clone(&actor));
        plan.starters.push(Box::new(move |context| {
            let resolver = Resolver { context: Arc::clone(context), sink, inbox, output: outbox };
            context.spawn_end(&actor, Activity::Busy, move |handle| resolver.run(handle))
        }));
        Assembly { plan, output, feed }
    }
}

impl<T: Send + 'static> Assembly<T> {
    /// Starts every thread, the sink first, and the supervisor on `runtime`, which must have a timer.
    ///
    /// # Errors
    /// A count that is 0, or a thread that the system refuses; those started before it end.
    pub fn start(self, runtime: &Handle) -> Result<(Feed<T>, RunningTopology), Fault> {
        let Self { plan, output, feed } = self;
        if let Some(refused) = plan.refused {
            return Err(refused);
        }
        let Limits { tickets, stall_after, grace, .. } = plan.limits;
        let context = Arc::new(TopologyContext {
            topology: plan.name,
            pool: TicketPool::new(tickets, plan.skips, plan.latch.clone()),
            latch: plan.latch,
            threads: Arc::new(ThreadTracker::default()),
            hooks: plan.hooks,
            actors: plan.actors,
            feed,
        });
        context.close_on_stop();
        // Made first: if a thread cannot be started, dropping it aborts those that were.
        let handle = context.feed.add_worker("feed".to_owned(), Activity::Busy);
        let feed = Feed::new(output, context.latch.clone(), handle);
        for start in plan.starters.into_iter().rev() {
            start(&context)?;
        }
        let observer = Observer(Arc::clone(&context));
        runtime.spawn(watch_for_stalls(observer.clone(), stall_after, grace));
        Ok((feed, RunningTopology { observer, grace }))
    }
}
