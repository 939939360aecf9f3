//! Cases whose files are broken, gone or others than they were: skipped and counted once, mended while
//! the run waits, accepted, or refused.

use crate::cli::harness::Desk;
use crate::cli::resuming::{NETWORKS, assert_same, kill_after_a_checkpoint, line, timeless_table};

/// Names of the cases that a run trains on.
fn training_cases(desk: &Desk, run: &str) -> Vec<String> {
    let lock = desk.json(&format!("{run}/dataset.lock.json"));
    let cases = lock["cases"].as_array().unwrap().iter();
    let trained = cases.filter(|case| case["split"] == "train");
    trained.map(|case| case["id"].as_str().unwrap().to_owned()).collect()
}

/// Breaks the voxels of a case, or mends them again.
fn spoil(desk: &Desk, case: &str) {
    desk.flip(&format!("data/{case}/{case}_t2.nii.gz"), 6);
}

/// Cases of the skipped samples in a run's journal.
fn skipped_cases(desk: &Desk, run: &str) -> Vec<String> {
    let lines = desk.json_lines(&format!("{run}/events.jsonl"));
    let skips = lines.iter().filter(|line| line["event"] == "skipped");
    skips.map(|line| line["case"].as_str().unwrap().to_owned()).collect()
}

/// A cohort of nine, of which seven are trained on, and their names.
fn cohort_of_nine() -> (Desk, Vec<String>) {
    let desk = Desk::with_cohort(9);
    let probe = line(NETWORKS[0]).replace("train.epochs=6", "train.epochs=1");
    desk.run(&format!("{probe} --no-cache --run probe")).ok();
    let cases = training_cases(&desk, "probe");
    assert_eq!(cases.len(), 7);
    (desk, cases)
}

#[test]
fn one_bad_case_is_skipped_to_the_end_and_a_killed_run_skips_it_at_the_same_places() {
    let (desk, cases) = cohort_of_nine();
    spoil(&desk, &cases[2]);
    let line = line(NETWORKS[0]);
    desk.run(&format!("{line} --run straight")).ok();
    let skips = skipped_cases(&desk, "straight");
    assert!(skips.len() > 4 && skips.iter().all(|case| *case == cases[2]), "{skips:?}");
    // The quarantine of a cache is for later runs: each of these finds the case bad by itself.
    let own_cache = "--set data.cache=own";
    kill_after_a_checkpoint(&desk, &format!("{line} {own_cache} --run killed"), "killed");
    desk.run("train --resume killed --set loader.workers.crop=2 --set loader.prefetch=1").ok();
    assert_same(&desk, "straight", "killed");
    desk.run(&format!("{line} --no-cache --run cold")).ok();
    assert_eq!(timeless_table(&desk, "straight"), timeless_table(&desk, "cold"));
}

#[test]
fn more_bad_cases_than_the_budget_end_the_run_and_the_commands_that_it_names_go_on() {
    let (desk, cases) = cohort_of_nine();
    let line = line(NETWORKS[0]);
    kill_after_a_checkpoint(&desk, &format!("{line} --run mended"), "mended");
    std::fs::remove_dir_all(desk.path("cache")).unwrap();
    let bad = &cases[..4];
    bad.iter().for_each(|case| spoil(&desk, case));
    for run in ["mended", "allowed"] {
        let command = match run {
            "mended" => "train --resume mended --accept-changed".to_owned(),
            _ => format!("{line} --set data.cache=own --run {run}"),
        };
        let failed = desk.run(&command).exits(3);
        failed.complains_of(&[
            "items were skipped",
            &format!("bad are 4 of 7 cases to train on ({})", bad.join(", ")),
            "and 3 may be",
            &format!("then `gliaflow train --resume {run}` goes on"),
            "or add --set loader.skip_share=0.58 to it",
        ]);
    }
    // Nothing is forgiven to a run that goes on with the same files.
    desk.run("train --resume allowed").exits(3).complains_of(&["bad are 4 of 7"]);
    desk.run("train --resume allowed --set loader.skip_share=0.58").ok();
    assert_eq!(desk.json("allowed/summary.json")["steps"], 48);

    bad.iter().for_each(|case| spoil(&desk, case));
    let resumed = desk.run("train --resume mended").ok();
    assert_eq!(desk.json("mended/summary.json")["steps"], 48);
    for case in bad {
        let said = format!("case {case}: its files are not those that the run was begun with");
        assert!(resumed.stderr.contains(&said), "{}", resumed.stderr);
    }
    assert!(skipped_cases(&desk, "mended").is_empty(), "they are trained on again");
}

