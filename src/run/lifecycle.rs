//! Runtime of the actors' life cycles.

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::base::{Fault, spawn_named};

/// Tokio runtime on a thread of its own, which only waits; dropping it ends the thread.
#[derive(Debug)]
pub struct LifecycleRuntime {
    handle: Handle,
    _alive: oneshot::Sender<()>,
}

impl LifecycleRuntime {
    /// Starts the runtime and its thread.
    ///
    /// # Errors
    /// If the system gives neither a thread nor a descriptor.
    pub fn start() -> Result<Self, Fault> {
        let failed = |error: std::io::Error| Fault::Environment {
            subject: "life-cycle runtime".into(),
            problem: error.to_string(),
            remedy: "check the limits on threads and open files".into(),
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        spawn_named("lifecycle", move || {
            // An error means that the sender was dropped, which is what ends the thread.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Self { handle, _alive: alive })
    }

    /// Handle of the runtime.
    pub const fn tokio_handle(&self) -> &Handle {
        &self.handle
    }
}
