//! What is in `dashboards/`, held against the catalogue of metrics without a server: see
//! `dashboards/README.md` for what is proved where.

use std::collections::BTreeSet;
use std::path::PathBuf;

use gliaflow::internals::telemetry::catalog::CATALOGUE;
use serde_json::Value;

mod alerts;
mod announced;
mod colours;
mod drill;
mod expression;
mod history;
mod lint;
mod live;
mod mutations;
mod panels;
mod prometheus;
mod setup;
mod verdict;
mod yaml;

/// The dashboards by name, which is also the end of their uid.
pub(crate) const DASHBOARDS: [&str; 3] = ["training", "loader", "runs"];

/// The dashboards of one run, which name what holds it back.
pub(crate) const OF_ONE_RUN: [&str; 2] = ["training", "loader"];

/// Metrics on no panel, and why.
const NOT_SHOWN: [(&str, &str); 0] = [];

/// A file or folder of `dashboards/`.
pub(crate) fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(name)
}

pub(crate) fn text(name: &str) -> String {
    let path = place(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn dashboard(name: &str) -> Value {
    serde_json::from_str(&text(&format!("grafana/{name}.json"))).unwrap()
}

#[test]
fn the_dashboards_have_no_fault_that_shows_without_a_server() {
    for name in DASHBOARDS {
        let faults = lint::faults(name, &dashboard(name));
        assert!(faults.is_empty(), "{name}:\n{}", faults.join("\n"));
    }
}

#[test]
fn every_metric_is_on_a_panel_or_has_a_reason_not_to_be() {
    let boards = DASHBOARDS.map(dashboard);
    let targets = boards.iter().flat_map(panels::targets);
    let shown: BTreeSet<&str> =
        targets.flat_map(|target| expression::metrics(&target.expression)).collect();
    let hidden: BTreeSet<&str> = NOT_SHOWN.iter().map(|(name, _reason)| *name).collect();
    let all: BTreeSet<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
    let missing: Vec<&&str> = all.iter().filter(|name| !shown.contains(*name)).collect();
    let expected: Vec<&&str> = hidden.iter().collect();
    assert_eq!(missing, expected, "on the left, what no panel shows; on the right, what may be so");
}

/// Regions are those that a run reports: no query, rule or colour names one.
#[test]
fn panels_of_regions_have_a_line_for_whatever_regions_a_run_has() {
    let boards = DASHBOARDS.map(dashboard);
    let of_regions = ["train_dice_ratio", "train_soft_dice_ratio", "train_hd95_mm"];
    for metric in of_regions {
        let shows = |target: &panels::Target| target.expression.contains(metric);
        let targets = boards.iter().flat_map(panels::targets).filter(shows);
        let legends: Vec<String> = targets.map(|target| target.legend).collect();
        assert!(
            legends.iter().any(|legend| legend.contains("{{region}}")),
            "{metric}: {legends:?}"
        );
    }
    let files = [
        "grafana/training.json",
        "grafana/loader.json",
        "grafana/runs.json",
        "prometheus/alerts.yml",
    ];
    for file in files {
        let text = text(file).replace("\\\"", "\"");
        for name in ["region=", "region!=", "\"ET\"", "\"TC\"", "\"WT\""] {
            assert!(!text.contains(name), "{file} names {name}");
        }
    }
}
