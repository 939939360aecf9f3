//! Runs that announce themselves, under a real Prometheus: it finds them, knows their study, and forgets
//! them when they end.
//!
//! `scripts/live-dashboards` runs it; a plain `cargo test` does not.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::live::{Run, choose};
use super::panels;
use super::prometheus::Prometheus;
use super::{DASHBOARDS, dashboard};

const DEADLINE: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(500);

/// A study on phantoms whose networks learn slowly enough to be scraped.
const STUDY: &str = r#"
schema = 1
name = "tiny"

[cohort.phantoms]
cases = 12
shape = [24, 24, 24]
seed = 7

[base]
device = "cpu"
crop.patch = [16, 16, 16]
loader = { batch = 1, memory_mib = 64 }
train = { epochs = 1000, steps_per_epoch = 20 }
drill.slow_step_ms = 200

[base.data.shares]
validation = 0.25
test = 0.25
unlabelled_of_validation = 0.5
unlabelled_of_test = 0.3

[[network]]
name = "unet"
settings.model = { name = "unet", settings = { base_width = 2, levels = 2 } }
"#;

/// A small training run that is no step of a study.
const TRAIN: &str = "train --device cpu --data data --set data.cache=cache --set crop.patch=[16,16,16] \
     --set model.settings={base_width=2,levels=2} --set loader.memory_mib=64 --set loader.batch=1 \
     --set train.steps_per_epoch=20 --set drill.slow_step_ms=200 --epochs 1000";

const ANNOUNCED: &str = "--metrics-addr 127.0.0.1:0 --announce targets";

fn targets(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("targets")).map_or(0, Iterator::count)
}

fn await_values(server: &Prometheus, label: &str, expression: &str, wanted: &[&str]) {
    let started = Instant::now();
    loop {
        let found = server.values_of(label, expression).unwrap();
        if found == wanted {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{expression}: {found:?}, not {wanted:?}");
        std::thread::sleep(LOOK);
    }
}

#[test]
#[ignore = "takes a minute and needs prometheus: scripts/live-dashboards"]
fn announced_runs_appear_by_themselves_and_go_when_they_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), STUDY).unwrap();
    Run::to_end(
        folder.path(),
        "phantom --out data --cases 4 --seed 3 --shape 32 --metrics-addr off",
    );
    let server = Prometheus::of_announced(folder.path());
    assert_eq!(server.instant("up"), Ok(0), "nothing is announced yet");
    let mut study =
        Run::start(folder.path(), &format!("experiment tiny.toml --out tiny {ANNOUNCED}"));
    let mut single = Run::start(folder.path(), &format!("{TRAIN} {ANNOUNCED}"));
    await_values(&server, "study", "up{job=\"gliaflow\"} == 1", &["", "tiny"]);
    await_values(&server, "run", "up{study=\"\"} == 1", &["unet-001"]);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    await_values(&server, "host", "up{study=\"tiny\"}", &[host.trim()]);
    await_values(&server, "study", "train_step > 0", &["", "tiny"]);
    // What the dashboards' variables ask, and what a panel then shows of the study alone.
    for name in DASHBOARDS {
        let variables = panels::variables(&dashboard(name)).unwrap();
        let study = variables.iter().find(|one| one.name == "study").unwrap();
        let selector = choose(&study.selector, ".+");
        assert_eq!(server.label_values(&selector, &study.label), Ok(vec!["tiny".into()]), "{name}");
        let run = variables.iter().find(|one| one.name == "run").unwrap();
        let of_all = server.label_values(&choose(&run.selector, ".+"), &run.label).unwrap();
        let selector = choose(&run.selector.replace("$study", "tiny"), ".+");
        let of_study = server.label_values(&selector, &run.label).unwrap();
        assert_eq!((of_all.len(), of_study.len()), (2, 1), "{name}: {of_all:?} {of_study:?}");
    }
    // One ends as it should, and one has no time to say so.
    let process = study.process.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &process]).status().unwrap().success());
    assert_eq!(study.process.0.wait().unwrap().code(), Some(75));
    assert_eq!(targets(folder.path()), 1, "the study's file is gone");
    await_values(&server, "study", "up", &[""]);
    single.process.0.kill().unwrap();
    single.process.0.wait().unwrap();
    await_values(&server, "run", "up == 0", &["unet-001"]);
    assert_eq!(targets(folder.path()), 1, "a killed process leaves its file");
    let mut next = Run::start(folder.path(), &format!("{TRAIN} {ANNOUNCED}"));
    await_values(&server, "run", "up", &["unet-002"]);
    assert_eq!(targets(folder.path()), 1, "the next run of this machine removes it");
    next.process.0.kill().unwrap();
}
