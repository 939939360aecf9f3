//! What is kept of a run: weights, optimiser, journal, scores, the best and the latest checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use gliaflow::internals::run::CheckpointChoice;
use serde_json::Value;

use crate::cli::harness::Desk;
use crate::cli::resuming::{timeless_table, told_events};

/// What is kept of a run, by name.
pub(super) struct Kept {
    files: BTreeMap<String, Vec<u8>>,
    /// Samples that were skipped.
    pub(super) skips: usize,
}

/// Collects what is kept of a run, without times, and checks that it is told alike everywhere.
pub(super) fn collect_kept(desk: &Desk, run: &str) -> Kept {
    let mut files = BTreeMap::new();
    for (pointer, choice) in
        [("latest", CheckpointChoice::Latest), ("best", CheckpointChoice::Best)]
    {
        let name = desk.text(&format!("{run}/checkpoints/{pointer}"));
        let (folder, step) = choice.find_in_run(&desk.path(run)).unwrap();
        assert_eq!(folder.file_name().unwrap().to_string_lossy(), name, "{pointer}");
        if pointer == "best" {
            assert_eq!(desk.json(&format!("{run}/summary.json"))["best"]["step"], step);
        }
        for file in desk.names(&format!("{run}/checkpoints/{name}")) {
            let path = format!("{run}/checkpoints/{name}/{file}");
            let key = match file.as_str() {
                "state.json" => "/standing",
                "validation.json" => "/state/standing",
                "manifest.json" => "/weights.bpk",
                _ => "",
            };
            let bytes = match key {
                "" => std::fs::read(desk.path(&path)).unwrap(),
                key => desk.json(&path).pointer(key).unwrap().to_string().into_bytes(),
            };
            files.insert(format!("{pointer}/{file}"), bytes);
        }
        files.insert(pointer.into(), name.into_bytes());
    }
    let mut hidden = desk.names(&format!("{run}/checkpoints"));
    hidden.retain(|name| name.starts_with('.'));
    assert!(hidden.is_empty(), "drafts stay: {hidden:?}");

    // A stop, or a disk that was full, moves checkpoints; of a case that is lost, the error may name
    // the case file as well.
    let mut events = told_events(desk, run);
    let last = events.pop().unwrap();
    assert_eq!((&last["event"], &last["state"]), (&"finished".into(), &"finished".into()));
    events.retain(|event| event["event"] != "checkpoint" && event["event"] != "finished");
    let mut skips = 0;
    for event in events.iter_mut().filter(|event| event["event"] == "skipped") {
        event.as_object_mut().unwrap().remove("error");
        skips += 1;
    }
    let events: Vec<String> = events.iter().map(Value::to_string).collect();
    files.insert("events".into(), events.join("\n").into_bytes());
    files.insert("table".into(), timeless_table(desk, run).join("\n").into_bytes());
    for name in ["validation/cases.csv", "validation/summary.json"] {
        files.insert(name.into(), std::fs::read(desk.path(&format!("{run}/{name}"))).unwrap());
    }
    let mut summary = desk.json(&format!("{run}/summary.json"));
    let of_process = |key: &String| {
        let names = ["run", "starved_ratio", "loader", "excluded"];
        names.contains(&key.as_str()) || key.ends_with("seconds")
    };
    summary.as_object_mut().unwrap().retain(|key, _| !of_process(key));
    files.insert("summary".into(), summary.to_string().into_bytes());
    assert!(desk.text(&format!("{run}/report.html")).contains("12 of 12 steps"));
    Kept { files, skips }
}

/// Both runs keep the same.
pub(super) fn assert_same(kept: &Kept, expected: &Kept, told: &[String]) {
    let names: BTreeSet<&String> = kept.files.keys().chain(expected.files.keys()).collect();
    let differ = |name: &&&String| kept.files.get(**name) != expected.files.get(**name);
    let different: Vec<&&String> = names.iter().filter(differ).collect();
    let text = |of: &Kept, name: &str| {
        of.files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    if let Some(name) = different.iter().find(|name| !name.ends_with(".bpk")) {
        println!("{name} is\n{:?}\nnot\n{:?}", text(kept, name), text(expected, name));
    }
    assert!(different.is_empty(), "{different:?} differ after {told:#?}");
}
