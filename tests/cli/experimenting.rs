//! A study in several processes is the study in one: killed in each kind of step, changed, asked again.

use serde_json::Value;

use crate::cli::harness::{Desk, Process};

/// Two narrow networks on sixteen phantoms: every kind of step, seconds in all.
const STUDY: &str = r#"
schema = 1
name = "small"
labelled_fractions = [0.5]

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
patches_per_case = 4
[base.train]
epochs = 3
learning_rate = 1e-2
validation = { every_epochs = 0 }
checkpoint = { every_epochs = 1, keep = 1 }
[base.evaluation]
overlap = 0.75

[[network]]
name = "narrow"
paper = "unet"
settings = { model = { name = "unet", settings = { base_width = 2, levels = 2 } } }

[[network]]
name = "wide"
settings = { model = { name = "unet", settings = { base_width = 3, levels = 2 } } }
"#;

const LINE: &str = "experiment study.toml --json --out";

fn desk() -> Desk {
    let desk = Desk::new();
    std::fs::write(desk.path("study.toml"), STUDY).unwrap();
    desk
}

/// The steps of a study's journal with that event, as `kind subject`.
fn steps(desk: &Desk, out: &str, event: &str) -> Vec<String> {
    let lines = desk.json_lines(&format!("{out}/steps.jsonl"));
    let word = |line: &Value, key: &str| line[key].as_str().unwrap().to_string();
    let own = lines.iter().filter(|line| line["event"] == event);
    own.map(|line| format!("{} {}", word(line, "kind"), word(line, "subject"))).collect()
}

/// The last thing that a study has written down: a step and its event.
fn last_event(desk: &Desk, out: &str) -> Option<(String, String)> {
    let text = std::fs::read_to_string(desk.path(&format!("{out}/steps.jsonl"))).ok()?;
    let last: Value = serde_json::from_str(text.lines().last()?).ok()?;
    let step = format!("{} {}", last["kind"].as_str()?, last["subject"].as_str()?);
    Some((step, last["event"].as_str()?.to_string()))
}

/// Whether a training has published a checkpoint: it is in the midst of its steps.
fn has_checkpoint(desk: &Desk, out: &str, step: &str) -> bool {
    let subject = step.trim_start_matches("train ").replace(' ', "-");
    let runs = desk.names(&format!("{out}/train"));
    let own = runs.iter().filter(|run| run.starts_with(&subject));
    own.into_iter().any(|run| desk.path(&format!("{out}/train/{run}/checkpoints/latest")).exists())
}

/// Waits until a step of this kind is under way, and kills the process as it stands.
fn kill_in(desk: &Desk, mut process: Process, out: &str, step: &str) {
    process.wait_for(step, || {
        let (now, _) = last_event(desk, out).filter(|(now, _)| now.starts_with(step))?;
        (!now.starts_with("train") || has_checkpoint(desk, out, &now)).then_some(())
    });
    process.signal("KILL");
    process.wait().was_killed();
    let (now, event) = last_event(desk, out).unwrap();
    assert!(now.starts_with(step) && event != "done", "{step}: killed late, in {event} of {now}");
}

#[test]
fn a_study_killed_in_each_kind_of_step_gives_the_table_of_one_left_alone() {
    let desk = desk();
    let whole = desk.run(&format!("{LINE} whole")).ok().json();
    for step in ["train narrow", "score wide", "label", "train distilled", "score control"] {
        kill_in(&desk, desk.start(&format!("{LINE} cut")), "cut", step);
    }
    let cut = desk.run(&format!("{LINE} cut")).ok().json();
    assert_eq!(cut, whole);
    for file in ["table.json", "table.csv", "table.md"] {
        assert_eq!(desk.text(&format!("cut/{file}")), desk.text(&format!("whole/{file}")));
    }
    let begun = steps(&desk, "cut", "begun");
    assert!(begun.iter().any(|step| step.starts_with("train distilled")), "{begun:?}");
    assert_eq!(begun.iter().filter(|step| *step == "train wide seed 0").count(), 1, "{begun:?}");

    let rows = whole["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["narrow", "wide", "ensemble", "distilled", "control"]);
    for row in rows {
        for region in ["ET", "TC", "WT"] {
            assert!(row["dice"][region].as_f64().is_some(), "{row}");
        }
    }
    assert_eq!(rows[0]["paper"]["WT"], 0.84591);
    assert_eq!(rows[3]["steps"], rows[4]["steps"], "the control takes as many steps");
    assert!(rows[3]["steps"].as_u64() > rows[0]["steps"].as_u64());
    assert_eq!(whole["tests"].as_array().unwrap().len(), 4 * 3);
    assert_eq!(whole["cohort"], "phantom");
    assert_eq!(whole["curve"].as_array().unwrap().len(), 2);
    assert!(desk.text("whole/table.md").contains("phantom"));
}

#[test]
fn what_is_done_is_kept_and_what_has_changed_is_done() {
    let desk = desk();
    desk.run(&format!("{LINE} out")).ok();
    let trained = |event: &str| {
        let all = steps(&desk, "out", event);
        all.into_iter().filter(|step| step.starts_with("train")).collect::<Vec<_>>()
    };
    assert_eq!(trained("begun").len(), 5);
    assert_eq!(trained("kept").len(), 0);
    desk.run(&format!("{LINE} out")).ok();
    assert_eq!((trained("begun").len(), trained("kept").len()), (5, 5));
    let soft = format!("{LINE} out --set student.targets=soft");
    let report = desk.run(&soft).ok().json();
    assert_eq!(trained("begun").len(), 6, "only the student is another");
    assert_eq!(trained("begun")[5].split(' ').nth(1), Some("distilled"));
    assert_eq!(report["rows"][3]["dice"]["WT"].as_f64().map(|dice| dice >= 0.0), Some(true));
}

#[test]
fn two_seeds_are_averaged_by_case() {
    let desk = desk();
    let report = desk
        .run(&format!("{LINE} out --seeds 2 --set labelled_fractions=[] --set base.train.epochs=1"))
        .ok()
        .json();
    assert_eq!(report["seeds"], 2);
    assert!(report["rows"][0]["seed_sd"]["WT"].as_f64().is_some());
    assert_eq!(report["tests"][0]["cases"], report["cases"]["test"]);
    let runs = desk.names("out/train");
    assert_eq!(runs.len(), 2 * 4, "{runs:?}");
}

#[test]
fn a_study_that_cannot_be_is_refused_before_anything_is_done() {
    let desk = desk();
    let refused = |set: &str, words: &[&str]| {
        let line = format!("experiment study.toml --out out --set {set}");
        desk.run(&line).exits(2).complains_of(words);
        assert!(!desk.path("out").exists());
    };
    refused("student.network=nobody", &["study.toml", "nobody", "student.network"]);
    refused("ensemble.members=[\"x\"]", &["ensemble.members", "`x`"]);
    refused("base.train.epochs=0", &["train.epochs"]);
    refused("base.crop.patch=[15,16,16]", &["multiple"]);
    refused("seeds=0", &["seeds"]);
    refused("seeds=9000000000000000000", &["seeds", "write 1 to 1000"]);
    for weight in ["nan", "inf", "0.0", "-1.0"] {
        refused(&format!("ensemble.weights=[{weight},1.0]"), &["ensemble.weights"]);
        refused(&format!("student.share={weight}"), &["student.share", "between 0 and 1"]);
    }
    refused("labelled_fractions=[1.5]", &["labelled_fractions", "1.5"]);
    refused("student.targets=medium", &["student.targets", "medium"]);
    refused("nonsense=1", &["nonsense"]);
}
