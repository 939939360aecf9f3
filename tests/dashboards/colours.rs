//! One language of colours: what is healthy is green or grey, the trainer's waiting is the alarm, the
//! loader's is not.

use serde_json::{Value, json};

use super::panels::{self, list, string};
use super::{DASHBOARDS, dashboard};

/// Colours that say that somebody has to do something.
const ALARMS: [&str; 2] = ["\"orange\"", "\"red\""];

/// Clocks whose waiting is healthy.
const CALM: [&str; 3] = ["loader_stage_starved", "loader_stage_blocked", "gpu_utilization_ratio"];

/// What is wrong with the colours of a dashboard, one line each.
fn faults(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for panel in panels::all(dashboard) {
        let title = string(panel, "title");
        let asks = |metric: &str| {
            list(&panel["targets"]).iter().any(|target| string(target, "expr").contains(metric))
        };
        let paint = panel["fieldConfig"].to_string();
        let alarms = ALARMS.iter().any(|colour| paint.contains(colour));
        let waits = asks("train_starved_seconds_total");
        if waits && !paint.contains(ALARMS[0]) {
            found.push(format!("{title}: the trainer's waiting is not orange"));
        }
        if alarms && !waits && CALM.iter().any(|metric| asks(metric)) {
            found.push(format!("{title}: an alarm for what is healthy"));
        }
    }
    found
}

#[test]
fn the_trainers_waiting_is_the_alarm_and_the_loaders_is_not() {
    for name in DASHBOARDS {
        let faults = faults(&dashboard(name));
        assert!(faults.is_empty(), "{name}:\n{}", faults.join("\n"));
    }
}

#[test]
fn another_colour_is_noticed() {
    let change = |title: &str, field: &str, value: Value| {
        let mut board = dashboard("loader");
        let panels = board["panels"].as_array_mut().unwrap();
        let panel = panels.iter_mut().find(|panel| panel["title"] == title).unwrap();
        panel["fieldConfig"][field] = value;
        faults(&board)
    };
    assert_eq!(
        change("Who waits for whom", "overrides", json!([])),
        ["Who waits for whom: the trainer's waiting is not orange"]
    );
    assert_eq!(
        change("The loader waits", "defaults", json!({"color": {"fixedColor": "red"}})),
        ["The loader waits: an alarm for what is healthy"]
    );
}
