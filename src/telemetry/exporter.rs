//! The endpoint: `/metrics`, `/healthz`, `/topology`, `/history` and a live page over HTTP, on a thread and a
//! runtime of its own, so that it answers when the trainer does not. Started by the command line
//! only.
//!
//! A run never fails because of it. Where no port is free, that is a warning, and the [`Exporter`]
//! has no address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::connections::LimitedListener;
use super::endpoint::Endpoint;
use super::health::Health;
use super::host_names::HostRule;
use super::recorder::Recorder;
pub use super::routes::DescribeTopology;
use super::routes::{self, EndpointState, REQUEST_TIMEOUT};
use super::shown_run::ShownRun;
use crate::base::spawn_named;

/// Port in Prometheus' range for exporters (9100 to 9999), where people look for metrics. The list
/// has been full for years, so any would do.
const DEFAULT_PORT: u16 = 9184;

/// Number of ports that are tried, upwards from the one asked for.
const PORTS_TO_TRY: u16 = 20;

/// Interval at which observations are moved into their buckets, scraped or not.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Interval at which a lingering endpoint checks for an interrupt.
const LINGER_STEP: Duration = Duration::from_millis(50);

/// Address of the endpoint: `off`, or one such as `127.0.0.1:9184`. Port 0 takes any.
#[derive(derive_more::Display, Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAddress {
    /// No endpoint.
    #[display("off")]
    Off,
    /// Address to listen on, or the next free port after it.
    At(SocketAddr),
}

impl Default for MetricsAddress {
    fn default() -> Self {
        Self::At(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)))
    }
}

impl MetricsAddress {
    /// Ports at which an endpoint that is asked for here may be; none where any will do.
    pub fn candidate_ports(self) -> impl Iterator<Item = u16> {
        let first = match self {
            Self::At(address) if address.port() != 0 => Some(address.port()),
            _ => None,
        };
        first.into_iter().flat_map(|port| port..port.saturating_add(PORTS_TO_TRY))
    }
}

/// Error of text that is not a [`MetricsAddress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address for metrics; write one such as 127.0.0.1:{DEFAULT_PORT}, or off")]
pub struct InvalidMetricsAddress(String);

impl std::str::FromStr for MetricsAddress {
    type Err = InvalidMetricsAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| InvalidMetricsAddress(text.to_owned()))
    }
}

/// Running endpoint, closed when dropped.
pub struct Exporter {
    endpoint: Endpoint,
    state: EndpointState,
    server: Option<ServerThread>,
}

/// Thread of the endpoint, and the sender whose drop ends it.
struct ServerThread {
    open: watch::Sender<()>,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Installs the recorder of the process, with `run` as a label of every series, and serves it.
    ///
    /// With [`MetricsAddress::Off`] nothing is installed, and recording costs nothing. On loopback it
    /// answers to requests for this machine's loopback names and for `hosts`.
    pub fn start(address: MetricsAddress, hosts: &[String], run: &str) -> Self {
        match address {
            MetricsAddress::Off => Self::without_server(Recorder::new(run)),
            MetricsAddress::At(address) => {
                Self::serve(address, hosts, Recorder::install_global(run))
            }
        }
    }

    /// Serves a recorder at `address` or the next free port, as [`Self::start`] does.
    pub fn serve(address: SocketAddr, hosts: &[String], recorder: Recorder) -> Self {
        let mut exporter = Self::without_server(recorder);
        match exporter.start_server(address, hosts) {
            Ok(()) => {}
            Err(error) => tracing::warn!(
                "no metrics: cannot listen on {address} or the {} ports after it: {error}; choose \
                 another with --metrics-addr",
                PORTS_TO_TRY - 1
            ),
        }
        exporter
    }

    fn without_server(recorder: Recorder) -> Self {
        Self {
            endpoint: Endpoint::of_this_process(),
            state: EndpointState::new(recorder),
            server: None,
        }
    }

    fn start_server(&mut self, wanted: SocketAddr, hosts: &[String]) -> io::Result<()> {
        let listener = bind_first_free(wanted)?;
        let bound = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // One each for /topology and /history, and one more while a stuck one is given up.
            .max_blocking_threads(3)
            .thread_name("metrics-topology")
            .build()?;
        let (open, closed) = watch::channel(());
        let rule = HostRule::of_address(bound, hosts);
        if rule == HostRule::Any {
            tracing::warn!(
                "metrics at {bound} are open to every machine that reaches this one, and to web pages \
                 opened there: there is no login; listen on {} where only this one is to read them",
                Ipv4Addr::LOCALHOST
            );
        }
        let state = self.state.clone().with_identity(&self.endpoint.instance, rule);
        let serve = move || run_server(runtime, listener, state, closed);
        let thread = spawn_named("metrics", serve).map_err(io::Error::other)?;
        if wanted.port() != 0 && wanted.port() != bound.port() {
            tracing::warn!(
                "port {} is in use: metrics are at http://{bound}/metrics instead; choose a port \
                 with --metrics-addr",
                wanted.port()
            );
        }
        self.endpoint.address = Some(bound);
        self.server = Some(ServerThread { open, thread });
        Ok(())
    }

