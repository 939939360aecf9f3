//! `ingest` and `cache`: files to case files, and looking after those.

use std::path::Path;

use crate::cli::harness::{Desk, bytes_below};
use crate::metrics::{series, value};

const BAD: &str = "BraTS20_Training_002";

/// The case files of a cache, relative to the desk.
fn case_files(desk: &Desk) -> Vec<String> {
    let folders = desk.names("cache").into_iter().filter(|name| name.starts_with("v2-"));
    let files = folders.flat_map(|folder| {
        let names = desk.names(&format!("cache/{folder}")).into_iter();
        names.map(move |file| format!("cache/{folder}/{file}")).collect::<Vec<_>>()
    });
    files.collect()
}

#[test]
fn a_second_ingest_reads_nothing_and_one_of_a_changed_case_reads_that() {
    let desk = Desk::with_cohort(3);
    let first = desk.run("ingest --data data --cache cache --json").ok().json();
    assert_eq!((&first["published"], &first["current"]), (&3.into(), &0.into()));
    assert_eq!(first["bytes"].as_u64().unwrap(), bytes_below(&desk.path("cache")));

    let again = desk.run("ingest --data data --cache cache --json").ok().json();
    assert_eq!((&again["published"], &again["current"]), (&0.into(), &3.into()));
    assert_eq!(again["bytes"], 0);

    let file = desk.path("data/BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::copy(file.with_file_name("BraTS20_Training_001_t2.nii.gz"), &file).unwrap();
    let changed = desk.run("ingest --data data --cache cache --json").ok().json();
    assert_eq!((&changed["published"], &changed["current"]), (&1.into(), &2.into()));
    assert_ne!(std::fs::read(&file).unwrap(), bytes, "the file did change");
}

#[test]
fn a_damaged_case_is_listed_and_quarantined_while_the_others_are_cached() {
    let desk = Desk::with_cohort(3);
    let file = format!("data/{BAD}/{BAD}_t1ce.nii.gz");
    desk.flip(&file, 6);
    let done = desk.run("ingest --data data --cache cache --json").exits(3).json();
    assert_eq!(done["published"], 2);
    let problem = done["problems"][0].as_str().unwrap();
    assert!(problem.contains(&format!("case {BAD}")) && problem.contains(&file), "{problem}");

    let quarantined = desk.json_lines("cache/quarantine.jsonl");
    assert_eq!(quarantined.len(), 1);
    assert_eq!(
        (&quarantined[0]["case"], &quarantined[0]["reason"]),
        (&BAD.into(), &"checksum".into())
    );
    assert_eq!(quarantined[0]["error"], problem);
    let names: Vec<String> = case_files(&desk)
        .iter()
        .map(|file| Path::new(file).file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["BraTS20_Training_001", "BraTS20_Training_003"]);
}

#[test]
fn a_case_without_a_modality_is_a_problem_of_ingest_too() {
    let desk = Desk::with_cohort(2);
    std::fs::remove_file(desk.path(&format!("data/{BAD}/{BAD}_t1.nii.gz"))).unwrap();
    let done = desk.run("ingest --data data --cache cache --json").exits(3).json();
    assert_eq!(done["published"], 1);
    assert!(done["problems"][0].as_str().unwrap().contains(&format!("{BAD}_t1.nii.gz is not in")));
}

#[test]
fn ingest_needs_workers() {
    let desk = Desk::with_cohort(1);
    let outcome = desk.run("ingest --data data --cache cache --workers 0").exits(2);
    outcome.complains_of(&["--workers 0", "at least 1"]);
}

#[test]
fn the_endpoint_shows_every_stage_of_ingest_and_how_large_the_cache_is() {
    let desk = Desk::with_cohort(2);
    let line = "ingest --data data --cache cache --metrics-addr 127.0.0.1:0 --metrics-linger 100";
    let mut process = desk.start(line);
    let scrape = process.scrape_until("the cache's size", |scrape| {
        !series(scrape, "loader_cache_bytes").is_empty()
    });
    for stage in ["files", "decode", "normalize", "publish", "tally"] {
        let label = format!("stage=\"{stage}\"");
        let busy = series(&scrape, "loader_stage_busy_seconds_total");
        assert!(busy.iter().any(|line| line.contains(&label)), "{stage} is not in {busy:?}");
    }
    assert_eq!(series(&scrape, "loader_stage_busy_seconds_total").len(), 5);
    let of = |name: &str| value(series(&scrape, name)[0]);
    assert_eq!(of("loader_cache_bytes"), bytes_below(&desk.path("cache")) as f64);
    let files: u64 = ["001", "002"]
        .map(|n| bytes_below(&desk.path(&format!("data/BraTS20_Training_{n}"))))
        .iter()
        .sum();
    assert_eq!(of("loader_read_bytes_total"), files as f64);
    assert!(series(&scrape, "train_run_state").is_empty(), "nothing is trained");
}

#[test]
fn the_cache_is_listed_case_by_case() {
    let desk = Desk::with_cohort(2);
    desk.run("ingest --data data --cache cache").ok();
    let listed = desk.run("cache list --cache cache --json").ok().json();
    let entries = listed["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for (entry, file) in entries.iter().zip(case_files(&desk)) {
        assert_eq!(entry["path"], *file);
        assert_eq!(entry["bytes"].as_u64().unwrap(), desk.path(&file).metadata().unwrap().len());
        assert_eq!((&entry["labelled"], &entry["current"]), (&true.into(), &true.into()));
    }
}

#[test]
fn verify_finds_a_flipped_byte() {
    let desk = Desk::with_cohort(2);
    desk.run("ingest --data data --cache cache").ok();
    let clean = desk.run("cache verify --cache cache --json").ok().json();
    assert_eq!((&clean["checked"], &clean["damaged"]), (&2.into(), &0.into()));

    let victim = &case_files(&desk)[1];
    desk.flip(victim, desk.path(victim).metadata().unwrap().len() as usize / 2);
    let found = desk.run("cache verify --cache cache --json").exits(3).json();
    assert_eq!((&found["checked"], &found["damaged"]), (&2.into(), &1.into()));
    assert_eq!(found["files"][0]["damage"], serde_json::Value::Null);
    assert_eq!(
        (&found["files"][1]["path"], &found["files"][1]["damage"]["reason"]),
        (&victim.as_str().into(), &"checksum".into())
    );
    let text = desk.run("cache verify --cache cache").exits(3).stdout;
    assert!(text.contains(victim), "{text}");
}

#[test]
fn gc_removes_what_nobody_reads_and_a_dry_run_only_says_so() {
    let desk = Desk::with_cohort(1);
    desk.run("ingest --data data --cache cache").ok();
    let old = "cache/v1-0123456789abcdef";
    std::fs::create_dir(desk.path(old)).unwrap();
    std::fs::write(desk.path(old).join("x.case"), [0; 100]).unwrap();
    std::fs::write(desk.path("cache/notes.txt"), "mine").unwrap();
    let kept = case_files(&desk).into_iter().filter(|file| !file.starts_with(old));
    let kept: Vec<String> = kept.collect();

    let would = desk.run("cache gc --cache cache --dry-run --json").ok().json();
    assert_eq!((&would["dry_run"], &would["bytes"]), (&true.into(), &100.into()));
    assert_eq!(would["removed"], serde_json::json!([old]));
    assert!(desk.path(old).join("x.case").is_file());

    let removed = desk.run("cache gc --cache cache --json").ok().json();
    assert_eq!(removed["removed"], serde_json::json!([old]));
    assert!(!desk.path(old).exists());
    assert_eq!(case_files(&desk), kept);
    assert_eq!(desk.text("cache/notes.txt"), "mine");
}

#[test]
fn a_cache_that_is_none_is_usage() {
    let desk = Desk::new();
    for verb in ["list", "verify", "gc"] {
        let outcome = desk.run(&format!("cache {verb} --cache nowhere")).exits(2);
        outcome.complains_of(&["nowhere", "--cache"]);
    }
    assert!(!desk.path("nowhere").exists());
}
