//! The typed builder: a source, stages, a sink; wired, checked and started, the sink first.
//!
//! What a stage takes must be what the one before it makes, or it does not compile. Nothing runs
//! before [`Assembly::start`].

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::actor::ends::{Resolver, issue};
use crate::actor::feed::{Feed, Running};
use crate::actor::hooks::Hooks;
use crate::actor::mailbox::{Inbox, mailbox};
use crate::actor::observe::Observer;
use crate::actor::post::Post;
use crate::actor::rollcall::RollCall;
use crate::actor::shell::Shell;
use crate::actor::stage::{Sink, Source, Stage};
use crate::actor::stop::StopLatch;
use crate::actor::ticket::{Flow, SkipBudget, TicketPool};
use crate::actor::watchdog::supervise;
use crate::actor::worker::recruit;
use crate::base::error::Fault;
use crate::telemetry::meter::Activity;

/// What a topology may use, and how long it may take to notice that it is in trouble.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Items that may exist between source and sink; memory is this times the largest item.
    pub tickets: usize,
    /// Items that may be skipped before the run fails.
    pub skip_budget: SkipBudget,
    /// How long nothing may move before that is a fault.
    pub stall_after: Duration,
    /// How long a join waits, after an abort, for threads that are inside a stage.
    pub grace: Duration,
}

impl Limits {
    /// Limits with so many tickets, no skips, two minutes to a stall (the slowest sound item, a case
    /// decoded from a cold network disk, takes seconds) and ten seconds of grace.
    pub const fn new(tickets: usize) -> Self {
        Self {
            tickets,
            skip_budget: SkipBudget::NONE,
            stall_after: Duration::from_secs(120),
            grace: Duration::from_secs(10),
        }
    }
}

/// Starts the threads of one post.
type Spawn = Box<dyn FnOnce(&Arc<Shell>) -> Result<(), Fault>>;

struct Plan {
    name: &'static str,
    limits: Limits,
    latch: StopLatch,
    hooks: Hooks,
    posts: Vec<Arc<Post>>,
    /// In the order of the posts.
    spawns: Vec<Spawn>,
    /// The first thing that cannot be.
    refused: Option<Fault>,
}

impl Plan {
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

/// A topology to be: name, limits, and the latch that stops it.
pub struct Topology(Plan);

/// A topology up to some stage, which makes `T`.
pub struct Chain<T> {
    plan: Plan,
    tail: Inbox<Flow<T>>,
}

/// A complete topology, not yet running.
pub struct Assembly<T> {
    plan: Plan,
    output: Inbox<T>,
    feed: Arc<Post>,
}

impl Topology {
    /// Nothing yet. The topology stops with `stop`, and a fault in it aborts all that `stop` stops.
    pub fn new(name: &'static str, limits: Limits, stop: &StopLatch) -> Self {
        let mut plan = Plan {
            name,
            limits,
            latch: stop.child(),
            hooks: Hooks::default(),
            posts: Vec::new(),
            spawns: Vec::new(),
            refused: None,
        };
        plan.require_at_least_one("tickets".to_owned(), limits.tickets, "raise loader.memory");
        Self(plan)
    }

    /// Calls `hooks` on the topology's threads.
    #[must_use]
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.0.hooks = hooks;
        self
    }

    /// What names the items.
    pub fn source<S: Source>(self, source: S) -> Chain<S::Item> {
        let mut plan = self.0;
        let (outbox, tail) = mailbox(plan.limits.tickets);
        let post = Post::end(S::NAME, None);
        plan.posts.push(Arc::clone(&post));
        plan.spawns.push(Box::new(move |shell| {
            let own = Arc::clone(shell);
            shell.spawn(&post, Activity::Blocked, move |seat| issue(&own, source, &outbox, seat))
        }));
        Chain { plan, tail }
    }
}

impl<T: Send + 'static> Chain<T> {
    /// A stage with so many workers, each with a stage of its own from `factory`.
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
        let queue = (inbox.valve(), plan.limits.tickets);
        let post = Post::stage(S::NAME, queue, workers, recruit(&factory, &inbox, &outbox));
        plan.posts.push(Arc::clone(&post));
        plan.spawns.push(Box::new(move |shell| {
            // The post's handles on these are weak: they live here until the first workers have them.
            let _stage = (factory, inbox, outbox);
            shell.staff(&post)
        }));
        Chain { plan, tail }
    }

    /// What collects the outcomes, in order, with `prefetch` places for its outputs.
    pub fn sink<S: Sink<In = T>>(self, sink: S, prefetch: usize) -> Assembly<S::Out> {
        let Self { mut plan, tail: inbox } = self;
        let (outbox, output) = mailbox(prefetch);
        let post = Post::end(S::NAME, Some((inbox.valve(), plan.limits.tickets)));
        let feed = Post::end("feed", Some((output.valve(), prefetch)));
        plan.posts.push(Arc::clone(&post));
        plan.spawns.push(Box::new(move |shell| {
            let resolver = Resolver { shell: Arc::clone(shell), sink, inbox, output: outbox };
            shell.spawn(&post, Activity::Busy, move |seat| resolver.run(seat))
        }));
        Assembly { plan, output, feed }
    }
}

impl<T: Send + 'static> Assembly<T> {
    /// Starts every thread, the sink first, and the supervisor on `runtime`, which must have a timer.
    ///
    /// # Errors
    /// A count that is 0, or a thread that the system refuses; those started before it end.
    pub fn start(self, runtime: &Handle) -> Result<(Feed<T>, Running), Fault> {
        let Self { plan, output, feed } = self;
        if let Some(refused) = plan.refused {
            return Err(refused);
        }
        let Limits { tickets, skip_budget, stall_after, grace } = plan.limits;
        let shell = Arc::new(Shell {
            topology: plan.name,
            pool: TicketPool::new(tickets, skip_budget, plan.latch.clone()),
            latch: plan.latch,
            roll: Arc::new(RollCall::default()),
            hooks: plan.hooks,
            posts: plan.posts,
            feed,
        });
        shell.obey();
        // Made first: if a thread cannot be started, dropping it aborts those that were.
        let seat = shell.feed.seat("feed".to_owned(), Activity::Busy);
        let feed = Feed::new(output, shell.latch.clone(), seat);
        for spawn in plan.spawns.into_iter().rev() {
            spawn(&shell)?;
        }
        let observer = Observer(Arc::clone(&shell));
        runtime.spawn(supervise(observer.clone(), stall_after, grace));
        Ok((feed, Running { observer, grace }))
    }
}
