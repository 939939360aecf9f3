//! HTTP routes of the endpoint; [`exporter`](super::exporter) serves them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::RwLock;

use super::endpoint::INSTANCE_HEADER;
use super::health::Health;
use super::recorder::Recorder;

/// Time limit for describing the topology, and for finishing requests at a shutdown.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// Live page, which refreshes itself from the other paths and needs no other host.
const LIVE: &str = include_str!("live.html");

const INDEX: &str = concat!(
    "gliaflow ",
    env!("CARGO_PKG_VERSION"),
    "\n\n/          in a browser: the run, live\n/metrics   for Prometheus\n/healthz   200 when all is well, 503 with the reason\n\
     /topology  actors, queues and clocks as JSON\n"
);

/// Describes the running actors. Called on a thread of its own for every `/topology`.
pub type DescribeTopology = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// State that the handlers share; clones are the same state.
#[derive(Clone)]
pub(super) struct EndpointState {
    pub(super) recorder: Recorder,
    pub(super) health: Health,
    topology: Arc<RwLock<Option<DescribeTopology>>>,
    instance: Option<HeaderValue>,
}

impl EndpointState {
    /// Makes the state of an endpoint that is healthy and has no topology yet.
    pub(super) fn new(recorder: Recorder) -> Self {
        Self { recorder, health: Health::default(), topology: Arc::default(), instance: None }
    }

    /// Sets the instance that every answer names.
    pub(super) fn with_instance(self, instance: &str) -> Self {
        Self { instance: HeaderValue::from_str(instance).ok(), ..self }
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
        .fallback(not_found)
        .layer(map_response_with_state(state.clone(), add_instance_header))
        .with_state(state)
}

/// Adds the header that says which endpoint answers.
async fn add_instance_header(State(state): State<EndpointState>, mut answer: Response) -> Response {
    if let Some(instance) = state.instance {
        answer.headers_mut().insert(INSTANCE_HEADER, instance);
    }
    answer
}

/// Answers a browser with the page, and any other client with the list of paths.
async fn index(headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return ([(CONTENT_TYPE, HTML)], LIVE).into_response();
    }
    ([(CONTENT_TYPE, PLAIN_TEXT)], INDEX).into_response()
}

async fn metrics(State(state): State<EndpointState>) -> Response {
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], state.recorder.render()).into_response()
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
    let mut answer = tokio::task::spawn_blocking(move || describe().to_string());
    let (status, text) = match tokio::time::timeout(REQUEST_TIMEOUT, &mut answer).await {
        Ok(Ok(json)) => return ([(CONTENT_TYPE, JSON)], json).into_response(),
        Ok(Err(_panic)) => (StatusCode::INTERNAL_SERVER_ERROR, "panicked; see the log"),
        Err(_elapsed) => {
            answer.abort();
            (StatusCode::SERVICE_UNAVAILABLE, "did not answer in time; an actor may be stuck")
        }
    };
    (status, [(CONTENT_TYPE, PLAIN_TEXT)], format!("the topology {text}\n")).into_response()
}
