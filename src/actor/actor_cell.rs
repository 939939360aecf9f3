//! Cell of one actor in a topology: its name, its input queue, and the status of each worker.
//!
//! Workers write their status through a [`WorkerHandle`]; observers read it. Neither waits for the
//! other longer than it takes to copy a few words. Times and counts of a removed worker stay in the
//! cell's [`WorkerTotals`], so that no sum ever falls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::actor::mailbox::MailboxControl;
use crate::actor::shell::TopologyContext;
use crate::actor::ticket::Ticket;
use crate::telemetry::{Activity, Meter, MeterReader};

/// Body of one worker's thread.
pub(super) type WorkerBody = Box<dyn FnOnce(WorkerHandle) + Send>;

/// Makes the body of one more worker, or `None` once the stage has ended; keeps no stage alive.
pub(super) type WorkerFactory =
    Box<dyn Fn(&Arc<TopologyContext>, &Arc<ActorCell>) -> Option<WorkerBody> + Send + Sync>;

/// Mailbox that an actor takes from, and its capacity.
pub(super) type InputQueue = (Arc<dyn MailboxControl>, usize);

/// Name, input queue and workers of one actor: a stage, a source, a sink or the consumer.
pub(super) struct ActorCell {
    pub(super) name: &'static str,
    /// Input queue; a source has none.
    pub(super) queue: Option<InputQueue>,
    pub(super) restarts: AtomicU64,
    /// Panics since the last item that any worker of this stage finished.
    pub(super) panics_in_a_row: AtomicU32,
    /// Factory of more workers; source, sink and consumer keep the one that they have.
    pub(super) worker_factory: Option<WorkerFactory>,
    workers: Mutex<WorkerSet>,
}

struct WorkerSet {
    wanted: usize,
    /// Workers present, in the order of arrival.
    present: Vec<Arc<WorkerStatus>>,
    /// Totals of the workers that were removed.
    left_totals: WorkerTotals,
}

/// Sums over all workers that an actor ever had.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WorkerTotals {
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

impl WorkerTotals {
    fn add_worker(&mut self, status: &WorkerStatus) {
        let reading = status.meter.read_clock();
        self.busy += reading.busy;
        self.starved += reading.starved;
        self.blocked += reading.blocked;
        self.lifetime += reading.lifetime;
        self.changes += reading.changes;
        self.items += status.items.load(Ordering::Relaxed);
        self.now[reading.activity as usize] += 1;
    }
}

impl ActorCell {
    /// Cell of a stage that wants `wanted` workers; the only worker of a source, a sink or the
    /// consumer has no factory.
    pub(super) fn new(
        name: &'static str,
        queue: Option<InputQueue>,
        wanted: usize,
        worker_factory: Option<WorkerFactory>,
    ) -> Arc<Self> {
        let workers =
            WorkerSet { wanted, present: Vec::new(), left_totals: WorkerTotals::default() };
        Arc::new(Self {
            name,
            queue,
            restarts: AtomicU64::new(0),
            panics_in_a_row: AtomicU32::new(0),
            worker_factory,
            workers: Mutex::new(workers),
        })
    }

    /// Sets the number of wanted workers: the caller adds missing ones, spare ones leave.
    pub(super) fn set_wanted(&self, workers: usize) {
        self.workers.lock().wanted = workers;
    }

    /// Adds a worker, wanted or not, named `worker` in reports and for its thread.
    pub(super) fn add_worker(&self, worker: String, activity: Activity) -> WorkerHandle {
        self.workers.lock().add_worker(worker, activity)
    }

    /// Adds a worker under the lowest free number, if one is missing.
    pub(super) fn add_missing_worker(&self, activity: Activity) -> Option<WorkerHandle> {
        let mut workers = self.workers.lock();
        if workers.present.len() >= workers.wanted {
            return None;
        }
        let mut names = (0..=workers.present.len()).map(|number| format!("{}-{number}", self.name));
        let free = names.find(|name| workers.present.iter().all(|other| other.worker != *name))?;
        Some(workers.add_worker(free, activity))
    }

    /// Returns the handle, or `None` if the worker was removed because fewer are wanted.
    pub(super) fn keep_or_release(&self, handle: WorkerHandle) -> Option<WorkerHandle> {
        let mut workers = self.workers.lock();
        if workers.present.len() <= workers.wanted {
            return Some(handle);
        }
        let WorkerHandle { meter, status } = handle;
        // The meter stops before it is read for the last time.
        drop(meter);
        workers.left_totals.add_worker(&status);
        workers.present.retain(|other| !Arc::ptr_eq(other, &status));
        None
    }

    /// Removes a worker whose thread could not be started.
    pub(super) fn remove_worker(&self, worker: &str) {
        self.workers.lock().present.retain(|status| status.worker != worker);
    }

    pub(super) fn worker_statuses(&self) -> Vec<Arc<WorkerStatus>> {
        self.workers.lock().present.clone()
    }

    /// Totals over all workers, present and removed.
    pub(super) fn worker_totals(&self) -> WorkerTotals {
        // Both of one instant: a worker that leaves is in the one or in the other.
        let (present, mut totals) = {
            let workers = self.workers.lock();
            (workers.present.clone(), workers.left_totals)
        };
        for status in &present {
            totals.add_worker(status);
        }
        totals.present = present.len();
        totals
    }
}

impl WorkerSet {
    fn add_worker(&mut self, worker: String, activity: Activity) -> WorkerHandle {
        let meter = Meter::new(activity);
        let status = Arc::new(WorkerStatus {
            worker,
            meter: meter.reader(),
            items: AtomicU64::new(0),
            current_item: Mutex::default(),
        });
        self.present.push(Arc::clone(&status));
        WorkerHandle { meter, status }
    }
}

/// Observers' view of one worker, valid after its stage has ended.
#[derive(Debug)]
pub(super) struct WorkerStatus {
    pub(super) worker: String,
    pub(super) meter: MeterReader,
    items: AtomicU64,
    current_item: Mutex<Option<(u64, Arc<str>)>>,
}

impl WorkerStatus {
    /// Ordinal and description of the item being worked on.
    pub(super) fn current_item(&self) -> Option<(u64, Arc<str>)> {
        self.current_item.lock().clone()
    }
}

/// Worker's own access to its status.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    meter: Meter,
    status: Arc<WorkerStatus>,
}

impl WorkerHandle {
    /// Worker's name.
    pub(super) fn worker(&self) -> &str {
        &self.status.worker
    }

    fn set_current_item(&self, item: Option<(u64, Arc<str>)>) {
        *self.status.current_item.lock() = item;
    }

    /// Attaches the meter to the calling thread.
    pub(super) fn attach_meter(&self) {
        self.meter.attach_to_thread();
    }

    /// Starts waiting for input. Returns how long the last activity took.
    pub(super) fn enter_starved(&mut self) -> Duration {
        self.set_current_item(None);
        self.meter.switch_to(Activity::Starved)
    }

    /// Starts waiting for room downstream.
    pub(super) fn enter_blocked(&mut self) {
        self.set_current_item(None);
        self.meter.switch_to(Activity::Blocked);
    }

    /// Starts work, on the item of `ticket` if there is one.
    pub(super) fn enter_busy(&mut self, ticket: Option<&Ticket>) {
        self.meter.switch_to(Activity::Busy);
        self.set_current_item(ticket.map(|held| (held.ordinal, Arc::clone(&held.item))));
    }

    pub(super) fn count_item(&self) {
        self.status.items.fetch_add(1, Ordering::Relaxed);
    }
}
