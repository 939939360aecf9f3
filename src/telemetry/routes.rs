//! HTTP routes of the endpoint; [`exporter`](super::exporter) serves them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::{Mutex, RwLock};

use super::endpoint::INSTANCE_HEADER;
use super::health::Health;
use super::host_names::HostRule;
use super::recorder::Recorder;
use super::scrapes::{SCRAPE_HEADER, ScrapeClock};
use super::shown_run::ShownRun;

/// Time limit for describing the topology, and for finishing requests at a shutdown.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Age up to which a rendered text is served again, however many ask.
const RENDER_INTERVAL: Duration = Duration::from_secs(1);

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Live page, which refreshes itself from the other paths and needs no other host.
const LIVE_PAGE: &str = include_str!("live.html");
const LIVE_STYLE: &str = include_str!("live.css");
const LIVE_SCRIPT: &str = include_str!("live.js");
const CHART_SCRIPT: &str = include_str!("chart.js");

/// Policy for browsers: nothing but the endpoint's own files runs, is shown or is asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const INDEX: &str = concat!(
    "gliaflow ",
    env!("CARGO_PKG_VERSION"),
    "\n\n/          in a browser: the run, live\n/metrics   for Prometheus\n/healthz   200 when all is well, 503 with the reason\n\
     /topology  actors, queues and clocks as JSON\n/history   curves of the run from its start as JSON\n"
);

/// Describes the running actors. Called on a thread of its own for every `/topology`.
pub type DescribeTopology = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// State that the handlers share; clones are the same state.
#[derive(Clone)]
pub(super) struct EndpointState {
    pub(super) recorder: Recorder,
    pub(super) run: ShownRun,
    pub(super) health: Health,
    pub(super) scrapes: ScrapeClock,
    topology: Arc<RwLock<Option<DescribeTopology>>>,
    instance: Option<HeaderValue>,
    hosts: HostRule,
    rendered: Arc<Mutex<Option<RenderedText>>>,
}

/// Text of the metrics, and when it was rendered.
struct RenderedText {
    at: Instant,
    text: Bytes,
}

impl EndpointState {
    /// Makes the state of an endpoint that is healthy and has no topology yet.
    pub(super) fn new(recorder: Recorder) -> Self {
        Self {
            run: ShownRun::new(recorder.clone()),
            recorder,
            health: Health::default(),
            scrapes: ScrapeClock::default(),
            topology: Arc::default(),
            instance: None,
            hosts: HostRule::Any,
            rendered: Arc::default(),
        }
    }

    /// Sets the instance that every answer names, and the hosts that a request may name.
    pub(super) fn with_identity(self, instance: &str, hosts: HostRule) -> Self {
        Self { instance: HeaderValue::from_str(instance).ok(), hosts, ..self }
    }

    /// Renders the metrics, or takes the text of a moment ago.
    fn render_at_most_once_a_second(&self) -> Bytes {
        let mut last = self.rendered.lock();
        if let Some(RenderedText { at, text }) = last.as_ref()
            && at.elapsed() < RENDER_INTERVAL
        {
            return text.clone();
        }
        let text = Bytes::from(self.recorder.render());
        *last = Some(RenderedText { at: Instant::now(), text: text.clone() });
        text
    }

    pub(super) fn show_topology(&self, topology: DescribeTopology) {
        let mut shown = self.topology.write();
        *shown = Some(topology);
    }
}

pub(super) fn router(state: EndpointState) -> Router {
    let not_found = async || {
        let text = format!("nothing here\n\n{INDEX}");
        (StatusCode::NOT_FOUND, [(CONTENT_TYPE, PLAIN_TEXT)], text)
    };
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/topology", get(topology))
        .route("/history", get(history))
        .route("/live.css", get(([(CONTENT_TYPE, CSS)], LIVE_STYLE)))
        .route("/live.js", get(([(CONTENT_TYPE, JAVASCRIPT)], LIVE_SCRIPT)))
        .route("/chart.js", get(([(CONTENT_TYPE, JAVASCRIPT)], CHART_SCRIPT)))
        .fallback(not_found)
        .layer(from_fn_with_state(state.clone(), check_host))
        .layer(map_response_with_state(state.clone(), add_headers))
        .with_state(state)
}

/// Refuses a request that names a host which is not this machine's. One without any is no browser's.
async fn check_host(State(state): State<EndpointState>, request: Request, next: Next) -> Response {
    let mut named = request.headers().get_all(HOST).iter();
    if named.all(|host| host.to_str().is_ok_and(|host| state.hosts.allows(host))) {
        return next.run(request).await;
    }
    let text = "this endpoint answers on this machine's loopback, under its names only; to ask it \
                under another one, start the run with --metrics-host NAME\n";
    (StatusCode::FORBIDDEN, [(CONTENT_TYPE, PLAIN_TEXT)], text).into_response()
}

/// Adds the header that says which endpoint answers, and those for browsers.
async fn add_headers(State(state): State<EndpointState>, mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    if let Some(instance) = state.instance {
        headers.insert(INSTANCE_HEADER, instance);
    }
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Answers a browser with the page, and any other client with the list of paths.
async fn index(headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return ([(CONTENT_TYPE, HTML)], LIVE_PAGE).into_response();
    }
    ([(CONTENT_TYPE, PLAIN_TEXT)], INDEX).into_response()
}

async fn metrics(State(state): State<EndpointState>, headers: HeaderMap) -> Response {
    if headers.contains_key(SCRAPE_HEADER) {
        state.scrapes.record_scrape(Instant::now());
    }
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], state.render_at_most_once_a_second()).into_response()
}

async fn healthz(State(state): State<EndpointState>) -> Response {
    let (status, text) = match state.health.unhealthy_reason() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    };
    (status, [(CONTENT_TYPE, PLAIN_TEXT)], text).into_response()
}

async fn topology(State(state): State<EndpointState>) -> Response {
    let shown = state.topology.read().clone();
    let Some(describe) = shown else {
        return ([(CONTENT_TYPE, JSON)], "null").into_response();
    };
    // It may wait for a lock that a stuck actor holds, and this thread serves everyone.
    answer_in_time(move || Some(describe().to_string()), "topology", "an actor may be stuck").await
}

async fn history(State(state): State<EndpointState>) -> Response {
    // A journal of weeks takes its time the first time.
    let describe = move || state.run.describe().map(|described| described.to_string());
    answer_in_time(describe, "history", "it is being read; ask again").await
}

/// Answers with the JSON that `describe` makes on a thread of its own, if it does within the limit.
async fn answer_in_time(
    describe: impl FnOnce() -> Option<String> + Send + 'static,
    subject: &str,
    reason: &str,
) -> Response {
    let mut answer = tokio::task::spawn_blocking(describe);
    let (status, text) = match tokio::time::timeout(REQUEST_TIMEOUT, &mut answer).await {
        Ok(Ok(Some(json))) => return ([(CONTENT_TYPE, JSON)], json).into_response(),
        Ok(Err(_panic)) => (StatusCode::INTERNAL_SERVER_ERROR, "panicked; see the log".to_owned()),
        late_or_busy => {
            if late_or_busy.is_err() {
                answer.abort();
            }
            (StatusCode::SERVICE_UNAVAILABLE, format!("did not answer in time; {reason}"))
        }
    };
    (status, [(CONTENT_TYPE, PLAIN_TEXT)], format!("the {subject} {text}\n")).into_response()
}