    /// Listening address; `None` when metrics are off or no port was free.
    pub const fn address(&self) -> Option<SocketAddr> {
        self.endpoint.address
    }

    /// Endpoint as written to a run's folder.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Health that `/healthz` answers from; clones share it.
    pub fn health(&self) -> Health {
        self.state.health.clone()
    }

    /// Run that the endpoint shows; clones share it.
    pub fn shown_run(&self) -> ShownRun {
        self.state.run.clone()
    }

    /// Sets the topology that `/topology` shows. Before the first call it is `null`.
    pub fn show_topology(&self, topology: DescribeTopology) {
        self.state.show_topology(topology);
    }

    /// Keeps serving for `patience`, or until `interrupted`: the last scrape gets the last values.
    pub fn linger(self, patience: Duration, interrupted: impl Fn() -> bool) {
        let Some(address) = self.address() else { return };
        tracing::info!("metrics stay at http://{address}/metrics for {} s", patience.as_secs());
        let end = Instant::now() + patience;
        while !interrupted() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LINGER_STEP));
        }
    }

    /// Keeps serving until a Prometheus that scrapes this endpoint has had the last values, for at
    /// most two of its intervals and half a minute, or until `interrupted`; not at all if there is
    /// none.
    pub fn linger_for_scrape(self, interrupted: impl Fn() -> bool) {
        let scrapes = self.state.scrapes.clone();
        let Some(stay) = scrapes.plan_stay(Instant::now()) else { return };
        tracing::info!("metrics stay until the next scrape");
        while !interrupted() && !scrapes.is_over(stay, Instant::now()) {
            thread::sleep(LINGER_STEP);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let Some(ServerThread { open, thread }) = self.server.take() else { return };
        drop(open);
        if thread.join().is_err() {
            tracing::warn!("the metrics endpoint panicked; the run is not affected");
        }
    }
}

/// Binds the port asked for, or the first free one after it.
fn bind_first_free(wanted: SocketAddr) -> io::Result<TcpListener> {
    let last = wanted.port().saturating_add(PORTS_TO_TRY - 1);
    for port in wanted.port()..last {
        match TcpListener::bind(SocketAddr::new(wanted.ip(), port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound_or_hopeless => return bound_or_hopeless,
        }
    }
    TcpListener::bind(SocketAddr::new(wanted.ip(), last))
}

/// Runs the endpoint's thread until `closed`.
fn run_server(
    runtime: Runtime,
    listener: TcpListener,
    state: EndpointState,
    mut closed: watch::Receiver<()>,
) {
    let outcome: io::Result<()> = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let listener = LimitedListener::new(listener, state.recorder.clone());
        tokio::spawn(run_upkeep_regularly(state.recorder.clone()));
        let mut closing = closed.clone();
        // The sender never sends: an end of waiting is the sender's end.
        let until_closed = async move { drop(closing.changed().await) };
        let server =
            axum::serve(listener, routes::router(state)).with_graceful_shutdown(until_closed);
        let serving = tokio::spawn(server.into_future());
        drop(closed.changed().await);
        // A client that does not read its answer must not hold up the end of the run.
        drop(tokio::time::timeout(REQUEST_TIMEOUT, serving).await);
        Ok(())
    });
    if let Err(error) = outcome {
        tracing::warn!("no metrics: {error}");
    }
    runtime.shutdown_background();
}

async fn run_upkeep_regularly(recorder: Recorder) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        recorder.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn addresses_are_off_or_a_socket_and_anything_else_is_explained() {
        assert_eq!("off".parse(), Ok(MetricsAddress::Off));
        let default = MetricsAddress::default();
        assert_eq!(default.to_string(), "127.0.0.1:9184");
        assert_eq!(default.to_string().parse(), Ok(default));
        assert_eq!("[::1]:9".parse::<MetricsAddress>().unwrap().to_string(), "[::1]:9");
        let error = "9184".parse::<MetricsAddress>().unwrap_err();
        assert!(error.to_string().contains("`9184`") && error.to_string().contains("or off"));
    }

    #[test]
    fn an_endpoint_that_is_off_has_no_address_and_takes_everything_else_in_silence() {
        let exporter = Exporter::start(MetricsAddress::Off, &[], "quiet");
        exporter.show_topology(Arc::new(|| serde_json::json!([])));
        exporter.health().report_problem("watchdog", "stuck");
        assert_eq!(exporter.address(), None);
        exporter.linger(Duration::from_secs(3600), || false);
    }
}
