//! Validations that are cut off: the checkpoint is there before them, scored cases are kept, and the
//! next process takes them up.

use std::time::SystemTime;

use crate::cli::harness::{Desk, TINY};
use crate::cli::resuming::assert_same_outcome;

/// Three held-out cases of some hundred windows each, scored after every second epoch, and no other
/// checkpoint: what a killed validation does not find, it has lost.
const LONG: &str = "--set data.held_out=0.5 --set evaluation.overlap=0.95 --set train.epochs=4 \
     --set train.validation.every_epochs=2 --set train.checkpoint.every_epochs=0 \
     --set train.learning_rate=1e-2";

fn line(run: &str) -> String {
    format!("train {TINY} {LONG} --data data --run {run}")
}

/// Scored cases in the checkpoint of four steps, with the times of their files.
fn scored_cases(desk: &Desk) -> Vec<(String, SystemTime)> {
    let folder = desk.path("cut/checkpoints/step-0000004/cases");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(String, SystemTime)> = entries
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.metadata().unwrap().modified().unwrap())
        })
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    found.sort();
    found
}

#[test]
fn a_validation_that_is_killed_and_stopped_goes_on_where_it_was() {
    let desk = Desk::with_cohort(6);
    desk.run(&line("straight")).ok();

    let mut process = desk.start(&line("cut"));
    process.wait_for("a scored case", || (!scored_cases(&desk).is_empty()).then_some(()));
    process.signal("KILL");
    process.wait().was_killed();
    let first = scored_cases(&desk);
    assert!(first.len() < 3, "the validation was over");
    assert_eq!(desk.text("cut/checkpoints/latest"), "step-0000004", "ahead of the validation");

    let mut process = desk.start("train --resume cut");
    process.wait_for("another scored case", || {
        (scored_cases(&desk).len() > first.len()).then_some(())
    });
    process.signal("TERM");
    process.wait().exits(75).complains_of(&["4 of 8 steps are safe", "train --resume cut"]);
    let second = scored_cases(&desk);
    assert!(first.iter().all(|case| second.contains(case)), "not scored again");
    assert_eq!(second.len(), first.len() + 1, "the case under way was not waited for");
    let journal = desk.json_lines("cut/events.jsonl");
    assert!(journal.iter().all(|line| line["event"] != "validation"));

    desk.run("train --resume cut").ok();
    assert_same_outcome(&desk, "straight", "cut");
    assert!(scored_cases(&desk).is_empty(), "they go when the run goes on");
}

#[test]
fn the_scores_of_the_last_weights_are_taken_up_as_well() {
    let desk = Desk::with_cohort(6);
    let line = |run: &str| format!("{} --set train.validation.every_epochs=0", line(run));
    let whole = format!("{} --set train.epochs=2", line("straight"));
    desk.run(&whole).ok();
    let mut process = desk.start(&whole.replace("straight", "cut"));
    process.wait_for("a scored case", || (!scored_cases(&desk).is_empty()).then_some(()));
    process.signal("TERM");
    process.wait().exits(75);
    assert!(!scored_cases(&desk).is_empty());
    desk.run("train --resume cut").ok();
    assert_same_outcome(&desk, "straight", "cut");
    assert!(scored_cases(&desk).is_empty());
}

#[test]
fn a_run_killed_after_its_last_step_gets_its_end_and_its_report() {
    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run run")).ok();
    let journal = desk.text("run/events.jsonl");
    let report = desk.path("run/report.html");
    let end = journal.trim_end().rfind('\n').unwrap() + 1;
    // Ahead of the last event, inside it, and after it.
    for cut in [end, end + 20, journal.len()] {
        std::fs::write(desk.path("run/events.jsonl"), &journal[..cut]).unwrap();
        std::fs::remove_file(&report).unwrap();
        let finished = desk.run("train --resume run").ok();
        assert_eq!(finished.stderr, "", "quietly");
        assert!(finished.stdout.contains("run: run"), "{}", finished.stdout);
        let lines = desk.json_lines("run/events.jsonl");
        let last = lines.last().unwrap();
        assert_eq!((&last["event"], &last["state"]), (&"finished".into(), &"finished".into()));
        assert_eq!(lines.len(), journal.lines().count());
        assert!(std::fs::read_to_string(&report).unwrap().contains("4 of 4 steps"));
    }
    desk.run("train --resume run").exits(2).complains_of(&["run: has ended"]);
}
