//! `/healthz` of real runs that are in trouble: 503 with the reason, and 200 again when it passes.

use std::net::SocketAddr;

use crate::cli::harness::{Desk, Process, TINY};
use crate::metrics::{get, series, value};

const ENDLESS: &str = "--set train.epochs=1000000 --set train.validation.every_epochs=0 \
     --set train.checkpoint.every_epochs=0 --metrics-addr 127.0.0.1:0";

fn start(desk: &Desk, settings: &str) -> Process {
    desk.start(&format!("train {TINY} {ENDLESS} {settings} --data data --run run"))
}

/// The complaint, once there is one that starts so.
fn complaint(process: &mut Process, start: &str) -> String {
    let address = process.address();
    process.wait_for(start, || {
        let health = get(address, "/healthz");
        (health.status == 503 && health.body.starts_with(start)).then_some(health.body)
    })
}

/// Waits until all is well.
fn wait_for_health(process: &mut Process) {
    let address = process.address();
    process.wait_for("health", || {
        let health = get(address, "/healthz");
        (health.status == 200).then(|| assert_eq!(health.body.trim(), "ok"))
    });
}

/// The watchers that have found a problem, as the metric has it.
fn watchers(address: SocketAddr) -> Vec<String> {
    let scrape = get(address, "/metrics").body;
    let all = series(&scrape, "health_problem");
    assert_eq!(all.len(), 5, "every watcher is there from the start: {all:?}");
    let found = all.into_iter().filter(|line| value(line) == 1.0);
    let name =
        |line: &str| line.split("watcher=\"").nth(1).unwrap().split('"').next().unwrap().into();
    found.map(name).collect()
}

/// `gliaflow top` shows the complaint in one of its frames.
fn assert_shown_in_a_terminal(desk: &Desk, process: &mut Process, words: &str) {
    process.wait_for("a frame with the complaint", || {
        let frame = desk.run("top run --once --interval 0.1").ok().stdout;
        frame.contains(words).then_some(())
    });
}

#[test]
fn a_trainer_that_takes_no_batch_is_unhealthy_until_it_takes_one() {
    let desk = Desk::with_cohort(4);
    let drill = "--set drill.slow_step_ms=8000 --set drill.unhealthy_after_ms=1500";
    let mut process = start(&desk, drill);
    wait_for_health(&mut process);
    let reason = complaint(&mut process, "trainer: no batch has been taken for ");
    assert_eq!(reason.lines().count(), 1, "the loader only waits: {reason}");
    assert_eq!(watchers(process.address()), ["trainer"]);
    assert_shown_in_a_terminal(&desk, &mut process, "trainer: no batch has been taken for");
    wait_for_health(&mut process);
    process.signal("INT");
    process.wait().exits(75);
}

#[test]
fn a_loader_in_which_nothing_moves_is_unhealthy_until_something_does() {
    let desk = Desk::with_cohort(4);
    let drill = "--set drill.slow_stage=augment --set drill.slow_stage_ms=6000 \
         --set drill.unhealthy_after_ms=1000";
    let mut process = start(&desk, drill);
    let reason = complaint(&mut process, "watchdog: nothing has moved in train for ");
    assert_eq!(reason.lines().count(), 1, "the trainer only waits: {reason}");
    assert_eq!(watchers(process.address()), ["watchdog"]);
    wait_for_health(&mut process);
    process.signal("KILL");
    process.wait().was_killed();
}

#[test]
fn a_run_whose_steps_are_not_finite_is_unhealthy() {
    let desk = Desk::with_cohort(4);
    // The first step ruins the weights; from then on every loss is not a number.
    let ruin = "--set train.learning_rate=1e30 --set train.non_finite=skip \
         --set train.non_finite_budget=1000000000";
    let mut process = start(&desk, ruin);
    let reason = complaint(&mut process, "steps: ");
    assert!(reason.contains(" of the last 20 steps were not finite"), "{reason}");
    assert_eq!(watchers(process.address()), ["steps"]);
    assert_shown_in_a_terminal(&desk, &mut process, "of the last 20 steps were not finite");
    process.signal("INT");
    process.wait().exits(75);
    let skipped = desk.text("run/events.jsonl").matches("\"event\":\"not_finite\"").count();
    assert!(skipped >= 5, "{skipped}");
}

#[test]
fn a_run_that_failed_is_unhealthy_as_long_as_it_answers() {
    let desk = Desk::with_cohort(4);
    let mut process = start(&desk, "--set train.learning_rate=1e30 --metrics-linger 100");
    let reason = complaint(&mut process, "run: step ");
    assert!(reason.contains("the loss is"), "{reason}");
    assert_eq!(watchers(process.address()), ["run"]);
    process.signal("INT");
    process.wait().exits(1);
}
