//! Tickets: the permission of an item to exist, and the counts of all outcomes.
//!
//! A pool has T places. A source first takes a place (a permit), then names an item, which makes it
//! a ticket; the sink returns it as delivered or skipped. Memory, back-pressure and the reorder
//! window are that one number T. A ticket that is dropped unresolved is a lost item: a fault,
//! unless the run was aborted.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::actor::skip_account::SkipAccount;
use crate::actor::{StopLatch, StopState};
use crate::base::{CaseError, Fault};

/// Number of items that a run may skip: a share of those seen, but at least a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SkipBudget {
    /// Share of the items up to the one that was skipped, 0..1.
    pub share: f64,
    /// Number always allowed, so that a share does not fail a run on its first item.
    pub at_least: u64,
}

impl SkipBudget {
    /// Allows no skip: in evaluation a missing case would flatter the mean.
    pub const NONE: Self = Self { share: 0.0, at_least: 0 };

    /// Allows every skip: ingest and prediction list the bad items.
    pub const UNLIMITED: Self = Self { share: 1.0, at_least: u64::MAX };

    /// Allows a few skips in training, and a share of all items that its configuration adds.
    pub const OF_TRAINING: Self = Self { share: 0.0, at_least: 3 };

    /// Skips allowed among the first `seen` items.
    pub fn allowed_skips(&self, seen: u64) -> u64 {
        self.at_least.max((self.share * seen as f64) as u64)
    }
}

/// Counts of a topology's tickets, all of one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TicketCounts {
    /// Items named by the source.
    pub issued: u64,
    /// Items accepted by the sink.
    pub delivered: u64,
    /// Skips accepted by the sink.
    pub skipped: u64,
    /// Tickets not resolved yet.
    pub in_flight: u64,
    /// Tickets dropped by an abort; 0 in a run that was not aborted.
    pub abandoned: u64,
}

impl TicketCounts {
    /// True if every item issued is accounted for. `in_flight` is counted by itself, not derived.
    pub const fn is_balanced(&self) -> bool {
        self.issued == self.delivered + self.skipped + self.in_flight + self.abandoned
    }
}

#[derive(Debug)]
struct SharedPool {
    places: usize,
    latch: StopLatch,
    accounts: Mutex<Accounts>,
    skips: Mutex<SkipAccount>,
    returned: Condvar,
}

#[derive(Debug)]
struct Accounts {
    free: usize,
    closed: bool,
    counts: TicketCounts,
}

impl SharedPool {
    fn return_place(&self, account: impl FnOnce(&mut TicketCounts)) -> TicketCounts {
        let mut accounts = self.accounts.lock();
        accounts.free += 1;
        account(&mut accounts.counts);
        let counts = accounts.counts;
        drop(accounts);
        self.returned.notify_one();
        counts
    }
}

/// Pool of a topology's T tickets; clones are the same pool.
#[derive(Debug, Clone)]
pub(super) struct TicketPool(Arc<SharedPool>);

impl TicketPool {
    pub(super) fn new(places: usize, skips: SkipAccount, latch: StopLatch) -> Self {
        let accounts = Accounts { free: places, closed: false, counts: TicketCounts::default() };
        let skips = Mutex::new(skips);
        let accounts = Mutex::new(accounts);
        Self(Arc::new(SharedPool { places, latch, accounts, skips, returned: Condvar::new() }))
    }

    /// Waits for a free place and takes it for one item; `None` once the pool is closed.
    pub(super) fn acquire_permit(&self) -> Option<Permit> {
        let mut accounts = self.0.accounts.lock();
        while accounts.free == 0 && !accounts.closed {
            self.0.returned.wait(&mut accounts);
        }
        if accounts.closed {
            return None;
        }
        accounts.free -= 1;
        Some(Permit(Some(Arc::clone(&self.0))))
    }

    /// Ends the supply of permits; issued tickets stay valid.
    pub(super) fn close(&self) {
        self.0.accounts.lock().closed = true;
        self.0.returned.notify_all();
    }

    pub(super) fn ticket_counts(&self) -> TicketCounts {
        self.0.accounts.lock().counts
    }

    /// Number of free places, and of all.
    pub(super) fn free_places(&self) -> (usize, usize) {
        (self.0.accounts.lock().free, self.0.places)
    }
}

/// Place in the pool without an item yet; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Permit(Option<Arc<SharedPool>>);

impl Permit {
    /// Makes the ticket of the item that the source has named.
    pub(super) fn issue_ticket(
        mut self,
        item: String,
        subject: Option<String>,
        stage: &'static str,
    ) -> Ticket {
        let pool = self.0.take().expect("only issue and drop take it, and both end the permit");
        let mut accounts = pool.accounts.lock();
        let ordinal = accounts.counts.issued;
        accounts.counts.issued += 1;
        accounts.counts.in_flight += 1;
        drop(accounts);
        let subject = subject.map(Into::into);
        Ticket { ordinal, item: item.into(), subject, stage, pool: Some(pool) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.return_place(|_| {});
        }
    }
}

/// Permission of one item to exist. Held by the loops around the stages, never by stage code.
#[derive(Debug)]
pub(super) struct Ticket {
    /// Position in the source's order.
    pub(super) ordinal: u64,
    /// Description of the item by its source.
    pub(super) item: Arc<str>,
    subject: Option<Arc<str>>,
    pub(super) stage: &'static str,
    pool: Option<Arc<SharedPool>>,
}

