//! The live proof: a real Prometheus scrapes a real run, and every query of every dashboard is put
//! to it until it has had an answer. A misspelt label is no error to Prometheus, only no series,
//! so an empty answer is a fault here.
//!
//! `scripts/live-dashboards` runs it; a plain `cargo test` does not.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::panels::{self, Window};
use super::prometheus::{Mortal, Prometheus, ask, serve};
use super::{DASHBOARDS, dashboard, yaml};

/// Far more than the run needs on two cores that do something else as well.
const DEADLINE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(2);

/// Metrics that no run without a GPU has; what asks for them is shown to work on this scrape.
const GPU_SCRAPE: &str = include_str!("../fixtures/dashboards/gpu.prom");

/// The annotation that a run without a defect has no series for.
const ONLY_DEFECTS: &str = "Stage restarts";

/// A whole demo, though a short one, and time for a last scrape. Its steps are slow on purpose: a rate
/// needs two scrapes of a run that learns, on the fastest machine too.
const RUN: &str = "demo --out demo --set device=cpu --set train.epochs=3 \
     --set train.steps_per_epoch=40 --set drill.slow_step_ms=300 --metrics-addr 127.0.0.1:0 \
     --metrics-linger 25";

/// Name of that run, the first in its folder.
const DEMO: &str = "unet-demo-001";

/// One question to Prometheus.
struct Question {
    name: String,
    kind: Kind,
    /// What Prometheus said last.
    state: State,
}

enum Kind {
    Instant(String),
    Range(String),
    Variable { selector: String, label: String, expected: &'static str },
}

#[derive(PartialEq)]
enum State {
    Empty,
    Answered,
}

impl Question {
    fn new(name: String, kind: Kind) -> Self {
        Self { name, kind, state: State::Empty }
    }

