//! What the endpoint answers at which path. How it listens is [`exporter`](super::exporter)'s business.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::endpoint::INSTANCE_HEADER;
use super::health::Health;
use super::recorder::Recorder;

/// How long a request may take to describe the topology, and a shutdown to finish requests.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// A page that refreshes itself from the other paths and needs nothing from anywhere else.
const LIVE: &str = include_str!("live.html");

const INDEX: &str = concat!(
    "gliaflow ",
    env!("CARGO_PKG_VERSION"),
    "\n\n/          in a browser: the run, live\n/metrics   for Prometheus\n/healthz   200 when all is well, 503 with the reason\n\
     /topology  actors, queues and clocks as JSON\n"
);

/// Describes the actors that run. Called on a thread of its own for every `/topology`.
pub type Topology = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What the handlers can see. Clones see the same.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) recorder: Recorder,
    pub(super) health: Health,
    topology: Arc<RwLock<Option<Topology>>>,
    instance: Option<HeaderValue>,
}

impl Desk {
    /// With all well and no topology yet.
    pub(super) fn new(recorder: Recorder) -> Self {
        Self { recorder, health: Health::default(), topology: Arc::default(), instance: None }
    }

    /// The same, whose every answer says which endpoint it comes from.
    pub(super) fn named(self, instance: &str) -> Self {
        Self { instance: HeaderValue::from_str(instance).ok(), ..self }
    }

    /// Sets what `/topology` shows from now on.
    pub(super) fn show_topology(&self, topology: Topology) {
        let mut shown = self.topology.write().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(topology);
    }
}

/// What is answered at which path.
pub(super) fn router(desk: Desk) -> Router {
    let nothing = async || {
        let text = format!("nothing here\n\n{INDEX}");
        (StatusCode::NOT_FOUND, [(CONTENT_TYPE, PLAIN_TEXT)], text)
    };
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/topology", get(topology))
        .fallback(nothing)
        .layer(map_response_with_state(desk.clone(), sign))
        .with_state(desk)
}

/// Says which endpoint an answer comes from.
async fn sign(State(desk): State<Desk>, mut answer: Response) -> Response {
    if let Some(instance) = desk.instance {
        answer.headers_mut().insert(INSTANCE_HEADER, instance);
    }
    answer
}

/// The page for a browser, a list of paths for anything else.
async fn index(headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return ([(CONTENT_TYPE, HTML)], LIVE).into_response();
    }
    ([(CONTENT_TYPE, PLAIN_TEXT)], INDEX).into_response()
}

async fn metrics(State(desk): State<Desk>) -> Response {
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], desk.recorder.render()).into_response()
}

async fn healthz(State(desk): State<Desk>) -> Response {
    let (status, text) = match desk.health.reason() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    };
    (status, [(CONTENT_TYPE, PLAIN_TEXT)], text).into_response()
}

async fn topology(State(desk): State<Desk>) -> Response {
    let shown = desk.topology.read().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(describe) = shown else {
        return ([(CONTENT_TYPE, JSON)], "null").into_response();
    };
    // It may wait for a lock that a stuck actor holds, and this thread serves everyone.
    let mut answer = tokio::task::spawn_blocking(move || describe().to_string());
    let (status, text) = match tokio::time::timeout(PATIENCE, &mut answer).await {
        Ok(Ok(json)) => return ([(CONTENT_TYPE, JSON)], json).into_response(),
        Ok(Err(_panic)) => (StatusCode::INTERNAL_SERVER_ERROR, "panicked; see the log"),
        Err(_elapsed) => {
            answer.abort();
            (StatusCode::SERVICE_UNAVAILABLE, "did not answer in time; an actor may be stuck")
        }
    };
    (status, [(CONTENT_TYPE, PLAIN_TEXT)], format!("the topology {text}\n")).into_response()
}
