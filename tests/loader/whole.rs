//! Whole cases for evaluation and prediction: the same out of the cache and out of files, in order,
//! and a bad one is an outcome in its place.

use std::sync::Arc;

use gliaflow::internals::actor::{Feed, RunningTopology, StopLatch};
use gliaflow::internals::base::Reason;
use gliaflow::internals::brats::CaseFiles;
use gliaflow::internals::cache::PreprocessConfig;
use gliaflow::internals::pipeline::whole_case::{WholeCase, WholeCaseOutcome, WholeCaseSource};
use gliaflow::internals::volume::Modality;

use super::reference::{Reference, tolerance};
use super::setting::{Setting, flair, phantom, truncate};
use crate::deadline::{LIMIT, Watch, within};
use crate::numbers::runtime;

fn all(
    watch: &Watch,
    (mut feed, running): (Feed<WholeCaseOutcome>, RunningTopology),
    bad: u64,
) -> Vec<WholeCaseOutcome> {
    watch.on(&running);
    let outcomes: Vec<WholeCaseOutcome> = std::iter::from_fn(|| feed.next_output()).collect();
    let ledger = running.join_blocking().unwrap();
    let delivered = outcomes.len() as u64 - bad;
    assert_eq!((ledger.delivered, ledger.skipped, ledger.in_flight), (delivered, bad, 0));
    outcomes
}

fn cached(
    watch: &Watch,
    setting: &Setting,
    cases: &[CaseFiles],
    bad: u64,
) -> Vec<WholeCaseOutcome> {
    let stop = StopLatch::new();
    let fetch = setting.fetch("cache", &stop);
    all(
        watch,
        WholeCaseSource::Cache(fetch).start_topology(cases.to_vec(), &stop, &runtime()).unwrap(),
        bad,
    )
}

fn streamed(watch: &Watch, cases: &[CaseFiles], bad: u64) -> Vec<WholeCaseOutcome> {
    let (stop, preprocess) = (StopLatch::new(), PreprocessConfig::default());
    all(
        watch,
        WholeCaseSource::Files(preprocess)
            .start_topology(cases.to_vec(), &stop, &runtime())
            .unwrap(),
        bad,
    )
}

fn assert_same(one: &WholeCase, other: &WholeCase) {
    assert_eq!(one.id, other.id);
    assert!(one.images == other.images, "{}: images differ", one.id);
    assert_eq!(one.labels, other.labels);
    assert_eq!((one.brain, one.source, one.scheme), (other.brain, other.source, other.scheme));
}

fn assert_right(case: &WholeCase) {
    let phantom = phantom(&case.id);
    let reference = Reference::of_phantom(&phantom);
    assert_eq!((case.brain, case.source.dims), (reference.brain, phantom.source.dims));
    let dims = phantom.source.dims;
    assert_eq!(case.labels, Some(case.brain.crop_from(&phantom.labels, dims)));
    let places: Vec<usize> = (0..dims.voxel_count()).collect();
    let places = case.brain.crop_from(&places, dims);
    for modality in Modality::ALL {
        for (found, place) in case.modality_image(modality).iter().zip(&places) {
            let close = match reference.score(modality.index(), *place) {
                Some(score) => (f64::from(*found) - score).abs() <= tolerance(score),
                None => *found == 0.0,
            };
            assert!(close, "{found} at {place} of {modality}, case {}", case.id);
        }
    }
}

#[test]
fn whole_cases_are_the_same_out_of_the_cache_and_out_of_files() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(4);
        let mut cases = setting.cohort().to_vec();
        // The order is the caller's, not the names'; and one case has no labels.
        cases.swap(0, 2);
        cases[3].labels = None;
        let cold = cached(watch, &setting, &cases, 0);
        let warm = cached(watch, &setting, &cases, 0);
        let direct = streamed(watch, &cases, 0);
        for (place, files) in cases.iter().enumerate() {
            let direct = direct[place].as_ref().unwrap();
            assert_eq!(direct.id, files.id);
            assert_same(direct, cold[place].as_ref().unwrap());
            assert_same(direct, warm[place].as_ref().unwrap());
            if files.labels.is_some() {
                assert_right(direct);
            } else {
                assert_eq!(direct.labels, None);
            }
        }
    });
}

#[test]
fn a_bad_case_is_an_outcome_in_its_place_and_the_rest_follow() {
    within(LIMIT, |watch| {
        let setting = Setting::of_cases(4);
        let cases: Arc<[CaseFiles]> = setting.cohort();
        truncate(flair(&cases[1]));
        let both = [cached(watch, &setting, &cases, 1), streamed(watch, &cases, 1)];
        for outcomes in both {
            assert_eq!(outcomes.len(), cases.len());
            for (place, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    Ok(case) => assert_right(case),
                    Err(skip) => {
                        assert_eq!((place, skip.ordinal), (1, 1));
                        assert_eq!(skip.item, cases[1].id.as_str());
                        assert_eq!(skip.error.reason, Reason::Format, "{}", skip.error);
                    }
                }
                let is_bad = outcome.is_err();
                assert_eq!(is_bad, place == 1);
            }
        }
    });
}
