//! `train`: what a run leaves behind, and that it leaves the same again.

use std::path::Path;

use serde_json::Value;

use crate::cli::harness::{Desk, TINY};

fn events<'a>(journal: &'a [Value], kind: &str) -> Vec<&'a Value> {
    journal.iter().filter(|line| line["event"] == kind).collect()
}

/// The columns of `metrics.csv` that no clock decides.
fn figures(desk: &Desk, run: &str) -> Vec<String> {
    let table = desk.text(&format!("{run}/metrics.csv"));
    let timeless = |line: &str| line.split(',').take(7).collect::<Vec<_>>().join(",");
    table.lines().map(timeless).collect()
}

fn weights(desk: &Desk, run: &str) -> Value {
    let step = desk.text(&format!("{run}/checkpoints/latest"));
    desk.json(&format!("{run}/checkpoints/{step}/manifest.json"))["weights.bpk"].clone()
}

#[test]
fn a_run_leaves_a_complete_folder() {
    let desk = Desk::with_cohort(5);
    let outcome = desk.run(&format!("train {TINY} --data data --run run --json")).ok();
    let summary = outcome.json();
    assert_eq!(summary, desk.json("run/summary.json"));
    assert_eq!((&summary["steps"], &summary["run"]), (&4.into(), &"run".into()));
    assert_eq!(summary["train_cases"], 4);

    let environment = desk.json("run/environment.json");
    assert_eq!(environment["version"], env!("CARGO_PKG_VERSION"));
    assert!(environment["device"].as_str().unwrap().starts_with("cpu"), "{environment}");
    let lock = desk.json("run/dataset.lock.json");
    let splits: Vec<&Value> =
        lock["cases"].as_array().unwrap().iter().map(|case| &case["split"]).collect();
    assert_eq!(splits.len(), 5);
    assert_eq!(splits.iter().filter(|split| **split == "validation").count(), 1);

    assert_eq!(desk.text("run/checkpoints/latest"), "step-0000004");
    assert_eq!(
        desk.names("run/checkpoints/step-0000004"),
        ["manifest.json", "optimiser.bpk", "state.json", "validation.json", "weights.bpk"]
    );
    let scores = desk.text("run/validation/cases.csv");
    assert_eq!(scores.lines().count(), 1 + 3, "a header, and a held-out case in three regions");
    assert_eq!(desk.json("run/validation/summary.json"), summary["evaluation"]);
}

#[test]
fn a_journal_tells_the_run_from_start_to_end() {
    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run run")).ok();
    let journal = desk.json_lines("run/events.jsonl");
    let kinds: Vec<&str> = journal.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let first = ["started", "step", "step", "epoch", "checkpoint"];
    let last = ["step", "step", "epoch", "checkpoint", "validation", "finished"];
    assert_eq!(kinds, [&first[..], &last].concat());
    for (place, step) in events(&journal, "step").into_iter().enumerate() {
        assert_eq!(step["step"], place + 1);
        assert_eq!(step["epoch"], place / 2);
        assert!(step["loss"].as_f64().unwrap().is_finite());
        assert_eq!(step["samples"].as_array().unwrap().len(), 2, "the batch's samples, by key");
    }
    let finished = journal.last().unwrap();
    assert_eq!((&finished["state"], &finished["step"]), (&"finished".into(), &4.into()));

    let table = figures(&desk, "run");
    assert_eq!(table[0], "step,epoch,loss,dice_loss,bce,gradient_norm,learning_rate");
    assert_eq!(table.len(), 1 + 4);
    // The parser of the journal's lines may miss a number's last bit.
    let tabled: f64 = table[1].split(',').nth(2).unwrap().parse().unwrap();
    let told = events(&journal, "step")[0]["loss"].as_f64().unwrap();
    assert!((tabled - told).abs() <= f64::EPSILON * told, "{tabled} {told}");
}

