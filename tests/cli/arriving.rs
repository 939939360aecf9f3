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
fn a_bad_case_that_was_to_be_held_out_is_left_out_before_the_first_step_and_another_held_out() {
    let desk = Desk::with_cohort(5);
    let bad = a_case(&desk, "validation");
    spoil(&desk, &bad);
    let run = |options: &str, name: &str| {
        let done =
            desk.run(&format!("train {TINY} --data data {options} --run {name} --json")).ok();
        let summary = done.json();
        assert_eq!(summary["excluded"][0]["case"], *bad, "{summary}");
        assert_eq!((&summary["train_cases"], &summary["steps"]), (&3.into(), &4.into()));
        let scored = summary["evaluation"]["network"]["cases"].as_array().unwrap().clone();
        assert_eq!(scored.len(), 1);
        let lock = desk.json(&format!("{name}/dataset.lock.json"));
        let locked = lock["cases"].as_array().unwrap();
        assert!(locked.iter().all(|case| case["id"] != *bad), "{lock}");
        (done.stderr.contains("left out, and not held out"), scored[0]["case"].clone())
    };
    // Without a cache nothing is remembered, and every run finds it.
    let (found, other) = run("--no-cache", "cold");
    assert!(found);
    assert_eq!(run("", "first"), (true, other.clone()));
    assert_eq!(desk.json_lines("cache/quarantine.jsonl").len(), 1);
    assert_eq!(run("", "second"), (false, other), "it is known by now, and the split is the same");
}

#[test]
fn a_case_that_is_taken_out_of_the_quarantine_is_used_again() {
    let desk = Desk::with_cohort(5);
    let line = format!("train {TINY} --data data --json");
    desk.run(&format!("{line} --run probe")).ok();
    let lock = desk.json("probe/dataset.lock.json");
    let entry = serde_json::json!({
        "case": lock["cases"][0]["id"], "fingerprint": lock["cases"][0]["fingerprint"],
        "reason": "io", "error": "the disk hiccuped", "unix_seconds": 1,
    });
    std::fs::remove_dir_all(desk.path("cache")).unwrap();
    std::fs::create_dir(desk.path("cache")).unwrap();
    std::fs::write(desk.path("cache/quarantine.jsonl"), format!("{entry}\n")).unwrap();
    let without = desk.run(&format!("{line} --run without")).ok().json();
    assert_eq!(without["excluded"][0]["case"], lock["cases"][0]["id"]);
    let remedy = without["excluded"][0]["error"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("take the case's line out of quarantine.jsonl"), "{remedy}");
    std::fs::write(desk.path("cache/quarantine.jsonl"), "").unwrap();
    let with = desk.run(&format!("{line} --run with")).ok().json();
    assert_eq!(with["excluded"], serde_json::json!([]));
}

#[test]
fn another_dataset_of_the_same_names_in_the_cache_changes_no_sample() {
    let desk = Desk::with_cohort(5);
    desk.run("phantom --out other --cases 5 --seed 4 --shape 24x28x26").ok();
    let line = format!("train {TINY} --data data");
    desk.run(&format!("{line} --no-cache --run cold")).ok();
    desk.run("ingest --data other --cache cache").ok();
    desk.run(&format!("{line} --run beside")).ok();
    desk.run("ingest --data other --cache cache").ok();
    desk.run(&format!("{line} --run again")).ok();
    let reference = losses(&desk, "cold");
    assert_eq!((losses(&desk, "beside"), losses(&desk, "again")), (reference.clone(), reference));
}

#[test]
fn more_bad_held_out_cases_than_the_budget_of_skips_end_the_run_before_it_begins() {
    let desk = Desk::with_cohort(6);
    for number in 1..=6 {
        spoil(&desk, &format!("BraTS20_Training_{number:03}"));
    }
    let line = format!("train {TINY} --data data --set data.held_out=0.7 --run run");
    let refused = desk.run(&line).exits(3);
    assert!(refused.stderr.contains("items were skipped, the budget is 3"), "{}", refused.stderr);
    assert!(!desk.path("run").exists());
}