/// Message between stages: an item or its error, and the ticket.
#[derive(Debug)]
pub(super) struct TicketedItem<T> {
    pub(super) ticket: Ticket,
    pub(super) body: Result<T, CaseError>,
}

impl Ticket {
    fn take_pool(&mut self) -> Arc<SharedPool> {
        self.pool.take().expect("only resolving and dropping take it, and both end the ticket")
    }

    /// Resolves the ticket of an item that the sink has accepted.
    pub(super) fn mark_delivered(mut self) {
        self.take_pool().return_place(|counts| {
            counts.in_flight -= 1;
            counts.delivered += 1;
        });
    }

    /// Resolves the ticket of an item that the sink has skipped because of `error`.
    ///
    /// # Errors
    /// More were skipped than the budget allows. Counted against the items up to this one, not
    /// against those issued, so that it does not depend on how far ahead the source has got.
    pub(super) fn mark_skipped(mut self, error: &CaseError) -> Result<(), Fault> {
        let seen = self.ordinal + 1;
        let pool = self.take_pool();
        let skipped = pool
            .return_place(|counts| {
                counts.in_flight -= 1;
                counts.skipped += 1;
            })
            .skipped;
        let subject = self.subject.take();
        pool.skips.lock().add_skip((seen, skipped), subject, error)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        if pool.latch.state() < StopState::Aborted {
            let lost = Fault::Lost { ordinal: self.ordinal, stage: self.stage };
            pool.latch.abort(Some(lost));
        }
        // Only now: the freed place must not let the source run past the gap in the order.
        pool.return_place(|counts| {
            counts.in_flight -= 1;
            counts.abandoned += 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::base::Reason;

    fn pool(places: usize, budget: SkipBudget) -> (TicketPool, StopLatch) {
        let latch = StopLatch::new();
        (TicketPool::new(places, SkipAccount::within(budget), latch.clone()), latch)
    }

    fn ticket(pool: &TicketPool) -> Ticket {
        pool.acquire_permit().unwrap().issue_ticket("item".to_owned(), None, "plan")
    }

    fn error() -> CaseError {
        CaseError::new(Reason::Checksum, "x.case", "differs", "ingest it again")
    }

    #[test]
    fn every_ticket_lands_in_exactly_one_account() {
        let (pool, latch) = pool(3, SkipBudget { share: 0.0, at_least: 1 });
        let (first, second, third) = (ticket(&pool), ticket(&pool), ticket(&pool));
        assert_eq!([first.ordinal, second.ordinal, third.ordinal], [0, 1, 2]);
        second.mark_delivered();
        first.mark_skipped(&error()).unwrap();
        let expected =
            TicketCounts { issued: 3, delivered: 1, skipped: 1, in_flight: 1, abandoned: 0 };
        assert_eq!((pool.ticket_counts(), pool.free_places()), (expected, (2, 3)));
        latch.abort(None);
        drop(third);
        let ledger = pool.ticket_counts();
        assert_eq!((ledger.in_flight, ledger.abandoned, latch.fault()), (0, 1, None));
        assert!(ledger.is_balanced());
        assert!(!TicketCounts { issued: 4, ..ledger }.is_balanced());
    }

    #[test]
    fn a_ticket_dropped_unresolved_is_a_fault_that_names_its_stage() {
        let (pool, latch) = pool(2, SkipBudget::NONE);
        let kept = ticket(&pool);
        let mut lost = ticket(&pool);
        lost.stage = "crop";
        drop(lost);
        assert_eq!(latch.fault(), Some(Fault::Lost { ordinal: 1, stage: "crop" }));
        assert!(pool.ticket_counts().is_balanced());
        kept.mark_delivered();
    }

    #[test]
    fn a_permit_without_an_item_is_not_an_item() {
        let (pool, latch) = pool(1, SkipBudget::NONE);
        drop(pool.acquire_permit());
        assert_eq!((pool.ticket_counts(), pool.free_places()), (TicketCounts::default(), (1, 1)));
        assert_eq!(latch.state(), StopState::Running);
    }

    #[test]
    fn a_waiting_source_wakes_for_a_returned_ticket_and_for_the_end() {
        let (pool, _latch) = pool(1, SkipBudget::NONE);
        let first = ticket(&pool);
        thread::scope(|scope| {
            let source = scope.spawn(|| {
                let second = ticket(&pool);
                let ended = pool.acquire_permit().is_none();
                second.mark_delivered();
                ended
            });
            first.mark_delivered();
            while pool.ticket_counts().issued < 2 {
                thread::yield_now();
            }
            pool.close();
            assert!(source.join().unwrap());
        });
        assert_eq!(pool.free_places(), (1, 1));
        assert!(pool.acquire_permit().is_none(), "closed, although a place is free");
    }

    #[test]
    fn the_budget_is_a_share_of_the_items_seen_but_at_least_a_number() {
        let budget = SkipBudget { share: 0.1, at_least: 1 };
        assert_eq!([1, 19, 20, 100].map(|seen| budget.allowed_skips(seen)), [1, 1, 2, 10]);
        assert_eq!(SkipBudget::NONE.allowed_skips(1000), 0);
        let (pool, _latch) = pool(2, budget);
        let (first, second) = (ticket(&pool), ticket(&pool));
        assert_eq!(first.mark_skipped(&error()), Ok(()));
        let fault = second.mark_skipped(&error()).unwrap_err();
        let expected = Fault::TooManySkipped { skipped: 2, issued: 2, budget: 1, last: error() };
        assert_eq!(fault, expected);
    }
}
