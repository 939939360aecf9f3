//! Ingest: every case has an outcome, in order; the good ones are whole files in the cache, whenever
//! it stops; and no more cases are in memory than there are tickets.

use std::fs;
use std::path::PathBuf;

use gliaflow::internals::actor::{Feed, RunningTopology, StopLatch};
use gliaflow::internals::base::Reason;
use gliaflow::internals::brats::{CaseFiles, write_intensities, write_labels};
use gliaflow::internals::cache::{ExpectedSource, MappedCase, PreprocessConfig, Verify};
use gliaflow::internals::pipeline::ingest::{
    IngestOutcome, IngestResources, IngestWorkers, start_ingest,
};
use gliaflow::internals::pipeline::stat_files;
use gliaflow::internals::volume::{Dims, SourceGrid};

use super::setting::{Setting, flair, phantom, truncate};
use crate::backpressure::parked;
use crate::deadline::{LIMIT, Watch, within};
use crate::numbers::{runtime, until};

fn ingest(
    watch: &Watch,
    setting: &Setting,
    cases: &[CaseFiles],
    workers: &IngestWorkers,
    stop: &StopLatch,
) -> (Feed<IngestOutcome>, RunningTopology) {
    let (store, preprocess) = (setting.store("cache"), PreprocessConfig::default());
    let resources = IngestResources { workers: workers.clone(), memory_bytes: 1 << 30 };
    let started =
        start_ingest(cases.to_vec(), store, &preprocess, &resources, stop, &runtime()).unwrap();
    watch.on(&started.1);
    started
}

/// Spoils the files of a case, and says what must be reported.
type Spoil = fn(&CaseFiles) -> (Reason, &'static str);

const SPOILS: [Spoil; 4] = [
    |files| {
        truncate(flair(files));
        (Reason::Format, "flair.nii.gz")
    },
    |files| {
        fs::remove_file(&files.images[2]).unwrap();
        (Reason::Missing, "t2.nii.gz")
    },
    |files| {
        let phantom = phantom(&files.id);
        let mut values = vec![0; phantom.labels.len()];
        values[100] = 3;
        write_labels(files.labels.as_ref().unwrap(), &values, &phantom.source).unwrap();
        (Reason::Label, "seg.nii.gz")
    },
    |files| {
        let affine = phantom(&files.id).source.world_from_voxel;
        let smaller = SourceGrid::canonical(Dims([24, 32, 31]), affine);
        let values = vec![1; smaller.dims.voxel_count()];
        write_intensities(&files.images[1], &values, &smaller).unwrap();
        (Reason::Geometry, "t1ce.nii.gz")
    },
];

#[test]
fn every_case_has_one_outcome_in_order_and_the_good_ones_are_in_the_cache() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(9);
        let cases = setting.cohort();
        let spoiled: Vec<_> = SPOILS.iter().enumerate().collect();
        let expected: Vec<Option<(Reason, &str)>> = (0..cases.len())
            .map(|place| {
                let spoil = spoiled.iter().find(|(number, _)| 2 * number + 1 == place);
                spoil.map(|(_, spoil)| spoil(&cases[place]))
            })
            .collect();
        let workers = IngestWorkers { decode: 3, normalize: 2, publish: 2 };
        let stop = StopLatch::new();
        let (mut feed, running) = ingest(watch, &setting, &cases, &workers, &stop);
        let outcomes: Vec<IngestOutcome> = std::iter::from_fn(|| feed.next_output()).collect();
        let ledger = running.join_blocking().unwrap();
        assert_eq!((ledger.issued, ledger.delivered, ledger.skipped), (9, 5, 4));
        assert_eq!(outcomes.len(), cases.len());

        let store = setting.store("cache");
        for ((files, outcome), expected) in cases.iter().zip(&outcomes).zip(expected) {
            match (outcome, expected) {
                (Ok(case), None) => {
                    assert_eq!(case.id, files.id);
                    let seen = stat_files(files).unwrap();
                    let mapped = store
                        .find_case(&files.id, ExpectedSource::State(&seen.state))
                        .unwrap()
                        .unwrap();
                    assert_eq!(
                        (mapped.brain_box().dims, mapped.file_bytes()),
                        (case.brain, case.bytes)
                    );
                    assert!(MappedCase::open(mapped.path(), Verify::Full).is_ok());
                }
                (Err(skip), Some((reason, file))) => {
                    assert_eq!(
                        (skip.item.as_str(), skip.error.reason),
                        (files.id.as_str(), reason)
                    );
                    let text = skip.error.to_string();
                    assert!(text.contains(files.id.as_str()) && text.contains(file), "{text}");
                    assert!(!store.case_path(&files.id).unwrap().exists());
                }
                (outcome, expected) => panic!("{}: {outcome:?}, not {expected:?}", files.id),
            }
        }
    });
}

fn case_files(setting: &Setting) -> Vec<PathBuf> {
    let entries = fs::read_dir(setting.store("cache").folder()).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn an_abort_at_any_moment_leaves_whole_files_and_the_next_ingest_completes_them() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(8);
        let cases = setting.cohort();
        let workers = IngestWorkers { decode: 2, normalize: 2, publish: 2 };
        for after in [0, 1, 3, 6] {
            let stop = StopLatch::new();
            let (mut feed, running) = ingest(watch, &setting, &cases, &workers, &stop);
            for _ in 0..after {
                assert!(matches!(feed.next_output(), Some(Ok(_))));
            }
            stop.abort(None);
            assert!(feed.next_output().is_none(), "an abort is prompt");
            let ledger = running.join_blocking().unwrap();
            assert!(ledger.is_balanced() && ledger.in_flight == 0, "{ledger:?}");
            assert_eq!(ledger.skipped, 0);
            let files = case_files(&setting);
            assert!(files.len() >= after, "what was reported as published is there");
            for path in files {
                assert_eq!(path.extension().unwrap(), "case");
                assert!(MappedCase::open(&path, Verify::Full).is_ok(), "{}", path.display());
            }
            fs::remove_dir_all(setting.cache("cache")).unwrap();
        }
        let (mut feed, running) = ingest(watch, &setting, &cases, &workers, &StopLatch::new());
        assert_eq!(std::iter::from_fn(|| feed.next_output()).count(), cases.len());
        running.join_blocking().unwrap();
        assert_eq!(case_files(&setting).len(), cases.len());
    });
}

#[test]
fn no_more_cases_are_in_flight_than_there_are_tickets() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(12);
        let cases = setting.cohort();
        for (decode, normalize, publish) in [(1, 1, 1), (2, 2, 1)] {
            let workers = IngestWorkers { decode, normalize, publish };
            let tickets = workers.ticket_count() as u64;
            assert!(tickets + 2 + 2 < cases.len() as u64, "the cohort does not fit in at once");
            let (mut feed, running) = ingest(watch, &setting, &cases, &workers, &StopLatch::new());
            let observer = running.observer();
            for taken in 0..2 {
                until(&observer, |seen| parked(seen, tickets, 1, 1, taken));
                let ledger = observer.ticket_counts();
                assert_eq!((ledger.in_flight, ledger.issued), (tickets, tickets + 2 + taken));
                assert!(feed.next_output().is_some());
            }
            loop {
                let ledger = observer.ticket_counts();
                assert!(ledger.is_balanced() && ledger.in_flight <= tickets, "{ledger:?}");
                if feed.next_output().is_none() {
                    break;
                }
            }
            assert_eq!(running.join_blocking().unwrap().delivered, cases.len() as u64);
        }
    });
}
