//! A post is one actor's place in a topology: its name, its queue, and a desk for each worker.
//!
//! Workers write to their desk through a [`Seat`]; observers read it. Neither waits for the other
//! longer than it takes to copy a few words. A worker that is one too many leaves its post; its
//! clock and its count stay in the post's [`Tally`], so that no sum ever falls.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::actor::mailbox::Valve;
use crate::actor::shell::Shell;
use crate::actor::ticket::Ticket;
use crate::telemetry::meter::{Activity, Meter, MeterReader};

/// What one worker does from when it is seated until it leaves.
pub(super) type Work = Box<dyn FnOnce(Seat) + Send>;

/// Makes the work of one more worker, and keeps nothing of the stage alive; `None` once it has ended.
pub(super) type Recruit = Box<dyn Fn(&Arc<Shell>, &Arc<Post>) -> Option<Work> + Send + Sync>;

/// What an actor takes from, and how many places that has.
pub(super) type Queue = (Arc<dyn Valve>, usize);

/// One actor: a stage with all its workers, or one of the two ends.
pub(super) struct Post {
    pub(super) name: &'static str,
    /// A source takes from nothing.
    pub(super) queue: Option<Queue>,
    pub(super) restarts: AtomicU64,
    /// Since the last success of any worker of this stage.
    pub(super) panics_in_a_row: AtomicU32,
    /// The two ends have one worker for good.
    pub(super) recruit: Option<Recruit>,
    staff: Mutex<Staff>,
}

struct Staff {
    wanted: usize,
    /// In the order of arrival.
    desks: Vec<Arc<Desk>>,
    /// Of those that were one too many.
    left: Tally,
}

/// The sums over all workers that a post ever had.
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
    /// Workers that have not left.
    pub(super) present: usize,
}

impl Tally {
    fn add(&mut self, desk: &Desk) {
        let reading = desk.meter.read();
        self.busy += reading.busy;
        self.starved += reading.starved;
        self.blocked += reading.blocked;
        self.lifetime += reading.lifetime;
        self.changes += reading.changes;
        self.items += desk.items.load(Ordering::Relaxed);
        self.now[reading.activity as usize] += 1;
    }
}

impl Post {
    /// One of the two ends, or the consumer.
    pub(super) fn end(name: &'static str, queue: Option<Queue>) -> Arc<Self> {
        Self::new(name, queue, 1, None)
    }

    /// A stage that wants so many workers.
    pub(super) fn stage(
        name: &'static str,
        queue: Queue,
        wanted: usize,
        recruit: Recruit,
    ) -> Arc<Self> {
        Self::new(name, Some(queue), wanted, Some(recruit))
    }

    fn new(
        name: &'static str,
        queue: Option<Queue>,
        wanted: usize,
        recruit: Option<Recruit>,
    ) -> Arc<Self> {
        let staff = Staff { wanted, desks: Vec::new(), left: Tally::default() };
        let (restarts, panics_in_a_row) = (AtomicU64::new(0), AtomicU32::new(0));
        let staff = Mutex::new(staff);
        Arc::new(Self { name, queue, restarts, panics_in_a_row, recruit, staff })
    }

    fn staff(&self) -> MutexGuard<'_, Staff> {
        // Nothing that can panic runs under this lock.
        self.staff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the post wants so many workers: those that are missing are the caller's to seat,
    /// those that are too many leave by themselves.
    pub(super) fn want(&self, workers: usize) {
        self.staff().wanted = workers;
    }

    /// One more worker, called `worker` in reports and by the system, wanted or not.
    pub(super) fn seat(&self, worker: String, activity: Activity) -> Seat {
        self.staff().seat(worker, activity)
    }

    /// One more worker, if one is missing. It gets the lowest number that is free.
    pub(super) fn fill(&self, activity: Activity) -> Option<Seat> {
        let mut staff = self.staff();
        if staff.desks.len() >= staff.wanted {
            return None;
        }
        let mut names = (0..=staff.desks.len()).map(|number| format!("{}-{number}", self.name));
        let free = names.find(|name| staff.desks.iter().all(|desk| desk.worker != *name))?;
        Some(staff.seat(free, activity))
    }

    /// The seat again, or nothing if there are more workers than wanted: then this one has left.
    pub(super) fn keep(&self, seat: Seat) -> Option<Seat> {
        let mut staff = self.staff();
        if staff.desks.len() <= staff.wanted {
            return Some(seat);
        }
        let Seat { meter, desk } = seat;
        // The clock stops before it is read for the last time.
        drop(meter);
        staff.left.add(&desk);
        staff.desks.retain(|other| !Arc::ptr_eq(other, &desk));
        None
    }

    /// Takes back the desk of a worker that never came.
    pub(super) fn vacate(&self, worker: &str) {
        self.staff().desks.retain(|desk| desk.worker != worker);
    }

    /// The desks there are now.
    pub(super) fn desks(&self) -> Vec<Arc<Desk>> {
        self.staff().desks.clone()
    }

    /// All there ever were, added up.
    pub(super) fn tally(&self) -> Tally {
        // Both of one instant: a worker that leaves is in the one or in the other.
        let (desks, mut tally) = {
            let staff = self.staff();
            (staff.desks.clone(), staff.left)
        };
        for desk in &desks {
            tally.add(desk);
        }
        tally.present = desks.len();
        tally
    }
}

impl Staff {
    fn seat(&mut self, worker: String, activity: Activity) -> Seat {
        let meter = Meter::new(activity);
        let (reader, items, holding) = (meter.reader(), AtomicU64::new(0), Mutex::default());
        let desk = Arc::new(Desk { worker, meter: reader, items, holding });
        self.desks.push(Arc::clone(&desk));
        Seat { meter, desk }
    }
}

/// What an observer sees of one worker, also after its stage has ended.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) worker: String,
    pub(super) meter: MeterReader,
    items: AtomicU64,
    holding: Mutex<Option<(u64, Arc<str>)>>,
}

impl Desk {
    /// Ordinal and description of the item on the desk.
    pub(super) fn holding(&self) -> Option<(u64, Arc<str>)> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The worker's side of its desk.
#[derive(Debug)]
pub(super) struct Seat {
    meter: Meter,
    desk: Arc<Desk>,
}

impl Seat {
    /// Whose it is.
    pub(super) fn worker(&self) -> &str {
        &self.desk.worker
    }

    fn hold(&self, item: Option<(u64, Arc<str>)>) {
        *self.desk.holding.lock().unwrap_or_else(PoisonError::into_inner) = item;
    }

    /// Makes its clock the calling thread's.
    pub(super) fn sit_down(&self) {
        self.meter.put_up();
    }

    /// Waits for input. Returns how long the last activity took.
    pub(super) fn starve(&mut self) -> Duration {
        self.hold(None);
        self.meter.enter(Activity::Starved)
    }

    /// Waits for room.
    pub(super) fn block(&mut self) {
        self.hold(None);
        self.meter.enter(Activity::Blocked);
    }

    /// Works, on the item of `ticket` if there is one.
    pub(super) fn work(&mut self, ticket: Option<&Ticket>) {
        self.meter.enter(Activity::Busy);
        self.hold(ticket.map(|held| (held.ordinal, Arc::clone(&held.item))));
    }

    /// One item is done.
    pub(super) fn count(&self) {
        self.desk.items.fetch_add(1, Ordering::Relaxed);
    }
}
