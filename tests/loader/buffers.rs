//! Patch buffers go round: a long run makes as many as it has tickets, and not one more.

use gliaflow::actor::StopLatch;
use gliaflow::buffers::{PatchBuffer, PatchBufferPool};
use gliaflow::pipeline::loader::start_with_buffers;
use gliaflow::volume::Targets;

use super::setting::{Setting, fixed};
use crate::backpressure::parked;
use crate::deadline::{LIMIT, within};
use crate::numbers::{runtime, until};

#[test]
fn a_long_run_makes_no_more_buffers_than_tickets_and_gets_all_of_them_back() {
    within(LIMIT, |watch| {
        for (fetch, crop) in [(1, 1), (2, 4)] {
            let mut setting = Setting::of_cases(3);
            setting.loader.workers = fixed(fetch, crop);
            let (tickets, prefetch) = (setting.tickets(), setting.loader.prefetch as u64);
            let (stop, recycler) = (StopLatch::new(), PatchBufferPool::default());
            let parts = setting.parts("cache", 0);
            let (mut feed, running) =
                start_with_buffers(parts, recycler.clone(), &stop, &runtime()).unwrap();
            watch.on(&running);
            for _ in 0..150 {
                assert_eq!(feed.next_output().unwrap().size(), 2);
                assert!(recycler.buffers_made() as u64 <= tickets);
            }
            // A stalled trainer fills every ticket with a sample, and every sample has a buffer.
            until(&running.observer(), |seen| parked(seen, tickets, 2, prefetch, 150));
            assert_eq!((recycler.buffers_made() as u64, recycler.idle_buffers()), (tickets, 0));
            assert_eq!(
                recycler.bytes_made(),
                recycler.buffers_made() * PatchBuffer::bytes_for(setting.crop.patch, Targets::Hard)
            );
            stop.drain();
            while feed.next_output().is_some() {}
            let ledger = running.join_blocking().unwrap();
            assert!(ledger.delivered > 300);
            assert_eq!(recycler.buffers_made() as u64, tickets, "for {} samples", ledger.delivered);
            assert_eq!(recycler.idle_buffers(), recycler.buffers_made(), "all of them came back");
        }
    });
}
