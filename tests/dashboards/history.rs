//! A run that no server scraped: `gliaflow metrics --openmetrics`, taken by Prometheus' own tool, and
//! asked what the dashboards ask of a run that learns.
//!
//! `scripts/live-dashboards` runs it; a plain `cargo test` does not.

use std::process::Command;

use super::live::{Run, choose, interval};
use super::panels::{self, Window};
use super::prometheus::Prometheus;
use super::{DASHBOARDS, dashboard};

const PHANTOMS: &str = "phantom --out data --cases 6 --seed 3 --shape 24x28x26 --metrics-addr off";
const RUN: &str = "train --data data --run run --metrics-addr off --set device=cpu \
     --set data.cache=cache --set crop.patch=[16,16,16] \
     --set model.settings={base_width=2,levels=2} --set loader.memory_mib=64 --set train.epochs=6 \
     --set train.steps_per_epoch=4 --set train.validation.every_epochs=2 --set drill.slow_step_ms=400";

/// The row of the dashboard that the journal knows everything of.
const ROW: &str = "Learning";

#[test]
#[ignore = "needs prometheus: scripts/live-dashboards"]
fn prometheus_takes_a_runs_history_and_the_dashboard_can_ask_it() {
    let folder = tempfile::tempdir().unwrap();
    Run::to_end(folder.path(), PHANTOMS);
    Run::to_end(folder.path(), RUN);
    Run::to_end(folder.path(), "metrics run --openmetrics --interval 1 --out run.om");
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "run.om", "data-of-prometheus"])
        .current_dir(folder.path())
        .output()
        .expect("promtool is on the PATH (apt-get install prometheus)");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool tsdb create-blocks-from: {said}");
    let server = Prometheus::of_blocks(folder.path(), "data-of-prometheus");
    let window = Window { rate_interval: 4 * interval(), range: 120 };
    let (mut asked, mut empty) = (0, Vec::new());
    for target in panels::targets(&dashboard(DASHBOARDS[0])) {
        if target.row != ROW {
            continue;
        }
        asked += 1;
        let text = window.fill(&choose(&target.expression, "run"));
        if server.range(&text, window.range, 1).unwrap() == 0 {
            empty.push(format!("{}, {}: {text}", target.panel, target.reference));
        }
    }
    assert!(
        asked > 5 && empty.is_empty(),
        "{asked} asked, without an answer:\n{}",
        empty.join("\n")
    );
}
