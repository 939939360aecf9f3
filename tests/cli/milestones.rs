//! What a run does on its way: validations, the best of them, steps that fail.

use serde_json::Value;

use crate::cli::harness::{Desk, TINY};

fn events(desk: &Desk, kind: &str) -> Vec<Value> {
    let mut lines = desk.json_lines("run/events.jsonl");
    lines.retain(|line| line["event"] == kind);
    lines
}

fn column(lines: &[Value], key: &str) -> Vec<u64> {
    lines.iter().map(|line| line[key].as_u64().unwrap()).collect()
}

#[test]
fn held_out_cases_are_scored_on_the_way_and_the_best_weights_are_kept() {
    let desk = Desk::with_cohort(5);
    let often = "--set train.epochs=7 --set train.validation.every_epochs=2 \
                 --set train.checkpoint.keep=1 --set train.learning_rate=1e-2";
    let line = format!("train {TINY} {often} --data data --run run --json");
    let summary = desk.run(&line).ok().json();
    let validations = events(&desk, "validation");
    assert_eq!(column(&validations, "epoch"), [2, 4, 6, 7]);
    assert_eq!(column(&validations, "step"), [4, 8, 12, 14]);
    let mut best = None;
    for validation in &validations {
        let mean = validation["mean_dice"].as_f64().unwrap();
        let regions = ["ET", "TC", "WT"].map(|region| validation["dice"][region].as_f64().unwrap());
        assert!((mean - regions.iter().sum::<f64>() / 3.0).abs() < 1e-12);
        let better = best.is_none_or(|(dice, _)| mean > dice);
        assert_eq!(validation["best"], better);
        if better {
            best = Some((mean, validation["step"].as_u64().unwrap()));
        }
    }
    let (dice, step) = best.unwrap();
    assert!(dice > 0.0, "nothing was learnt, so nothing is compared");
    assert_eq!(desk.text("run/checkpoints/best"), format!("step-{step:07}"));
    assert_eq!(summary["best"]["step"], step);
    assert!((summary["best"]["mean_dice"].as_f64().unwrap() - dice).abs() < 1e-15);
    let last = &validations.last().unwrap()["dice"];
    for region in ["ET", "TC", "WT"] {
        let of_run = &summary["evaluation"]["network"]["regions"][region]["dice"];
        assert_eq!(of_run, &last[region], "the last weights are not scored twice");
    }
    let mut kept = vec![format!("step-{step:07}"), "step-0000014".into()];
    kept.dedup();
    let folders = desk.names("run/checkpoints");
    let folders: Vec<&String> = folders.iter().filter(|name| name.starts_with("step-")).collect();
    assert_eq!(folders, kept.iter().collect::<Vec<_>>(), "the last one and the best");
}

#[test]
fn a_run_without_a_better_validation_for_too_long_ends() {
    let desk = Desk::with_cohort(4);
    // Weights hardly move, so the first validation stays the best.
    let still = "--set train.epochs=50 --set train.learning_rate=1e-30 \
                 --set train.validation.every_epochs=1 --set train.validation.patience=3";
    let line = format!("train {TINY} {still} --data data --run run --json");
    let summary = desk.run(&line).ok().json();
    assert_eq!((&summary["steps"], &summary["planned_steps"]), (&8.into(), &100.into()));
    assert_eq!(summary["best"]["epoch"], 1);
    assert_eq!(column(&events(&desk, "validation"), "epoch"), [1, 2, 3, 4]);
    assert_eq!(events(&desk, "finished")[0]["state"], "finished");
}

#[test]
fn several_batches_make_a_step() {
    let desk = Desk::with_cohort(4);
    let line = format!("train {TINY} --set train.accumulate=3 --data data --run run");
    desk.run(&line).ok();
    let steps = events(&desk, "step");
    assert_eq!(steps.len(), 4);
    let key = |sample: &Value| (sample["epoch"].clone(), sample["index"].clone());
    let samples: Vec<_> =
        steps.iter().flat_map(|step| step["samples"].as_array().unwrap()).map(key).collect();
    let expected: Vec<(Value, Value)> =
        (0..4 * 3 * 2).map(|place| ((place / 3).into(), (place % 3).into())).collect();
    assert_eq!(samples, expected, "all batches of two, in the order of the plan");

    // Several samples are made again in that order, from epoch to epoch.
    let again = "replay --run run --key 1/1 --count 4 --arrays --out arrays --json";
    let again = desk.run(again).ok().json()["samples"].clone();
    let keys: Vec<_> = again.as_array().unwrap().iter().map(|sample| key(&sample["key"])).collect();
    assert_eq!(keys, expected[4..8]);
    assert_eq!(desk.names("arrays").len(), 8);
}

