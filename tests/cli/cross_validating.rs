//! A study of folds: every network on each fold, scored on what it has not seen, in several processes.

use serde_json::Value;

use crate::cli::harness::Desk;

/// Two narrow networks on fourteen phantoms, three folds, and two cases that are tested on.
const STUDY: &str = r#"
schema = 1
name = "small-folds"
folds = 3

[cohort.phantoms]
cases = 14
seed = 3
shape = [32, 32, 32]

[base]
seed = 5
device = "cpu"
[base.data.shares]
validation = 0.0
test = 0.15
unlabelled_of_validation = 0.0
unlabelled_of_test = 0.0
[base.crop]
patch = [16, 16, 16]
[base.loader]
memory_mib = 64
patches_per_case = 1
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
"#;

const LINE: &str = "experiment study.toml --json --out";

fn desk() -> Desk {
    let desk = Desk::new();
    std::fs::write(desk.path("study.toml"), STUDY).unwrap();
    desk
}

/// Steps of the plan, each with its name and the names of its inputs.
fn planned_steps(desk: &Desk, out: &str) -> Vec<Value> {
    let plan = desk.run(&format!("experiment study.toml --plan --json --out {out}")).ok().json();
    plan["graph"].as_array().unwrap().clone()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

#[test]
fn a_study_of_folds_killed_in_a_fold_gives_the_table_of_one_left_alone() {
    let desk = desk();
    let whole = desk.run(&format!("{LINE} whole")).ok().json();

    let mut process = desk.start(&format!("{LINE} cut"));
    process.wait_for("a run of the second fold", || {
        let runs = std::fs::read_dir(desk.path("cut/train")).ok()?;
        let mut names = runs.map(|run| run.unwrap().file_name().into_string().unwrap());
        let begun = names.find(|name| name.starts_with("narrow-seed-0-fold-1"))?;
        let journal = desk.path(&format!("cut/train/{begun}/events.jsonl"));
        journal.exists().then_some(())
    });
    process.signal("KILL");
    process.wait().was_killed();
    let status = desk.run("experiment study.toml --status --json --out cut").ok().json();
    let states: Vec<&str> =
        status.as_array().unwrap().iter().map(|step| word(step, "state")).collect();
    assert!(states.contains(&"begun") && states.contains(&"waiting"), "{states:?}");
    assert_eq!(states.iter().filter(|state| **state == "running").count(), 0, "{states:?}");
    let cut = desk.run(&format!("{LINE} cut")).ok().json();
    assert_eq!(cut, whole);
    for file in ["table.json", "table.csv", "table.md"] {
        assert_eq!(desk.text(&format!("cut/{file}")), desk.text(&format!("whole/{file}")));
    }

    assert_eq!((&whole["cases"]["held_out"], &whole["cases"]["test"]), (&12.into(), &2.into()));
    let rows = whole["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| word(row, "name")).collect();
    assert_eq!(names, ["narrow", "wide", "ensemble"]);
    for row in rows {
        let folds: Vec<f64> = row["folds"]["WT"]
            .as_array()
            .unwrap()
            .iter()
            .map(|dice| dice.as_f64().unwrap())
            .collect();
        assert_eq!(folds.len(), 3);
        // Twelve cases in three folds: the mean over cases is that over folds.
        let mean = folds.iter().sum::<f64>() / 3.0;
        let over_cases = row["held_out"]["WT"]["mean"].as_f64().unwrap();
        assert!((mean - over_cases).abs() < 1e-12, "{row}");
        assert!(row["test"]["WT"]["mean"].as_f64().is_some(), "{row}");
    }
    // Three pairs of methods, three regions, on held-out and on test cases.
    let tests = whole["tests"].as_array().unwrap();
    assert_eq!(tests.len(), 2 * 3 * 3);
    assert_eq!(tests[0]["cases"], 12, "paired over all held-out cases");
    assert!(desk.text("whole/table.md").contains("3 folds of 12 phantom cases"));

    // The ensemble of folds is one that `evaluate` knows: the same mean on the same test cases.
    let runs = desk.names("whole/train");
    let folds = runs.iter().filter(|run| run.starts_with("narrow-"));
    let folds: Vec<String> = folds.map(|run| format!("--run whole/train/{run}")).collect();
    assert_eq!(folds.len(), 3);
    let line = format!("evaluate {} --split test --json", folds.join(" "));
    let evaluated = desk.run(&line).ok().json();
    let own = evaluated["network"]["regions"]["WT"]["dice"].as_f64().unwrap();
    let of_study = rows[0]["test"]["WT"]["mean"].as_f64().unwrap();
    assert!((own - of_study).abs() < 1e-6, "{own} {of_study}");
}

#[test]
fn steps_done_one_by_one_give_the_table_of_the_whole() {
    let desk = desk();
    let small = "--set folds=2 --set base.train.epochs=1";
    desk.run(&format!("{LINE} whole {small}")).ok();
    let plan = format!("experiment study.toml --plan --json --out parts {small}");
    let graph = desk.run(&plan).ok().json()["graph"].as_array().unwrap().clone();
    assert!(!desk.path("parts").exists(), "a plan writes nothing");
    let name = |step: &Value| word(step, "fingerprint")[..12].to_owned();

    let last = graph.last().unwrap();
    assert_eq!(word(last, "kind"), "table");
    let early = format!("{LINE} parts {small} --step {}", name(last));
    desk.run(&early).exits(2).complains_of(&["ingest cases", "is not done", "--step"]);
    desk.run(&format!("{LINE} parts {small} --step ffffffffffff"))
        .exits(2)
        .complains_of(&["no step of this study"]);
    // Of steps that could be done now the last one first: an order that no loop has.
    let mut left = graph.clone();
    let mut done: Vec<String> = Vec::new();
    while !left.is_empty() {
        let is_ready = |step: &Value| {
            let inputs = step["inputs"].as_array().unwrap();
            inputs.iter().all(|input| done.contains(&input.as_str().unwrap().to_owned()))
        };
        let place = left.iter().rposition(is_ready).expect("no cycle");
        let step = left.remove(place);
        let end = desk.run(&format!("{LINE} parts {small} --step {}", name(&step))).ok().json();
        assert_eq!(end["outcome"]["fingerprint"], step["fingerprint"]);
        assert!(end["seconds"].as_f64().is_some(), "{end}");
        done.push(word(&step, "fingerprint").to_owned());
    }
    for file in ["table.json", "table.csv", "table.md"] {
        assert_eq!(desk.text(&format!("parts/{file}")), desk.text(&format!("whole/{file}")));
    }
    let status = desk.run(&format!("experiment study.toml --status --json --out parts {small}"));
    let status = status.ok().json();
    assert!(status.as_array().unwrap().iter().all(|step| step["state"] == "done"), "{status}");
    let train = graph.iter().find(|step| step["kind"] == "train").unwrap();
    let again = desk.run(&format!("{LINE} parts {small} --step {}", name(train))).ok().json();
    assert_eq!(again["seconds"], Value::Null, "it was found done");
}

#[test]
fn two_processes_at_one_step_give_one_outcome() {
    let desk = desk();
    let graph = planned_steps(&desk, "out");
    let ingest = word(&graph[0], "fingerprint")[..12].to_owned();
    let line = format!("{LINE} out --step {ingest}");
    let both = [desk.start(&line), desk.start(&line)];
    let ends = both.map(|process| process.wait().ok().json());
    let worked = ends.iter().filter(|end| end["seconds"].as_f64().is_some()).count();
    assert_eq!(worked, 1, "one waits and finds it done: {ends:?}");
    assert_eq!(ends[0]["outcome"], ends[1]["outcome"]);
}

#[test]
fn folds_are_refused_beside_what_they_do_not_do() {
    let desk = desk();
    let refused = |set: &str, words: &[&str]| {
        let line = format!("experiment study.toml --out out --set {set}");
        desk.run(&line).exits(2).complains_of(words);
        assert!(!desk.path("out").exists());
    };
    refused("folds=1", &["folds = 1", "write 2 to 100"]);
    refused("labelled_fractions=[0.5]", &["labelled_fractions", "beside folds"]);
    refused("student.targets=soft", &["student", "beside folds"]);
}