#[test]
fn the_configuration_of_a_run_makes_the_same_run_again() {
    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run one")).ok();
    desk.run("train --config one/config.toml --run two").ok();
    assert_eq!(desk.text("one/config.toml"), desk.text("two/config.toml"));
    assert_eq!(desk.json("one/dataset.lock.json"), desk.json("two/dataset.lock.json"));
    assert_eq!(figures(&desk, "one"), figures(&desk, "two"));
    assert_eq!(weights(&desk, "one"), weights(&desk, "two"));
}

#[test]
fn the_number_of_workers_changes_neither_losses_nor_weights_and_the_seed_both() {
    let desk = Desk::with_cohort(5);
    for (run, set) in [
        ("one", "loader.workers.augment=1 --set loader.workers.fetch=1 --set loader.prefetch=1"),
        ("three", "loader.workers.augment=3 --set loader.workers.fetch=2 --set ingest.decode=3"),
        ("other", "seed=4"),
    ] {
        // Each builds its cache anew, so that ingest takes part in the comparison.
        let line = format!("train {TINY} --data data --run {run} --set data.cache={run}-cache");
        desk.run(&format!("{line} --set {set}")).ok();
    }
    assert_eq!(figures(&desk, "one"), figures(&desk, "three"));
    assert_eq!(weights(&desk, "one"), weights(&desk, "three"));
    assert_ne!(figures(&desk, "one"), figures(&desk, "other"));
    assert_ne!(weights(&desk, "one"), weights(&desk, "other"));
}

