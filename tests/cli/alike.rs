//! Datasets that are alike in the names, sizes and times of their files, in one cache.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::cli::harness::{Desk, bytes_below};

/// Inflates every file below `folder`, and gives all of them one time of modification.
pub(crate) fn make_alike(folder: &Path) {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for case in entries.filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()) {
            assert!(Command::new("gunzip").arg(&file).status().unwrap().success());
            let plain = std::fs::File::options().write(true).open(file.with_extension("")).unwrap();
            plain
                .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
                .unwrap();
        }
    }
}

/// A desk with `data` and `other`: two cases each, told apart by what is in the files alone.
pub(crate) fn with_alike_datasets() -> Desk {
    let desk = Desk::with_cohort(2);
    desk.run("phantom --out other --cases 2 --seed 4 --shape 24x28x26").ok();
    for data in ["data", "other"] {
        make_alike(&desk.path(data));
    }
    assert_eq!(bytes_below(&desk.path("data")), bytes_below(&desk.path("other")));
    desk
}

/// Cases built and found.
fn ingest(desk: &Desk, line: &str) -> (u64, u64) {
    let done = desk.run(&format!("ingest --cache cache --json --data {line}")).ok().json();
    (done["published"].as_u64().unwrap(), done["current"].as_u64().unwrap())
}

/// Case files with the fingerprints of what they were built from.
fn cached(desk: &Desk) -> Vec<(String, String)> {
    let listed = desk.run("cache list --cache cache --json").ok().json();
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let entries = listed["entries"].as_array().unwrap().iter();
    entries.map(|entry| (text(entry, "path"), text(entry, "fingerprint"))).collect()
}

#[test]
fn datasets_alike_in_names_sizes_and_times_keep_their_own_case_files() {
    let desk = with_alike_datasets();
    assert_eq!((ingest(&desk, "data"), ingest(&desk, "other")), ((2, 0), (2, 0)));
    let files = cached(&desk);
    let mut contents: Vec<&String> = files.iter().map(|(_, content)| content).collect();
    contents.sort();
    contents.dedup();
    assert_eq!((files.len(), contents.len()), (4, 4), "{files:?}");
    for round in 0..2 {
        for data in ["data", "other", "data --verify", "other --verify"] {
            assert_eq!(ingest(&desk, data), (0, 2), "{data}, round {round}");
        }
    }
    assert_eq!(cached(&desk), files);

    // Each in the other's place.
    for [from, to] in [["data", "away"], ["other", "data"], ["away", "other"]] {
        std::fs::rename(desk.path(from), desk.path(to)).unwrap();
    }
    assert_eq!((ingest(&desk, "data"), ingest(&desk, "other")), ((0, 2), (0, 2)));
    assert_eq!(cached(&desk), files);
    let case = |data: &str| {
        let line = format!("ingest --data {data} --cache fresh-{data}");
        desk.run(&line).ok();
        desk.run(&format!("cache list --cache fresh-{data} --json")).ok().json()["entries"][0]
            ["fingerprint"]
            .clone()
    };
    assert_ne!(case("data"), case("other"));
}

#[test]
fn a_dataset_that_was_moved_or_copied_is_read_once_and_shares_its_case_files() {
    let desk = Desk::with_cohort(2);
    assert_eq!(ingest(&desk, "data"), (2, 0));
    let files = cached(&desk);
    std::fs::rename(desk.path("data"), desk.path("moved")).unwrap();
    assert_eq!(ingest(&desk, "moved"), (0, 2));
    let copy = ["moved", "copied"].map(|name| desk.path(name));
    assert!(Command::new("cp").arg("-r").args(copy).status().unwrap().success());
    assert_eq!(ingest(&desk, "copied"), (0, 2), "whatever its files' times are");
    assert_eq!(cached(&desk), files);
    let known = desk.json_lines("cache/places.jsonl").len();
    assert_eq!(known, 4, "two cases at two places");
    for data in ["moved", "copied", "moved"] {
        assert_eq!(ingest(&desk, data), (0, 2));
    }
    assert_eq!(desk.json_lines("cache/places.jsonl").len(), known, "nothing was read again");

    // A copy that changes is another dataset from then on.
    let file = desk.path("copied/BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz");
    std::fs::copy(file.with_file_name("BraTS20_Training_001_t2.nii.gz"), &file).unwrap();
    for _ in 0..2 {
        let found = (ingest(&desk, "copied").1, ingest(&desk, "moved"));
        assert!(found == (1, (0, 2)) || found == (2, (0, 2)), "{found:?}");
    }
    assert_eq!(cached(&desk).len(), 3);
    std::fs::remove_file(desk.path("cache/places.jsonl")).unwrap();
    assert_eq!((ingest(&desk, "copied"), ingest(&desk, "moved")), ((0, 2), (0, 2)));
    assert_eq!(cached(&desk).len(), 3);
}

#[cfg(feature = "train")]
#[test]
fn a_run_is_trained_and_scored_on_its_own_dataset() {
    use crate::cli::harness::TINY;

    let desk = with_alike_datasets();
    let run = |data: &str, run: &str, rest: &str| {
        let held_out = "--set data.held_out=0.5 --set train.epochs=1";
        desk.run(&format!("train {TINY} {held_out} --data {data} --run {run} {rest}")).ok();
        let losses = desk.json_lines(&format!("{run}/events.jsonl"));
        let losses: Vec<_> = losses.iter().map(|line| line["loss"].clone()).collect();
        (losses, desk.text(&format!("{run}/validation/cases.csv")))
    };
    let data = run("data", "first", "");
    let other = run("other", "second", "");
    assert_ne!(data, other);
    assert_eq!(other, run("other", "uncached", "--no-cache"));
    assert_eq!(data, run("data", "third", ""));
}

#[cfg(feature = "train")]
#[test]
fn without_a_cache_no_command_makes_or_reads_one() {
    use crate::cli::harness::TINY;

    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run run --no-cache")).ok();
    for line in [
        "evaluate --run run",
        "evaluate --run run --data data",
        "predict --run run --data data --out out --postprocess tuned",
        "replay --run run --epoch 0 --index 0 --out sample",
    ] {
        desk.run(line).ok();
        assert!(!desk.path("cache").exists(), "{line}");
    }
    let refused = desk.run("label --run run --data data --all").exits(2);
    refused.complains_of(&["loader.cached = false", "--set loader.cached=true"]);
    assert!(!desk.path("cache").exists());

    // Scores without a cache are those of the files, not of what a cache holds.
    let scores = |rest: &str| desk.run(&format!("evaluate --run run --json {rest}")).ok().json();
    let uncached = scores("");
    assert_eq!(scores("--set loader.cached=true"), uncached);
    let before = bytes_below(&desk.path("cache"));
    let held_out = desk.json("run/dataset.lock.json")["cases"].as_array().unwrap().clone();
    let held_out = held_out.iter().find(|case| case["split"] == "validation").unwrap();
    let case = held_out["id"].as_str().unwrap();
    let file = desk.path(&format!("data/{case}/{case}_t1.nii.gz"));
    std::fs::copy(file.with_file_name(format!("{case}_t2.nii.gz")), &file).unwrap();
    desk.run("evaluate --run run").exits(3);
    assert_ne!(scores("--data data"), uncached);
    assert_eq!(bytes_below(&desk.path("cache")), before);
}
