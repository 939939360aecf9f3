//! `drain` and `tune`: the loader measured, with accounts that balance and clocks that add up.

use serde_json::Value;

use crate::cli::harness::Desk;
use crate::metrics::{series, value};

const SMALL: &str = "--data data --patch 16 --memory-mib 64 --batches 12 --warm-up 3";

fn number(report: &Value, field: &str) -> f64 {
    report[field].as_f64().unwrap_or_else(|| panic!("{field} of {report}"))
}

/// What must hold of any drain of 12 batches of two behind three.
fn assert_sound(report: &Value, stages: &[&str]) {
    assert_eq!(report["samples"], 24);
    assert!(number(report, "delivered") >= 30.0 && report["skipped"] == 0);
    assert_eq!(report["issued"], report["delivered"], "every ticket came back");
    let rate = number(report, "samples_per_second");
    assert!((rate * number(report, "seconds") - 24.0).abs() < 1e-6);
    assert!((0.0..=1.0).contains(&number(report, "starved_ratio")));
    assert!(["scalar", "avx2"].contains(&report["kernel"].as_str().unwrap()));
    let seen = report["stages"].as_array().unwrap();
    let names: Vec<&str> = seen.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, stages);
    for stage in seen {
        let spent: f64 = ["busy_seconds", "starved_seconds", "blocked_seconds"]
            .map(|clock| number(stage, clock))
            .iter()
            .sum();
        let there = number(stage, "workers") * number(report, "seconds");
        // One look at all clocks takes a moment.
        assert!((spent - there).abs() <= 0.02 * there + 0.02, "{spent} of {there}: {stage}");
    }
    if cfg!(target_os = "linux") {
        assert!(number(report, "peak_anonymous_bytes") > 1e6);
        assert!(number(report, "cpu_seconds_per_sample") >= 0.0);
    }
}

#[test]
fn a_warm_drain_ingests_first_and_a_cold_one_writes_nothing() {
    let desk = Desk::with_cohort(3);
    let cold = desk.run(&format!("drain {SMALL} --cold --workers 2 --json")).ok().json();
    assert_sound(&cold, &["plan", "decode", "normalize", "crop", "augment", "collate"]);
    assert_eq!(cold["mapped_bytes"], 0);
    assert!(!desk.path("cache").exists());

    let line = format!("drain {SMALL} --cache cache --profile light --workers fetch=2 --json");
    let warm = desk.run(&line).ok().json();
    assert_sound(&warm, &["plan", "fetch", "crop", "augment", "collate"]);
    assert_eq!(warm["stages"][1]["workers"], 2);
    let mapped = warm["mapped_bytes"].as_u64().unwrap();
    assert!(mapped > 0 && mapped <= crate::cli::harness::bytes_below(&desk.path("cache")));
    assert_eq!(warm["accelerator_utilization"], Value::Null);

    let fused = desk.run(&format!("drain {SMALL} --cache cache --fused --json")).ok().json();
    assert_sound(&fused, &["plan", "fetch", "crop+augment", "collate"]);
}

#[test]
fn a_trainer_slower_than_the_loader_is_what_holds_it_back_and_the_text_says_so() {
    let desk = Desk::with_cohort(3);
    let line = format!("drain {SMALL} --cache cache --step-ms 30");
    let report = desk.run(&format!("{line} --json")).ok().json();
    assert_eq!(report["bottleneck"], "trainer", "{report}");
    let utilization = number(&report, "accelerator_utilization");
    assert!(utilization > 0.5 && utilization <= 1.0, "{utilization}");
    let text = desk.run(&line).ok().stdout;
    assert!(text.contains("the loader waits for the trainer"), "{text}");
    assert!(text.contains("augment") && text.contains("utilisation"), "{text}");
}

#[test]
fn an_interrupted_drain_prints_what_was_measured() {
    let desk = Desk::with_cohort(3);
    let line = "drain --data data --cache cache --patch 16 --memory-mib 64 --batches 1000000 \
                --warm-up 3 --step-ms 5 --metrics-addr 127.0.0.1:0 --json";
    let mut process = desk.start(line);
    process.scrape_until("batches beyond the warm-up", |scrape| {
        // Batches wait for a trainer that takes 5 ms for each: this long, for some forty of them.
        let waits = series(scrape, "loader_stage_blocked_seconds_total");
        waits.iter().any(|line| line.contains("stage=\"collate\"") && value(line) > 0.2)
    });
    process.signal("INT");
    let report = process.wait().exits(75).json();
    assert_eq!(report["interrupted"], true);
    let samples = number(&report, "samples");
    assert!(samples > 0.0 && samples < 2e6, "{report}");
    let rate = number(&report, "samples_per_second");
    assert!((rate * number(&report, "seconds") - samples).abs() < 1e-6 * samples, "{report}");
    assert_eq!(report["stages"].as_array().unwrap().len(), 5);
    assert!(report["verdict"].as_str().is_some_and(|said| !said.is_empty()), "{report}");
}