    /// Whether there is an answer now.
    fn ask(&self, server: &Prometheus, window: Window) -> Result<bool, String> {
        match &self.kind {
            Kind::Instant(text) => server.instant(&window.fill(text)).map(|found| found > 0),
            Kind::Range(text) => {
                let step = window.rate_interval / 4;
                server.range(&window.fill(text), window.range, step).map(|found| found > 0)
            }
            Kind::Variable { selector, label, expected } => {
                let values = server.label_values(selector, label)?;
                Ok(values.iter().any(|value| value == expected || expected.is_empty()))
            }
        }
    }
}

/// Puts what a user would choose into the variables of a dashboard.
pub(crate) fn choose(expression: &str, run: &str) -> String {
    let expression = expression.replace("$job", "gliaflow").replace("$study", ".*");
    expression.replace("$instance", ".+").replace("$run", run)
}

/// Everything that a dashboard asks.
fn questions(name: &str, board: &Value) -> Vec<Question> {
    let mut all = Vec::new();
    for variable in panels::variables(board).unwrap() {
        let panels::Variable { selector, label, .. } = variable;
        let expected = match label.as_str() {
            "job" => "gliaflow",
            "run" => DEMO,
            // Of runs that are steps of a study: `announced` has one.
            "study" => continue,
            _ => "",
        };
        let kind = Kind::Variable { selector: choose(&selector, DEMO), label, expected };
        all.push(Question::new(format!("{name}: ${}", variable.name), kind));
    }
    for target in panels::targets(board) {
        let run = if target.asks_gpu() { "recorded" } else { DEMO };
        let text = choose(&target.expression, run);
        let kind = if target.instant { Kind::Instant(text) } else { Kind::Range(text) };
        let name = format!("{name}: {} / {}, {}", target.row, target.panel, target.reference);
        all.push(Question::new(name, kind));
    }
    for (title, expression) in panels::annotations(board) {
        let mut kind = Kind::Range(choose(&expression, DEMO));
        if title == ONLY_DEFECTS {
            // Not in error is all that can be asked of it: count what may be nothing.
            kind = Kind::Range(format!("count({}) or vector(0)", choose(&expression, DEMO)));
        }
        all.push(Question::new(format!("{name}: annotation {title}"), kind));
    }
    all
}

/// A run under way.
pub(crate) struct Run {
    pub(crate) process: Mortal,
    log: PathBuf,
    pub(crate) address: SocketAddr,
}

/// A line in `folder`. `GLIAFLOW_BIN` names another binary than the one under test.
fn command(folder: &Path, line: &str) -> Command {
    let built = env!("CARGO_BIN_EXE_gliaflow").into();
    let binary = std::env::var_os("GLIAFLOW_BIN").unwrap_or(built);
    let mut command = Command::new(binary);
    command.args(line.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    command
}

impl Run {
    /// A line that serves metrics.
    pub(crate) fn start(folder: &Path, line: &str) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = folder.join(format!("run-{number}.log"));
        let process = command(folder, line)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut process = Mortal(process);
        loop {
            let said = std::fs::read_to_string(&log).unwrap();
            let line =
                said.split_inclusive('\n').find_map(|line| line.strip_prefix("metrics: http://"));
            if let Some(url) = line.and_then(|line| line.strip_suffix("/metrics\n")) {
                return Self { process, log, address: url.parse().unwrap() };
            }
            let ended = process.0.try_wait().unwrap();
            assert!(ended.is_none(), "the run ended at once: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A line that does what it says.
    pub(crate) fn to_end(folder: &Path, line: &str) {
        let output = command(folder, line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
    }

    /// What it has written for people.
    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

/// `promtool check metrics` on a scrape.
fn check_metrics(scrape: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is on the PATH (apt-get install prometheus)");
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), scrape.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "promtool check metrics: {said}");
}

#[test]
#[ignore = "takes minutes and needs prometheus: scripts/live-dashboards"]
fn every_query_has_an_answer_while_the_demo_runs() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let mut run = Run::start(folder.path(), RUN);
    let server = Prometheus::start(folder.path(), [run.address, serve(GPU_SCRAPE)]);
    let boards = DASHBOARDS.map(|name| (name, dashboard(name)));
    let mut asked: Vec<Question> =
        boards.iter().flat_map(|(name, board)| questions(name, board)).collect();
    let interval = interval();
    let (mut times, mut scrape) = (0, String::new());
    while run.process.0.try_wait().unwrap().is_none() {
        let late = started.elapsed() > DEADLINE;
        assert!(!late, "{}", run.said());
        let range = started.elapsed().as_secs().max(1);
        let window = Window { rate_interval: 4 * interval, range };
        for question in asked.iter_mut().filter(|question| question.state == State::Empty) {
            times += 1;
            match question.ask(&server, window) {
                Ok(true) => question.state = State::Answered,
                Ok(false) => {}
                Err(error) => panic!("{}: {error}", question.name),
            }
        }
        if let Ok((200, text)) = ask(run.address, "/metrics") {
            scrape = text;
        }
        std::thread::sleep(LOOK);
    }
    assert!(run.process.0.wait().unwrap().success(), "the run failed: {}", run.said());
    check_metrics(&scrape);
    let (rules, sick) = server.rules().unwrap();
    assert!(rules > 0 && sick.is_empty(), "{rules} rules, of which: {sick:?}");
    let empty = asked.iter().filter(|question| question.state == State::Empty);
    let empty: Vec<&str> = empty.map(|question| question.name.as_str()).collect();
    assert!(empty.is_empty(), "never answered:\n{}", empty.join("\n"));
    println!(
        "{} queries of {} dashboards answered ({times} requests), {rules} rules evaluated, in {} s",
        asked.len(),
        boards.len(),
        started.elapsed().as_secs()
    );
}

/// A small training run at a port of its own.
const TRAIN: &str = "train --device cpu --data data --set data.cache=cache --set crop.patch=[16,16,16] \
     --set model.settings={base_width=2,levels=2} --set loader.memory_mib=64 --set loader.batch=1 \
     --set train.steps_per_epoch=20 --set drill.slow_step_ms=200 --epochs 9";

#[test]
#[ignore = "takes minutes and needs prometheus: scripts/live-dashboards"]
fn a_run_that_is_resumed_has_one_label_and_the_next_run_at_its_port_another() {
    let folder = tempfile::tempdir().unwrap();
    Run::to_end(
        folder.path(),
        "phantom --out data --cases 4 --seed 3 --shape 32 --metrics-addr off",
    );
    let mut first = Run::start(folder.path(), &format!("{TRAIN} --metrics-addr 127.0.0.1:0"));
    let address = first.address;
    let server = Prometheus::start(folder.path(), [address, serve(GPU_SCRAPE)]);
    let stop = |run: &mut Run| {
        let process = run.process.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &process]).status().unwrap().success());
        let ended = run.process.0.wait().unwrap();
        assert_eq!(ended.code(), Some(75), "{}", run.said());
    };
    let seen = || {
        let asked = "count by (run) (count_over_time(train_step{job=\"gliaflow\", run!=\"recorded\"}[15m]))";
        server.values_of("run", asked).unwrap()
    };
    let await_scrapes = |run: &Run, from: usize| {
        let started = Instant::now();
        let asked = "sum(count_over_time(train_step{job=\"gliaflow\", run!=\"recorded\"}[15m]))";
        while server.value(asked).unwrap_or(0.0) < (from + 3) as f64 {
            assert!(started.elapsed() < DEADLINE, "{}", run.said());
            std::thread::sleep(LOOK);
        }
        server.value(asked).unwrap() as usize
    };
    let scraped = await_scrapes(&first, 0);
    stop(&mut first);
    assert_eq!(seen(), ["unet-001"]);
    let resume = format!("train --resume runs/unet-001 --metrics-addr {address}");
    let mut resumed = Run::start(folder.path(), &resume);
    assert_eq!(resumed.address, address);
    let scraped = await_scrapes(&resumed, scraped);
    stop(&mut resumed);
    let mut second = Run::start(folder.path(), &format!("{TRAIN} --metrics-addr {address}"));
    assert_eq!(second.address, address);
    await_scrapes(&second, scraped);
    stop(&mut second);
    assert_eq!(seen(), ["unet-001", "unet-002"], "three processes");
    let told = std::fs::read_to_string(folder.path().join("runs/unet-001/events.jsonl")).unwrap();
    assert!(told.contains("\"event\":\"resumed\""), "the second process went on");
}

