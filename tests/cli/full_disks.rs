//! Disks that fill up while a run is under way, and empty again.

use crate::cli::file_systems::build_library;
use crate::cli::harness::{Desk, Process, TINY};
use crate::metrics::{get, series, value};

/// Checkpoints every fifth step, and no validation.
const ENDLESS: &str = "--set train.epochs=1000000 --set train.validation.every_epochs=0 \
     --set train.checkpoint.every_epochs=0 --set train.checkpoint.every_steps=5 \
     --metrics-addr 127.0.0.1:0";

/// Starts a line; while the file `full` is there, nothing below `disk` takes any space.
fn start_on_disk(desk: &Desk, disk: &str, line: &str) -> Process {
    let library = build_library(desk, "failing_disk");
    let full = desk.path("full").display().to_string();
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("GLIAFLOW_TEST_DISK", disk),
        ("GLIAFLOW_TEST_FULL", &full),
    ];
    desk.start_with(line, &variables)
}

fn checkpoints(desk: &Desk) -> usize {
    let text = std::fs::read_to_string(desk.path("run/events.jsonl")).unwrap_or_default();
    text.matches(r#""event":"checkpoint""#).count()
}

#[test]
fn a_full_disk_is_put_up_with_while_training_goes_on_and_nothing_is_lost() {
    let desk = Desk::with_cohort(4);
    let line =
        format!("train {TINY} {ENDLESS} --set train.checkpoint.patience=90 --data data --run run");
    let mut process = start_on_disk(&desk, "run/", &line);
    process.wait_for("a checkpoint", || (checkpoints(&desk) > 0).then_some(()));
    std::fs::write(desk.path("full"), "").unwrap();
    let address = process.address();
    let health = |status: u16| {
        let health = get(address, "/healthz");
        (health.status == status).then_some(health.body)
    };
    let reason = process.wait_for("a complaint", || health(503));
    assert!(reason.starts_with("checkpoint: ") && reason.contains("no space left"), "{reason}");
    let step = || value(series(&get(address, "/metrics").body, "train_step")[0]);
    let (then, told) = (step(), checkpoints(&desk));
    process.wait_for("further steps", || (step() > then + 20.0).then_some(()));
    assert_eq!(checkpoints(&desk), told, "the disk is full");
    std::fs::remove_file(desk.path("full")).unwrap();
    process.wait_for("health", || health(200));
    process.signal("INT");
    let ended = process.wait().exits(75);
    assert!(ended.stderr.contains("train.checkpoint.patience"), "{}", ended.stderr);

    let journal = desk.json_lines("run/events.jsonl");
    let steps = journal.iter().filter(|line| line["event"] == "step");
    let numbers: Vec<u64> = steps.map(|line| line["step"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "the journal lacks nothing");
    let table = desk.text("run/metrics.csv");
    assert_eq!(table.lines().count(), 1 + numbers.len());
    let latest = desk.text("run/checkpoints/latest");
    assert_eq!(latest, format!("step-{:07}", numbers.len()));
    desk.run("evaluate --run run --set device=cpu").ok();
}

#[test]
fn a_disk_that_stays_full_ends_the_run_and_the_steps_of_its_last_checkpoint_stay() {
    let desk = Desk::with_cohort(4);
    let line =
        format!("train {TINY} {ENDLESS} --set train.checkpoint.patience=1 --data data --run run");
    let mut process = start_on_disk(&desk, "run/", &line);
    process.wait_for("a checkpoint", || (checkpoints(&desk) > 0).then_some(()));
    std::fs::write(desk.path("full"), "").unwrap();
    let failed = process.wait().exits(1);
    failed.complains_of(&["run/", "no space left on device", "free space"]);
    std::fs::remove_file(desk.path("full")).unwrap();
    let mut process = desk.start("train --resume run");
    let before = checkpoints(&desk);
    process.wait_for("another checkpoint", || (checkpoints(&desk) > before + 1).then_some(()));
    process.signal("TERM");
    process.wait().exits(75);
}

#[test]
fn a_full_disk_under_predictions_is_no_fault_of_the_cases() {
    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run run")).ok();
    std::fs::write(desk.path("full"), "").unwrap();
    let line = "predict --run run --data data --out out --set device=cpu";
    let failed = start_on_disk(&desk, "out/", line).wait().exits(1);
    failed.complains_of(&["out/BraTS20_Training_001.nii.gz", "no space left on device"]);
    let line = "replay --run run --epoch 0 --index 0 --out samples";
    start_on_disk(&desk, "samples/", line).wait().exits(1).complains_of(&["samples/"]);
}
