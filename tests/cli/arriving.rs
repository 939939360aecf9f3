//! Runs that begin before all cases are in the cache, or that have none.

use serde_json::Value;

use crate::cli::harness::{Desk, TINY};

/// The name of a case that a run of this cohort trains on, or holds out.
fn a_case(desk: &Desk, split: &str) -> String {
    desk.run(&format!("train {TINY} --data data --no-cache --run probe")).ok();
    let lock = desk.json("probe/dataset.lock.json");
    let of_split = |case: &&Value| case["split"] == split;
    let case = lock["cases"].as_array().unwrap().iter().find(of_split).unwrap();
    case["id"].as_str().unwrap().to_owned()
}

fn spoil(desk: &Desk, case: &str) {
    desk.flip(&format!("data/{case}/{case}_t2.nii.gz"), 6);
}

/// Step and loss of each step.
fn losses(desk: &Desk, run: &str) -> Vec<(u64, f64)> {
    let lines = desk.json_lines(&format!("{run}/events.jsonl"));
    let steps = lines.iter().filter(|line| line["event"] == "step");
    steps.map(|line| (line["step"].as_u64().unwrap(), line["loss"].as_f64().unwrap())).collect()
}

#[test]
fn a_run_is_the_same_while_the_cache_fills_when_it_is_full_and_without_one() {
    let desk = Desk::with_cohort(5);
    let line = format!("train {TINY} --set train.epochs=3 --data data");
    desk.run(&format!("{line} --no-cache --run cold")).ok();
    assert!(!desk.path("cache").exists(), "a run without a cache makes none");
    desk.run(&format!("{line} --run filling")).ok();
    desk.run(&format!("{line} --run full")).ok();
    let reference = losses(&desk, "cold");
    assert_eq!(reference.len(), 6);
    assert_eq!(losses(&desk, "filling"), reference);
    assert_eq!(losses(&desk, "full"), reference);
    let environment = desk.json("full/environment.json");
    assert!(["scalar", "avx2"].contains(&environment["kernel"].as_str().unwrap()));
}

#[test]
fn a_case_that_turns_out_to_be_bad_is_skipped_and_left_out_of_the_next_run() {
    let desk = Desk::with_cohort(5);
    let bad = a_case(&desk, "train");
    spoil(&desk, &bad);
    let line = format!("train {TINY} --set loader.skip_share=0.9 --data data --json");
    let summary = desk.run(&format!("{line} --run first")).ok().json();
    assert_eq!(summary["excluded"][0]["case"], *bad, "{summary}");
    assert_eq!(summary["train_cases"], 4, "it was planned with");
    let quarantined = desk.json_lines("cache/quarantine.jsonl");
    assert_eq!(quarantined.len(), 1, "once, however often it was skipped");
    assert_eq!(quarantined[0]["case"], *bad);
    assert!(quarantined[0]["fingerprint"].is_string());

    let next = desk.run(&format!("{line} --run second")).ok().json();
    assert_eq!((&next["train_cases"], &next["steps"]), (&3.into(), &4.into()));
    let lock = desk.json("second/dataset.lock.json");
    assert!(lock["excluded"][0][1].as_str().unwrap().contains("found bad before"), "{lock}");
    assert_eq!(desk.json_lines("cache/quarantine.jsonl").len(), 1);

    // Mended, it is another file, and is trained on again.
    spoil(&desk, &bad);
    let mended = desk.run(&format!("{line} --run third")).ok().json();
    assert_eq!(mended["train_cases"], 4);
}

#[test]
fn a_bad_case_that_was_to_be_held_out_ends_the_run_at_once_and_not_the_next_one() {
    let desk = Desk::with_cohort(5);
    let bad = a_case(&desk, "validation");
    spoil(&desk, &bad);
    let line = format!("train {TINY} --set train.epochs=1000000 --data data");
    let failed = desk.run(&format!("{line} --run first")).exits(1);
    failed.complains_of(&[&bad, "was to be held out", "begin the run again"]);
    let next = desk.run(&format!("train {TINY} --data data --run second --json")).ok().json();
    assert_eq!(next["excluded"][0]["case"], *bad);
    assert_eq!(next["evaluation"]["network"]["cases"].as_array().unwrap().len(), 1);
}
