//! Drills: in a real run somebody is slow on purpose, and is named by the clocks and the verdict. What
//! the dashboards say of the same is asked of a real Prometheus (`tests/dashboards/drill.rs`).

use serde_json::Value;

use crate::cli::harness::{Desk, Process, TINY};
use crate::metrics::{get, series, value};

const ENDLESS: &str = "--set train.epochs=1000000 --set train.validation.every_epochs=0 \
     --set train.checkpoint.every_epochs=0 --metrics-addr 127.0.0.1:0";

/// A run on its way.
fn start(desk: &Desk, drill: &str) -> Process {
    desk.start(&format!("train {TINY} {ENDLESS} {drill} --data data --run run"))
}

/// The loader of a run, once nothing else is under way.
fn loader(process: &mut Process) -> Option<Value> {
    let topology = get(process.address(), "/topology");
    let seen: Value = serde_json::from_str(&topology.body).unwrap();
    let [only] = seen.as_array()?.as_slice() else { return None };
    assert_eq!(only["topology"], "train", "ingest is over, and nothing is validated");
    Some(only.clone())
}

/// The loader as soon as its verdict is `word`.
fn judged(process: &mut Process, word: &str) -> Value {
    let address = process.address();
    process.wait_for(&format!("a verdict on {word}"), || {
        let seen: Value = serde_json::from_str(&get(address, "/topology").body).ok()?;
        let only = seen.as_array()?.iter().find(|one| one["topology"] == "train")?.clone();
        (only["verdict"]["bottleneck"] == word).then_some(only)
    })
}

/// `gliaflow top` names the same.
fn assert_named_in_a_terminal(desk: &Desk, run: &str, slow: &str) {
    let frame = desk.run(&format!("top {run} --once --interval 0.3")).ok().stdout;
    assert!(frame.contains(&format!("held back by {slow}: ")), "{slow}: {frame}");
}

fn share(actor: &Value, clock: &str) -> f64 {
    actor[clock].as_f64().unwrap() / actor["worker_seconds"].as_f64().unwrap()
}

fn of_stage(scrape: &str, clock: &str, stage: &str) -> f64 {
    let all = series(scrape, &format!("loader_stage_{clock}_seconds_total"));
    let stage = format!("stage=\"{stage}\"");
    value(all.iter().find(|line| line.contains(&stage)).unwrap())
}

fn starved(scrape: &str) -> f64 {
    value(series(scrape, "train_starved_seconds_total")[0])
}

#[test]
fn a_trainer_that_has_stopped_is_named_and_can_still_be_stopped() {
    let desk = Desk::with_cohort(4);
    let mut process = start(&desk, "--set drill.slow_step_ms=3600000");
    let seen = judged(&mut process, "trainer");
    let sentence = seen["verdict"]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("the loader waits for the trainer"), "{sentence}");
    // Clocks are published twice a second: this look is on the trainer after it has stopped.
    let before = process.scrape_until("a wait for the trainer", |scrape| {
        of_stage(scrape, "blocked", "collate") > 0.5
    });
    let scrape = process.scrape_until("a second more of waiting for the trainer", |scrape| {
        of_stage(scrape, "blocked", "collate") > of_stage(&before, "blocked", "collate") + 1.0
            && of_stage(scrape, "blocked", "plan") > 0.0
    });
    assert_eq!(starved(&scrape), starved(&before), "the trainer does not wait");
    assert_eq!(of_stage(&scrape, "busy", "augment"), of_stage(&before, "busy", "augment"));
    let now = loader(&mut process).expect("only the loader is shown, ingest is over");
    assert!(share(&now["actors"].as_array().unwrap()[4], "blocked_seconds") > 0.5);
    assert_named_in_a_terminal(&desk, "run", "trainer");
    process.signal("INT");
    process.wait().exits(75);
    assert!(desk.names("run/checkpoints").contains(&"step-0000001".to_owned()));
}

#[test]
fn each_stage_that_is_slow_is_named() {
    let desk = Desk::with_cohort(4);
    desk.run("ingest --data data --cache cache").ok();
    for stage in ["fetch", "crop", "augment", "collate"] {
        let slow = format!("--set drill.slow_stage={stage} --set drill.slow_stage_ms=250");
        let mut process =
            desk.start(&format!("train {TINY} {ENDLESS} {slow} --data data --run run-{stage}"));
        let seen = judged(&mut process, stage);
        let sentence = seen["verdict"]["sentence"].as_str().unwrap();
        assert!(sentence.contains("the trainer waits"), "{stage}: {sentence}");
        let actors = seen["actors"].as_array().unwrap();
        let busiest = actors
            .iter()
            .max_by(|a, b| share(a, "busy_seconds").total_cmp(&share(b, "busy_seconds")));
        assert_eq!(busiest.unwrap()["name"], stage);
        assert_named_in_a_terminal(&desk, &format!("run-{stage}"), stage);
        let scrape = process.scrape_until("the trainer's wait", |scrape| starved(scrape) > 0.4);
        assert!(of_stage(&scrape, "busy", stage) > 0.4, "{stage}");
        process.signal("KILL");
        process.wait().was_killed();
    }
}

#[test]
fn a_wait_is_counted_while_it_lasts() {
    let desk = Desk::with_cohort(4);
    let slow = "--set drill.slow_stage=augment --set drill.slow_stage_ms=60000";
    let mut process = start(&desk, slow);
    let scrape = process.scrape_until("a wait that has no end yet", |scrape| starved(scrape) > 2.0);
    assert!(series(&scrape, "train_step").is_empty(), "no step has been taken");
    let state = series(&scrape, "train_run_state");
    let training = state.iter().find(|line| line.contains("state=\"training\"")).unwrap();
    assert_eq!(value(training), 1.0);
}

#[test]
fn a_drill_changes_no_figure_and_names_what_it_does_not_know() {
    let desk = Desk::with_cohort(4);
    let train = |more: &str, run: &str| {
        desk.run(&format!("train {TINY} {more} --data data --run {run}")).ok();
        let table = desk.text(&format!("{run}/metrics.csv"));
        let timeless = |line: &str| line.split(',').take(7).collect::<Vec<_>>().join(",");
        table.lines().map(timeless).collect::<Vec<String>>()
    };
    let slow =
        "--set drill.slow_stage=crop --set drill.slow_stage_ms=20 --set drill.slow_step_ms=20";
    assert_eq!(train(slow, "slow"), train("", "plain"));
    let unknown = "--set drill.slow_stage=corp --data data --run none";
    let refused = desk.run(&format!("train {TINY} {unknown}")).exits(2);
    refused.complains_of(&["drill.slow_stage = \"corp\"", "plan, fetch, decode"]);
}
