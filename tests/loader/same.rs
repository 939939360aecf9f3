//! A sample is a function of its case, its key and the configuration, and of nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use gliaflow::internals::actor::StopLatch;
use gliaflow::internals::pipeline::WorkerPlan;

use super::setting::{Setting, every_transform, fixed, hash, samples};
use crate::deadline::{LIMIT, within};

/// Case files with their times of modification.
fn stamps(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let stamp = |file: std::fs::DirEntry| {
        format!("{:?} {:?}", file.file_name(), file.metadata().unwrap().modified().unwrap())
    };
    let mut all: Vec<String> = files.map(stamp).collect();
    all.sort();
    all
}

#[test]
fn batches_are_the_same_for_any_number_of_workers_cold_or_warm() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(4);
        setting.augment = every_transform();
        let count = 10;
        let hashes = |setting: &Setting, cache: &str| -> Vec<_> {
            setting.take(watch, cache, 0, count).iter().map(hash).collect()
        };
        let reference = hashes(&setting, "warm");
        assert_eq!(BTreeSet::from_iter(&reference).len(), count, "no two batches are alike");
        let built = stamps(setting.store("warm").folder());
        assert_eq!(built.len(), 4);
        for (bring, augment) in [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4)] {
            setting.loader.workers = fixed(bring, augment);
            for fused in [false, true] {
                let how = format!("{bring}-{augment}-{fused}");
                setting.loader.fused = fused;
                setting.loader.cached = true;
                assert_eq!(hashes(&setting, "warm"), reference, "warm, {how}");
                assert_eq!(hashes(&setting, &how), reference, "built on the way, {how}");
                assert_eq!(stamps(setting.store(&how).folder()).len(), 4);
                setting.loader.cached = false;
                assert_eq!(hashes(&setting, "none"), reference, "cold, {how}");
                assert!(!setting.cache("none").exists(), "the cold path writes nothing");
            }
        }
        setting.loader.fused = false;
        setting.loader.cached = true;
        assert_eq!(stamps(setting.store("warm").folder()), built, "a warm run builds nothing");
        setting.loader.workers = WorkerPlan::Auto;
        assert_eq!(hashes(&setting, "warm"), reference, "workers that may move");
        // So little memory that there are as few tickets as there can be.
        setting.loader.memory_mib = 1;
        assert_eq!(hashes(&setting, "warm"), reference, "short of memory");
    });
}

#[test]
fn mixed_batches_are_the_same_for_any_number_of_workers() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(4);
        setting.augment = every_transform();
        setting.augment.mixing.share = 0.6;
        let batches = setting.take(watch, "warm", 0, 10);
        let mixed = batches.iter().flat_map(|batch| &batch.provenance);
        let mixed = mixed.filter(|origin| origin.drawn.mixing.is_some()).count();
        // 12 of 20 less those whose donor would be their own case.
        assert!((6..=12).contains(&mixed), "{mixed}");
        let reference: Vec<_> = batches.iter().map(hash).collect();
        for (bring, augment) in [(1, 3), (2, 1), (2, 4)] {
            setting.loader.workers = fixed(bring, augment);
            for fused in [false, true] {
                setting.loader.fused = fused;
                let how = format!("{bring}-{augment}-{fused}");
                let hashes: Vec<_> = setting.take(watch, &how, 0, 10).iter().map(hash).collect();
                assert_eq!(hashes, reference, "built on the way, {how}");
            }
        }
        let tail: Vec<_> = setting.take(watch, "warm", 7, 4).iter().flat_map(samples).collect();
        let all: Vec<_> = batches.iter().flat_map(samples).collect();
        assert_eq!(tail, all[7..15], "begun in the middle");
    });
}

/// As `workers = "auto"` does it, but all the time and without a reason.
#[test]
fn batches_are_the_same_while_workers_come_and_go() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(4);
        let count = 40;
        let reference: Vec<_> = setting.take(watch, "cache", 0, count).iter().map(hash).collect();
        let (mut feed, running) = setting.start(watch, "cache", 0, &StopLatch::new());
        let crew = running.worker_scaler();
        let mut restless = [(1, 3), (2, 1), (3, 4), (1, 1)].into_iter().cycle();
        for expected in reference {
            let (fetch, crop) = restless.next().unwrap();
            crew.resize_stage("fetch", fetch).unwrap();
            crew.resize_stage("augment", crop).unwrap();
            assert_eq!(hash(&feed.next_output().unwrap()), expected);
        }
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}

#[test]
fn starting_anywhere_gives_the_tail_of_the_whole() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(4);
        let count = 12;
        let whole = setting.take(watch, "cache", 0, count);
        let all: Vec<_> = whole.iter().flat_map(samples).collect();
        let batch = setting.loader.batch;
        // An epoch is 8 samples: before, at and after its end, on the edge of a batch and off it.
        for first in [1, 6, 7, 8, 9, 16] {
            let tail = setting.take(watch, "cache", first as u64, 4);
            let tail: Vec<_> = tail.iter().flat_map(samples).collect();
            assert_eq!(tail, all[first..first + 4 * batch], "from {first}");
        }
        // As a checkpoint does it: with the position that the last batch names.
        for last in [0, 3, 4, 9] {
            let next = setting.take(watch, "cache", whole[last].next_sample, 2);
            let hashes: Vec<_> = next.iter().map(hash).collect();
            let expected: Vec<_> = whole[last + 1..last + 3].iter().map(hash).collect();
            assert_eq!(hashes, expected, "after batch {last}");
        }
    });
}
