//! A run in several processes is the run in one: killed at any time, stopped on request, begun again.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::Value;

use crate::cli::harness::Desk;

/// Every network with all that it draws, an optimiser with much to remember, and a step of several
/// batches.
pub(super) const NETWORKS: [(&str, &str, &str); 3] = [
    ("unet", "{base_width=2,levels=2}", "{kind=\"adam\",amsgrad=true,average=0.9,clip_norm=0.5}"),
    (
        "resunet_vae",
        "{base_width=4,groups=2,encoder_units=[1,1],latent=3,patch=[16,16,16]}",
        "{kind=\"adam\"}",
    ),
    (
        "cascaded",
        "{base_width=1,levels=2,loss_weights=[0.4,0.3]}",
        "{kind=\"sgd\",average=0.9} --set train.accumulate=3",
    ),
];

/// 48 steps in epochs of 8, checkpoints every 10 and with each third epoch's validation.
const LENGTH: &str = "--set train.epochs=6 --set train.steps_per_epoch=8 \
    --set train.checkpoint.every_epochs=0 --set train.checkpoint.every_steps=10 \
    --set train.validation.every_epochs=3 --set train.warm_up_epochs=0.5 \
    --set train.schedule={kind=\"plateau\",factor=0.5,patience=1,threshold=0.5}";

pub(super) fn line((name, settings, optimiser): (&str, &str, &str)) -> String {
    format!(
        "train --set device=cpu --set data.cache=cache --data data --set crop.patch=[16,16,16] \
         --set model.name={name} --set model.settings={settings} --set optimiser={optimiser} \
         --set loader.memory_mib=64 --set train.learning_rate=1e-3 {LENGTH}"
    )
}

fn in_journal(desk: &Desk, run: &str, event: &str) -> Option<()> {
    let text = std::fs::read_to_string(desk.path(&format!("{run}/events.jsonl"))).ok()?;
    text.contains(&format!(r#""event":"{event}""#)).then_some(())
}

/// Starts a line, and kills it as it stands once its journal tells of a checkpoint.
pub(super) fn kill_after_a_checkpoint(desk: &Desk, line: &str, run: &str) {
    let mut process = desk.start(line);
    process.wait_for("a checkpoint", || in_journal(desk, run, "checkpoint"));
    process.signal("KILL");
    process.wait().was_killed();
}

/// The journal without what clocks and processes put there.
pub(crate) fn told_events(desk: &Desk, run: &str) -> Vec<Value> {
    let mut lines = desk.json_lines(&format!("{run}/events.jsonl"));
    lines.retain(|line| line["event"] != "started" && line["event"] != "resumed");
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        line.retain(|key, _| key != "time" && !key.ends_with("seconds"));
    }
    lines
}

pub(super) fn timeless_table(desk: &Desk, run: &str) -> Vec<String> {
    let table = desk.text(&format!("{run}/metrics.csv"));
    table.lines().map(|row| row.split(',').take(7).collect::<Vec<_>>().join(",")).collect()
}

/// Both runs wrote down the same and left the same bytes, under a schedule that remembers.
pub(super) fn assert_same(desk: &Desk, one: &str, other: &str) {
    assert_same_outcome(desk, one, other);
    let last = desk.text(&format!("{one}/checkpoints/latest"));
    let state = desk.json(&format!("{one}/checkpoints/{last}/state.json"));
    assert_ne!(state["standing"]["plateau"]["drops"], 0, "the schedule has something to keep");
}

/// Both runs wrote down the same and left the same bytes.
pub(crate) fn assert_same_outcome(desk: &Desk, one: &str, other: &str) {
    assert_eq!(told_events(desk, one), told_events(desk, other));
    assert_eq!(timeless_table(desk, one), timeless_table(desk, other));
    let folders = |run: &str| desk.names(&format!("{run}/checkpoints"));
    assert_eq!(folders(one), folders(other));
    for pointer in ["latest", "best"] {
        let file = |run: &str| {
            let path = desk.path(&format!("{run}/checkpoints/{pointer}"));
            std::fs::read_to_string(path).ok()
        };
        assert_eq!(file(one), file(other));
    }
    let last = desk.text(&format!("{one}/checkpoints/latest"));
    let names = desk.names(&format!("{one}/checkpoints/{last}"));
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        let file = |run: &str| format!("{run}/checkpoints/{last}/{name}");
        if name.ends_with(".bpk") {
            let bytes = |run: &str| std::fs::read(desk.path(&file(run))).unwrap();
            assert!(bytes(one) == bytes(other), "{name}");
        } else if name == "state.json" {
            let standing = |run: &str| desk.json(&file(run))["standing"].clone();
            assert_eq!(standing(one), standing(other));
        } else if name == "validation.json" {
            let standing = |run: &str| desk.json(&file(run))["state"]["standing"].clone();
            assert_eq!(standing(one), standing(other));
        }
    }
    let cases = |run: &str| desk.text(&format!("{run}/validation/cases.csv"));
    assert_eq!(cases(one), cases(other));
}

