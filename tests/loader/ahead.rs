//! The first epoch while cases are still on their way into the cache: not one sample is another one,
//! and none waits for a case that it does not need.

use std::sync::{Arc, Condvar, Mutex};

use gliaflow::internals::actor::StopLatch;
use gliaflow::internals::base::Reason;
use gliaflow::internals::cache::PreprocessConfig;
use gliaflow::internals::pipeline::ingest::{IngestResources, IngestWorkers};
use gliaflow::internals::pipeline::loader::{CaseSource, LoaderParts, start_loader};
use gliaflow::internals::pipeline::{Arrivals, OnArrival, PrefetchIngest, PrefetchIngestParts};

use super::setting::{Setting, every_transform, flair, hash, truncate};
use crate::deadline::{LIMIT, Watch, within};
use crate::numbers::runtime;

const FEW: IngestWorkers = IngestWorkers { decode: 1, normalize: 1, publish: 1 };

fn cohort_of(cases: u64) -> Setting {
    let mut setting = Setting::of_cases(cases);
    setting.loader.patches_per_case = 1;
    setting.augment = every_transform();
    setting
}

/// Ingest into an empty cache, in the order of the plan, and the parts of a loader over it.
fn ahead(
    watch: &Watch,
    setting: &Setting,
    cache: &str,
    stop: &StopLatch,
    on_arrival: OnArrival,
) -> (PrefetchIngest, LoaderParts) {
    let store = setting.store(cache);
    let arrivals = Arrivals::default();
    let parts = PrefetchIngestParts {
        cases: setting.plan().cases_from(0),
        arrivals: arrivals.clone(),
        store: store.clone(),
        preprocess: PreprocessConfig::default(),
        resources: IngestResources { workers: FEW, memory_bytes: 1 << 30 },
        on_arrival,
    };
    let ahead = PrefetchIngest::start(parts, stop, &runtime()).unwrap();
    watch.on(ahead.running());
    let cases = CaseSource::Cache { store, arrivals };
    let parts = LoaderParts { cases, ..setting.parts(cache, 0) };
    (ahead, parts)
}

/// Holds ingest up until it is told to go on.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let shut = self.is_open.lock().unwrap();
        drop(self.changed.wait_while(shut, |is_open| !*is_open).unwrap());
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

/// A gate, and a hook that passes it with each case.
fn gated() -> (Arc<Gate>, OnArrival) {
    let gate = Arc::new(Gate::default());
    let passing = Arc::clone(&gate);
    (gate, Box::new(move |_, _| passing.pass()))
}

#[test]
fn training_begins_with_the_first_cases_and_every_batch_is_the_one_of_a_warm_cache() {
    within(LIMIT, |watch| {
        let setting = cohort_of(12);
        let (count, stop) = (15, StopLatch::new());
        let warm: Vec<_> = setting.take(watch, "warm", 0, count).iter().map(hash).collect();
        let gate = Arc::new(Gate::default());
        let (order, passing) = (Arc::<Mutex<Vec<_>>>::default(), Arc::clone(&gate));
        let seen = Arc::clone(&order);
        let on_arrival: OnArrival = Box::new(move |id, outcome| {
            assert_eq!(outcome, Ok(()));
            seen.lock().unwrap().push(id.clone());
            if seen.lock().unwrap().len() == 4 {
                passing.pass();
            }
        });
        let (_ahead, parts) = ahead(watch, &setting, "cold", &stop, on_arrival);
        let CaseSource::Cache { arrivals, .. } = &parts.cases else { panic!("it has a cache") };
        let arrivals = arrivals.clone();
        let (mut feed, running) = start_loader(parts, &stop, &runtime()).unwrap();
        watch.on(&running);
        // Two batches need four cases; no more than these can have been settled.
        for expected in &warm[..2] {
            assert_eq!(hash(&feed.next_output().unwrap()), *expected);
        }
        assert_eq!(arrivals.pending_count(), 8, "the rest is still on its way");
        gate.open();
        for expected in &warm[2..] {
            assert_eq!(hash(&feed.next_output().unwrap()), *expected);
        }
        assert_eq!(arrivals.pending_count(), 0);
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
        let planned: Vec<_> =
            setting.plan().cases_from(0).into_iter().map(|files| files.id).collect();
        assert_eq!(*order.lock().unwrap(), planned);
    });
}

#[test]
fn a_case_that_cannot_be_ingested_is_skipped_with_its_cause_and_nobody_waits_for_it() {
    within(LIMIT, |watch| {
        let mut setting = cohort_of(8);
        setting.loader.skip_share = 0.5;
        let victim = setting.plan().cases_from(0).swap_remove(3);
        truncate(flair(&victim));
        let stop = StopLatch::new();
        let (_ahead, parts) = ahead(watch, &setting, "cold", &stop, Box::new(|_, _| {}));
        let (mut feed, running) = start_loader(parts, &stop, &runtime()).unwrap();
        watch.on(&running);
        for _ in 0..8 {
            let batch = feed.next_output().unwrap();
            assert!(batch.provenance.iter().all(|from| from.case != victim.id));
        }
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
        let skips = setting.skips();
        assert!(skips.len() >= 2, "once an epoch");
        for skip in skips {
            assert_eq!(skip.error.reason, Reason::Format);
            assert!(skip.error.to_string().contains(victim.id.as_str()), "{}", skip.error);
        }
    });
}

#[test]
fn ingest_that_ends_early_leaves_nobody_waiting() {
    within(LIMIT, |watch| {
        let setting = cohort_of(6);
        let warm: Vec<_> = setting.take(watch, "warm", 0, 6).iter().map(hash).collect();
        let ((gate, hold), stop) = (gated(), StopLatch::new());
        let (ahead, parts) = ahead(watch, &setting, "cold", &stop, hold);
        let (mut feed, running) = start_loader(parts, &stop, &runtime()).unwrap();
        watch.on(&running);
        gate.open();
        drop(ahead);
        // What nobody brings any more is built by whoever needs it.
        for expected in warm {
            assert_eq!(hash(&feed.next_output().unwrap()), expected);
        }
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}

#[test]
fn an_abort_wakes_who_waits() {
    within(LIMIT, |watch| {
        let setting = cohort_of(6);
        let ((gate, hold), stop) = (gated(), StopLatch::new());
        let (ahead, parts) = ahead(watch, &setting, "cold", &stop, hold);
        let (mut feed, running) = start_loader(parts, &stop, &runtime()).unwrap();
        watch.on(&running);
        stop.abort(None);
        gate.open();
        assert!(feed.next_output().is_none());
        drop(ahead);
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}
