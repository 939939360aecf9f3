//! Real runs in which somebody is slow on purpose, under a real Prometheus: the panel that names what
//! holds a run back names the same as the run's own `/topology`.
//!
//! `scripts/live-dashboards` runs it; a plain `cargo test` does not.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::OF_ONE_RUN;
use super::live::{Run, interval};
use super::panels::Window;
use super::prometheus::{Prometheus, ask};
use super::verdict::verdict;

const DEADLINE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(500);

/// A small run that goes on until it is killed.
const RUN: &str = "train --data data --metrics-addr 127.0.0.1:0 --set device=cpu --set data.cache=cache \
     --set crop.patch=[16,16,16] --set model.settings={base_width=2,levels=2} \
     --set loader.memory_mib=64 --set train.epochs=1000000 --set train.steps_per_epoch=2 \
     --set train.validation.every_epochs=0 --set train.checkpoint.every_epochs=0";

/// Who is slow, by whose hand.
const DRILLS: [(&str, &str); 2] = [
    ("trainer", "--run stopped --set drill.slow_step_ms=3600000"),
    ("augment", "--run slow --set drill.slow_stage=augment --set drill.slow_stage_ms=250"),
];

/// What a run says of itself.
fn told(address: SocketAddr) -> Option<String> {
    let (_, body) = ask(address, "/topology").ok()?;
    let seen: Value = serde_json::from_str(&body).ok()?;
    let loader = seen.as_array()?.iter().find(|one| one["topology"] == "train")?;
    Some(loader["verdict"]["bottleneck"].as_str()?.to_owned())
}

fn phantoms(folder: &Path) {
    let line = "phantom --out data --cases 4 --seed 3 --shape 24x28x26 --metrics-addr off";
    Run::to_end(folder, line);
}

#[test]
#[ignore = "takes half a minute and needs prometheus: scripts/live-dashboards"]
fn the_dashboards_and_the_run_name_whoever_is_slow() {
    let folder = tempfile::tempdir().unwrap();
    phantoms(folder.path());
    let runs = DRILLS.map(|(_, drill)| Run::start(folder.path(), &format!("{RUN} {drill}")));
    let server = Prometheus::start(folder.path(), [runs[0].address, runs[1].address]);
    for ((slow, drill), run) in DRILLS.iter().zip(&runs) {
        let name = drill.split_whitespace().nth(1).unwrap();
        for board in OF_ONE_RUN {
            let started = Instant::now();
            let expression = verdict(board)
                .replace("$job", "gliaflow")
                .replace("$study", ".*")
                .replace("$instance", ".+")
                .replace("$run", name);
            loop {
                let range = started.elapsed().as_secs().max(1);
                let window = Window { rate_interval: 4 * interval(), range };
                let holds = server.values_of("holds", &window.fill(&expression)).unwrap();
                let by_itself = told(run.address);
                if holds == [*slow] && by_itself.as_deref() == Some(*slow) {
                    break;
                }
                let late = started.elapsed() > DEADLINE;
                assert!(!late, "{slow}: {board} says {holds:?}, the run {by_itself:?}");
                std::thread::sleep(LOOK);
            }
        }
    }
}
