//! Cases that another program made, and cases that are mixed: in training alone, and replayed as they were.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::cli::harness::{Desk, TINY};

const TRAIN: &str = "train --set data.split_seed=7 --set data.held_out=0.3 --data data";

/// A cohort, and beside it cases of another seed under names of their own.
fn with_made_cases() -> Desk {
    let desk = Desk::with_cohort(6);
    desk.run("phantom --out drawn --cases 2 --seed 3 --shape 24x28x26").ok();
    for number in [1, 2] {
        let [old, new] = [0, 100].map(|more| format!("BraTS20_Training_{:03}", number + more));
        let folder = desk.path(&format!("made/{new}"));
        fs::create_dir_all(&folder).unwrap();
        for file in desk.names(&format!("drawn/{old}")) {
            let from = desk.path(&format!("drawn/{old}/{file}"));
            fs::copy(from, folder.join(file.replace(&old, &new))).unwrap();
        }
    }
    desk
}

fn step_cases(desk: &Desk, run: &str) -> Vec<String> {
    let mut lines = desk.json_lines(&format!("{run}/events.jsonl"));
    lines.retain(|line| line["event"] == "step");
    let cases = lines.iter().flat_map(|line| line["cases"].as_array().unwrap().clone());
    cases.map(|case| case.as_str().unwrap().to_owned()).collect()
}

#[test]
fn made_cases_are_trained_on_with_their_share_and_are_in_no_other_part() {
    let desk = with_made_cases();
    let made = "--set data.synthetic={folder=\"made\",share=0.25}";
    desk.run(&format!("{TRAIN} {TINY} {made} --run run")).ok();
    let lock = desk.json("run/dataset.lock.json");
    let synthetic: Vec<&Value> =
        lock["cases"].as_array().unwrap().iter().filter(|case| case["synthetic"] == true).collect();
    assert_eq!(synthetic.len(), 2);
    assert!(synthetic.iter().all(|case| case["split"] == "train"));
    let names: Vec<&str> = synthetic.iter().map(|case| case["id"].as_str().unwrap()).collect();
    let seen = step_cases(&desk, "run");
    let of_made = seen.iter().filter(|case| names.contains(&case.as_str())).count();
    let wanted = seen.len() as f64 * 0.25;
    assert!((of_made as f64 - wanted).abs() <= 1.0, "{of_made} of {seen:?}");
    // Which real case is in which part does not depend on what was made.
    desk.run(&format!("{TRAIN} {TINY} --run plain")).ok();
    let parts = |run: &str| -> BTreeSet<(String, String)> {
        let lock = desk.json(&format!("{run}/dataset.lock.json"));
        let real =
            lock["cases"].as_array().unwrap().iter().filter(|case| case["synthetic"] != true);
        real.map(|case| (case["id"].to_string(), case["split"].to_string())).collect()
    };
    assert_eq!(parts("run"), parts("plain"));

    fs::rename(desk.path("made"), desk.path("gone")).unwrap();
    let refused = desk.run("train --resume run --set train.epochs=9").stderr;
    assert!(refused.contains("made"), "{refused}");
    let twice = "--set data.synthetic={folder=\"data\",share=0.25}";
    desk.run(&format!("{TRAIN} {TINY} {twice} --run other")).exits(3).complains_of(&[
        "synthetic case",
        "is also a case of data.folder",
        "name of its own",
    ]);
    let greedy = "--set data.synthetic={folder=\"gone\",share=1.0}";
    desk.run(&format!("{TRAIN} {TINY} {greedy} --run other")).exits(2);
}

#[test]
fn a_donor_that_the_run_could_not_read_leaves_samples_unmixed_in_their_replay_too() {
    let desk = Desk::with_cohort(5);
    let mixed = "--set augment.mixing.share=1.0";
    desk.run(&format!("{TRAIN} {TINY} {mixed} --set train.epochs=1 --run probe")).ok();
    let bad = &step_cases(&desk, "probe")[0];
    let file = format!("data/{bad}/{bad}_t2.nii.gz");
    desk.flip(&file, 6);
    desk.run(&format!("{TRAIN} {TINY} {mixed} --set data.cache=own --run run")).ok();
    let mut steps = desk.json_lines("run/events.jsonl");
    steps.retain(|line| line["event"] == "step");
    let keys: Vec<&Value> =
        steps.iter().flat_map(|step| step["samples"].as_array().unwrap()).collect();
    let line = |key: &Value| {
        format!("replay --run run --key {}/{} --out again --json", key["epoch"], key["index"])
    };
    let mut without_donor = Vec::new();
    for key in keys {
        let replayed = desk.run(&line(key)).ok();
        let text = replayed.json().to_string();
        assert!(!text.contains(&format!("\"donor\":\"{bad}\"")), "{text}");
        if replayed.stderr.contains("is unmixed, as in the run") {
            assert!(replayed.stderr.contains(bad) && !text.contains("\"mixing\""), "{text}");
            without_donor.push(key);
        }
    }
    assert!(!without_donor.is_empty(), "no sample had {bad} as its donor");
    // Other files would have been mixed in, so nobody knows the sample.
    desk.flip(&file, 7);
    desk.run(&line(without_donor[0])).exits(3).complains_of(&[bad]);
}

#[test]
fn a_mixed_sample_is_replayed_with_its_donor() {
    let desk = Desk::with_cohort(5);
    let mixed = "--set augment.mixing.share=1.0";
    desk.run(&format!("{TRAIN} {TINY} {mixed} --run run")).ok();
    let line = "replay --run run --epoch 0 --index 0 --count 8 --out again --json";
    let replayed = desk.run(line).ok().json();
    let text = replayed.to_string();
    assert!(text.contains("\"mixing\":{\"donor\":\"BraTS20_Training_"), "{text}");
    let refused =
        desk.run(&format!("{TRAIN} {TINY} {mixed} --no-cache --run cold")).exits(2).stderr;
    assert!(refused.contains("augment.mixing.share = 1") && refused.contains("cache"), "{refused}");
}
