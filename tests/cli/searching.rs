//! A search over settings: trials by rung, killed and resumed, and the winner trained anew from its file.

use serde_json::Value;

use crate::cli::experimenting::{kill_in, steps};
use crate::cli::harness::Desk;

/// Eight trials of a narrow network, halved at 1, 2 and 4 epochs of four.
const STUDY: &str = r#"
schema = 1
name = "tuned"

[cohort.phantoms]
cases = 16
seed = 3
shape = [24, 28, 26]

[base]
seed = 5
device = "cpu"
[base.data.shares]
validation = 0.25
test = 0.4
unlabelled_of_validation = 0.5
unlabelled_of_test = 0.4
[base.crop]
patch = [16, 16, 16]
[base.loader]
memory_mib = 64
patches_per_case = 1
[base.train]
epochs = 4
learning_rate = 1e-2
schedule = { kind = "poly", power = 0.9 }
validation = { every_epochs = 0 }
checkpoint = { every_epochs = 1, keep = 1 }
[base.evaluation]
overlap = 0.0

[[network]]
name = "narrow"
settings = { model = { name = "unet", settings = { base_width = 2, levels = 2 } } }

[tuning]
network = "narrow"
trials = 8
smallest_epochs = 1
eta = 2

[[tuning.setting]]
name = "train.learning_rate"
log_uniform = [1e-4, 1e-1]

[[tuning.setting]]
name = "optimiser.kind"
choice = ["adam", "sgd"]
"#;

const LINE: &str = "experiment study.toml --json --out";

fn desk() -> Desk {
    let desk = Desk::new();
    std::fs::write(desk.path("study.toml"), STUDY).unwrap();
    desk
}

#[test]
fn a_search_halves_by_validation_and_its_winner_is_a_run_like_any_other() {
    let desk = desk();
    let whole = desk.run(&format!("{LINE} whole")).ok().json();
    let tuning = &whole["tuning"];
    let trials = tuning["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 8);
    let rungs: Vec<usize> =
        trials.iter().map(|trial| trial["validation"].as_array().unwrap().len()).collect();
    assert_eq!(rungs, [3, 3, 2, 2, 1, 1, 1, 1], "who came further is first");
    let dice = |trial: &Value, rung: usize| trial["validation"][rung]["dice"].as_f64().unwrap();
    assert!(dice(&trials[0], 2) >= dice(&trials[1], 2));
    assert!(trials[..4].iter().all(|trial| dice(trial, 0) >= dice(&trials[4], 0)));
    let best = &tuning["best"];
    assert_eq!(best["settings"], trials[0]["settings"]);
    assert_eq!(tuning["epochs_trained"], 8 + 4 + 2 * 2);
    assert!(best["test_dice"]["WT"].as_f64().is_some());
    // The test part is scored for the network alone and for the winner.
    let scored = desk.names("whole/score");
    let on_test = scored.iter().filter(|name| name.contains("-test-"));
    assert!(on_test.clone().all(|name| !name.contains("rung")), "{scored:?}");
    assert_eq!(on_test.count(), 2, "network, winner: {scored:?}");

    for step in ["train narrow rung 0 trial 3", "score narrow rung 0", "train narrow rung 1"] {
        kill_in(&desk, desk.start(&format!("{LINE} cut")), "cut", step);
    }
    assert_eq!(desk.run(&format!("{LINE} cut")).ok().json(), whole);
    for file in ["tuning.json", "tuning.csv", "tuning.md", "table.json"] {
        assert_eq!(desk.text(&format!("cut/{file}")), desk.text(&format!("whole/{file}")));
    }
    let begun = steps(&desk, "cut", "begun");
    assert_eq!(begun.iter().filter(|step| *step == "train narrow rung 0 trial 0").count(), 1);

    // Paused twice, copied twice, or in one go: the same weights.
    desk.run("train --config whole/best.toml --run straight").ok();
    let runs = desk.names("whole/train");
    let tuned = runs.iter().find(|name| name.starts_with("narrow-tuned")).unwrap();
    let weights = |run: &str| {
        let names = desk.names(&format!("{run}/checkpoints"));
        let last = names.iter().filter(|name| name.starts_with("step-")).max().unwrap();
        std::fs::read(desk.path(&format!("{run}/checkpoints/{last}/weights.bpk"))).unwrap()
    };
    assert!(weights("straight") == weights(&format!("whole/train/{tuned}")));
}

#[test]
fn a_search_that_cannot_be_is_refused() {
    let desk = desk();
    let refused = |set: &str, words: &[&str]| {
        let line = format!("experiment study.toml --out out --set {set}");
        desk.run(&line).exits(2).complains_of(words);
        assert!(!desk.path("out").exists());
    };
    refused("tuning.network=nobody", &["tuning.network", "nobody"]);
    refused("tuning.trials=1", &["tuning.trials = 1"]);
    refused("tuning.eta=1", &["tuning.eta = 1"]);
    refused("tuning.setting=[{name=\"train.rate\",uniform=[0.0,1.0]}]", &["`rate`", "`train`"]);
    refused(
        "tuning.setting=[{name=\"train.learning_rate\",uniform=[-2.0,-1.0]}]",
        &["train.learning_rate", "out of range"],
    );
}

#[test]
fn a_run_pauses_where_it_is_told_to_and_goes_on_exactly() {
    let desk = Desk::with_cohort(5);
    let train = format!("train {} --data data --set train.epochs=3", crate::cli::harness::TINY);
    desk.run(&format!("{train} --run whole")).ok();
    let paused = desk.run(&format!("{train} --set train.pause_after=1 --run halves"));
    paused.exits(75).complains_of(&["train.pause_after", "--resume halves"]);
    assert!(!desk.path("halves/summary.json").exists());
    desk.run("train --resume halves").exits(75);
    desk.run("train --resume halves --set train.pause_after=0").ok();
    let weights = |run: &str| {
        let names = desk.names(&format!("{run}/checkpoints"));
        let last = names.iter().filter(|name| name.starts_with("step-")).max().unwrap();
        std::fs::read(desk.path(&format!("{run}/checkpoints/{last}/weights.bpk"))).unwrap()
    };
    assert!(weights("whole") == weights("halves"));
}
