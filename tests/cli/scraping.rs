//! The endpoint of a training run, asked over HTTP while it runs and after it has ended.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::harness::{Desk, TINY, bytes_below};
use crate::metrics::{get, series, value};

const SERVED: &str = "--metrics-addr 127.0.0.1:0";
const ENDLESS: &str = "--set train.epochs=1000000";
const TRAINING_STAGES: [&str; 12] = [
    "augment",
    "collate",
    "crop",
    "decode",
    "deliver",
    "fetch",
    "files",
    "normalize",
    "open",
    "plan",
    "publish",
    "tally",
];

/// The value of the one series of `name` whose labels contain all of `labels`.
#[track_caller]
fn of(scrape: &str, name: &str, labels: &[&str]) -> f64 {
    let all = series(scrape, name);
    let fits = |line: &&&str| labels.iter().all(|label| line.contains(label));
    let found: Vec<&&str> = all.iter().filter(fits).collect();
    let [line] = found[..] else { panic!("{name} {labels:?}: {found:?} of {all:?}") };
    value(line)
}

fn is_there(scrape: &str, name: &str) -> bool {
    !series(scrape, name).is_empty()
}

/// The values of a label over the series of a metric.
fn label_values<'a>(scrape: &'a str, name: &str, label: &str) -> BTreeSet<&'a str> {
    let start = format!("{label}=\"");
    let values = series(scrape, name).into_iter().filter_map(|line| {
        let (_, rest) = line.split_once(&start)?;
        rest.split('"').next()
    });
    values.collect()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The state that is 1, if exactly one is.
fn state(scrape: &str) -> Option<&str> {
    let all = series(scrape, "train_run_state");
    let on: Vec<&&str> = all.iter().filter(|line| value(line) == 1.0).collect();
    let [line] = on[..] else { return None };
    line.split_once("state=\"")?.1.split('"').next()
}

