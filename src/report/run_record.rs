//! The files of a run's folder, read back. Any of them may be missing: a run may not have ended, or
//! never have been scored.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::base::error::Fault;
use crate::base::fs;
use crate::eval::cohort::CohortScore;
use crate::eval::score::CaseScore;
use crate::report::event_log::{EVENTS, EventLog};
use crate::report::overlay::{self, Overlay};
use crate::volume::case::{CaseId, Split};

const CONFIG: &str = "config.toml";
const VALIDATION: &str = "validation";

/// The contents of a run's folder.
pub(super) struct RunRecord {
    /// The folder's name.
    pub(super) name: String,
    pub(super) event_log: EventLog,
    /// Text of `config.toml`.
    pub(super) config: Option<String>,
    /// The network, as the configuration names it.
    pub(super) model: Option<String>,
    /// Epochs planned, as the configuration says.
    pub(super) epochs: Option<u64>,
    pub(super) environment: Map<String, Value>,
    pub(super) lock: Option<LockRecord>,
    pub(super) summary: Option<SummaryRecord>,
    pub(super) scores: Option<ScoresRecord>,
    /// Overlays, each with its PNG bytes.
    pub(super) overlays: Vec<(Overlay, Vec<u8>)>,
}

/// The cases: `dataset.lock.json`.
#[derive(Debug, Deserialize)]
pub(super) struct LockRecord {
    pub(super) folder: String,
    cases: Vec<LockedSplit>,
    #[serde(default)]
    pub(super) excluded: Vec<(CaseId, String)>,
    #[serde(default)]
    pub(super) problems: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct LockedSplit {
    split: Split,
}

impl LockRecord {
    pub(super) fn case_count(&self, part: Split) -> usize {
        self.cases.iter().filter(|case| case.split == part).count()
    }
}

/// Result of the run: `summary.json`.
#[derive(Debug, Deserialize)]
pub(super) struct SummaryRecord {
    pub(super) train_seconds: f64,
    pub(super) starved_ratio: f64,
    /// Loader verdict; absent in runs of early versions.
    pub(super) loader: Option<LoaderVerdict>,
}

/// Bottleneck of the loader.
#[derive(Debug, Deserialize)]
pub(super) struct LoaderVerdict {
    pub(super) bottleneck: String,
    pub(super) sentence: String,
}

/// The last scores: `validation/summary.json`.
pub(super) struct ScoresRecord {
    pub(super) cohort: CohortScore,
    /// Dice of WT that one threshold on FLAIR reaches.
    pub(super) threshold: Option<BaselineThreshold>,
}

/// The threshold baseline.
#[derive(Debug, Deserialize)]
pub(super) struct BaselineThreshold {
    pub(super) threshold: f64,
    pub(super) mean_dice: f64,
}

impl RunRecord {
    /// Reads the run in `folder`.
    ///
    /// # Errors
    /// If it holds no run, or a file that is there cannot be read.
    pub(super) fn read(folder: &Path) -> Result<Self, Fault> {
        if !folder.join(CONFIG).is_file() && !folder.join(EVENTS).is_file() {
            return Err(Fault::Environment {
                subject: folder.display().to_string(),
                problem: "holds no run".into(),
                remedy: "name a folder that `gliaflow train` made".into(),
            });
        }
        let config = read_text(&folder.join(CONFIG))?;
        let settings: toml::Table = config
            .as_deref()
            .map(toml::from_str)
            .transpose()
            .map_err(|error| damaged_file(&folder.join(CONFIG), toml::de::Error::message(&error)))?
            .unwrap_or_default();
        let model = settings.get("model").and_then(|model| model.get("name"));
        let epochs = settings.get("train").and_then(|train| train.get("epochs"));
        let validation = folder.join(VALIDATION);
        let mut overlays = Vec::new();
        for overlay in overlay::read_overlays(&validation)? {
            let path = validation.join(overlay::FOLDER).join(&overlay.file);
            let bytes = fs::read(&path)?;
            overlays.push((overlay, bytes));
        }
        Ok(Self {
            name: run_name(folder),
            event_log: EventLog::read(folder)?,
            model: model.and_then(toml::Value::as_str).map(str::to_owned),
            epochs: epochs.and_then(toml::Value::as_integer).and_then(|n| u64::try_from(n).ok()),
            config,
            environment: read_json(&folder.join("environment.json"))?.unwrap_or_default(),
            lock: read_json(&folder.join("dataset.lock.json"))?,
            summary: read_json(&folder.join("summary.json"))?,
            scores: read_scores(&validation)?,
            overlays,
        })
    }

    /// Steps in an epoch, if both totals are known.
    pub(super) fn steps_per_epoch(&self) -> Option<f64> {
        let planned = self.event_log.started.as_ref().map(|at| at.event.steps);
        match (planned, self.epochs) {
            (Some(steps), Some(epochs)) if epochs > 0 && steps > 0 => {
                Some(steps as f64 / epochs as f64)
            }
            _ => None,
        }
    }
}

/// Name of a run: the last part of its folder's canonical path.
pub(super) fn run_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    whole.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn read_scores(validation: &Path) -> Result<Option<ScoresRecord>, Fault> {
    #[derive(Deserialize)]
    struct ScoresFile {
        network: NetworkScores,
        flair_threshold: Option<BaselineThreshold>,
    }
    #[derive(Deserialize)]
    struct NetworkScores {
        cases: Vec<CaseScore>,
    }
    let path = validation.join("summary.json");
    let Some(ScoresFile { network, flair_threshold }) = read_json(&path)? else { return Ok(None) };
    let ids: Vec<CaseId> = network.cases.iter().map(|score| score.case.clone()).collect();
    let cohort = CohortScore::new(&ids, network.cases);
    let cohort = cohort.map_err(|error| damaged_file(&path, &error.to_string()))?;
    Ok(Some(ScoresRecord { cohort, threshold: flair_threshold }))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Fault> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| damaged_file(path, &error.to_string()))
}

fn read_text(path: &Path) -> Result<Option<String>, Fault> {
    Ok(fs::if_present(fs::read_to_string(path))?)
}

fn damaged_file(path: &Path, problem: &str) -> Fault {
    Fault::Environment {
        subject: path.display().to_string(),
        problem: problem.replace('\n', " "),
        remedy: "the file was changed by hand or is another version's; move it away".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(folder: &Path) -> String {
        RunRecord::read(folder).err().expect("refused").to_string()
    }

    #[test]
    fn a_folder_with_nothing_but_a_configuration_is_a_run_and_an_empty_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refusal(folder.path()).contains("holds no run"));
        let config = "[model]\nname = \"unet\"\n[train]\nepochs = 7\n";
        fs::write(folder.path().join(CONFIG), config).unwrap();
        let record = RunRecord::read(folder.path()).unwrap();
        assert_eq!((record.model.as_deref(), record.epochs), (Some("unet"), Some(7)));
        assert_eq!(record.steps_per_epoch(), None);
        assert!(record.scores.is_none() && record.summary.is_none() && record.lock.is_none());
    }

    #[test]
    fn a_damaged_file_is_named() {
        for name in ["summary.json", "environment.json", "dataset.lock.json", CONFIG, EVENTS] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(CONFIG), "seed = 1\n").unwrap();
            fs::write(folder.path().join(name), "{ not what it was\n").unwrap();
            let text = refusal(folder.path());
            assert!(text.contains(name) && !text.contains('\n'), "{name}: {text}");
        }
    }
}
