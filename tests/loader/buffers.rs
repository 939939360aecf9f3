//! Batches' memory goes round: a long run makes what the memory budget counts, and not one batch more.

use gliaflow::internals::actor::StopLatch;
use gliaflow::internals::pipeline::Batch;
use gliaflow::internals::telemetry::Recorder;
use gliaflow::internals::volume::Targets;

use super::setting::{Setting, fixed};
use crate::backpressure::parked;
use crate::deadline::{LIMIT, within};
use crate::numbers::until;

fn shown_bytes(recorder: &Recorder) -> usize {
    let text = recorder.render();
    let line = text.lines().find(|line| line.starts_with("loader_buffer_bytes{")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_long_run_makes_no_more_batches_than_are_counted_and_frees_all_of_them() {
    within(LIMIT, |watch| {
        for (fetch, augment) in [(1, 1), (2, 4)] {
            let mut setting = Setting::of_cases(3);
            setting.loader.workers = fixed(fetch, augment);
            let (tickets, prefetch) = (setting.tickets(), setting.loader.prefetch as u64);
            let each = Batch::voxel_bytes(2, setting.crop.patch, Targets::Hard);
            let samples_in = tickets.div_ceil(2) as usize;
            let most = each * (prefetch as usize + 2 + samples_in);
            let recorder = Recorder::new("batches");
            let stop = StopLatch::new();
            let (mut feed, running) = recorder.within(|| setting.start(watch, "cache", 0, &stop));
            for _ in 0..150 {
                assert_eq!(feed.next_output().unwrap().size(), 2);
                // A worker may be between the images and the targets of a batch.
                let made = shown_bytes(&recorder);
                assert!(made <= most, "{made} bytes, {most} are counted");
            }
            // A stalled trainer fills every ticket with a sample, and every sample has its place.
            until(&running.observer(), |seen| parked(seen, tickets, 2, prefetch, 150));
            let made = shown_bytes(&recorder);
            assert!(made.is_multiple_of(each), "{made} bytes are no whole batches of {each}");
            assert!(made / each > prefetch as usize + samples_in, "{made} bytes of batches");
            stop.drain();
            while feed.next_output().is_some() {}
            let ledger = running.join_blocking().unwrap();
            assert!(ledger.delivered > 300);
            assert!(shown_bytes(&recorder) <= most);
            drop(feed);
            until_freed(&recorder);
        }
    });
}

/// The threads that made the samples end a moment after the last of them.
fn until_freed(recorder: &Recorder) {
    while shown_bytes(recorder) > 0 {
        std::thread::yield_now();
    }
}
