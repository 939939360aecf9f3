//! A case that goes bad neither hangs the run nor vanishes from its accounts.

use std::fs;
use std::path::Path;

use gliaflow::internals::actor::{EarlierSkips, Source, StopLatch};
use gliaflow::internals::base::{Fault, Reason};
use gliaflow::internals::brats::{CaseFiles, CaseReader};
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::PreprocessConfig;
use gliaflow::internals::pipeline::loader::{LoaderParts, start_loader};
use gliaflow::internals::pipeline::{Normalize, SamplePlanner, decode_case};

use super::setting::{Setting, fixed, flair, hash, replace, samples, truncate};
use crate::backpressure::parked;
use crate::deadline::{LIMIT, within};
use crate::numbers::{runtime, until};

/// Puts every case into the cache, so that a run starts warm.
fn ingest(setting: &Setting, cache: &str) {
    let store = setting.store(cache);
    let shelf = CaseBuffers::default();
    let reader = CaseReader::new(shelf.clone());
    let normalize = Normalize::new(PreprocessConfig::default(), shelf);
    for files in setting.cohort().iter() {
        let decoded = decode_case(&reader, files).unwrap();
        store.publish(&normalize.prepare_contents(decoded).unwrap()).unwrap();
    }
}

/// Spoils a case's files and its case file, and says as what that must be reported.
type Spoil = fn(&CaseFiles, &Path) -> Reason;

fn cut_short(files: &CaseFiles, case_file: &Path) -> Reason {
    truncate(flair(files));
    replace(case_file, |bytes| *bytes = b"not a case file any more".to_vec());
    Reason::Format
}

fn deleted(files: &CaseFiles, case_file: &Path) -> Reason {
    let all = files.images.iter().chain(&files.labels);
    all.for_each(|file| fs::remove_file(file).unwrap());
    fs::remove_file(case_file).unwrap();
    Reason::Missing
}

/// A run whose `victim` is spoiled while batches flow, against the same run without misfortune.
fn goes_bad_in_the_middle(spoil: Spoil) {
    within(LIMIT, move |watch| {
        let cases = 16;
        let mut setting = Setting::of_cases(cases);
        setting.loader.patches_per_case = 1;
        ingest(&setting, "cache");
        let healthy = setting.take(watch, "cache", 0, cases as usize);
        let (tickets, batch, prefetch) = (setting.tickets(), 2, setting.loader.prefetch as u64);
        let issued = tickets + batch * (prefetch + 1);
        // Its first turn in the plan comes when the trainer goes on.
        let victim = SamplePlanner::starting_at(setting.plan(), issued + 1).next().unwrap();
        assert_eq!(victim.key.epoch, 0);

        let stop = StopLatch::new();
        let (mut feed, running) = setting.start(watch, "cache", 0, &stop);
        until(&running.observer(), |seen| parked(seen, tickets, batch, prefetch, 0));
        assert_eq!(running.observer().ticket_counts().issued, issued);
        let files = victim.case_files();
        let reason = spoil(files, &setting.store("cache").case_path(&files.id).unwrap());
        let mut taken = Vec::new();
        while taken.len() < cases as usize / 2 {
            taken.push(feed.next_output().unwrap());
        }
        stop.drain();
        while let Some(batch) = feed.next_output() {
            taken.push(batch);
        }
        let ledger = running.join_blocking().unwrap();

        assert!(taken.iter().all(|batch| batch.size() == 2), "a skipped sample leaves no hole");
        let found: Vec<_> = taken.iter().flat_map(samples).collect();
        let places = healthy.iter().flat_map(|batch| batch.provenance.iter().zip(samples(batch)));
        let others: Vec<_> =
            places.filter(|(from, _)| from.case != files.id).map(|(_, sample)| sample).collect();
        assert_eq!(found, others[..found.len()], "the others keep their order and their voxels");
        let skips = setting.skips();
        assert!(!skips.is_empty() && ledger.skipped == skips.len() as u64, "{skips:?}");
        assert_eq!(skips[0].ordinal, issued + 1);
        for skip in &skips {
            assert_eq!(skip.error.reason, reason, "{}", skip.error);
            assert!(skip.item.contains(files.id.as_str()), "{skip:?}");
            assert!(skip.error.to_string().contains(files.id.as_str()), "{}", skip.error);
        }
        assert_eq!((ledger.in_flight, ledger.abandoned), (0, 0));
        assert_eq!(ledger.issued, ledger.delivered + ledger.skipped);
        let left = ledger.delivered - found.len() as u64;
        assert!(left < 2, "{left} samples reached the sink and not the trainer");
    });
}

#[test]
fn a_case_cut_short_in_the_middle_of_a_run_is_skipped_and_the_next_takes_its_place() {
    goes_bad_in_the_middle(cut_short);
}

#[test]
fn a_case_deleted_in_the_middle_of_a_run_is_skipped_and_the_next_takes_its_place() {
    goes_bad_in_the_middle(deleted);
}