#[test]
fn bad_cases_are_left_out_and_listed_and_the_others_are_trained_on() {
    let desk = Desk::with_cohort(5);
    let [damaged, incomplete] = ["BraTS20_Training_002", "BraTS20_Training_004"];
    desk.flip(&format!("data/{damaged}/{damaged}_t2.nii.gz"), 6);
    std::fs::remove_file(desk.path(&format!("data/{incomplete}/{incomplete}_flair.nii.gz")))
        .unwrap();
    std::fs::remove_file(desk.path("data/BraTS20_Training_005/BraTS20_Training_005_seg.nii.gz"))
        .unwrap();
    let first = "--set data.ingest_first=true";
    let outcome = desk.run(&format!("train {TINY} {first} --data data --run run --json")).ok();
    let summary = outcome.json();
    assert_eq!(summary["train_cases"], 1);
    let excluded: Vec<&str> = summary["excluded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["case"].as_str().unwrap())
        .collect();
    assert_eq!(excluded, [damaged, "BraTS20_Training_005"]);
    assert!(summary["problems"][0]["subject"].as_str().unwrap().contains(incomplete));
    for case in [damaged, incomplete, "BraTS20_Training_005"] {
        assert!(outcome.stderr.contains(case), "{}", outcome.stderr);
    }
    let lock = desk.json("run/dataset.lock.json");
    assert_eq!(lock["cases"].as_array().unwrap().len(), 2);
    assert!(lock["excluded"][0][1].as_str().unwrap().contains("_t2.nii.gz"), "{lock}");
    assert!(lock["problems"][0].as_str().unwrap().contains("_flair.nii.gz"), "{lock}");
    let quarantined = desk.json_lines("cache/quarantine.jsonl");
    assert_eq!(quarantined[0]["case"], damaged);
}

#[test]
fn a_case_that_is_damaged_in_the_cache_is_built_again_or_left_out() {
    let desk = Desk::with_cohort(3);
    let ingested = desk.run("ingest --data data --cache cache --json").ok().json();
    assert_eq!(ingested["published"], 3);
    let listed = desk.run("cache list --cache cache --json").ok().json();
    let case_file = |place: usize| listed["entries"][place]["path"].as_str().unwrap();
    for place in [0, 1] {
        let length = listed["entries"][place]["bytes"].as_u64().unwrap();
        desk.flip(case_file(place), length as usize / 2);
    }
    // The second case's source goes bad as well, and looks as it did.
    let source = "data/BraTS20_Training_002/BraTS20_Training_002_t1.nii.gz";
    let written = desk.path(source).metadata().unwrap().modified().unwrap();
    desk.flip(source, 6);
    let file = std::fs::File::options().write(true).open(desk.path(source)).unwrap();
    file.set_modified(written).unwrap();

    let first = "--set data.ingest_first=true";
    let outcome = desk.run(&format!("train {TINY} {first} --data data --run run --json")).ok();
    let excluded = &outcome.json()["excluded"];
    assert_eq!(excluded.as_array().unwrap().len(), 1, "{excluded}");
    assert_eq!(excluded[0]["case"], "BraTS20_Training_002");
    assert!(outcome.stderr.contains("built again"), "{}", outcome.stderr);
    let repaired = desk.run("cache verify --cache cache --json").exits(3).json();
    assert_eq!(repaired["damaged"], 1, "the one that cannot be built");
}

#[test]
fn without_a_usable_case_there_is_no_run_and_every_cause_is_listed() {
    let desk = Desk::with_cohort(2);
    for case in ["BraTS20_Training_001", "BraTS20_Training_002"] {
        desk.flip(&format!("data/{case}/{case}_t1.nii.gz"), 6);
    }
    let outcome = desk
        .run(&format!("train {TINY} --set data.ingest_first=true --data data --run run"))
        .exits(3);
    for case in ["case BraTS20_Training_001", "case BraTS20_Training_002"] {
        assert!(outcome.stderr.lines().any(|line| line.contains(case)), "{}", outcome.stderr);
    }
    assert!(!desk.path("run").exists());

    std::fs::create_dir(desk.path("empty")).unwrap();
    let outcome = desk.run(&format!("train {TINY} --data empty --run run")).exits(3);
    outcome.complains_of(&["empty: holds no case", "name the folder"]);
    desk.run(&format!("train {TINY} --data gone --run run")).exits(3).complains_of(&["gone"]);
}

#[test]
fn a_folder_that_holds_a_run_is_refused_before_any_work() {
    let desk = Desk::with_cohort(2);
    desk.run(&format!("train {TINY} --data data --run run")).ok();
    let before = desk.text("run/events.jsonl");
    std::fs::remove_dir_all(desk.path("cache")).unwrap();
    let outcome = desk.run(&format!("train {TINY} --data data --run run")).exits(2);
    outcome.complains_of(&["run: already holds a run", "--run"]);
    assert!(!desk.path("cache").exists());
    assert_eq!(desk.text("run/events.jsonl"), before);
}

#[test]
fn runs_without_a_name_are_numbered() {
    let desk = Desk::with_cohort(2);
    for number in ["001", "002"] {
        let summary = desk.run(&format!("train {TINY} --data data --json")).ok().json();
        assert_eq!(
            Path::new(summary["run"].as_str().unwrap()),
            Path::new("runs").join(format!("unet-{number}"))
        );
    }
    assert_eq!(desk.names("runs"), ["unet-001", "unet-002"]);
}

#[test]
fn what_is_no_case_is_counted_apart_from_the_cases_left_out() {
    let desk = Desk::with_cohort(4);
    std::fs::create_dir(desk.path("data/notes")).unwrap();
    std::fs::write(desk.path("data/notes/atlas.nii"), b"").unwrap();
    let line = format!("train {TINY} --data data --run");
    let text = desk.run(&format!("{line} whole")).ok().stdout;
    assert!(!text.contains("cases left out"), "{text}");
    assert!(text.contains("files and folders that are no cases: 1, see"), "{text}");
    let lost = "BraTS20_Training_004";
    std::fs::remove_file(desk.path(&format!("data/{lost}/{lost}_t1.nii.gz"))).unwrap();
    let text = desk.run(&format!("{line} less")).ok().stdout;
    assert!(text.contains("cases left out: 1, see"), "{text}");
    assert!(text.contains("files and folders that are no cases: 1, see"), "{text}");
}
