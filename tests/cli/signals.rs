//! Signals: once is a clean end with a checkpoint, twice is the end.

use crate::cli::harness::Desk;
#[cfg(feature = "train")]
use crate::cli::harness::TINY;
#[cfg(feature = "train")]
use crate::metrics::{scrape_as_prometheus, series, value};

/// Longer than anybody waits.
#[cfg(feature = "train")]
const ENDLESS: &str = "--set train.epochs=1000000";

#[test]
#[cfg(feature = "train")]
fn one_signal_ends_a_run_after_its_step_with_a_checkpoint_that_loads() {
    let desk = Desk::with_cohort(4);
    for name in ["INT", "TERM", "USR1", "HUP"] {
        let line = format!("train {TINY} {ENDLESS} --data data --run {name} --json");
        let mut process = desk.start(&line);
        let journal = desk.path(name).join("events.jsonl");
        process.wait_for("a step", || {
            let text = std::fs::read_to_string(&journal).ok()?;
            text.contains(r#""event":"step""#).then_some(())
        });
        process.signal(name);
        let stopped = process.wait().exits(75);
        assert_eq!(stopped.json()["exit_code"], 75);
        let checkpoint = format!("{name}/checkpoints/step-");
        stopped.complains_of(&["stopped on request", "of 2000000 steps are safe in", &checkpoint]);

        let journal = desk.json_lines(&format!("{name}/events.jsonl"));
        let [.., step, saved, finished] = &journal[..] else { panic!("{journal:?}") };
        assert!(["step", "epoch"].contains(&step["event"].as_str().unwrap()), "{step}");
        assert_eq!(saved["event"], "checkpoint");
        assert_eq!((&finished["state"], &finished["step"]), (&"stopped".into(), &saved["step"]));
        let steps = journal.iter().filter(|line| line["event"] == "step").count();
        assert_eq!(saved["step"], steps, "every step is in the checkpoint");

        let scored = desk.run(&format!("evaluate --run {name} --json")).ok().json();
        assert_eq!(scored["step"], steps);
    }
}

#[test]
#[cfg(feature = "train")]
fn a_hangup_does_not_end_a_run_that_was_started_to_outlive_its_terminal() {
    let desk = Desk::with_cohort(4);
    let line = format!("train {TINY} {ENDLESS} --data data --run run");
    let mut process = desk.start_deaf_to_hangups(&line);
    let steps = || {
        let text = std::fs::read_to_string(desk.path("run/events.jsonl")).unwrap_or_default();
        text.matches(r#""event":"step""#).count()
    };
    process.wait_for("a step", || (steps() > 0).then_some(()));
    process.signal("HUP");
    let then = steps();
    process.wait_for("further steps", || (steps() > then + 20).then_some(()));
    process.signal("TERM");
    process.wait().exits(75);
}

#[test]
#[cfg(feature = "train")]
fn a_stopped_run_waits_for_its_last_scrape_and_another_signal_ends_that() {
    let desk = Desk::with_cohort(4);
    let served = "--metrics-addr 127.0.0.1:0";
    let mut process = desk.start(&format!("train {TINY} {ENDLESS} --data data --run run {served}"));
    let address = process.address();
    // Two scrapes far apart: the run would wait for half a minute.
    scrape_as_prometheus(address);
    std::thread::sleep(std::time::Duration::from_secs(4));
    scrape_as_prometheus(address);
    process.signal("INT");
    process.scrape_until("the stop", |scrape| {
        let states = series(scrape, "train_run_state");
        states.iter().any(|line| line.contains("state=\"stopped\"") && value(line) == 1.0)
    });
    process.signal("INT");
    process.wait().exits(75);
}

#[test]
#[cfg(feature = "train")]
fn the_time_of_an_epoch_that_was_stopped_and_resumed_is_its_whole_time() {
    let desk = Desk::with_cohort(4);
    let line = "--set train.epochs=1 --set train.steps_per_epoch=60 --set drill.slow_step_ms=20";
    let mut process = desk.start(&format!("train {TINY} {line} --data data --run run"));
    process.wait_for("some steps", || {
        let told = std::fs::read_to_string(desk.path("run/events.jsonl")).ok()?;
        (told.matches(r#""event":"step""#).count() > 15).then_some(())
    });
    process.signal("INT");
    process.wait().exits(75);
    desk.run("train --resume run").ok();
    let events = desk.json_lines("run/events.jsonl");
    let resumed = events.iter().position(|event| event["event"] == "resumed").unwrap();
    let ended = events.iter().position(|event| event["event"] == "epoch").unwrap();
    assert!(resumed < ended, "it was stopped within its epoch");
    // Between first and last step, of each process: what the steps took at least.
    let span = |of_process: &[serde_json::Value]| {
        let steps = of_process.iter().filter(|event| event["event"] == "step");
        let times: Vec<f64> = steps.map(|step| step["time"].as_f64().unwrap()).collect();
        times[times.len() - 1] - times[0]
    };
    let [first, last] = [&events[..resumed], &events[resumed..ended]].map(span);
    assert!(first > 0.25, "15 steps of 20 ms took {first} s");
    let told = events[ended]["seconds"].as_f64().unwrap();
    assert!(told > first + last - 0.05, "{told} s of {first} s and {last} s");
}

#[test]
#[cfg(feature = "train")]
fn a_second_interrupt_ends_a_run_inside_its_step() {
    let desk = Desk::with_cohort(2);
    // One step of this takes far longer than the test may.
    let slow = "--set crop.patch=[48,48,48] --set model.settings={base_width=128,levels=2}";
    let line = format!("train {TINY} {slow} --data data --run run --metrics-addr 127.0.0.1:0");
    let mut process = desk.start(&line);
    process.scrape_until("a batch in the trainer's hands", |scrape| {
        series(scrape, "loader_batches_total").first().is_some_and(|line| value(line) > 0.0)
    });
    process.signal("INT");
    process.wait_for_stderr("Ctrl-C again stops at once");
    process.signal("INT");
    process.wait().exits(130);
    let journal = desk.json_lines("run/events.jsonl");
    assert!(journal.iter().all(|line| line["event"] != "step"), "the step came to its end");
    assert!(!desk.path("run/checkpoints/latest").exists());
}

#[test]
fn ingest_is_stopped_between_cases_and_goes_on_where_it_stood() {
    let desk = Desk::with_cohort(150);
    let mut process = desk.start("ingest --data data --cache cache --workers 1");
    let cached = || {
        std::fs::read_dir(desk.path("cache")).ok()?.flatten().find(|entry| {
            let is_version = entry.file_name().to_string_lossy().starts_with("v2-");
            is_version && entry.path().read_dir().is_ok_and(|mut files| files.next().is_some())
        })
    };
    process.wait_for("a cached case", cached);
    process.signal("INT");
    let stopped = process.wait();
    stopped.complains_of(&["stopped on request", "in the cache"]);
    stopped.exits(75);
    let done = desk.run("ingest --data data --cache cache --json").ok().json();
    let [current, published] = ["current", "published"].map(|key| done[key].as_u64().unwrap());
    assert_eq!(current + published, 150);
    assert!(current > 0 && published > 0, "{done}");
}
