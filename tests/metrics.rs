//! The endpoint, asked over HTTP as Prometheus asks it, and the catalogue behind it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gliaflow::internals::base::Reason;
use gliaflow::internals::telemetry::catalog::{self, CATALOGUE, RunState};
use gliaflow::internals::telemetry::{Exporter, MetricKind, MetricsAddress, Recorder};

mod catalogue;
mod clients;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DEADLINE: Duration = Duration::from_secs(20);
const STAGES: [&str; 2] = ["fetch", "crop"];

/// An answer of the endpoint.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// One request on one connection, in plain HTTP/1.1.
fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    ask_with(address, method, path, "")
}

/// The same with more header lines, each with its end.
fn ask_with(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path)
}

/// One scrape as Prometheus does it.
#[cfg(feature = "train")]
pub(crate) fn scrape_as_prometheus(address: SocketAddr) -> Answer {
    ask_with(address, "GET", "/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 10\r\n")
}

/// The metrics as they are now: a text is served again for a second.
pub(crate) fn get_fresh(address: SocketAddr) -> Answer {
    thread::sleep(Duration::from_millis(1050));
    get(address, "/metrics")
}

/// An endpoint of its own, with everything registered that a run registers.
fn endpoint(run: &str) -> (Exporter, Recorder, SocketAddr) {
    let recorder = Recorder::new(run);
    recorder.within(|| catalog::register_run_series(&STAGES, &["train", "validation"]));
    let exporter = Exporter::serve(ANY_PORT, &[], recorder.clone());
    let address = exporter.address().expect("a free port on loopback");
    (exporter, recorder, address)
}

/// The lines of samples of one metric: those whose name ends where the labels or the value start.
pub(crate) fn series<'a>(scrape: &'a str, name: &str) -> Vec<&'a str> {
    let is_sample =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    scrape.lines().filter(is_sample).collect()
}

