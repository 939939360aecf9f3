//! Floor 8: a run's folder. Names, formats, writers and readers of the files in it; everybody else
//! reads and writes them through this room.
//!
//! | file | content | type |
//! |---|---|---|
//! | `config.toml` | resolved configuration | `run::config::RunConfig` |
//! | `environment.json` | versions, machine, device | [`Environment`] |
//! | `dataset.lock.json` | cases by fingerprint and split | [`DatasetLock`] |
//! | `events.jsonl` | one event a line | [`Event`] |
//! | `metrics.csv` | one finite step a line | [`StepRecord`] |
//! | `summary.json` | result of a finished run | [`RunSummary`] |
//! | `endpoint.json` | address of the metrics | [`Endpoint`](crate::telemetry::Endpoint) |
//! | `not-finite.json` | step that ended the run | `train::non_finite` |
//! | `checkpoints/step-*/manifest.json` | its files by fingerprint | [`manifest::CheckpointManifest`] |
//! | `checkpoints/step-*/state.json` | progress of the training | `train::training_progress::TrainingState` |
//! | `checkpoints/step-*/validation.json` | the same after its validation | `train::checkpoint` |
//! | `checkpoints/step-*/cases/*.toml` | scored cases of a validation under way | `run::scored_cases` |
//! | `checkpoints/{latest,best}` | names of two of them | text |
//! | `run.lock` | id of the process that writes to the folder | text |
//! | `tensorboard/events.out.tfevents.*` | scalars of the journal, with `train.tensorboard` | [`Journal::export_scalars`] |
//! | `validation/summary.json` | scores of the held-out cases | [`EvaluationScores`] |
//! | `validation/cases.csv` | the same by case and region | [`write_cases_csv`] |

mod append_file;
mod dataset_lock;
mod directory;
mod environment;
mod event;
mod event_log;
mod journal;
pub mod manifest;
mod run_name;
mod scores;
mod summary;
mod tensorboard;

pub use dataset_lock::{DatasetLock, LockedCase, LockedSplitFile, ReplacedCase, SpacingRange};
pub use directory::RunDirectory;
pub use environment::Environment;
pub use event::{
    CheckpointEvent, EpochEvent, Event, FinishedEvent, InitialWeights, ResumedEvent, SkippedEvent,
    StartedEvent, StepRecord, Timestamped, ValidationEvent,
};
pub use event_log::{EventLog, read_skipped_samples};
pub use journal::{Journal, JournalPosition};
pub use run_name::{distinct_run_name, run_name};
pub use scores::{EvaluationScores, write_cases_csv};
pub use summary::{BestValidation, ExcludedCase, RunSummary};

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::base::{Fault, fs};

/// Resolved configuration.
pub const CONFIG: &str = "config.toml";
/// Versions, machine and device.
pub const ENVIRONMENT: &str = "environment.json";
/// Cases of the run.
pub const DATASET_LOCK: &str = "dataset.lock.json";
/// Events of the run.
pub const EVENTS: &str = "events.jsonl";
/// Steps as a table.
pub const METRICS: &str = "metrics.csv";
/// Result of a finished run; in [`VALIDATION`], scores of the held-out cases.
pub const SUMMARY: &str = "summary.json";
/// Address of the metrics.
pub const ENDPOINT: &str = "endpoint.json";
/// Report on the step that ended a run.
pub const NOT_FINITE: &str = "not-finite.json";
/// Folder of the checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// Folder of the event file for TensorBoard.
pub const TENSORBOARD: &str = "tensorboard";
/// Folder of the scores of the held-out cases.
pub const VALIDATION: &str = "validation";
/// Scores by case and region.
pub const CASES: &str = "cases.csv";

/// Reads a JSON file; `None` if there is none.
///
/// # Errors
/// If it cannot be read, or is not a `T`.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Fault> {
    let Some(text) = fs::if_present(fs::read_to_string(path))? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| damaged_file(path, &error.to_string()))
}

/// Makes the fault of a file that cannot be parsed.
pub fn damaged_file(path: &Path, problem: &str) -> Fault {
    Fault::Environment {
        subject: path.display().to_string(),
        problem: problem.replace('\n', " "),
        remedy: "the file was changed by hand or is another version's; move it away".into(),
    }
}
