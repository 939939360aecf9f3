//! A mapped case file that becomes shorter under a run: every access behind its new end raises SIGBUS,
//! and the run's samples are the same.

use std::collections::BTreeMap;
use std::fs;

use gliaflow::internals::actor::StopLatch;
use gliaflow::internals::base::Reason;
use gliaflow::internals::pipeline::whole_case::WholeCaseSource;
use gliaflow::internals::volume::CaseId;

use super::setting::{Setting, hash, samples};
use crate::deadline::{LIMIT, within};
use crate::numbers::runtime;

/// Batches that are compared: the cohort several times over, and more than the loader makes ahead.
const BATCHES: usize = 18;

/// Cuts the file of a case at `length`, in place: what is mapped of it is gone.
fn cut_case_file(setting: &Setting, id: &CaseId, length: u64) {
    let path = setting.store("cache").case_path(id).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    // One that was cut before and not read since is shorter already.
    if file.metadata().unwrap().len() > length {
        file.set_len(length).unwrap();
    }
}

fn cut_case_files(setting: &Setting, length: u64) {
    setting.cohort().iter().for_each(|files| cut_case_file(setting, &files.id, length));
}

#[test]
fn case_files_that_are_cut_short_again_and_again_change_no_sample() {
    within(LIMIT, |watch| {
        for fused in [false, true] {
            let mut setting = Setting::of_cases(3);
            setting.loader.fused = fused;
            let whole = setting.take(watch, "cache", 0, BATCHES);
            let reference: Vec<_> = whole.iter().map(hash).collect();
            let (mut feed, running) = setting.start(watch, "cache", 0, &StopLatch::new());
            let mut found = Vec::new();
            for number in 0..BATCHES {
                // Behind the first page, in the midst of the voxels, and all of it.
                match number {
                    2 => cut_case_files(&setting, 4096),
                    6 => cut_case_files(&setting, 20_000),
                    10 => cut_case_files(&setting, 0),
                    _ => {}
                }
                found.push(hash(&feed.next_output().unwrap()));
            }
            drop(feed);
            assert!(running.join_blocking().unwrap().is_balanced());
            assert_eq!(setting.skips(), []);
            assert_eq!(found, reference, "fused: {fused}");
            let store = setting.store("cache");
            let whole_again = setting.cohort().iter().any(|files| {
                fs::metadata(store.case_path(&files.id).unwrap()).unwrap().len() > 20_000
            });
            assert!(whole_again, "no case file was built again");
        }
    });
}

#[test]
fn where_the_sources_are_gone_too_the_samples_of_the_case_are_skipped_and_no_other_changes() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(3);
        setting.loader.skip_share = 0.9;
        let whole = setting.take(watch, "cache", 0, 2 * BATCHES);
        let reference: BTreeMap<_, _> = whole
            .iter()
            .flat_map(|batch| {
                batch.keys.iter().map(|key| (key.epoch, key.index)).zip(samples(batch))
            })
            .collect();
        let lost = setting.cohort()[1].clone();
        let (mut feed, running) = setting.start(watch, "cache", 0, &StopLatch::new());
        let mut batches = vec![feed.next_output().unwrap()];
        for path in lost.paths() {
            fs::remove_file(path).unwrap();
        }
        cut_case_file(&setting, &lost.id, 4096);
        batches.extend((1..BATCHES).map(|_| feed.next_output().unwrap()));
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
        for batch in &batches {
            for (key, sample) in batch.keys.iter().zip(samples(batch)) {
                assert_eq!(sample, reference[&(key.epoch, key.index)], "{key:?}");
            }
        }
        let skips = setting.skips();
        assert!(!skips.is_empty(), "no sample of {} was skipped", lost.id);
        for skip in skips {
            let text = skip.error.to_string();
            assert!(text.contains(lost.id.as_str()), "{text}");
            assert_eq!(skip.error.reason, Reason::Missing, "{text}");
        }
    });
}

#[test]
fn files_that_have_changed_meanwhile_give_no_other_sample_in_its_place() {
    within(LIMIT, |_| {
        let setting = Setting::of_cases(2);
        let stop = StopLatch::new();
        let fetch = setting.fetch("cache", &stop);
        let cohort = setting.cohort();
        let [one, other] = [&cohort[0], &cohort[1]];
        let case = fetch.mapped_case(one).unwrap();
        fs::copy(&other.images[0], &one.images[0]).unwrap();
        cut_case_file(&setting, &one.id, 4096);
        assert!(case.check_pages().is_ok(), "nothing was read of what is gone");
        assert!(case.images().contains(&[0; 4]), "pages of zeros");
        assert_eq!(case.check_pages().unwrap_err().reason, Reason::Checksum);
        let refused = fetch.mapped_case(one).unwrap_err();
        assert!(refused.to_string().contains("have changed since"), "{refused}");
    });
}

#[test]
fn whole_cases_of_files_that_were_cut_short_are_the_same() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(3);
        let cases = setting.cohort().to_vec();
        let stop = StopLatch::new();
        let fetch = setting.fetch("cache", &stop);
        let mut kept = Vec::new();
        for cut in [false, true] {
            // The first time maps every case; the second meets mappings of what is gone.
            if cut {
                cut_case_files(&setting, 4096);
            }
            let source = WholeCaseSource::Cache(fetch.clone());
            let (mut feed, running) =
                source.start_topology(cases.clone(), &stop, &runtime()).unwrap();
            watch.on(&running);
            let found: Vec<_> = std::iter::from_fn(|| feed.next_output())
                .map(|case| {
                    let case = case.unwrap();
                    (case.id, case.images, case.tissue, case.labels)
                })
                .collect();
            running.join_blocking().unwrap();
            kept.push(found);
        }
        assert!(kept[0].len() == cases.len() && kept[0] == kept[1]);
    });
}
