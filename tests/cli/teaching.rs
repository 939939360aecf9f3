//! Students of a study: taught by an ensemble and by each other, in rounds, by labels and by softened
//! probabilities, in several processes.

use serde_json::Value;

use crate::cli::experimenting::{kill_in, steps};
use crate::cli::harness::Desk;

/// A student of the ensemble; and an ensemble of students that learns from it, in two rounds.
const STUDY: &str = r#"
schema = 1
name = "taught"

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
patches_per_case = 2
[base.train]
epochs = 2
learning_rate = 1e-2
validation = { every_epochs = 0 }
checkpoint = { every_epochs = 1, keep = 1 }
[base.evaluation]
overlap = 0.0

[[network]]
name = "narrow"
settings = { model = { name = "unet", settings = { base_width = 2, levels = 2 } } }

[[network]]
name = "wide"
settings = { model = { name = "unet", settings = { base_width = 3, levels = 2 } } }

[[student]]
name = "first"

[[student]]
name = "noisy"
teacher = "first"
network = ["narrow", "wide"]
targets = "soft"
temperature = 2.0
rounds = 2
settings = { augment = { noise = { probability = 0.5 } } }
"#;

const LINE: &str = "experiment study.toml --json --out";

fn desk() -> Desk {
    let desk = Desk::new();
    std::fs::write(desk.path("study.toml"), STUDY).unwrap();
    desk
}

fn names(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn students_teach_in_rounds_and_each_has_a_control_and_a_claim() {
    let desk = desk();
    let whole = desk.run(&format!("{LINE} whole")).ok().json();
    assert_eq!(
        names(&whole["rows"]),
        [
            "narrow",
            "wide",
            "ensemble",
            "first",
            "noisy round 1",
            "noisy round 2",
            "control of first",
            "control of noisy"
        ]
    );
    let rows = whole["rows"].as_array().unwrap();
    for row in &rows[3..] {
        assert_eq!(row["steps"], rows[3]["steps"], "equal steps: {row}");
    }
    // Three regions: against networks, ensemble and control, and the student that taught.
    let tests = whole["tests"].as_array().unwrap();
    let rivals = |better: &str| -> Vec<&str> {
        let own = tests.iter().filter(|test| test["better"] == better && test["region"] == "WT");
        own.map(|test| test["than"].as_str().unwrap()).collect()
    };
    assert_eq!(rivals("first"), ["narrow", "wide", "ensemble", "control of first"]);
    let of_first_round = rivals("noisy round 1");
    assert_eq!(of_first_round, ["narrow", "wide", "ensemble", "first", "control of noisy"]);
    assert!(rivals("noisy round 2").contains(&"noisy round 1"));
    assert_eq!(tests.len(), 3 * (4 + 5 + 5));
    assert_eq!(whole["conclusions"].as_array().unwrap().len(), 3);
    let teachers: Vec<&Value> =
        whole["pseudo_labels"].as_array().unwrap().iter().map(|one| &one["teacher"]).collect();
    assert_eq!(teachers, ["ensemble", "first soft at 2", "noisy soft at 2"]);
    let networks = &whole["students"][1]["networks"];
    assert_eq!(*networks, serde_json::json!(["narrow", "wide"]));
    let trained = |event: &str, begin: &str| {
        let all = steps(&desk, "whole", event);
        all.iter().filter(|step| step.starts_with(begin)).count()
    };
    assert_eq!(trained("begun", "train noisy round 2"), 2, "an ensemble of students");

    for step in ["label first", "train noisy wide", "train noisy round 2 narrow"] {
        kill_in(&desk, desk.start(&format!("{LINE} cut")), "cut", step);
    }
    assert_eq!(desk.run(&format!("{LINE} cut")).ok().json(), whole);
    for file in ["table.json", "table.csv", "table.md"] {
        assert_eq!(desk.text(&format!("cut/{file}")), desk.text(&format!("whole/{file}")));
    }
    // One more round changes nothing of those that are done.
    let more = STUDY.replace("rounds = 2", "rounds = 3");
    std::fs::write(desk.path("study.toml"), more).unwrap();
    desk.run(&format!("{LINE} cut")).ok();
    let begun = steps(&desk, "cut", "begun");
    assert_eq!(begun.iter().filter(|step| *step == "train noisy wide seed 0").count(), 1);
    assert_eq!(begun.iter().filter(|step| step.starts_with("train noisy round 3")).count(), 2);
}

#[test]
fn the_mean_over_folds_teaches() {
    let desk = desk();
    let folds = "folds = 2\nname = \"taught\"";
    let student = STUDY.split("[[student]]").nth(1).unwrap();
    let text = STUDY.split("[[student]]").next().unwrap().replace("name = \"taught\"", folds);
    let text = text.replace("epochs = 2", "epochs = 1");
    std::fs::write(desk.path("study.toml"), format!("{text}[[student]]{student}")).unwrap();
    let report = desk.run(&format!("{LINE} out")).ok().json();
    assert_eq!(report["folds"], 2);
    let taught = &report["students"];
    assert_eq!(
        names(&taught["rows"]),
        [
            "narrow, mean of folds",
            "wide, mean of folds",
            "ensemble, mean of folds",
            "first",
            "control"
        ]
    );
    assert_eq!(taught["tests"].as_array().unwrap().len(), 3 * 4);
    assert!(desk.text("out/students.md").contains("outperforms its teachers"));
    assert!(desk.path("out/table.md").exists());
}
