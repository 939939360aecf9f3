//! A post is one actor's place in a topology: its name, its queue, and a desk for each worker.
//!
//! Workers write to their desk through a [`Seat`]; observers read it. Neither waits for the other
//! longer than it takes to copy a few words.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::actor::mailbox::Valve;
use crate::actor::ticket::Ticket;
use crate::telemetry::meter::{Activity, Meter, MeterReader};

/// One actor: a stage with all its workers, or one of the two ends.
pub(super) struct Post {
    pub(super) name: &'static str,
    /// What it takes from, and how many places that has; a source takes from nothing.
    pub(super) queue: Option<(Arc<dyn Valve>, usize)>,
    pub(super) restarts: AtomicU64,
    /// Since the last success of any worker of this stage.
    pub(super) panics_in_a_row: AtomicU32,
    desks: Mutex<Vec<Arc<Desk>>>,
}

impl Post {
    pub(super) fn new(name: &'static str, queue: Option<(Arc<dyn Valve>, usize)>) -> Arc<Self> {
        Arc::new(Self {
            name,
            queue,
            restarts: AtomicU64::new(0),
            panics_in_a_row: AtomicU32::new(0),
            desks: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Desk>>> {
        // Nothing that can panic runs under this lock.
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more worker, called `worker` in reports and by the system.
    pub(super) fn seat(&self, worker: String, activity: Activity) -> Seat {
        let meter = Meter::new(activity);
        let (reader, items, holding) = (meter.reader(), AtomicU64::new(0), Mutex::default());
        let desk = Arc::new(Desk { worker, meter: reader, items, holding });
        self.lock().push(Arc::clone(&desk));
        Seat { meter, desk }
    }

    /// The desks there are now.
    pub(super) fn desks(&self) -> Vec<Arc<Desk>> {
        self.lock().clone()
    }
}

/// What an observer sees of one worker, also after it has gone.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) worker: String,
    pub(super) meter: MeterReader,
    pub(super) items: AtomicU64,
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
    fn hold(&self, item: Option<(u64, Arc<str>)>) {
        *self.desk.holding.lock().unwrap_or_else(PoisonError::into_inner) = item;
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
