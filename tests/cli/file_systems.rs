//! File systems that lack locks, syncing of folders, or shared file maps, as network mounts do: a
//! library that is loaded before the C library takes the calls away.

use std::process::Command;

use crate::cli::harness::{Desk, Outcome};

/// Builds a library of this folder on the desk. Whoever links Rust has a C compiler.
pub(crate) fn build_library(desk: &Desk, name: &str) -> String {
    let library = desk.path(&format!("{name}.so"));
    let source = format!("{}/tests/cli/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]);
    let built = compiler.arg(&library).arg(source).arg("-ldl").output();
    let built = built.expect("these tests need a C compiler under the name `cc`");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library.display().to_string()
}

/// Runs a line on a file system that lacks these calls.
fn run_without(desk: &Desk, calls: &str, line: &str) -> Outcome {
    let library = build_library(desk, "file_system");
    let variables = [("LD_PRELOAD", library.as_str()), ("GLIAFLOW_TEST_LACKS", calls)];
    desk.start_with(line, &variables).wait()
}

/// Counts the lines of stderr that contain `words`.
fn count_warnings(outcome: &Outcome, words: &str) -> usize {
    outcome.stderr.lines().filter(|line| line.contains(words)).count()
}

const INGEST: &str = "ingest --data data --cache cache";

#[test]
fn without_locks_or_synced_folders_ingest_works_and_says_so_once() {
    let desk = Desk::with_cohort(3);
    desk.flip("data/BraTS20_Training_002/BraTS20_Training_002_t1.nii.gz", 6);
    let done = run_without(&desk, "FD", INGEST).exits(3);
    assert!(done.stdout.contains("2 cases cached"), "{}", done.stdout);
    assert_eq!(count_warnings(&done, "two writers are not kept apart"), 1, "{}", done.stderr);
    assert_eq!(count_warnings(&done, "cannot sync a folder"), 1, "{}", done.stderr);
    assert_eq!(desk.json_lines("cache/quarantine.jsonl").len(), 1, "the quarantine works, too");

    let clean = Desk::with_cohort(1);
    let quiet = run_without(&clean, "", INGEST).ok();
    assert_eq!(count_warnings(&quiet, "this file system"), 0, "{}", quiet.stderr);
}

#[test]
fn without_locks_gc_leaves_what_another_process_may_be_writing() {
    let desk = Desk::with_cohort(1);
    desk.run(INGEST).ok();
    std::fs::write(desk.path("cache/tmp/a.1.0"), "half").unwrap();
    std::fs::create_dir(desk.path("cache/v1-0123456789abcdef")).unwrap();
    let kept = run_without(&desk, "F", "cache gc --cache cache").ok();
    assert_eq!(count_warnings(&kept, "1 files stay"), 1, "{}", kept.stderr);
    assert!(desk.path("cache/tmp/a.1.0").is_file());
    assert!(!desk.path("cache/v1-0123456789abcdef").exists());
    desk.run("cache gc --cache cache").ok();
    assert!(!desk.path("cache/tmp/a.1.0").exists(), "with locks it goes");
}

#[test]
fn the_doctor_finds_what_a_file_system_lacks() {
    let desk = Desk::new();
    let graded = |calls: &str| {
        let json = run_without(&desk, calls, "doctor --metrics-addr off --json").json();
        let findings = json["findings"].as_array().unwrap();
        let own = findings.iter().find(|finding| finding["subject"] == "file system").unwrap();
        let text = |key: &str| own[key].as_str().unwrap().to_owned();
        (text("grade"), text("found"), text("remedy"))
    };
    assert_eq!(graded("").0, "good");
    let (grade, found, remedy) = graded("F");
    assert_eq!((grade.as_str(), found.contains("not kept apart")), ("limited", true), "{found}");
    assert!(remedy.contains("one process at a time"), "{remedy}");
    let (grade, found, _) = graded("D");
    assert_eq!((grade.as_str(), found.as_str()), ("limited", "cannot sync a folder"));
    let (grade, _, remedy) = graded("M");
    assert_eq!((grade.as_str(), remedy.contains("--no-cache")), ("bad", true), "{remedy}");
}

#[test]
fn without_shared_file_maps_the_way_out_is_named() {
    let desk = Desk::with_cohort(1);
    let refused = run_without(&desk, "M", INGEST).exits(1);
    refused.complains_of(&["shared file maps", "--cache DIR", "gliaflow train --no-cache"]);
}

#[cfg(feature = "train")]
mod training {
    use super::*;
    use crate::cli::harness::TINY;

    #[test]
    fn a_run_is_trained_resumed_and_scored_without_locks_or_synced_folders() {
        let desk = Desk::with_cohort(4);
        let line = format!("train --data data --run run {TINY}");
        let trained = run_without(&desk, "FD", &line).ok();
        assert_eq!(count_warnings(&trained, "two writers are not kept apart"), 1);
        assert_eq!(count_warnings(&trained, "cannot sync a folder"), 1);
        run_without(&desk, "FD", "evaluate --run run --set device=cpu").ok();
    }

    #[test]
    fn without_shared_file_maps_a_run_fails_with_a_way_out_that_works() {
        let desk = Desk::with_cohort(4);
        let line = format!("train --data data --run run {TINY}");
        let refused = run_without(&desk, "M", &line).exits(1);
        refused.complains_of(&["shared file maps", "gliaflow train --no-cache"]);
        let line = format!("train --data data --run other --no-cache {TINY}");
        run_without(&desk, "M", &line).ok();
    }
}
