//! Run that an endpoint shows: its label in the metrics, and its history. The command line makes it
//! with the endpoint, and a run fills it in once it has a folder.

use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::{Value, json};

use super::gpu::GpuHistory;
use super::recorder::Recorder;

/// Describes the history of a run; `None` while another thread does. Called on a thread of its own for
/// every `/history`.
pub type DescribeHistory = Arc<dyn Fn() -> Option<Value> + Send + Sync>;

/// Run that an endpoint shows; clones are the same run.
#[derive(Clone)]
pub struct ShownRun {
    recorder: Recorder,
    gpus: GpuHistory,
    history: Arc<RwLock<Option<DescribeHistory>>>,
}

impl ShownRun {
    /// Makes a run without a history, under the recorder's label.
    pub fn new(recorder: Recorder) -> Self {
        Self { recorder, gpus: GpuHistory::default(), history: Arc::default() }
    }

    /// Label of the run in the metrics.
    pub fn label(&self) -> String {
        self.recorder.run_label()
    }

    /// Gives the metrics another label.
    pub fn rename(&self, label: &str) {
        self.recorder.rename_run(label);
    }

    /// Sets the history that `/history` answers with. Before the first call there is none.
    pub fn show_history(&self, describe: DescribeHistory) {
        *self.history.write() = Some(describe);
    }

    /// Utilisation of the GPUs since the process began.
    pub const fn gpus(&self) -> &GpuHistory {
        &self.gpus
    }

    /// Describes the run for the live page; `None` while its history is being read.
    pub(super) fn describe(&self) -> Option<Value> {
        let describe = self.history.read().clone();
        let history = match describe {
            Some(describe) => describe()?,
            None => Value::Null,
        };
        Some(json!({ "label": self.label(), "run": history, "gpus": self.gpus.to_json() }))
    }
}
