//! The panels that name what holds a run back, as Prometheus computes them from clocks made up for
//! the purpose. `promtool` does the computing, so `scripts/live-dashboards` runs it.

use std::process::Command;

use serde_json::{Value, json};

use super::panels::{self, Window};
use super::{OF_ONE_RUN, dashboard};

/// Seconds between the samples of a made-up series, and until the verdict is asked for.
const INTERVAL: u64 = 5;
const ASKED_AT: u64 = 60;

/// The expression that names whoever holds a run back.
pub(crate) fn verdict(name: &str) -> String {
    let targets = panels::targets(&dashboard(name));
    let mut naming = targets.iter().filter(|target| target.legend == "{{run}} {{holds}}");
    let found = naming.next().unwrap_or_else(|| panic!("{name} names no culprit"));
    assert!(naming.next().is_none(), "{name} names two");
    found.expression.clone()
}

#[test]
fn both_dashboards_judge_alike() {
    assert_eq!(verdict(OF_ONE_RUN[0]), verdict(OF_ONE_RUN[1]));
}

/// A series of `run` that grows by `pace` a second.
fn growing(run: &str, name: &str, labels: &str, pace: f64) -> Value {
    let series = format!("{name}{{job=\"gliaflow\", instance=\"a\", run=\"{run}\"{labels}}}");
    let (step, count) = (pace * INTERVAL as f64, ASKED_AT / INTERVAL);
    json!({ "series": series, "values": format!("0+{step}x{count}") })
}

/// A run whose trainer waits for `starved` of its time and takes `batches` a second, and the
/// clocks of its stages: busy, starved, blocked.
fn run(name: &str, starved: f64, batches: f64, stages: &[(&str, [f64; 3])]) -> Vec<Value> {
    let mut all = vec![
        growing(name, "train_starved_seconds_total", "", starved),
        growing(name, "loader_batches_total", ", split=\"train\"", batches),
    ];
    for (stage, clocks) in stages {
        for (clock, pace) in ["busy", "starved", "blocked"].into_iter().zip(clocks) {
            let metric = format!("loader_stage_{clock}_seconds_total");
            all.push(growing(name, &metric, &format!(", stage=\"{stage}\""), *pace));
        }
    }
    all
}

#[test]
#[ignore = "needs promtool: scripts/live-dashboards"]
fn the_verdict_names_the_trainer_the_stage_or_nobody() {
    let mut series = run(
        "stopped",
        0.0,
        0.0,
        &[("plan", [0.0, 0.0, 1.0]), ("augment", [0.0, 2.0, 0.0]), ("collate", [0.0, 0.0, 1.0])],
    );
    series.extend(run(
        "slow-stage",
        0.6,
        1.0,
        &[
            ("plan", [0.0, 0.0, 1.0]),
            ("fetch", [0.1, 0.9, 0.0]),
            // Two workers, so that the time alone would name the wrong one.
            ("crop", [0.99, 0.01, 0.0]),
            ("augment", [1.2, 0.8, 0.0]),
            ("collate", [0.01, 0.98, 0.01]),
        ],
    ));
    series.extend(run(
        "even",
        0.01,
        1.0,
        &[("augment", [0.97, 0.03, 0.0]), ("collate", [0.1, 0.89, 0.01])],
    ));
    series.extend(run("idle", 0.0, 0.0, &[("augment", [0.0; 3]), ("collate", [0.0; 3])]));
    let window = Window { rate_interval: 4 * INTERVAL, range: ASKED_AT };
    let expression = verdict("loader").replace("$job", "gliaflow").replace("$instance", "a");
    let expression = expression.replace("$study", ".*").replace("$run", ".+");
    let expression = window.fill(&expression);
    let expected = |run: &str, holds: &str| json!({ "labels": format!("{{run=\"{run}\", holds=\"{holds}\"}}"), "value": 1 });
    let samples =
        [expected("even", "none"), expected("slow-stage", "crop"), expected("stopped", "trainer")];
    let test = json!({
        "evaluation_interval": "5s",
        "tests": [{
            "interval": format!("{INTERVAL}s"),
            "input_series": series,
            "promql_expr_test": [{
                "expr": format!("count by (run, holds) ({expression})"),
                "eval_time": format!("{ASKED_AT}s"),
                "exp_samples": samples,
            }],
        }],
    });
    let folder = tempfile::tempdir().unwrap();
    // JSON is YAML.
    std::fs::write(folder.path().join("verdict.yml"), test.to_string()).unwrap();
    let output = Command::new("promtool")
        .args(["test", "rules", "verdict.yml"])
        .current_dir(folder.path())
        .output()
        .expect("promtool is on the PATH (apt-get install prometheus)");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
