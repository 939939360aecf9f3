//! A drained loader delivers what is in flight as full batches, and the samples that fill none are
//! the first of the next run.

use gliaflow::internals::actor::StopLatch;
use gliaflow::internals::pipeline::{Batch, LoaderConfig};

use super::setting::{Setting, fixed, samples};
use crate::backpressure::parked;
use crate::deadline::{LIMIT, within};
use crate::numbers::until;

fn assert_full_and_in_order(batches: &[Batch], size: usize) {
    for (number, batch) in (0..).zip(batches) {
        assert_eq!((batch.number, batch.size()), (number, size));
        assert_eq!(batch.next_sample, (number + 1) * size as u64);
    }
}

/// With eleven tickets, a parked loader of batches of three holds a number of samples that is no multiple of three.
fn uneven() -> Setting {
    let mut setting = Setting::of_cases(3);
    let workers = fixed(1, 2);
    setting.loader = LoaderConfig { batch: 3, prefetch: 1, workers, ..setting.loader };
    assert_eq!(setting.tickets(), 11);
    setting
}

#[test]
fn draining_a_stalled_loader_delivers_its_full_batches_and_leaves_the_rest_to_the_next_run() {
    within(LIMIT, |watch| {
        let setting = uneven();
        let whole: Vec<_> = setting.take(watch, "cache", 0, 6).iter().flat_map(samples).collect();
        let stop = StopLatch::new();
        let (mut feed, running) = setting.start(watch, "cache", 0, &stop);
        until(&running.observer(), |seen| parked(seen, 11, 3, 1, 0));
        stop.drain();
        let batches: Vec<Batch> = std::iter::from_fn(|| feed.next_output()).collect();
        let ledger = running.join_blocking().unwrap();
        assert_eq!((ledger.issued, ledger.in_flight, ledger.abandoned), (17, 0, 0));
        assert_eq!((ledger.delivered, ledger.skipped), (17, 0));
        assert_eq!(batches.len(), 5);
        assert_full_and_in_order(&batches, 3);
        let delivered: Vec<_> = batches.iter().flat_map(samples).collect();
        assert_eq!(delivered, whole[..15]);
        // The last two reached collate and filled no batch; they are not lost.
        let next = setting.take(watch, "cache", batches[4].next_sample, 1);
        assert_eq!(samples(&next[0]), whole[15..18]);
    });
}

#[test]
fn draining_a_flowing_loader_accounts_for_every_sample() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(3);
        setting.loader.batch = 3;
        setting.loader.workers = fixed(2, 2);
        for after in [0, 1, 2, 5, 9] {
            let stop = StopLatch::new();
            let (mut feed, running) = setting.start(watch, "cache", 0, &stop);
            let observer = running.observer();
            let mut batches: Vec<Batch> = (0..after).map(|_| feed.next_output().unwrap()).collect();
            stop.drain();
            while let Some(batch) = feed.next_output() {
                let ledger = observer.ticket_counts();
                assert!(ledger.is_balanced(), "{ledger:?}");
                batches.push(batch);
            }
            let ledger = running.join_blocking().unwrap();
            assert_full_and_in_order(&batches, 3);
            assert_eq!((ledger.in_flight, ledger.abandoned, ledger.skipped), (0, 0, 0));
            assert_eq!(ledger.issued, ledger.delivered);
            let left = ledger.delivered - 3 * batches.len() as u64;
            assert!(left < 3, "{left} samples could have been a batch");
            let bound = setting.tickets() + 3 * (setting.loader.prefetch as u64 + 1 + after);
            assert!(ledger.issued <= bound, "{} were issued, {bound} may be", ledger.issued);
        }
    });
}
