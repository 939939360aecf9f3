//! The files of a run's folder, read back. Any of them may be missing: a run may not have ended, or
//! never have been scored.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use crate::base::{Fault, fs};
use crate::report::overlay::{self, Overlay};
use crate::report::region_style::region_classes;
use crate::report::sketch::shown_modality;
use crate::run_folder::{
    CONFIG, DATASET_LOCK, DatasetLock, ENVIRONMENT, EVENTS, EvaluationScores, EventLog, RunSummary,
    SUMMARY, VALIDATION, damaged_file, read_json, run_name,
};
use crate::volume::{Modality, ModalitySet, RegionSet};

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
    /// Names and values of `environment.json`, those of other versions included.
    pub(super) environment: Map<String, Value>,
    pub(super) lock: Option<DatasetLock>,
    pub(super) summary: Option<RunSummary>,
    pub(super) scores: Option<EvaluationScores>,
    /// Modality that the overlays show.
    pub(super) shown_modality: Modality,
    /// Names of the regions, in their order.
    pub(super) regions: Vec<String>,
    /// Overlays, each with its PNG bytes.
    pub(super) overlays: Vec<(Overlay, Vec<u8>)>,
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
        let config = fs::if_present(fs::read_to_string(folder.join(CONFIG)))?;
        let settings: toml::Table = config
            .as_deref()
            .map(toml::from_str)
            .transpose()
            .map_err(|error| damaged_file(&folder.join(CONFIG), toml::de::Error::message(&error)))?
            .unwrap_or_default();
        let model = settings.get("model").and_then(|model| model.get("name"));
        let seen = settings.get("data").and_then(|data| data.get("modalities")).cloned();
        let seen = seen.and_then(|names| names.try_into::<ModalitySet>().ok());
        let epochs = settings.get("train").and_then(|train| train.get("epochs"));
        let validation = folder.join(VALIDATION);
        let mut overlays = Vec::new();
        for overlay in overlay::read_overlays(&validation)? {
            let path = validation.join(overlay::FOLDER).join(&overlay.file);
            let bytes = fs::read(&path)?;
            overlays.push((overlay, bytes));
        }
        let event_log = EventLog::read_from(folder)?;
        let scores: Option<EvaluationScores> = read_json(&validation.join(SUMMARY))?;
        Ok(Self {
            name: run_name(folder),
            shown_modality: shown_modality(seen.unwrap_or_default()),
            regions: region_names(&event_log, scores.as_ref()),
            event_log,
            model: model.and_then(toml::Value::as_str).map(str::to_owned),
            epochs: epochs.and_then(toml::Value::as_integer).and_then(|n| u64::try_from(n).ok()),
            config,
            environment: read_json(&folder.join(ENVIRONMENT))?.unwrap_or_default(),
            lock: read_json(&folder.join(DATASET_LOCK))?,
            summary: read_json(&folder.join(SUMMARY))?,
            scores,
            overlays,
        })
    }

    /// CSS classes of a region: of its line in validation, and in training.
    pub(super) fn classes_of(&self, region: &str) -> [&'static str; 2] {
        region_classes(self.regions.iter().map(String::as_str), region)
    }

    /// Steps in an epoch, if both totals are known.
    pub(super) fn steps_per_epoch(&self) -> Option<f64> {
        match (self.event_log.planned_steps(), self.epochs) {
            (Some(steps), Some(epochs)) if epochs > 0 => Some(steps as f64 / epochs as f64),
            _ => None,
        }
    }
}

/// Names of the regions that the run was trained or scored in; those of BraTS where it tells none.
fn region_names(log: &EventLog, scores: Option<&EvaluationScores>) -> Vec<String> {
    let mut names = BTreeSet::new();
    let trained = log.steps.first().map(|at| &at.event.soft_dice);
    let validated = log.validations.first().map(|at| &at.event.dice);
    names.extend(trained.into_iter().chain(validated).flat_map(|dice| dice.keys().cloned()));
    names.extend(
        scores
            .iter()
            .flat_map(|scores| scores.network.summary_by_region().region_names())
            .map(str::to_owned),
    );
    if names.is_empty() {
        names.extend(RegionSet::BRATS.region_names().map(str::to_owned));
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder::ENVIRONMENT;

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
        for name in [SUMMARY, ENVIRONMENT, DATASET_LOCK, CONFIG, EVENTS] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(CONFIG), "seed = 1\n").unwrap();
            fs::write(folder.path().join(name), "{ not what it was\n").unwrap();
            let text = refusal(folder.path());
            assert!(text.contains(name) && !text.contains('\n'), "{name}: {text}");
        }
    }
}
