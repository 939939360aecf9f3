//! Runs on patients with several scans, and on divisions that the user gives.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::cli::harness::{Desk, TINY};

/// A cohort of 6 patients with two scans each, named as BraTS names follow-ups.
fn with_follow_ups() -> Desk {
    let desk = Desk::with_cohort(12);
    for (number, old) in (0..).zip(desk.names("data")) {
        let folder = desk.path(&format!("data/{old}"));
        if !folder.is_dir() {
            continue;
        }
        let case = format!("BraTS-GLI-{:05}-{:03}", number / 2, number % 2);
        for file in desk.names(&format!("data/{old}")) {
            let renamed = file.replace(&old, &case);
            fs::rename(folder.join(&file), folder.join(renamed)).unwrap();
        }
        fs::rename(&folder, desk.path(&format!("data/{case}"))).unwrap();
    }
    desk
}

/// Parts of each patient's cases, by the lock of a run.
fn parts_of_patients(desk: &Desk, run: &str) -> BTreeMap<String, Vec<String>> {
    let lock = desk.json(&format!("{run}/dataset.lock.json"));
    let mut parts = BTreeMap::<String, Vec<String>>::new();
    for case in lock["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let patient = &id[..id.len() - 4];
        assert_eq!(lock["patients"][id], patient, "the lock names the patient");
        let part = case["split"].as_str().unwrap().to_owned();
        parts.entry(patient.to_owned()).or_default().push(part);
    }
    parts
}

#[test]
fn both_scans_of_a_patient_are_in_one_part_of_every_run() {
    let desk = with_follow_ups();
    for (run, set) in [
        ("fold", "--fold 0/3"),
        ("share", "--set data.held_out=0.4 --set data.labelled_fraction=0.5"),
        ("shares", "--set data.shares={validation=0.3,test=0.3,unlabelled_of_validation=0.5}"),
    ] {
        let trained = desk.run(&format!("train {TINY} --data data --run {run} {set}")).ok();
        let told = "12 cases of 6 patients";
        assert!(trained.stderr.contains(told), "{}", trained.stderr);
        let parts = parts_of_patients(&desk, run);
        assert_eq!(parts.len(), 6);
        for (patient, own) in &parts {
            assert!(own.len() == 2 && own[0] == own[1], "{run}: {patient} in {own:?}");
        }
        let hides =
            trained.stderr.matches("data.shares hides the labels of 2 of 4 validation").count();
        assert_eq!(hides, usize::from(run == "shares"), "{}", trained.stderr);
    }
}

/// Names of the cases of one part, by the lock of a run.
fn cases_of(lock: &Value, part: &str) -> Vec<String> {
    let own = lock["cases"].as_array().unwrap().iter().filter(|case| case["split"] == part);
    own.map(|case| case["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_given_division_is_taken_and_locked_for_the_run() {
    let desk = Desk::with_cohort(6);
    let cases: Vec<String> =
        desk.names("data").into_iter().filter(|name| name.starts_with("BraTS20")).collect();
    let folds = serde_json::json!([
        { "train": cases[..4], "val": cases[4..] },
        { "train": cases[2..], "val": cases[..2] },
    ]);
    fs::write(desk.path("splits_final.json"), folds.to_string()).unwrap();
    let line = format!("train {TINY} --data data --set data.split=splits_final.json");
    desk.run(&format!("{line} --fold 1/2 --run run")).ok();
    let lock = desk.json("run/dataset.lock.json");
    assert_eq!(cases_of(&lock, "train"), cases[2..]);
    assert_eq!(cases_of(&lock, "validation"), cases[..2]);
    assert_eq!(lock["split_file"]["path"], "splits_final.json");
    assert_eq!(lock["split_file"]["fold"], "1/2");
    let scored = desk.json("run/summary.json")["evaluation"]["network"]["cases"].clone();
    assert_eq!(scored.as_array().unwrap().len(), 2);
    // The lock holds, whatever becomes of the file.
    fs::remove_file(desk.path("splits_final.json")).unwrap();
    desk.run("evaluate --run run").ok();

    let table: String = cases.iter().map(|case| format!("{case},train\n")).collect();
    fs::write(desk.path("parts.csv"), format!("case,part\n{table}")).unwrap();
    let line = line.replace("splits_final.json", "parts.csv");
    desk.run(&format!("{line} --run other")).exits(2).complains_of(&["data.split", "validation"]);
    let table = table.replacen(",train", ",validation", 1);
    fs::write(desk.path("parts.csv"), format!("case,part\n{table}gone,train\n")).unwrap();
    desk.run(&format!("{line} --run other")).exits(2).complains_of(&["does not have: gone"]);
    assert!(!desk.path("other").exists(), "refused before anything is written");
    fs::write(desk.path("parts.csv"), format!("case,part\n{table}")).unwrap();
    // One patient, said by a pattern, is not to stand in two parts.
    let pattern = "--set data.patients=^(?<patient>BraTS20)";
    let refused = desk.run(&format!("{line} {pattern} --run other"));
    refused.exits(2).complains_of(&["patients in two parts: BraTS20"]);
    // What a file calls unlabelled a teacher can label, also where there is nothing to hide.
    let bare = &cases[5];
    let table = table.replace(&format!("{bare},train"), &format!("{bare},unlabelled"));
    fs::write(desk.path("parts.csv"), format!("case,part\n{table}")).unwrap();
    fs::remove_file(desk.path(&format!("data/{bare}/{bare}_seg.nii.gz"))).unwrap();
    desk.run(&format!("{line} --run other")).ok();
    assert_eq!(cases_of(&desk.json("other/dataset.lock.json"), "unlabelled"), [bare.as_str()]);
    assert_eq!(desk.run("label --run other --json").ok().json()["labelled"], 1);
}

#[test]
fn of_one_fold_there_is_nothing_to_choose() {
    let desk = Desk::with_cohort(3);
    let cases: Vec<String> =
        desk.names("data").into_iter().filter(|name| name.starts_with("BraTS20")).collect();
    let folds = serde_json::json!([{ "train": cases[..2], "val": cases[2..] }]);
    fs::write(desk.path("splits_final.json"), folds.to_string()).unwrap();
    let line = format!("train {TINY} --data data --set data.split=splits_final.json --run run");
    let refused = desk.run(&format!("{line} --fold 0/5")).exits(2);
    refused.complains_of(&["data.fold = 0/5", "none of the 1 folds", "leave --fold out"]);
    assert!(!desk.path("run").exists());
    desk.run(&line).ok();
    let lock = desk.json("run/dataset.lock.json");
    assert_eq!(cases_of(&lock, "validation"), cases[2..]);
    assert!(lock["split_file"]["fold"].is_null(), "{lock}");
}
