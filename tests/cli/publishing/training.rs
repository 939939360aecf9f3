//! Checkpoints, pointers, journals, scores and reports of runs; annotations; scores, journal and
//! table of studies.

use gliaflow::internals::run::CheckpointChoice;
use serde_json::Value;

use super::{Remains, Sequence, files_below, remove};
use crate::cli::harness::Desk;
use crate::cli::resuming::told_events;

/// Two steps, each with a checkpoint and a validation, of a network that is next to nothing.
const RUN: &str = "train --set device=cpu --set data.cache=cache --set crop.patch=[8,8,8] \
     --set model.settings={base_width=1,levels=2} --set loader.memory_mib=64 --set loader.batch=1 \
     --set train.epochs=2 --set train.steps_per_epoch=1 --set train.validation.every_epochs=1 \
     --set train.checkpoint.keep=1 --set train.checkpoint.patience=5 --set train.learning_rate=0.1 \
     --set evaluation.overlap=0.0 --data data --run run";

fn timeless(desk: &Desk, file: &str, keys: &[&str]) -> Vec<u8> {
    let mut value = desk.json(file);
    for key in keys {
        value.as_object_mut().unwrap().remove(*key);
    }
    value.to_string().into_bytes()
}

fn remains_of_run(desk: &Desk) -> Remains {
    let mut found = files_below(desk, &["run/checkpoints", "run/validation"]);
    for (name, bytes) in &mut found {
        let key = match name.rsplit('/').next().unwrap() {
            "state.json" => "/standing",
            "validation.json" => "/state/standing",
            "manifest.json" => "/weights.bpk",
            _ => continue,
        };
        let whole: Value = serde_json::from_slice(bytes).unwrap();
        *bytes = whole.pointer(key).unwrap().to_string().into_bytes();
    }
    found.insert("hidden".into(), {
        let mut names = desk.names("run/checkpoints");
        names.retain(|name| name.starts_with('.'));
        names.join(" ").into_bytes()
    });
    let events: Vec<String> = told_events(desk, "run").iter().map(Value::to_string).collect();
    found.insert("events".into(), events.join("\n").into_bytes());
    let table = desk.text("run/metrics.csv");
    let rows = table.lines().map(|row| row.split(',').take(7).collect::<Vec<_>>().join(","));
    found.insert("table".into(), rows.collect::<Vec<_>>().join("\n").into_bytes());
    let clocks = [
        "seconds",
        "train_seconds",
        "checkpoint_seconds",
        "validation_seconds",
        "starved_ratio",
        "loader",
    ];
    found.insert("summary".into(), timeless(desk, "run/summary.json", &clocks));
    assert!(desk.text("run/report.html").contains("2 of 2 steps"));
    // What is best is told alike everywhere.
    let best = desk.json("run/summary.json")["best"]["step"].as_u64().unwrap();
    let (folder, step) = CheckpointChoice::Best.find_in_run(&desk.path("run")).unwrap();
    assert_eq!(step, best);
    let pointed = desk.text("run/checkpoints/best");
    assert_eq!(folder.file_name().unwrap().to_string_lossy(), pointed);
    found
}

pub(super) const TRAIN: Sequence = Sequence {
    prepare: |desk| {
        desk.run("phantom --out data --cases 3 --seed 3 --shape 24x26x25").ok();
        desk.run("ingest --data data --cache cache").ok();
    },
    reset: |desk| remove(desk, &["run"]),
    line: RUN,
    codes: &[0],
    disk: "run/",
    reads: false,
    recover: |desk| {
        let begun = desk.path("run/config.toml").exists();
        let again = desk.run(if begun { "train --resume run" } else { RUN });
        let ended = again.code() == Some(2) && again.stderr.contains("run: has ended");
        assert!(again.code() == Some(0) || ended, "{again:?}");
    },
    remains: remains_of_run,
};

#[test]
fn a_run_survives_every_fault_and_its_best_is_never_lost() {
    let tried = TRAIN.try_every_fault();
    assert!(tried >= 100, "{tried}");
}

/// A teacher's labels of two cases.
const LABEL: Sequence = Sequence {
    prepare: |desk| {
        desk.run("phantom --out data --cases 6 --seed 3 --shape 24x26x25").ok();
        let parts = "--set data.split_seed=7 --set data.shares={validation=0.34,test=0.34,\
             unlabelled_of_validation=0.5,unlabelled_of_test=0.5}";
        let line = RUN.replace("--run run", "--run teacher");
        desk.run(&format!("{line} {parts}")).ok();
        desk.run("label --run teacher").ok();
    },
    reset: |desk| {
        for file in files_below(desk, &["cache"]).into_keys() {
            if file.ends_with(".annotation") {
                remove(desk, &[&file]);
            }
        }
    },
    line: "label --run teacher",
    codes: &[0],
    disk: "cache/",
    reads: false,
    recover: |desk| drop(desk.run("label --run teacher").ok()),
    remains: |desk| {
        let mut found = files_below(desk, &["cache"]);
        found.retain(|name, _| name.ends_with(".annotation"));
        found
    },
};

#[test]
fn annotations_survive_every_fault() {
    let tried = LABEL.try_every_fault();
    assert!(tried >= 10, "{tried}");
}

/// One network on few phantoms.
const STUDY: &str = r#"
schema = 1
name = "small"

[cohort.phantoms]
cases = 8
seed = 3
shape = [24, 26, 25]

[base]
seed = 5
device = "cpu"
[base.data.shares]
validation = 0.25
test = 0.25
[base.crop]
patch = [8, 8, 8]
[base.loader]
memory_mib = 64
patches_per_case = 1
[base.train]
epochs = 1
validation = { every_epochs = 0 }
[base.evaluation]
overlap = 0.0

[[network]]
name = "narrow"
settings = { model = { name = "unet", settings = { base_width = 1, levels = 2 } } }
"#;

/// Scores, journal and table of a study whose run has been trained.
const SCORE: Sequence = Sequence {
    prepare: |desk| {
        std::fs::write(desk.path("study.toml"), STUDY).unwrap();
        desk.run("experiment study.toml --out out").ok();
    },
    reset: |desk| {
        remove(desk, &["out/score", "out/steps.jsonl"]);
        remove(desk, &["out/table.md", "out/table.csv", "out/table.json"]);
    },
    line: "experiment study.toml --out out",
    codes: &[0],
    disk: "out/",
    reads: false,
    recover: |desk| drop(desk.run("experiment study.toml --out out").ok()),
    remains: |desk| {
        let mut found = files_below(desk, &["out"]);
        found.retain(|name, _| {
            name.starts_with("out/score/")
                || name.ends_with("table.csv")
                || name.ends_with("table.md")
        });
        let steps = desk.json_lines("out/steps.jsonl");
        let ended = steps.iter().filter(|line| line["event"] == "done" || line["event"] == "kept");
        let mut ended: Vec<String> = ended.map(|line| line["subject"].to_string()).collect();
        ended.sort();
        ended.dedup();
        found.insert("ended".into(), ended.join(" ").into_bytes());
        found
    },
};

#[test]
fn the_scores_and_the_journal_of_a_study_survive_every_fault() {
    let tried = SCORE.try_every_fault();
    assert!(tried >= 20, "{tried}");
}
