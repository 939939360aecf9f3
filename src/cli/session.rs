//! Session of a long verb: the life-cycle runtime, signals, the metrics endpoint.
//!
//! The main thread is the trainer's, never tokio's; the runtime has a thread of its own and only
//! waits.

#[cfg(feature = "train")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::actor::StopLatch;
use crate::base::{Fault, fs};
use crate::cli::console::Console;
#[cfg(feature = "train")]
use crate::cli::run_label::choose_run_label;
use crate::pipeline::observe::{self, TopologyRegistry};
use crate::run::{Failure, LifecycleRuntime, Session};
#[cfg(feature = "train")]
use crate::telemetry::catalog::RunState;
use crate::telemetry::gpu::{self, Nvml};
use crate::telemetry::{Announcement, Exporter, MetricsAddress, catalog, health};
use crate::volume::Split;

/// Time that a second Ctrl-C waits for threads before the process ends without them.
const GRACE: Duration = Duration::from_secs(2);
const ABORTED: i32 = 130;

/// Options of every long verb.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SessionOptions {
    /// Address to serve /metrics at: an address, a port of this machine, or off.
    #[arg(long, value_name = "ADDR|off", default_value_t)]
    metrics_addr: MetricsAddress,

    /// Answer to this host name too, where the address is on loopback: a name under which containers or a
    /// proxy reach this machine. May be given several times.
    #[arg(long, value_name = "NAME")]
    metrics_host: Vec<String>,

    /// Keep /metrics up for so many seconds after the end, for a last scrape.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    metrics_linger: u64,

    /// Folder in which Prometheus finds the address of /metrics while the run goes on (file_sd); one for all
    /// machines that share a disk.
    #[arg(long, value_name = "DIR")]
    announce: Option<PathBuf>,
}

/// A session under way; dropping it ends its threads.
pub(super) struct ActiveSession {
    session: Session,
    exporter: Exporter,
    announcement: Option<Announcement>,
    linger: Duration,
    signals: Arc<SignalCounter>,
    _runtime: LifecycleRuntime,
}

impl ActiveSession {
    /// Starts a session for the run in `folder`, which may not be there yet, under the run's name.
    #[cfg(feature = "train")]
    pub(super) fn start_for_run(
        options: &SessionOptions,
        folder: &Path,
        console: &Console,
    ) -> Result<Self, Fault> {
        Self::start(options, &choose_run_label(folder, options.metrics_addr), console)
    }

    /// Starts a session for a step, or all steps, of the study of that name.
    #[cfg(feature = "train")]
    pub(super) fn start_for_study(
        options: &SessionOptions,
        run: &str,
        study: &str,
        console: &Console,
    ) -> Result<Self, Fault> {
        Self::start_announced(options, run, Some(study), console)
    }

    /// Starts a session; `run` labels the metrics.
    pub(super) fn start(
        options: &SessionOptions,
        run: &str,
        console: &Console,
    ) -> Result<Self, Fault> {
        Self::start_announced(options, run, None, console)
    }

    /// Starts the runtime, the signal handlers and the endpoint, and has Prometheus know of it.
    fn start_announced(
        options: &SessionOptions,
        run: &str,
        study: Option<&str>,
        console: &Console,
    ) -> Result<Self, Fault> {
        let exporter = Exporter::start(options.metrics_addr, &options.metrics_host, run);
        if let Some(address) = exporter.address() {
            console.print_status(&format!("metrics: http://{address}/metrics"));
        }
        catalog::WATCHERS.iter().for_each(|watcher| exporter.health().clear_problem(watcher));
        let stop = StopLatch::new();
        let board = TopologyRegistry::reporting_to(exporter.health());
        let lifecycle = LifecycleRuntime::start()?;
        let runtime = lifecycle.tokio_handle().clone();
        let signals = catch_signals(&runtime, &stop)?;
        observe::publish_regularly(&runtime, board.clone());
        if exporter.address().is_some() {
            gpu::publish_regularly(&runtime, exporter.shown_run().gpus().clone(), Nvml::open);
        }
        let shown = board.clone();
        exporter.show_topology(Arc::new(move || shown.to_json()));
        let endpoint = exporter.endpoint().clone();
        let shown_run = exporter.shown_run();
        let progress = console.progress_display();
        let event_observer = None;
        let session =
            Session { runtime, stop, progress, board, endpoint, shown_run, event_observer };
        let announcement = options
            .announce
            .as_ref()
            .and_then(|folder| Announcement::start(folder, exporter.endpoint(), run, study));
        let linger = Duration::from_secs(options.metrics_linger);
        Ok(Self { session, exporter, announcement, linger, signals, _runtime: lifecycle })
    }