#[test]
fn a_case_that_was_skipped_and_is_mended_is_trained_on_and_the_lock_says_so() {
    let (desk, cases) = cohort_of_nine();
    let bad = &cases[0];
    spoil(&desk, bad);
    kill_after_a_checkpoint(&desk, &format!("{} --run run", line(NETWORKS[0])), "run");
    spoil(&desk, bad);
    let before = desk.json("run/dataset.lock.json");
    let resumed = desk.run("train --resume run").ok();
    let said = format!("case {bad}: its files are not those that the run was begun with");
    assert!(resumed.stderr.contains(&said), "{}", resumed.stderr);
    let lock = desk.json("run/dataset.lock.json");
    let print = |lock: &serde_json::Value| {
        let mut own = lock["cases"].as_array().unwrap().iter();
        own.find(|case| case["id"] == **bad).unwrap()["fingerprint"].clone()
    };
    assert_ne!(print(&lock), print(&before));
    assert_eq!(lock["replaced"].as_array().unwrap().len(), 1);
    assert_eq!(lock["replaced"][0]["id"], **bad);
    assert_eq!(lock["replaced"][0]["before"], print(&before));
    let first = lock["replaced"][0]["next_sample"].as_u64().unwrap();
    assert!(first > 0);
    let lines = desk.json_lines("run/events.jsonl");
    let trained = |line: &serde_json::Value| {
        line["event"] == "step" && line["cases"].as_array().unwrap().contains(&bad.as_str().into())
    };
    assert!(lines.iter().any(trained), "trained on once it was mended");
    assert!(desk.run("evaluate --run run").ok().stdout.contains("Dice"));
}

#[test]
fn what_can_be_seen_before_the_first_step_leaves_no_folder() {
    let desk = Desk::with_cohort(4);
    let line = line(NETWORKS[0]);
    std::fs::write(desk.path("w.safetensors"), "no weights").unwrap();
    for init in ["w.safetensors", "gone.safetensors", "data"] {
        let refused = desk.run(&format!("{line} --init {init} --run run"));
        assert!(refused.stderr.contains(init), "{}", refused.stderr);
        assert!(!desk.path("run").exists(), "--init {init}");
    }
    // Everything that was to be trained on has a header that cannot be read.
    let cases: Vec<String> =
        desk.names("data").into_iter().filter(|name| name.starts_with("BraTS20")).collect();
    let table =
        format!("{},val\n{},train\n{},train\n{},test\n", cases[0], cases[1], cases[2], cases[3]);
    std::fs::write(desk.path("parts.csv"), format!("case,part\n{table}")).unwrap();
    for case in &cases[1..3] {
        std::fs::write(desk.path(&format!("data/{case}/{case}_t2.nii.gz")), "torn").unwrap();
    }
    let refused = desk.run(&format!("{line} --set data.split=parts.csv --run run")).exits(3);
    assert!(refused.stderr.contains("has no usable case to train on"), "{}", refused.stderr);
    assert!(!desk.path("run").exists());
    desk.run(&format!("{line} --run run")).ok();
}

#[test]
fn a_run_whose_cases_are_gone_or_changed_does_not_go_on() {
    let desk = Desk::with_cohort(3);
    kill_after_a_checkpoint(&desk, &format!("{} --run run", line(NETWORKS[0])), "run");
    let case = "BraTS20_Training_001";
    let file = |kind: &str| desk.path(&format!("data/{case}/{case}_{kind}.nii.gz"));
    let whole = std::fs::read(file("t2")).unwrap();
    std::fs::copy(file("t1"), file("t2")).unwrap();
    let changed = desk.run("train --resume run").exits(3);
    changed.complains_of(&[case, "not those that the run was begun with", "--accept-changed"]);
    let lock = desk.text("run/dataset.lock.json");
    std::fs::write(file("t2"), whole).unwrap();
    // Other files may be accepted; that the same voxels mean something else, never.
    let meaning = desk.json("run/dataset.lock.json")["cases"][0]["meaning"].clone();
    let other = lock.replace(meaning.as_str().unwrap(), &"0123456789abcdef".repeat(2));
    std::fs::write(desk.path("run/dataset.lock.json"), other).unwrap();
    for flag in ["", "--accept-changed"] {
        let refused = desk.run(&format!("train --resume run {flag}")).exits(3);
        assert!(refused.stderr.contains("what their label values mean"), "{}", refused.stderr);
        assert!(refused.stderr.contains("or begin another run"), "{}", refused.stderr);
    }
    std::fs::write(desk.path("run/dataset.lock.json"), lock).unwrap();
    let labels = desk.run("train --resume run --set data.labels=brats2023").exits(2);
    labels.complains_of(&["data.labels is not set in the run, asked is \"brats2023\""]);
    std::fs::rename(desk.path(&format!("data/{case}")), desk.path("elsewhere")).unwrap();
    desk.run("train --resume run").exits(2).complains_of(&[case, "are gone", "--data"]);
    std::fs::rename(desk.path("elsewhere"), desk.path(&format!("data/{case}"))).unwrap();
    std::fs::copy(file("t1"), file("t2")).unwrap();
    let accepted = desk.run("train --resume run --accept-changed").ok();
    assert!(accepted.stderr.contains("goes on with the new ones"), "{}", accepted.stderr);
    assert_eq!(desk.json("run/dataset.lock.json")["replaced"][0]["id"], case);
    // What was made of the files before cannot be made again.
    let replayed = desk.run("replay --run run --epoch 0 --index 0 --count 3 --out out").exits(3);
    replayed.complains_of(&[case, "its files were replaced after"]);
}
