//! Stores that this process has opened, with the credentials of the usual environment and files.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};

use crate::base::{CaseError, Reason, spawn_named};
use crate::storage::client::aws_files::complete_from_files;
use crate::storage::client::failure::to_case_error;
use crate::storage::object_url::ObjectUrl;

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Time in which a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Time for one request with its body, up or down; a body that takes longer is read on by another request.
const WHOLE_REQUEST: Duration = Duration::from_secs(300);

/// Repetitions of a request that is refused for now (503, 429) or not answered: some ten seconds of them.
const REPETITIONS: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    },
    max_retries: 7,
    retry_timeout: Duration::from_secs(120),
};

/// Store, and the runtime that its connections live on.
#[derive(Clone)]
pub(super) struct OpenStore {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) runtime: Handle,
}

/// Stores of this process by their URL, and the runtime once there is one.
struct OpenStores {
    by_url: Option<HashMap<String, Arc<dyn ObjectStore>>>,
    runtime: Option<Handle>,
}

static OPEN: Mutex<OpenStores> = Mutex::new(OpenStores { by_url: None, runtime: None });

/// Opens the store of a URL, once in a process; the server is not asked.
///
/// # Errors
/// If its settings cannot be used, or the system refuses a thread.
pub(super) fn open_store(url: &ObjectUrl) -> Result<OpenStore, CaseError> {
    let mut open = OPEN.lock();
    let runtime = match &open.runtime {
        Some(handle) => handle.clone(),
        None => open.runtime.insert(start_runtime(url)?).clone(),
    };
    let stores = open.by_url.get_or_insert_default();
    if let Some(store) = stores.get(&url.store) {
        return Ok(OpenStore { store: Arc::clone(store), runtime });
    }
    let store = build_store(url)?;
    stores.insert(url.store.clone(), Arc::clone(&store));
    Ok(OpenStore { store, runtime })
}

fn start_runtime(url: &ObjectUrl) -> Result<Handle, CaseError> {
    let failed = |problem: String| {
        let remedy = "check the limits on threads and open files";
        CaseError::new(Reason::Io, url, problem, remedy)
    };
    // Of the two providers the one without a C library; one that an embedding program has chosen stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let handle = runtime.handle().clone();
    spawn_named("storage", move || runtime.block_on(pending::<()>()))
        .map_err(|fault| failed(fault.to_string()))?;
    Ok(handle)
}

fn build_store(url: &ObjectUrl) -> Result<Arc<dyn ObjectStore>, CaseError> {
    let client = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE)
        .with_timeout(WHOLE_REQUEST)
        // An endpoint without TLS is one that somebody wrote down.
        .with_allow_http(true);
    let address = url.store.as_str();
    let built = match url.scheme() {
        "gs" => GoogleCloudStorageBuilder::from_env()
            .with_url(address)
            .with_client_options(client)
            .with_retry(REPETITIONS)
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
        "az" | "abfs" | "abfss" => MicrosoftAzureBuilder::from_env()
            .with_url(address)
            .with_client_options(client)
            .with_retry(REPETITIONS)
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
        "http" | "https" => HttpBuilder::new()
            .with_url(address)
            .with_client_options(client)
            .with_retry(REPETITIONS)
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
        _ => complete_from_files(AmazonS3Builder::from_env())?
            .with_url(address)
            .with_client_options(client)
            .with_retry(REPETITIONS)
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
    };
    built.map_err(|error| to_case_error(url, &error))
}