#[test]
fn a_run_under_way_is_seen_from_outside() {
    let desk = Desk::with_cohort(5);
    desk.run("ingest --data data --cache cache").ok();
    let unscored = "--set train.validation.every_epochs=0";
    let line = format!("train {TINY} {ENDLESS} {unscored} --data data --run run {SERVED}");
    let mut process = desk.start(&line);
    let scrape = process.scrape_until("ten steps and the clocks of their stages", |scrape| {
        let crop = series(scrape, "loader_stage_busy_seconds_total");
        let crop = crop.into_iter().find(|line| line.contains("stage=\"crop\""));
        is_there(scrape, "train_eta_seconds")
            && of(scrape, "train_step", &[]) >= 10.0
            && crop.is_some_and(|line| value(line) > 0.0)
            && is_there(scrape, "loader_tickets_free")
    });
    assert_eq!(state(&scrape), Some("training"));
    assert_eq!(series(&scrape, "train_run_state").len(), 6);
    for part in ["total", "dice", "bce"] {
        let part = format!("part=\"{part}\"");
        assert!(of(&scrape, "train_loss", &["split=\"train\"", &part]).is_finite());
    }
    for region in ["ET", "TC", "WT"] {
        let dice = of(&scrape, "train_soft_dice_ratio", &[&format!("region=\"{region}\"")]);
        assert!((0.0..=1.0).contains(&dice), "{region} {dice}");
    }
    let step = of(&scrape, "train_step", &[]);
    // A step is shown when its loss is read, and that is after the next batch was taken.
    let batches = of(&scrape, "loader_batches_total", &["split=\"train\""]);
    assert!(batches >= step, "{batches} batches for {step} steps");
    let delivered = ["split=\"train\"", "outcome=\"delivered\""];
    assert!(of(&scrape, "loader_samples_total", &delivered) >= 2.0 * step);
    assert!(of(&scrape, "train_samples_total", &[]) >= 2.0 * step);
    assert!(of(&scrape, "train_eta_seconds", &[]) > 0.0);
    assert_eq!(of(&scrape, "train_epochs_planned", &[]), 1e6);
    let cached = bytes_below(&desk.path("cache")) as f64;
    assert_eq!(of(&scrape, "loader_cache_bytes", &[]), cached);
    assert!(of(&scrape, "loader_cache_requests_total", &["result=\"hit\""]) > 0.0);
    assert_eq!(of(&scrape, "train_run_info", &["model=\"unet\""]), 1.0);
    assert!(!is_there(&scrape, "train_dice_ratio"), "nothing was evaluated yet");

    let address = process.address();
    let health = get(address, "/healthz");
    assert_eq!((health.status, health.body.trim()), (200, "ok"));
    let topology = get(address, "/topology");
    assert_eq!(topology.header("content-type"), Some("application/json"));
    let seen: serde_json::Value = serde_json::from_str(&topology.body).unwrap();
    assert_eq!((seen.as_array().unwrap().len(), &seen[0]["topology"]), (1, &"train".into()));
    let actors = seen[0]["actors"].as_array().unwrap();
    let names: Vec<&str> = actors.iter().map(|actor| actor["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["plan", "fetch", "crop", "augment", "collate"]);
    process.signal("INT");
    process.wait().exits(75);
}

#[test]
fn the_last_scrape_of_a_run_shows_how_it_ended() {
    let began = now();
    let desk = Desk::with_cohort(5);
    let line = format!("train {TINY} --data data --run run {SERVED} --metrics-linger 100 --json");
    let mut process = desk.start(&line);
    let scrape = process.scrape_until("the end", |scrape| state(scrape) == Some("finished"));
    assert_eq!(of(&scrape, "train_step", &[]), 4.0);
    assert_eq!(of(&scrape, "train_epoch", &[]), 2.0);
    assert_eq!(of(&scrape, "train_eta_seconds", &[]), 0.0);
    assert_eq!(of(&scrape, "train_samples_total", &[]), 8.0);
    assert_eq!(of(&scrape, "train_step_seconds_count", &[]), 4.0);
    let train = "split=\"train\"";
    assert_eq!(of(&scrape, "loader_batches_total", &[train]), 4.0);
    assert_eq!(of(&scrape, "loader_samples_total", &[train, "delivered"]), 8.0);
    let validation = "split=\"validation\"";
    assert_eq!(of(&scrape, "loader_samples_total", &[validation, "delivered"]), 1.0);
    for reason in ["io", "missing", "format", "checksum", "geometry", "label", "panicked"] {
        let labels = [train, "skipped", &format!("reason=\"{reason}\"")];
        assert_eq!(of(&scrape, "loader_samples_total", &labels), 0.0);
    }
    assert_eq!(of(&scrape, "train_checkpoints_total", &[]), 2.0, "one an epoch");
    assert_eq!(of(&scrape, "train_best_epoch", &[]), 2.0);
    assert!((0.0..=1.0).contains(&of(&scrape, "train_best_dice_ratio", &[])));
    let saved = of(&scrape, "train_checkpoint_timestamp_seconds", &[]);
    assert!((began..=now()).contains(&saved), "{saved}");
    let utilization = of(&scrape, "train_accelerator_utilization_ratio", &[]);
    assert!((0.0..=1.0).contains(&utilization), "{utilization}");
    assert_eq!(
        label_values(&scrape, "loader_stage_busy_seconds_total", "stage"),
        TRAINING_STAGES.into()
    );

    let summary = desk.json("run/summary.json");
    for region in ["ET", "TC", "WT"] {
        let measures = &summary["evaluation"]["network"]["regions"][region];
        let labels = [validation, &format!("region=\"{region}\"")];
        assert_eq!(of(&scrape, "train_dice_ratio", &labels), measures["dice"].as_f64().unwrap());
        assert_eq!(of(&scrape, "train_hd95_mm", &labels), measures["hd95_mm"].as_f64().unwrap());
    }
    assert_eq!(of(&scrape, "loader_buffer_bytes", &[]), 0.0, "the loader has gone");
    process.signal("INT");
    assert_eq!(process.wait().ok().json(), summary);
}

#[test]
fn a_run_that_fails_is_seen_to_and_shows_every_counter_that_never_moved() {
    let desk = Desk::with_cohort(2);
    for case in ["BraTS20_Training_001", "BraTS20_Training_002"] {
        desk.flip(&format!("data/{case}/{case}_t1.nii.gz"), 6);
    }
    let line = format!(
        "train {TINY} --set data.ingest_first=true --data data --run run {SERVED} --metrics-linger 100"
    );
    let mut process = desk.start(&line);
    let scrape = process.scrape_until("the failure", |scrape| state(scrape) == Some("failed"));
    assert_eq!(
        label_values(&scrape, "loader_stage_busy_seconds_total", "stage"),
        TRAINING_STAGES.into()
    );
    assert_eq!(of(&scrape, "loader_stage_busy_seconds_total", &["stage=\"crop\""]), 0.0);
    assert_eq!(of(&scrape, "loader_stage_restarts_total", &["stage=\"open\""]), 0.0);
    for name in ["loader_batches_total", "loader_samples_total"] {
        assert_eq!(label_values(&scrape, name, "split"), ["train", "validation"].into(), "{name}");
    }
    assert_eq!(of(&scrape, "train_samples_total", &[]), 0.0);
    assert!(!is_there(&scrape, "train_step"), "no step was taken");
    process.signal("INT");
    process.wait().exits(3);
}

#[test]
fn other_verbs_announce_their_own_stages() {
    let desk = Desk::with_cohort(3);
    desk.run(&format!("train {TINY} --data data --run run")).ok();
    let ingest = ["files", "decode", "normalize", "publish", "tally"];
    let cases: [(&str, Vec<&str>); 3] = [
        ("phantom --out more --cases 1 --shape 24", vec!["number", "draw", "collect"]),
        (
            "predict --run run --data data --out out",
            vec!["files", "decode", "normalize", "unfold", "deliver"],
        ),
        ("evaluate --run run", [ingest.as_slice(), &["open", "deliver"]].concat()),
    ];
    for (line, stages) in cases {
        let mut process = desk.start(&format!("{line} {SERVED} --metrics-linger 100"));
        let last = format!("stage=\"{}\"", stages[stages.len() - 1]);
        let scrape = process.scrape_until("the last stage's work", |scrape| {
            let busy = series(scrape, "loader_stage_busy_seconds_total");
            busy.into_iter().any(|line| line.contains(&last) && value(line) > 0.0)
        });
        let seen = label_values(&scrape, "loader_stage_busy_seconds_total", "stage");
        assert_eq!(seen, stages.into_iter().collect(), "{line}");
    }
}