pub(crate) fn value(line: &str) -> f64 {
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn every_catalogued_metric_is_scraped_under_its_help_and_type_in_order() {
    let (_exporter, _recorder, address) = endpoint("scrape");
    let answer = get(address, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let mut rest = answer.body.as_str();
    for metric in CATALOGUE {
        let (name, kind) = (metric.name, metric.kind.name());
        let head = format!("# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help);
        let Some(at) = rest.find(&head) else { panic!("missing or out of order: {head}") };
        rest = &rest[at + head.len()..];
    }
}

#[test]
fn counters_and_histograms_start_at_zero_and_gauges_are_absent_until_they_are_known() {
    let (_exporter, recorder, address) = endpoint("zero");
    let scrape = get(address, "/metrics").body;
    for metric in CATALOGUE.iter().filter(|metric| !metric.name.starts_with("process_")) {
        let suffix = if metric.kind == MetricKind::Histogram { "_count" } else { "" };
        let lines = series(&scrape, &format!("{}{suffix}", metric.name));
        assert_eq!(
            lines.is_empty(),
            metric.kind == MetricKind::Gauge,
            "{}: {lines:?}",
            metric.name
        );
        assert!(lines.iter().all(|line| value(line) == 0.0), "{lines:?}");
    }
    let outcomes = (1 + Reason::ALL.len()) * 2;
    assert_eq!(series(&scrape, "loader_samples_total").len(), outcomes);

    recorder.within(|| {
        catalog::skipped_samples("train", Reason::Checksum).increment(2);
        catalog::TRAIN_DICE.with_labels(["validation", "ET"]).set(0.5);
    });
    let scrape = get_fresh(address).body;
    let skipped: Vec<&str> = series(&scrape, "loader_samples_total")
        .into_iter()
        .filter(|line| line.contains(r#"reason="checksum""#) && line.contains(r#"split="train""#))
        .collect();
    assert_eq!(skipped.len(), 1);
    assert_eq!(value(skipped[0]), 2.0);
    assert_eq!(series(&scrape, "train_dice_ratio").len(), 1);
}

#[test]
fn histograms_have_their_buckets_and_count_into_them() {
    let (_exporter, recorder, address) = endpoint("buckets");
    recorder.within(|| catalog::TRAIN_STEP_TIME.with_labels([]).record(0.3));
    let scrape = get(address, "/metrics").body;
    for metric in CATALOGUE.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
        let bounds: BTreeSet<String> = series(&scrape, &format!("{}_bucket", metric.name))
            .iter()
            .map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap().to_owned())
            .collect();
        let finite = metric.buckets.iter().map(f64::to_string);
        let expected: BTreeSet<String> = finite.chain(["+Inf".to_owned()]).collect();
        assert_eq!(bounds, expected, "{}", metric.name);
    }
    let counts: Vec<f64> =
        series(&scrape, "train_step_seconds_bucket").into_iter().map(value).collect();
    let below = catalog::STEP_BUCKETS.iter().filter(|bound| **bound < 0.3).count();
    assert_eq!(counts.iter().filter(|count| **count == 0.0).count(), below);
    assert_eq!(counts.len() - below, counts.iter().filter(|count| **count == 1.0).count());
}

#[test]
fn every_series_carries_the_run_and_valid_label_keys() {
    let (_exporter, recorder, address) = endpoint("labelled");
    recorder.within(|| {
        RunState::Training.publish_state();
        RunState::Validating.publish_state();
    });
    let scrape = get(address, "/metrics").body;
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let (_, labels) = line.split_once('{').unwrap_or_else(|| panic!("no labels: {line}"));
        let (labels, _) = labels.rsplit_once('}').unwrap();
        let keys: Vec<&str> =
            labels.split("\",").map(|pair| pair.split_once("=\"").unwrap().0).collect();
        assert!(keys.contains(&"run"), "{line}");
        assert!(keys.iter().all(|key| is_snake_case(key)), "{line}");
    }
    let states = series(&scrape, "train_run_state");
    assert_eq!(states.len(), RunState::ALL.len());
    let current: Vec<_> = states.into_iter().filter(|line| value(line) == 1.0).collect();
    assert!(current.len() == 1 && current[0].contains(r#"state="validating""#), "{current:?}");
}

fn is_snake_case(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn health_turns_to_503_with_the_reason_and_back() {
    let (exporter, _recorder, address) = endpoint("health");
    let answer = get(address, "/healthz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    exporter.health().report_problem("watchdog", "nothing moved for 60 s");
    let answer = get(address, "/healthz");
    assert_eq!((answer.status, answer.body.as_str()), (503, "watchdog: nothing moved for 60 s\n"));
    exporter.health().clear_problem("watchdog");
    assert_eq!(get(address, "/healthz").status, 200);
}

#[test]
fn a_port_in_use_moves_the_endpoint_to_the_next_free_one() {
    // Ports come and go while other tests run, so look for one that leaves room above it.
    let (first, _recorder, taken) = endpoint("first");
    let second = Exporter::serve(taken, &[], Recorder::new("second"));
    let address = second.address().expect("one of the ports above is free");
    assert!(address.port() > taken.port() && address.port() < taken.port() + 20, "{address}");
    assert!(get(address, "/metrics").body.contains(r#"run="second""#));
    assert!(get(taken, "/metrics").body.contains(r#"run="first""#));
    drop(first);
}

#[test]
fn an_address_that_is_not_ours_is_a_warning_and_no_endpoint() {
    // 192.0.2.0/24 is for documentation (RFC 5737); no interface has it.
    let exporter =
        Exporter::serve("192.0.2.1:9184".parse().unwrap(), &[], Recorder::new("nowhere"));
    assert_eq!(exporter.address(), None);
}

#[test]
fn concurrent_scrapes_all_get_a_whole_answer() {
    let (_exporter, recorder, address) = endpoint("crowd");
    let counter = recorder.within(|| catalog::LOADER_BATCHES.with_labels(["train"]));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut last = 0.0;
                for _ in 0..10 {
                    counter.increment(1);
                    let answer = get(address, "/metrics");
                    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
                    assert_eq!((answer.status, answer.body.len()), (200, length));
                    let batches = series(&answer.body, "loader_batches_total");
                    let train = batches.iter().find(|line| line.contains("train")).unwrap();
                    assert!(value(train) >= last, "went back from {last}: {train}");
                    last = value(train);
                }
            });
        }
    });
}

#[test]
fn heads_have_no_body_and_strangers_are_shown_the_way() {
    let (_exporter, _recorder, address) = endpoint("manners");
    for path in ["/", "/metrics", "/healthz", "/topology"] {
        let answer = ask(address, "HEAD", path);
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
    }
    let lost = get(address, "/metricz");
    assert_eq!(lost.status, 404);
    assert!(lost.body.contains("/metrics"));
    assert_eq!(ask(address, "POST", "/metrics").status, 405);
    let index = get(address, "/").body;
    assert!(["/metrics", "/healthz", "/topology"].iter().all(|path| index.contains(path)));
}

#[test]
fn a_topology_that_hangs_or_panics_takes_nothing_else_down() {
    let (exporter, _recorder, address) = endpoint("topology");
    assert_eq!(get(address, "/topology").body, "null");

    exporter.show_topology(Arc::new(|| serde_json::json!({ "actors": ["plan", "crop"] })));
    let answer = get(address, "/topology");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let shown: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(shown["actors"][1], "crop");

    let stuck = Arc::new(Mutex::new(()));
    let held = stuck.lock().unwrap();
    let waiting = Arc::clone(&stuck);
    exporter.show_topology(Arc::new(move || {
        drop(waiting.lock());
        serde_json::Value::Null
    }));
    thread::scope(|scope| {
        let asked: Vec<_> =
            (0..4).map(|_| scope.spawn(|| get(address, "/topology").status)).collect();
        assert_eq!(get(address, "/metrics").status, 200);
        assert_eq!(get(address, "/healthz").status, 200);
        assert!(asked.into_iter().all(|answer| answer.join().unwrap() == 503));
    });
    drop(held);

    exporter.show_topology(Arc::new(|| panic!("an actor's lock is poisoned (wanted by the test)")));
    assert_eq!(get(address, "/topology").status, 500);
    assert_eq!(get(address, "/metrics").status, 200);
}

#[test]
fn dropping_the_exporter_frees_the_port_even_with_a_client_that_does_not_read() {
    let (exporter, _recorder, address) = endpoint("gone");
    let mut idle = TcpStream::connect(address).unwrap();
    idle.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let closed = thread::spawn(move || drop(exporter));
    let end = Instant::now() + DEADLINE;
    while !closed.is_finished() {
        assert!(Instant::now() < end, "the endpoint waits for ever for a client");
        thread::sleep(Duration::from_millis(5));
    }
    TcpListener::bind(address).expect("the port is free again");
}

#[test]
fn the_recorder_of_the_process_is_installed_once_and_shared() {
    let first = Exporter::start(MetricsAddress::At(ANY_PORT), &[], "process");
    let second = Exporter::start(MetricsAddress::At(ANY_PORT), &[], "too late");
    thread::spawn(|| catalog::TRAIN_LEARNING_RATE.with_labels([]).set(0.25)).join().unwrap();
    for exporter in [first, second] {
        let scrape = get(exporter.address().unwrap(), "/metrics").body;
        let rate = series(&scrape, "train_learning_rate");
        assert_eq!(rate, [r#"train_learning_rate{run="process"} 0.25"#]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_is_measured_at_every_scrape() {
    let (_exporter, _recorder, address) = endpoint("process");
    let scrape = get(address, "/metrics").body;
    for metric in CATALOGUE.iter().filter(|metric| metric.name.starts_with("process_")) {
        let lines = series(&scrape, metric.name);
        assert_eq!(lines.len(), 1, "{}", metric.name);
        let may_be_zero = metric.name == "process_cpu_seconds_total";
        assert!(value(lines[0]) > 0.0 || may_be_zero, "{lines:?}");
    }
    let threads = value(series(&scrape, "process_threads")[0]);
    assert!(threads >= 2.0, "the endpoint has a thread of its own: {threads}");
    let started = value(series(&scrape, "process_start_time_seconds")[0]);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!(started <= now + 1.0 && started > now - 24.0 * 3600.0, "{started} and now {now}");
}

#[test]
#[ignore = "needs promtool: scripts/live-dashboards"]
fn promtool_finds_nothing_to_complain_about() {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is on the PATH (apt-get install prometheus)");
    let (_exporter, _recorder, address) = endpoint("promtool");
    let scrape = get(address, "/metrics").body;
    promtool.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