/// As shipped, in seconds.
pub(crate) fn interval() -> u64 {
    let config = yaml::parse(&super::text("prometheus/prometheus.yml"));
    let text = panels::string(&config["global"], "scrape_interval");
    text.strip_suffix('s').and_then(|seconds| seconds.parse().ok()).expect("in seconds")
}

#[test]
fn a_run_without_a_gpu_is_asked_everything_but_the_gpus_panels() {
    let name = "training";
    let all = questions(name, &dashboard(name));
    let recorded = |kind: &Kind| match kind {
        Kind::Instant(text) | Kind::Range(text) => text.contains("run=~\"recorded\""),
        Kind::Variable { .. } => false,
    };
    let (gpu, others): (Vec<_>, Vec<_>) = all.iter().partition(|question| recorded(&question.kind));
    let elsewhere = gpu.iter().filter(|question| !question.name.starts_with("training: GPU / "));
    let elsewhere: Vec<&str> = elsewhere.map(|question| question.name.as_str()).collect();
    let beside = "training: Run / GPU at work, trainer waiting";
    assert_eq!(elsewhere, [format!("{beside}, B"), format!("{beside}, C")]);
    assert_eq!(gpu.len(), 10);
    assert!(others.len() > 30, "{}", others.len());
    for question in others {
        let (Kind::Instant(text) | Kind::Range(text)) = &question.kind else { continue };
        assert!(!text.contains("gpu_"), "{text}");
        let unknown =
            ["$job", "$study", "$instance", "$run\""].iter().find(|name| text.contains(**name));
        assert_eq!(unknown, None, "a variable is left: {text}");
    }
}