#[test]
fn a_bad_case_is_named_and_the_others_are_drained() {
    let desk = Desk::with_cohort(3);
    let bad = "BraTS20_Training_002";
    desk.flip(&format!("data/{bad}/{bad}_t1.nii.gz"), 6);
    let report = desk.run(&format!("drain {SMALL} --cache cache --json")).exits(3).json();
    assert_eq!(report["excluded"][0]["case"], bad);
    assert_eq!(report["samples"], 24);
}

#[test]
fn what_cannot_be_drained_is_refused_with_the_way_out() {
    let desk = Desk::with_cohort(1);
    for (options, named) in [
        ("--patch 0", "--patch 0"),
        ("--step-ms -1", "--step-ms"),
        ("--workers corp=1", "corp"),
        ("--memory-mib 1 --patch 64", "memory_mib"),
    ] {
        let refused = desk.run(&format!("drain --data data --cache cache {options}")).exits(2);
        let text = refused.stderr;
        assert!(text.contains(named), "{options}: {text}");
    }
}

#[test]
fn tune_writes_a_loader_that_keeps_the_trainer_busy() {
    let desk = Desk::with_cohort(3);
    let line = "tune --data data --cache cache --patch 16 --memory-mib 64 --batches 20 --warm-up 3";
    let found = desk.run(&format!("{line} --step-ms 60 --out loader.toml --json")).ok().json();
    let trials = found["trials"].as_array().unwrap();
    let last = number(trials.last().unwrap(), "starved_ratio");
    assert_eq!(found["enough"], last <= 0.02, "{found}");
    assert_eq!(number(&found, "step_ms"), 60.0);
    let section: toml::Table = desk.text("loader.toml").parse().unwrap();
    let loader = section["loader"].as_table().unwrap();
    assert!(loader["memory_mib"].as_integer().unwrap() <= 64);
    let mut keys: Vec<&str> = loader.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["memory_mib", "prefetch", "workers"], "nothing that decides samples");
    assert_eq!(found["section"], desk.text("loader.toml"));
    desk.run(&format!("{line} --step-ms 0")).exits(2);
}

#[cfg(feature = "train")]
#[test]
fn tune_takes_a_runs_samples_and_writes_into_its_configuration_in_place() {
    let desk = Desk::with_cohort(3);
    let own = "# Ours.\nseed = 3\n[data]\nfolder = \"data\" # here\n[crop]\npatch = [16, 16, 32]\n\
               [loader]\nbatch = 3 # of 3\npatches_per_case = 2\n[augment]\nprofile = \"nnunet\"\n\
               [model.settings]\nbase_width = 2\nlevels = 2\n";
    std::fs::write(desk.path("run.toml"), own).unwrap();
    let line = "--config run.toml --batches 6 --warm-up 2 --step-ms 50";
    let found = desk.run(&format!("tune {line} --write run.toml --json")).ok().json();
    let text = desk.text("run.toml");
    for kept in ["# Ours.", "folder = \"data\" # here", "batch = 3 # of 3", "patches_per_case = 2"]
    {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    let loader = text.parse::<toml::Table>().unwrap()["loader"].clone();
    let prefetch = found["loader"]["prefetch"].as_i64();
    assert_eq!(loader["prefetch"].as_integer(), prefetch);
    let drained = desk.run(&format!("drain {line} --json")).ok().json();
    assert_eq!(drained["samples"], 18, "batches of three");
    let told = desk.run(&format!("drain {line}")).ok().stdout;
    assert!(told.starts_with("warm, as run.toml, patch"), "{told}");
    for option in ["--patch 32", "--profile full", "--batch 2", "--seed 1"] {
        let refused = desk.run(&format!("drain {line} {option}")).exits(2);
        let conflict = format!("'--config <FILE>' cannot be used with '{}", &option[..6]);
        assert!(refused.stderr.contains(&conflict), "{}", refused.stderr);
    }
    assert!(desk.run("drain --step-ms 5").exits(2).stderr.contains("--data <DIR>"));
}

#[cfg(feature = "train")]
#[test]
fn tune_measures_a_network_where_nobody_says_what_it_takes() {
    let desk = Desk::with_cohort(2);
    let line = "tune --data data --cache cache --patch 16 --memory-mib 64 --batches 5 --warm-up 2";
    let network = "--model unet --device cpu --set model.settings={base_width=2,levels=2}";
    let found = desk.run(&format!("{line} {network} --json")).ok().json();
    assert!(number(&found, "step_ms") > 0.1, "{found}");
    desk.run(&format!("{line} {network} --step-ms 5")).exits(2);
    assert!(desk.run(line).exits(2).stderr.contains("--step-ms"));
    desk.run(&format!("{line} --model vnet")).exits(2).complains_of(&["vnet"]);
}
