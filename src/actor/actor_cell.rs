//! Cell of one actor in a topology: its name, its input queue, and the status of each worker.
//!
//! Workers write their status through a [`WorkerHandle`]; observers read it. Neither waits for the
//! other longer than it takes to copy a few words. Times and counts of a removed worker stay in the
//! cell's [`WorkerTotals`], so that no sum ever falls.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::actor::mailbox::Valve;
use crate::actor::shell::Shell;
use crate::actor::ticket::Ticket;
use crate::telemetry::meter::{Activity, Meter, MeterReader};

/// Body of one worker's thread.
pub(super) type Work = Box<dyn FnOnce(Seat) + Send>;

/// Makes the body of one more worker, or `None` once the stage has ended; keeps no stage alive.
pub(super) type Recruit = Box<dyn Fn(&Arc<Shell>, &Arc<Post>) -> Option<Work> + Send + Sync>;

/// Mailbox that an actor takes from, and its capacity.
pub(super) type Queue = (Arc<dyn Valve>, usize);

/// Name, input queue and workers of one actor: a stage, a source, a sink or the consumer.
pub(super) struct Post {
    pub(super) name: &'static str,
    /// Input queue; a source has none.
    pub(super) queue: Option<Queue>,
    pub(super) restarts: AtomicU64,
    /// Panics since the last item that any worker of this stage finished.
    pub(super) panics_in_a_row: AtomicU32,
    /// Factory of more workers; source, sink and consumer keep the one that they have.
    pub(super) recruit: Option<Recruit>,
    workers: Mutex<Staff>,
}

struct Staff {
    wanted: usize,
    /// Workers present, in the order of arrival.
    present: Vec<Arc<Desk>>,
    /// Totals of the workers that were removed.
    left_totals: Tally,
}

/// Sums over all workers that an actor ever had.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) busy: Duration,
    pub(super) starved: Duration,
    pub(super) blocked: Duration,
    pub(super) lifetime: Duration,
    pub(super) items: u64,
    pub(super) changes: u64,
    /// Workers in each [`Activity`].
    pub(super) now: [usize; 4],
    /// Workers that have not been removed.
    pub(super) present: usize,
}

impl Tally {
    fn add(&mut self, status: &Desk) {
        let reading = status.meter.read();
        self.busy += reading.busy;
        self.starved += reading.starved;
        self.blocked += reading.blocked;
        self.lifetime += reading.lifetime;
        self.changes += reading.changes;
        self.items += status.items.load(Ordering::Relaxed);
        self.now[reading.activity as usize] += 1;
    }
}

impl Post {
    /// Cell of a source, a sink or the consumer: one worker for good.
    pub(super) fn end(name: &'static str, queue: Option<Queue>) -> Arc<Self> {
        Self::new(name, queue, 1, None)
    }

    /// Cell of a stage that wants `wanted` workers.
    pub(super) fn stage(
        name: &'static str,
        queue: Queue,
        wanted: usize,
        factory: Recruit,
    ) -> Arc<Self> {
        Self::new(name, Some(queue), wanted, Some(factory))
    }

    fn new(
        name: &'static str,
        queue: Option<Queue>,
        wanted: usize,
        factory: Option<Recruit>,
    ) -> Arc<Self> {
        let workers = Staff { wanted, present: Vec::new(), left_totals: Tally::default() };
        Arc::new(Self {
            name,
            queue,
            restarts: AtomicU64::new(0),
            panics_in_a_row: AtomicU32::new(0),
            recruit: factory,
            workers: Mutex::new(workers),
        })
    }

    fn staff(&self) -> MutexGuard<'_, Staff> {
        // Nothing that can panic runs under this lock.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the number of wanted workers: the caller adds missing ones, spare ones leave.
    pub(super) fn want(&self, workers: usize) {
        self.staff().wanted = workers;
    }

