//! Named threads.

use std::thread::{Builder, JoinHandle};

use crate::base::Fault;

/// Starts a thread with a name, of which Linux shows 15 bytes.
///
/// # Errors
/// If the system refuses the thread.
#[expect(clippy::disallowed_methods, reason = "all other places call this one")]
pub fn spawn_named<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Fault> {
    Builder::new().name(name.to_owned()).spawn(body).map_err(|error| Fault::Environment {
        subject: format!("thread {name}"),
        problem: error.to_string().to_lowercase(),
        remedy: "raise the limit on threads (ulimit -u), or lower [loader.workers]".into(),
    })
}
