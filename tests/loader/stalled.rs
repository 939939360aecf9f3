//! A trainer that takes nothing stops the planner at a number that the configuration says.

use std::collections::BTreeSet;

use gliaflow::internals::actor::StopLatch;
use gliaflow::internals::pipeline::LoaderConfig;
use gliaflow::internals::volume::Dims;

use super::setting::{Setting, fixed};
use crate::backpressure::parked;
use crate::deadline::{LIMIT, within};
use crate::numbers::until;

/// MiB of memory, side of a patch, batch, prefetch, workers of fetch and of augment.
type Shape = (usize, usize, usize, usize, usize, usize);

/// The planner's bound for one configuration, after each of three batches.
fn stall(cases: u64, shape: Shape) -> u64 {
    let (memory_mib, side, batch, prefetch, fetch, augment) = shape;
    within(LIMIT, move |watch| {
        let mut setting = Setting::of_cases(cases);
        setting.crop.patch = Dims::cube(side);
        let workers = fixed(fetch, augment);
        setting.loader = LoaderConfig { memory_mib, batch, prefetch, workers, ..setting.loader };
        let (tickets, batch, prefetch) = (setting.tickets(), batch as u64, prefetch as u64);
        let (mut feed, running) = setting.start(watch, "cache", 0, &StopLatch::new());
        let observer = running.observer();
        for taken in 0..3 {
            // Every actor waits, and what each waits for can only come from the trainer.
            until(&observer, |seen| parked(seen, tickets, batch, prefetch, taken));
            let expected = tickets + batch * (prefetch + 1) + batch * taken;
            let (ledger, seen) = (observer.ticket_counts(), observer.observations());
            assert_eq!((ledger.issued, ledger.in_flight, ledger.skipped), (expected, tickets, 0));
            let items: Vec<u64> = seen.iter().map(|actor| actor.items).collect();
            let [made @ .., collate] = &items[..] else { panic!("{seen:?}") };
            assert_eq!(made, [expected; 4], "{seen:?}");
            assert_eq!(*collate, ledger.delivered);
            let next = feed.next_output().unwrap();
            assert_eq!((next.number, next.next_sample), (taken, batch * (taken + 1)));
        }
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
        tickets
    })
}

#[test]
fn a_stalled_trainer_bounds_the_planner_exactly() {
    let shapes = [
        (1, 16, 1, 1, 1, 1),
        (1, 16, 1, 3, 1, 2),
        (2, 16, 3, 1, 2, 1),
        (8, 16, 2, 2, 2, 4),
        (8, 16, 4, 3, 1, 2),
        // Here memory is what bounds the tickets, not the number of workers.
        (2, 24, 2, 1, 2, 4),
    ];
    let tickets: BTreeSet<u64> = shapes.into_iter().map(|shape| stall(2, shape)).collect();
    assert!(tickets.len() >= 4, "the bound was tried with {tickets:?} tickets");
}