#[test]
fn a_case_bad_from_the_start_is_skipped_at_every_turn_for_any_number_of_workers() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(5);
        setting.loader.skip_share = 0.5;
        let healthy = setting.take(watch, "healthy", 0, 12);
        let cohort = setting.cohort();
        let victim = &cohort[3];
        truncate(flair(victim));
        let of_others = |batch: &gliaflow::internals::pipeline::Batch| -> Vec<_> {
            let places = batch.provenance.iter().zip(samples(batch));
            places.filter(|(from, _)| from.case != victim.id).map(|(_, sample)| sample).collect()
        };
        let others: Vec<_> = healthy.iter().flat_map(of_others).collect();
        let mut reference = None;
        for (fetch, crop) in [(1, 1), (2, 4)] {
            setting.loader.workers = fixed(fetch, crop);
            let before = setting.skips().len();
            let batches = setting.take(watch, &format!("cold-{fetch}"), 0, 8);
            let found: Vec<_> = batches.iter().flat_map(samples).collect();
            assert_eq!(found, others[..16], "{fetch} and {crop}");
            let skips = setting.skips().split_off(before);
            assert!(skips.len() >= 2, "two epochs met it: {skips:?}");
            assert!(skips.iter().all(|skip| skip.item.contains(victim.id.as_str())), "{skips:?}");
            assert!(skips.windows(2).all(|pair| pair[0].ordinal < pair[1].ordinal), "{skips:?}");
            let hashes: Vec<_> = batches.iter().map(hash).collect();
            assert_eq!(*reference.get_or_insert(hashes.clone()), hashes);
            // A resumed run skips it at the same places.
            let resumed = setting.take(watch, "cold-1", batches[2].next_sample, 2);
            let resumed: Vec<_> = resumed.iter().flat_map(samples).collect();
            assert_eq!(resumed, found[6..10]);
        }
    });
}

#[test]
fn more_bad_samples_than_the_budget_end_the_run_and_name_the_last() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(2);
        for files in setting.cohort().iter() {
            truncate(flair(files));
        }
        let (mut feed, running) = setting.start(watch, "cache", 0, &StopLatch::new());
        let observer = running.observer();
        assert!(feed.next_output().is_none());
        let Err(Fault::TooManySkipped { skipped, issued, budget, last }) = running.join_blocking()
        else {
            panic!("two bad cases of two are too many");
        };
        assert_eq!((skipped, issued, budget), (4, 4, 3));
        let skips = setting.skips();
        assert_eq!(skips.iter().map(|skip| skip.ordinal).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(skips[3].error, last, "the last skip is the one that broke the budget");
        assert!(last.to_string().contains("flair"), "{last}");
        let ledger = observer.ticket_counts();
        assert!(ledger.is_balanced() && ledger.in_flight == 0, "{ledger:?}");
        assert_eq!((ledger.delivered, ledger.skipped), (0, 4));
    });
}

#[test]
fn the_budget_is_a_share_of_the_cases_and_a_bad_one_counts_once() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(8);
        let cohort = setting.cohort();
        // Three of eight cases may always be bad, however often they come up.
        for files in &cohort[..3] {
            truncate(flair(files));
        }
        setting.loader.skip_share = 0.0;
        let batches = setting.take(watch, "cache", 0, 24);
        assert_eq!((batches.len(), setting.skips().len() > 12), (24, true));
        // Of four, half may be, for ever; a third may not.
        truncate(flair(&cohort[3]));
        setting.loader.skip_share = 0.5;
        assert_eq!(setting.take(watch, "other", 0, 24).len(), 24);
        setting.loader.skip_share = 0.3;
        let mut ends = [(1, 1), (2, 3)].map(|(fetch, crop)| {
            setting.loader.workers = fixed(fetch, crop);
            let (mut feed, running) = setting.start(watch, "other", 0, &StopLatch::new());
            while feed.next_output().is_some() {}
            running.join_blocking().unwrap_err()
        });
        assert_eq!(ends[0], ends[1], "at the same sample for any number of workers");
        let Fault::TooManySkipped { skipped, issued, budget, .. } = &mut ends[0] else {
            panic!("{}", ends[0]);
        };
        assert!(*skipped >= 4 && *budget < *skipped && *issued < 48, "{skipped} {issued} {budget}");
        // A loader that goes on counts what was skipped before it.
        let earlier = EarlierSkips {
            seen: 16,
            skipped: 8,
            subjects: cohort[..4].iter().map(|files| files.id.as_str().into()).collect(),
        };
        let parts = LoaderParts { earlier_skips: earlier, ..setting.parts("other", 16) };
        let (mut feed, running) = start_loader(parts, &StopLatch::new(), &runtime()).unwrap();
        watch.on(&running);
        while feed.next_output().is_some() {}
        let fault = running.join_blocking().unwrap_err();
        assert!(matches!(fault, Fault::TooManySkipped { skipped: 9, .. }), "{fault}");
    });
}