#[test]
fn a_run_that_was_killed_goes_on_bit_for_bit() {
    let desk = Desk::with_cohort(5);
    for network in NETWORKS {
        let (name, ..) = network;
        let [straight, killed] = ["straight", "killed"].map(|kind| format!("{name}-{kind}"));
        desk.run(&format!("{} --run {straight}", line(network))).ok();
        kill_after_a_checkpoint(&desk, &format!("{} --run {killed}", line(network)), &killed);
        // What it did beyond its checkpoint is torn on top.
        let journal = desk.path(&format!("{killed}/events.jsonl"));
        OpenOptions::new().append(true).open(journal).unwrap().write_all(b"{\"event\":").unwrap();

        let resumed = desk.run(&format!("train --resume {killed} --json")).ok().json();
        assert_eq!(resumed["steps"], 48);
        assert_same(&desk, &straight, &killed);
        let lines = desk.json_lines(&format!("{killed}/events.jsonl"));
        let resumes = lines.iter().filter(|line| line["event"] == "resumed");
        assert_eq!(resumes.count(), 1);
    }
}

#[test]
fn signals_leave_a_checkpoint_and_a_run_stopped_by_each_in_turn_is_the_run() {
    let desk = Desk::with_cohort(5);
    let network = NETWORKS[0];
    // So long that it is not over before it has been stopped four times.
    let line = format!("{} --set train.epochs=40", line(network));
    desk.run(&format!("{line} --run straight")).ok();
    let mut command = format!("{line} --run stopped");
    for (resumes, signal) in ["INT", "TERM", "USR1", "HUP"].into_iter().enumerate() {
        let mut process = desk.start(&command);
        process.wait_for("its steps", || {
            let text = std::fs::read_to_string(desk.path("stopped/events.jsonl")).ok()?;
            // A step of its own: stopped without one, it would leave no checkpoint, and no trace.
            let mut stretches = text.split(r#""event":"resumed""#);
            let own = stretches.nth(resumes)?;
            let is_last = stretches.next().is_none();
            (is_last && own.contains(r#""event":"step""#)).then_some(())
        });
        process.signal(signal);
        let stopped = process.wait().exits(75);
        stopped.complains_of(&["steps are safe in", "train --resume stopped"]);
        command = "train --resume stopped".into();
    }
    desk.run(&command).ok();
    let steps = |run: &str| timeless_table(&desk, run);
    assert_eq!(steps("straight"), steps("stopped"));
    let last = desk.text("straight/checkpoints/latest");
    for file in ["weights.bpk", "optimiser.bpk", "average.bpk"] {
        let bytes = |run: &str| {
            std::fs::read(desk.path(&format!("{run}/checkpoints/{last}/{file}"))).unwrap()
        };
        assert!(bytes("straight") == bytes("stopped"), "{file}");
    }
}

/// Test and unlabelled cases are in the lock, and no business of the run's.
#[test]
fn a_run_of_a_divided_cohort_goes_on_whatever_became_of_the_cases_that_it_does_not_use() {
    let desk = Desk::with_cohort(8);
    let line = format!("{} --set data.shares={{validation=0.25,test=0.25}}", line(NETWORKS[0]));
    desk.run(&format!("{line} --run straight")).ok();
    kill_after_a_checkpoint(&desk, &format!("{line} --run killed"), "killed");
    let lock = desk.json("killed/dataset.lock.json");
    let cases = lock["cases"].as_array().unwrap();
    let unused = cases.iter().find(|case| case["split"] == "test").unwrap();
    std::fs::remove_dir_all(desk.path(&format!("data/{}", unused["id"].as_str().unwrap())))
        .unwrap();
    desk.run("train --resume killed").ok();
    assert_same(&desk, "straight", "killed");
}

#[test]
fn a_resumed_run_trains_on_the_cases_that_it_was_locked_to() {
    let desk = Desk::with_cohort(5);
    let network = NETWORKS[0];
    desk.run(&format!("{} --run straight", line(network))).ok();
    kill_after_a_checkpoint(&desk, &format!("{} --run killed", line(network)), "killed");
    // Meanwhile a sixth case has come, and somebody has put the first on the list of bad ones.
    desk.run("phantom --out data --cases 6 --seed 3 --shape 24x28x26").ok();
    let bad = r#"{"case":"BraTS20_Training_001","reason":"io","error":"x","seconds":1}"#;
    std::fs::write(desk.path("cache/quarantine.jsonl"), format!("{bad}\n")).unwrap();
    desk.run("train --resume killed").ok();
    assert_same(&desk, "straight", "killed");
}

#[test]
fn a_damaged_checkpoint_is_left_out_and_the_one_before_goes_on() {
    let desk = Desk::with_cohort(3);
    desk.run(&format!("{} --run straight", line(NETWORKS[0]))).ok();
    desk.run(&format!("{} --run cut", line(NETWORKS[0]))).ok();
    std::fs::remove_file(desk.path("cut/summary.json")).unwrap();
    let last = desk.text("cut/checkpoints/latest");
    let weights = desk.path(&format!("cut/checkpoints/{last}/weights.bpk"));
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
    let resumed = desk.run("train --resume cut").ok();
    assert!(resumed.stderr.contains("weights.bpk: does not match"), "{}", resumed.stderr);
    assert_same(&desk, "straight", "cut");
}

#[test]
fn two_processes_do_not_write_to_one_run() {
    let desk = Desk::with_cohort(3);
    let endless = line(NETWORKS[0]).replace("train.epochs=6", "train.epochs=100000");
    let mut process = desk.start(&format!("{endless} --run run"));
    process.wait_for("a step", || in_journal(&desk, "run", "step"));
    let pid = format!("process {} is writing to this run", process.id());
    desk.run("train --resume run").exits(1).complains_of(&["run: ", &pid]);
    process.signal("TERM");
    process.wait().exits(75);
}

#[test]
fn what_cannot_go_on_is_refused() {
    let desk = Desk::with_cohort(3);
    desk.run("train --resume data")
        .exits(2)
        .complains_of(&["data: holds no run", "gliaflow train"]);
    kill_after_a_checkpoint(&desk, &format!("{} --run run", line(NETWORKS[0])), "run");
    let other = desk.run("train --resume run --set train.learning_rate=0.5").exits(2);
    other.complains_of(&[
        "run: was begun with other settings",
        "train.learning_rate is 0.001 in the run, asked is 0.5;",
    ]);
    let several = "--set optimiser={kind=\"sgd\"} --set data.fold=0/3 --set train.epochs=7";
    let several = desk.run(&format!("train --resume run {several}")).exits(2);
    several.complains_of(&[
        "data.fold is not set in the run, asked is \"0/3\"",
        "optimiser.kind is \"adam\" in the run, asked is \"sgd\"",
    ]);
    assert!(!several.stderr.contains("train.epochs"), "{}", several.stderr);
    // What does not decide the result may change.
    let kept =
        "--set loader.workers.crop=1 --set train.non_finite=skip --set train.checkpoint.keep=1";
    desk.run(&format!("train --resume run {kept}")).ok();
    desk.run("train --resume run").exits(2).complains_of(&["run: has ended", "train.epochs"]);
}

#[test]
fn a_run_killed_ahead_of_its_first_checkpoint_begins_again() {
    let desk = Desk::with_cohort(3);
    desk.run(&format!("{} --run straight", line(NETWORKS[0]))).ok();
    desk.run(&format!("{} --run begun", line(NETWORKS[0]))).ok();
    std::fs::remove_file(desk.path("begun/summary.json")).unwrap();
    std::fs::remove_dir_all(desk.path("begun/checkpoints")).unwrap();
    desk.run("train --resume begun").ok();
    assert_same(&desk, "straight", "begun");
}

#[test]
fn a_run_that_ended_goes_on_for_more_epochs_and_is_the_run_of_all_of_them() {
    let desk = Desk::with_cohort(5);
    let line = line(NETWORKS[0]);
    desk.run(&format!("{line} --run straight")).ok();
    for (run, first) in [("ended", 3), ("killed", 3), ("early", 4)] {
        desk.run(&format!("{line} --set train.epochs={first} --run {run}")).ok();
        let more = format!("train --resume {run} --set train.epochs=6");
        if run == "killed" {
            let mut process = desk.start(&more);
            process.wait_for("its new length", || {
                desk.text("killed/config.toml").contains("epochs = 6").then_some(())
            });
            process.signal("KILL");
            process.wait().was_killed();
            desk.run("train --resume killed").ok();
        } else {
            let said = desk.run(&more).ok().stderr;
            let words = format!("train.epochs is 6 instead of {first}; the learning rate goes on");
            assert!(said.contains(&words) && said.contains("schedule plateau"), "{said}");
        }
        assert!(desk.text(&format!("{run}/config.toml")).contains("epochs = 6"));
        assert_eq!(desk.json(&format!("{run}/summary.json"))["planned_steps"], 48);
        if first == 3 {
            // Four epochs end with a validation of their own, which the others do not have.
            assert_same(&desk, "straight", run);
        }
        assert_eq!(timeless_table(&desk, "straight"), timeless_table(&desk, run));
    }
    desk.run("train --resume ended")
        .exits(2)
        .complains_of(&["ended: has ended after the 6 epochs"]);
    // More epochs that somebody has written into its file are asked for all the same.
    let config = desk.text("early/config.toml");
    let by_hand = config.replacen("epochs = 6", "epochs = 7", 1);
    assert_ne!(by_hand, config);
    std::fs::write(desk.path("early/config.toml"), by_hand).unwrap();
    let said = desk.run("train --resume early --set train.epochs=7").ok().stderr;
    assert!(said.contains("train.epochs is 7 instead of 6"), "{said}");
    assert_eq!(desk.json("early/summary.json")["steps"], 56);
    desk.run("train --resume early").exits(2).complains_of(&["has ended after the 7 epochs"]);
    let fewer = desk.run("train --resume ended --set train.epochs=5").exits(2);
    fewer.complains_of(&["has done 48 steps, more than train.epochs = 5 comes to"]);
    let page = desk.run("report ended").ok();
    assert!(desk.text("ended/report.html").contains("48 of 48 steps"), "{}", page.stdout);
}

#[test]
fn a_schedule_that_spans_the_run_says_what_more_epochs_do_to_the_rate() {
    let desk = Desk::with_cohort(3);
    let poly = "--set train.schedule={kind=\"poly\",power=1.0} --set train.epochs=2";
    desk.run(&format!("{} {poly} --run run", line(NETWORKS[0]))).ok();
    let said = desk.run("train --resume run --set train.epochs=4").ok().stderr;
    assert!(said.contains("the next learning rate is 5e-4, where 2 epochs had 0e0"), "{said}");
    assert!(said.contains("schedule poly spans all epochs"), "{said}");
    let rates: Vec<f64> = desk
        .json_lines("run/events.jsonl")
        .iter()
        .filter(|line| line["event"] == "step")
        .map(|line| line["learning_rate"].as_f64().unwrap())
        .collect();
    assert_eq!((rates.len(), rates[16]), (32, 5e-4));
    // Where nothing is trained yet, both lengths begin at the same rate.
    std::fs::remove_file(desk.path("run/summary.json")).unwrap();
    std::fs::remove_dir_all(desk.path("run/checkpoints")).unwrap();
    let said = desk.run("train --resume run --set train.epochs=5").ok().stderr;
    assert!(said.contains("schedule poly spans all epochs"), "{said}");

    // A run that is out of patience stays so, however many epochs it is given.
    let patience = "--set train.validation.every_epochs=1 --set train.validation.patience=1 \
         --set train.learning_rate=1e-30";
    desk.run(&format!("{} {patience} --run waited", line(NETWORKS[0]))).ok();
    assert!(desk.json("waited/summary.json")["steps"].as_u64() < Some(48));
    let refused = desk.run("train --resume waited --set train.epochs=9").exits(2);
    refused.complains_of(&["no validation was better for 1 epochs", "--init waited"]);
    assert!(desk.path("waited/summary.json").exists());
}

#[test]
fn a_configuration_file_changed_by_hand_is_refused() {
    let desk = Desk::with_cohort(3);
    kill_after_a_checkpoint(&desk, &format!("{} --run run", line(NETWORKS[0])), "run");
    let config = desk.text("run/config.toml");
    let changed = config.replace("learning_rate = 0.001", "learning_rate = 0.002");
    assert_ne!(changed, config);
    std::fs::write(desk.path("run/config.toml"), changed).unwrap();
    let refused = desk.run("train --resume run").exits(2);
    refused.complains_of(&["run/config.toml: has other settings", "when step-00000"]);
}
