//! Every call of every publish sequence, killed, torn and refused by the disk: nothing is lost, and
//! the next process makes the same of it.
//!
//! A first run counts the calls. Then each is met by one fault, in turn; with
//! GLIAFLOW_TEST_EVERY_FAULT set, by every fault that there is.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::cli::file_systems::build_library;
use crate::cli::harness::{Desk, Outcome};

/// What a sequence leaves behind, by name.
type Remains = BTreeMap<String, Vec<u8>>;

/// Sequence of calls that publish something.
struct Sequence {
    /// Makes what the line needs.
    prepare: fn(&Desk),
    /// Takes away what the line leaves behind.
    reset: fn(&Desk),
    line: &'static str,
    /// Exit codes of the line if nothing fails.
    codes: &'static [i32],
    /// Parts of the paths whose calls are counted.
    disk: &'static str,
    /// Counts the calls that open a file for reading or map it as well, and has faults at no other
    /// ones, unless every fault is asked for.
    reads: bool,
    /// Does what a user would do after the fault.
    recover: fn(&Desk),
    remains: fn(&Desk) -> Remains,
}

/// Call to be met by a fault.
struct FaultyCall {
    number: usize,
    call: String,
    fault: &'static str,
}

fn faults_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "write" => &["kill", "enospc", "tear", "short", "eio"],
        "create" | "mkdir" | "rename" | "fsync" => &["kill", "enospc", "eio"],
        "open" | "map" => &["eio", "enospc"],
        _ => &["kill", "eio"],
    }
}

/// The faults to try, from the calls of a run without any. Of many writes to one file, the first and
/// the last are tried.
fn plan(log: &str, reads: bool) -> Vec<FaultyCall> {
    let every = std::env::var_os("GLIAFLOW_TEST_EVERY_FAULT").is_some();
    let calls: Vec<&str> = log.lines().collect();
    let mut planned = Vec::new();
    let mut turns: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, call) in calls.iter().enumerate() {
        let kind = call.split(' ').next().unwrap();
        let is_same = |other: Option<&&str>| other == Some(call);
        if kind == "write"
            && is_same(calls.get(place + 1))
            && place > 0
            && is_same(calls.get(place - 1))
        {
            continue;
        }
        let is_again = calls[..place].contains(call);
        if reads && !every && (is_again || !["open", "map"].contains(&kind)) {
            continue;
        }
        let faults = faults_of(kind);
        let turn = turns.entry(kind).or_default();
        let chosen = if every { faults } else { &faults[*turn % faults.len()..][..1] };
        *turn += 1;
        // Between a rename and what follows it lies what a kill can lose.
        let kill = (kind == "rename" && chosen[0] != "kill").then_some("kill");
        for fault in chosen.iter().copied().chain(kill) {
            planned.push(FaultyCall { number: place + 1, call: (*call).to_owned(), fault });
        }
    }
    planned
}

impl Sequence {
    fn run_with(&self, desk: &Desk, library: &str, variables: &[(&str, &str)]) -> Outcome {
        let mut all = vec![("LD_PRELOAD", library), ("GLIAFLOW_TEST_DISK", self.disk)];
        all.extend(self.reads.then_some(("GLIAFLOW_TEST_READS", "yes")));
        desk.start_with(self.line, &[&all, variables].concat()).wait()
    }

    fn prepared_desk(&self) -> (Desk, String) {
        let desk = Desk::new();
        (self.prepare)(&desk);
        let library = build_library(&desk, "failing_disk");
        (self.reset)(&desk);
        (desk, library)
    }