    /// Registers the metrics of these topologies and splits at 0, before they run.
    pub(super) fn register_metrics(self, topologies: &[&[&str]], splits: &[Split]) -> Self {
        let splits: Vec<&str> = splits.iter().map(|split| split.name()).collect();
        catalog::register_run_series(&topologies.concat(), &splits);
        self
    }

    /// Runs the verb's work, then keeps the endpoint up for `--metrics-linger`, after an error too;
    /// after a stop until the last state has been scraped. A further signal ends it at once.
    pub(super) fn run_verb<T>(
        self,
        work: impl FnOnce(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let outcome = work(&self.session);
        let Self { exporter, announcement, linger, signals, .. } = self;
        if let Err(failure) = &outcome
            && !matches!(failure, Failure::Stopped(_) | Failure::Aborted)
        {
            exporter.health().report_problem(health::RUN, failure.to_string());
        }
        let received = signals.end_work();
        let interrupted = || signals.received() > received;
        match &outcome {
            Err(Failure::Stopped(_)) => exporter.linger_for_scrape(interrupted),
            Err(Failure::Aborted) => {}
            _ if linger.is_zero() || received > 0 => {}
            _ => exporter.linger(linger, interrupted),
        }
        drop(announcement);
        outcome
    }

    /// Runs work with a network, and publishes its state.
    #[cfg(feature = "train")]
    pub(super) fn run_network_verb<T>(
        self,
        work: impl FnOnce(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.run_verb(|session| {
            RunState::Starting.publish_state();
            let outcome = work(session);
            match &outcome {
                Ok(_) => RunState::Finished.publish_state(),
                Err(Failure::Stopped(_) | Failure::Aborted) => RunState::Stopped.publish_state(),
                Err(_) => RunState::Failed.publish_state(),
            }
            outcome
        })
    }
}

/// Counts of the signals received so far.
#[derive(Debug, Default)]
struct SignalCounter {
    all: AtomicU32,
    interrupts: AtomicU32,
    work_has_ended: AtomicBool,
}

impl SignalCounter {
    fn received(&self) -> u32 {
        self.all.load(Ordering::Relaxed)
    }

    /// Notes that there is no work left to abort, and returns the number of signals so far.
    fn end_work(&self) -> u32 {
        self.work_has_ended.store(true, Ordering::Relaxed);
        self.received()
    }

    /// Counts a signal; true for a second interrupt of the work.
    fn record_signal(&self, kind: SignalKind) -> bool {
        self.all.fetch_add(1, Ordering::Relaxed);
        kind == SignalKind::interrupt()
            && self.interrupts.fetch_add(1, Ordering::Relaxed) > 0
            && !self.work_has_ended.load(Ordering::Relaxed)
    }
}

/// True if whoever started this process had it ignore SIGHUP, as `nohup` does.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// Installs signal handlers: a Ctrl-C (or SIGTERM, SIGUSR1, SIGHUP) drains, a second Ctrl-C aborts.
fn catch_signals(
    runtime: &tokio::runtime::Handle,
    stop: &StopLatch,
) -> Result<Arc<SignalCounter>, Fault> {
    let _inside = runtime.enter();
    let signals = Arc::new(SignalCounter::default());
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::user_defined1()];
    let hangup = (!ignores_hangup()).then(SignalKind::hangup);
    for kind in kinds.into_iter().chain(hangup) {
        let mut arrivals = signal(kind).map_err(|error| Fault::Environment {
            subject: "signals".into(),
            problem: error.to_string(),
            remedy: "check the limits on open files".into(),
        })?;
        let stop = stop.clone();
        let signals = Arc::clone(&signals);
        runtime.spawn(async move {
            while arrivals.recv().await.is_some() {
                if signals.record_signal(kind) {
                    stop.abort(None);
                    tokio::time::sleep(GRACE).await;
                    std::process::exit(ABORTED);
                }
                if !signals.work_has_ended.load(Ordering::Relaxed) {
                    tracing::warn!("stopping after the step under way; Ctrl-C again stops at once");
                }
                stop.drain();
            }
        });
    }
    Ok(signals)
}
