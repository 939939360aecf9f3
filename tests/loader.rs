//! The real loader on real phantom files: exact back-pressure, the same batches whatever the
//! machine does, and a bad case that neither hangs nor vanishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gliaflow::actor::observe::Observer;
use gliaflow::actor::stage::Source;
use gliaflow::actor::stop::StopLatch;
use gliaflow::base::error::{Fault, Reason};
use gliaflow::base::fingerprint::{Fingerprint, Fingerprinter};
use gliaflow::brats::dataset::{CaseFiles, discover};
use gliaflow::brats::phantom::{PhantomConfig, cohort};
use gliaflow::cache::preprocess::PreprocessConfig;
use gliaflow::cache::store::CaseStore;
use gliaflow::pipeline::crop::CropConfig;
use gliaflow::pipeline::loader::{LoaderConfig, LoaderParts, LoaderWorkers, start};
use gliaflow::pipeline::plan::{Plan, Planner};
use gliaflow::pipeline::workers::WorkerPlan;
use gliaflow::volume::grid::Dims;
use gliaflow::volume::sample::Batch;

use crate::deadline::{LIMIT, within};
use crate::numbers::{runtime, until};

const SEED: u64 = 11;
const PATCH: Dims = Dims::cube(16);

/// A cohort on disk and the settings of a loader over it.
struct Setting {
    folder: tempfile::TempDir,
    loader: LoaderConfig,
    patches: u64,
    skipped: Arc<Mutex<Vec<(String, Reason)>>>,
}