    /// Adds a worker, wanted or not, named `worker` in reports and for its thread.
    pub(super) fn seat(&self, worker: String, activity: Activity) -> Seat {
        self.staff().seat(worker, activity)
    }

    /// Adds a worker under the lowest free number, if one is missing.
    pub(super) fn fill(&self, activity: Activity) -> Option<Seat> {
        let mut workers = self.staff();
        if workers.present.len() >= workers.wanted {
            return None;
        }
        let mut names = (0..=workers.present.len()).map(|number| format!("{}-{number}", self.name));
        let free = names.find(|name| workers.present.iter().all(|other| other.worker != *name))?;
        Some(workers.seat(free, activity))
    }

    /// Returns the handle, or `None` if the worker was removed because fewer are wanted.
    pub(super) fn keep(&self, handle: Seat) -> Option<Seat> {
        let mut workers = self.staff();
        if workers.present.len() <= workers.wanted {
            return Some(handle);
        }
        let Seat { meter, status } = handle;
        // The meter stops before it is read for the last time.
        drop(meter);
        workers.left_totals.add(&status);
        workers.present.retain(|other| !Arc::ptr_eq(other, &status));
        None
    }

    /// Removes a worker whose thread could not be started.
    pub(super) fn vacate(&self, worker: &str) {
        self.staff().present.retain(|status| status.worker != worker);
    }

    /// Status of each worker present.
    pub(super) fn desks(&self) -> Vec<Arc<Desk>> {
        self.staff().present.clone()
    }

    /// Totals over all workers, present and removed.
    pub(super) fn tally(&self) -> Tally {
        // Both of one instant: a worker that leaves is in the one or in the other.
        let (present, mut totals) = {
            let workers = self.staff();
            (workers.present.clone(), workers.left_totals)
        };
        for status in &present {
            totals.add(status);
        }
        totals.present = present.len();
        totals
    }
}

impl Staff {
    fn seat(&mut self, worker: String, activity: Activity) -> Seat {
        let meter = Meter::new(activity);
        let status = Arc::new(Desk {
            worker,
            meter: meter.reader(),
            items: AtomicU64::new(0),
            current_item: Mutex::default(),
        });
        self.present.push(Arc::clone(&status));
        Seat { meter, status }
    }
}

/// Observers' view of one worker, valid after its stage has ended.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) worker: String,
    pub(super) meter: MeterReader,
    items: AtomicU64,
    current_item: Mutex<Option<(u64, Arc<str>)>>,
}

impl Desk {
    /// Ordinal and description of the item being worked on.
    pub(super) fn holding(&self) -> Option<(u64, Arc<str>)> {
        self.current_item.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Worker's own access to its status.
#[derive(Debug)]
pub(super) struct Seat {
    meter: Meter,
    status: Arc<Desk>,
}

impl Seat {
    /// Worker's name.
    pub(super) fn worker(&self) -> &str {
        &self.status.worker
    }

    fn hold(&self, item: Option<(u64, Arc<str>)>) {
        *self.status.current_item.lock().unwrap_or_else(PoisonError::into_inner) = item;
    }

    /// Attaches the meter to the calling thread.
    pub(super) fn sit_down(&self) {
        self.meter.put_up();
    }

    /// Starts waiting for input. Returns how long the last activity took.
    pub(super) fn starve(&mut self) -> Duration {
        self.hold(None);
        self.meter.enter(Activity::Starved)
    }

    /// Starts waiting for room downstream.
    pub(super) fn block(&mut self) {
        self.hold(None);
        self.meter.enter(Activity::Blocked);
    }

    /// Starts work, on the item of `ticket` if there is one.
    pub(super) fn work(&mut self, ticket: Option<&Ticket>) {
        self.meter.enter(Activity::Busy);
        self.hold(ticket.map(|held| (held.ordinal, Arc::clone(&held.item))));
    }

    /// Counts one finished item.
    pub(super) fn count(&self) {
        self.status.items.fetch_add(1, Ordering::Relaxed);
    }
}