    /// Tries every fault, on two desks, and returns how many that were.
    fn try_every_fault(&self) -> usize {
        let planned = {
            let (desk, library) = self.prepared_desk();
            self.undisturbed(&desk, &library);
            plan(&desk.text("calls.log"), self.reads)
        };
        let next = AtomicUsize::new(0);
        let failed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    // A case file knows the state of its sources: each desk has its own.
                    let (desk, library) = self.prepared_desk();
                    let expected = self.undisturbed(&desk, &library);
                    while let Some(faulty) = planned.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let tried = || self.try_fault(&desk, &library, faulty, &expected);
                        let outcome = catch_unwind(AssertUnwindSafe(tried));
                        failed.fetch_add(outcome.is_err().into(), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(failed.into_inner(), 0, "of {} faults", planned.len());
        planned.len()
    }

    /// What the line leaves behind if nothing fails; its calls are in `calls.log`.
    fn undisturbed(&self, desk: &Desk, library: &str) -> Remains {
        let log = desk.path("calls.log").display().to_string();
        let whole = self.run_with(desk, library, &[("GLIAFLOW_TEST_LOG", &log)]);
        assert!(self.codes.contains(&whole.code().unwrap()), "{whole:?}");
        let expected = (self.remains)(desk);
        assert!(!expected.is_empty());
        expected
    }

    fn try_fault(&self, desk: &Desk, library: &str, faulty: &FaultyCall, expected: &Remains) {
        (self.reset)(desk);
        let FaultyCall { number, call, fault } = faulty;
        let number = number.to_string();
        let variables = [("GLIAFLOW_TEST_CALL", number.as_str()), ("GLIAFLOW_TEST_FAULT", *fault)];
        let met = self.run_with(desk, library, &variables);
        let what = format!("{fault} at {number}: {call}");
        match met.code() {
            None => assert!(["kill", "tear"].contains(fault), "{what}: {met:?}"),
            Some(1) => drop(met.complains_of(&[])),
            Some(code) => assert!(self.codes.contains(&code), "{what}: {met:?}"),
        }
        assert!(!met.stderr.contains("panicked"), "{what}: {met:?}");
        (self.recover)(desk);
        let found = (self.remains)(desk);
        let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
        for name in names {
            let text = |all: &Remains| {
                all.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            assert!(
                found.get(name) == expected.get(name),
                "{what}: {name} differs\n{:?}\n{:?}\n{met:?}",
                text(&found),
                text(expected)
            );
        }
    }
}

/// Collects the files below a folder, but for hidden ones.
fn collect_files(folder: &Path, into: &mut Remains) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.file_name().unwrap().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect_files(&path, into);
        } else {
            into.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
}

/// Files below folders of the desk, named relative to it.
fn files_below(desk: &Desk, folders: &[&str]) -> Remains {
    let mut found = Remains::new();
    folders.iter().for_each(|folder| collect_files(&desk.path(folder), &mut found));
    let root = format!("{}/", desk.path("").display().to_string().trim_end_matches('/'));
    let named = |name: String| name.strip_prefix(&root).unwrap().to_owned();
    found.into_iter().map(|(name, bytes)| (named(name), bytes)).collect()
}

pub(super) fn remove(desk: &Desk, names: &[&str]) {
    for path in names.iter().map(|name| desk.path(name)).filter(|path| path.exists()) {
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.unwrap();
    }
}

/// A case that is published, and one that goes into the quarantine.
const INGEST: Sequence = Sequence {
    prepare: |desk| {
        desk.run("phantom --out data --cases 2 --seed 3 --shape 24x26x25").ok();
        desk.flip("data/BraTS20_Training_002/BraTS20_Training_002_t1.nii.gz", 6);
    },
    reset: |desk| remove(desk, &["cache"]),
    line: "ingest --data data --cache cache --workers 1",
    codes: &[3],
    disk: "cache/",
    reads: false,
    recover: |desk| drop(desk.run("ingest --data data --cache cache --workers 1").exits(3)),
    remains: |desk| {
        let mut found = files_below(desk, &["cache"]);
        found.retain(|name, _| name.ends_with(".case"));
        let bad = desk.text("cache/quarantine.jsonl");
        let last = bad.lines().last().unwrap();
        let last: serde_json::Value = serde_json::from_str(last).unwrap();
        found.insert("quarantine".into(), last["error"].to_string().into_bytes());
        found
    },
};

#[test]
fn a_case_and_a_quarantine_survive_every_fault() {
    let tried = INGEST.try_every_fault();
    assert!(tried >= 15, "{tried}");
}

#[cfg(feature = "train")]
mod training;
mod walking;