impl Setting {
    fn of_cases(cases: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = PhantomConfig { dims: Dims::from_nifti([32, 32, 24]), seed: SEED };
        cohort::write_cohort(&folder.path().join("data"), &config, cases, &mut |_| {}).unwrap();
        let workers = WorkerPlan::Fixed(LoaderWorkers { fetch: 1, crop: 1 });
        let loader = LoaderConfig { batch: 2, memory_mib: 8, workers, ..LoaderConfig::default() };
        Self { folder, loader, patches: 2, skipped: Arc::default() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn cohort(&self) -> Arc<[CaseFiles]> {
        discover(&self.data()).unwrap().cases.into()
    }

    /// A loader that starts at `first`, with case files under `cache`.
    fn parts(&self, cache: &str, first: u64) -> LoaderParts {
        let preprocess = PreprocessConfig::default();
        let root = self.folder.path().join(cache);
        let skipped = Arc::clone(&self.skipped);
        LoaderParts {
            loader: self.loader.clone(),
            crop: CropConfig { patch: PATCH, ..CropConfig::default() },
            plan: Plan::new(self.cohort(), SEED, self.patches),
            first_sample: first,
            first_batch: first / self.loader.batch as u64,
            store: Arc::new(CaseStore::open(&root, preprocess.fingerprint()).unwrap()),
            preprocess,
            on_skip: Box::new(move |skip| {
                skipped.lock().unwrap().push((skip.item.clone(), skip.error.reason));
            }),
        }
    }

    fn tickets(&self) -> u64 {
        self.loader.tickets(PATCH).unwrap() as u64
    }
}

fn hash(batch: &Batch) -> Fingerprint {
    let mut hasher = Fingerprinter::default();
    for value in &batch.images {
        hasher.update(&value.to_le_bytes());
    }
    hasher.update(&batch.labels);
    hasher.update(format!("{:?} {:?}", batch.keys, batch.provenance).as_bytes());
    hasher.finish()
}

/// Hashes of the first `count` batches, and that the account balances.
fn batches(parts: LoaderParts, count: usize) -> Vec<Fingerprint> {
    within(LIMIT, move |watch| {
        let (mut feed, running) = start(parts, &StopLatch::new(), &runtime()).unwrap();
        watch.on(&running);
        let hashes = (0..count).map(|_| hash(&feed.take().unwrap())).collect();
        drop(feed);
        assert!(running.join_blocking().unwrap().balances());
        hashes
    })
}

/// True when only the trainer can make anything move.
fn parked(seen: &Observer, expected: u64) -> bool {
    let actors = seen.observations();
    let idle = actors[1..actors.len() - 1].iter().all(|a| a.starved_now == a.workers);
    let blocked = actors[0].blocked_now == 1 && actors[actors.len() - 1].blocked_now == 1;
    idle && blocked && seen.ledger().issued >= expected && seen.tickets_free() == 0
}

#[test]
fn a_stalled_trainer_bounds_the_planner_exactly() {
    for (batch, prefetch, memory_mib, crop) in [(2, 1, 1, 1), (1, 2, 2, 2), (3, 2, 8, 4)] {
        let mut setting = Setting::of_cases(3);
        let workers = WorkerPlan::Fixed(LoaderWorkers { fetch: 1, crop });
        setting.loader =
            LoaderConfig { batch, prefetch, memory_mib, workers, ..setting.loader.clone() };
        let expected = setting.tickets() + (batch * (prefetch + 1)) as u64;
        let parts = setting.parts("cache", 0);
        within(LIMIT, move |watch| {
            let (mut feed, running) = start(parts, &StopLatch::new(), &runtime()).unwrap();
            watch.on(&running);
            let observer = running.observer();
            for taken in 0..3 {
                let bound = expected + taken * batch as u64;
                until(&observer, |seen| parked(seen, bound));
                assert_eq!(observer.ledger().issued, bound, "after {taken} batches");
                assert_eq!(feed.take().unwrap().number, taken);
            }
        });
    }
}

#[test]
fn batches_depend_on_neither_workers_nor_cache_nor_where_the_run_starts() {
    let mut setting = Setting::of_cases(4);
    let reference = batches(setting.parts("warm", 0), 12);
    assert!(reference.windows(2).all(|pair| pair[0] != pair[1]), "batches differ");
    for (fetch, crop, memory_mib) in [(1, 2, 8), (2, 4, 16), (1, 1, 1)] {
        setting.loader.workers = WorkerPlan::Fixed(LoaderWorkers { fetch, crop });
        setting.loader.memory_mib = memory_mib;
        assert_eq!(batches(setting.parts("warm", 0), 12), reference, "warm, {fetch} and {crop}");
        let cold = format!("cold-{fetch}-{crop}");
        assert_eq!(batches(setting.parts(&cold, 0), 12), reference, "cold, {fetch} and {crop}");
    }
    setting.loader.workers = WorkerPlan::Auto;
    assert_eq!(batches(setting.parts("warm", 0), 12), reference, "while workers may move");
    assert_eq!(batches(setting.parts("warm", 10), 7), reference[5..], "from the middle");
}

/// Cuts a file of one case short, and replaces its case file with rubbish. Replaces, never
/// overwrites: that is the promise under which a mapped file may be read.
fn spoil(data: &Path, id: &str, case_file: Option<&Path>) {
    let flair = data.join(id).join(format!("{id}_flair.nii.gz"));
    let bytes = fs::read(&flair).unwrap();
    fs::write(&flair, &bytes[..bytes.len() / 2]).unwrap();
    if let Some(path) = case_file {
        fs::remove_file(path).unwrap();
        fs::write(path, b"not a case file any more").unwrap();
    }
}

#[test]
fn a_case_that_goes_bad_in_the_middle_of_a_run_neither_hangs_nor_vanishes() {
    let cases = 20;
    let mut setting = Setting::of_cases(cases);
    setting.patches = 1;
    // All case files are there, so the run starts warm; its own store has mapped none yet.
    batches(setting.parts("cache", 0), cases as usize / 2);
    let parts = setting.parts("cache", 0);
    let issued = setting.tickets() + (setting.loader.batch * (setting.loader.prefetch + 1)) as u64;
    let mut planner = Planner::starting_at(parts.plan.clone(), issued + 1);
    let planned = planner.next().unwrap();
    assert_eq!(planned.key.epoch, 0, "the victim's turn comes in the first epoch");
    let victim = planned.files().id.to_string();
    let case_file = parts.store.path_of(&planned.files().id).unwrap();
    let (data, name) = (setting.data(), victim.clone());
    let keys: Vec<u64> = within(LIMIT, move |watch| {
        let (mut feed, running) = start(parts, &StopLatch::new(), &runtime()).unwrap();
        watch.on(&running);
        until(&running.observer(), |seen| parked(seen, issued));
        spoil(&data, &name, Some(&case_file));
        let mut keys = Vec::new();
        while keys.len() < cases as usize {
            let batch = feed.take().unwrap();
            assert_eq!(batch.size(), 2, "a skipped sample leaves no hole");
            keys.extend(batch.keys.iter().map(|key| cases * key.epoch + key.index));
        }
        let ledger = running.ledger();
        assert!(ledger.balances() && ledger.skipped >= 1, "{ledger:?}");
        drop(feed);
        running.join_blocking().unwrap();
        keys
    });
    let expected: Vec<u64> = (0..=cases).filter(|place| *place != issued + 1).collect();
    assert_eq!(keys, expected, "the others keep their places, the next one takes its");
    let skipped = setting.skipped.lock().unwrap();
    // By now the second epoch may have met it again.
    let named =
        |(item, reason): &(String, Reason)| item.contains(&victim) && *reason == Reason::Format;
    assert!(!skipped.is_empty() && skipped.iter().all(named), "{skipped:?}");
}

#[test]
fn more_bad_samples_than_the_budget_end_the_run_and_name_the_last() {
    let setting = Setting::of_cases(2);
    let parts = setting.parts("cache", 0);
    for case in setting.cohort().iter() {
        spoil(&setting.data(), case.id.as_str(), None);
    }
    within(LIMIT, move |watch| {
        let (mut feed, running) = start(parts, &StopLatch::new(), &runtime()).unwrap();
        watch.on(&running);
        assert!(feed.take().is_none());
        match running.join_blocking() {
            Err(Fault::TooManySkipped { skipped, budget, last, .. }) => {
                assert_eq!((skipped, budget), (4, 3));
                assert!(last.to_string().contains("flair"), "{last}");
            }
            other => panic!("{other:?}"),
        }
    });
}