#[test]
fn a_step_that_is_not_finite_ends_the_run_with_a_report_of_its_samples() {
    let desk = Desk::with_cohort(2);
    let line = format!("train {TINY} --data data --run run --set train.epochs=50");
    let outcome = desk.run(&format!("{line} --set train.learning_rate=1e30")).exits(1);
    outcome.complains_of(&["the loss is", "(BraTS20_Training_00", "lower train.learning_rate"]);
    let (steps, failed) = (events(&desk, "step"), events(&desk, "not_finite"));
    let finished = &events(&desk, "finished")[0];
    assert_eq!(finished["state"], "failed");
    assert_eq!(finished["step"], steps.len(), "the steps that were sound");
    assert!(finished["cause"].as_str().unwrap().contains("the loss is"));
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["step"], steps.len() + 1);
    let report = desk.json("run/not-finite.json");
    assert_eq!(report["step"]["samples"], failed[0]["samples"]);
    let samples = report["step"]["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 2);
    let [epoch, index] = ["epoch", "index"].map(|key| samples[0][key].as_u64().unwrap());
    desk.run(&format!("replay --run run --key {epoch}/{index} --out sample")).ok();
    assert!(!desk.names("sample").is_empty(), "the first of them, to be looked at");
    assert!(!desk.path("run/summary.json").exists());
}

#[test]
fn steps_that_are_not_finite_are_skipped_within_the_budget_and_change_nothing() {
    let desk = Desk::with_cohort(2);
    // The first step ruins the weights; from then on every loss is not a number.
    let ruin = "--set train.epochs=2 --set train.learning_rate=1e30 --set train.non_finite=skip";
    let line = format!("train {TINY} {ruin} --data data --run run --json");
    let summary = desk.run(&line).ok().json();
    let (steps, skipped) = (events(&desk, "step"), events(&desk, "not_finite"));
    assert!(!skipped.is_empty() && !steps.is_empty());
    assert_eq!(steps.len() + skipped.len(), 4);
    assert_eq!((&summary["steps"], &summary["unsound_steps"]), (&4.into(), &skipped.len().into()));
    // A checkpoint after a step that was skipped holds what the one before it does.
    let [before, after] = ["step-0000002", "step-0000004"].map(|step| {
        let file = |name: &str| desk.path(&format!("run/checkpoints/{step}/{name}"));
        [file("weights.bpk"), file("optimiser.bpk")].map(|file| std::fs::read(file).unwrap())
    });
    assert_eq!(steps.len(), 1, "the first");
    assert!(before == after);

    let tight = line.replace("--run run", "--run tight --set train.non_finite_budget=1");
    let outcome = desk.run(&tight).exits(1);
    outcome.complains_of(&["2 steps were skipped and train.non_finite_budget is 1"]);
}

#[test]
fn a_sample_is_replayed_by_the_runs_own_epoch_and_one_that_was_not_reached_is_refused() {
    let desk = Desk::with_cohort(4);
    // Epochs of two steps of two samples, over passes of three cases.
    let line =
        format!("train {TINY} --data data --run run --set train.steps_per_epoch=2 --epochs 2");
    desk.run(&line).ok();
    let steps = events(&desk, "step");
    let epochs: Vec<u64> = steps.iter().map(|step| step["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [0, 0, 1, 1]);
    let first = &steps[2]["samples"][0];
    assert_eq!((&first["epoch"], &first["index"]), (&1.into(), &1.into()), "of the second pass");
    let key = |line: &str| desk.run(&format!("{line} --json")).ok().json()["key"].clone();
    assert_eq!(&key("replay --run run --epoch 1 --index 0 --out sample"), first);
    assert_eq!(&key("replay --run run --key 1/1 --out sample"), first);
    let refused = desk.run("replay --run run --epoch 2 --index 0 --out sample").exits(2);
    refused.complains_of(&["--epoch 2", "has not got there", "write 0 to 1"]);
    let refused = desk.run("replay --run run --epoch 1 --index 4 --out sample").exits(2);
    refused.complains_of(&["--index 4", "write 0 to 3"]);
}
