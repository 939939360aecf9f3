//! Outcome of a step: the file `outcome.json` in its folder, whose presence says that the step is done.
//!
//! It is a function of what the step did, without times and paths: a step that is done twice, on two
//! machines at once, publishes one outcome.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{Fault, Fingerprint, fs, write_json};
use crate::experiment::graph::{GraphStep, StepKind, StudyGraph};
use crate::experiment::outcome::CaseCounts;
use crate::experiment::study_folder::StudyFolder;
use crate::volume::CaseId;

/// The file.
const OUTCOME: &str = "outcome.json";

/// Outcome of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// Kind of the step.
    pub kind: StepKind,
    /// Subject of the step.
    pub subject: String,
    /// Name of the step.
    pub fingerprint: Fingerprint,
    /// Contents of the inputs that it took, by name.
    pub inputs: BTreeMap<String, Fingerprint>,
    /// Content that later steps depend on: cases, weights, scores, a teacher, a choice.
    pub content: Fingerprint,
    /// The result itself.
    pub result: StepResult,
}

/// Result of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// The cases are in the cache and divided; the division is `dataset.lock.json` beside.
    Ingested(CaseCounts),
    /// The run has ended.
    Trained {
        /// Optimiser steps that it took.
        steps: u64,
    },
    /// The cases have been scored.
    Scored {
        /// Folder of the scores, relative to the step's: a file for each case.
        folder: String,
        /// The cases, in their order.
        cases: Vec<CaseId>,
    },
    /// The cases have been annotated.
    Labelled {
        /// Fingerprint of the teacher, which names its annotations.
        teacher: Fingerprint,
        /// Mean Dice of the annotations by region, where the truth is known.
        quality: Option<BTreeMap<String, f64>>,
    },
    /// A network was chosen.
    Chosen {
        /// Name of the network.
        network: String,
    },
    /// A table was written.
    Tabled,
}

impl StepOutcome {
    /// Publishes the outcome in a step's folder: whole, or not at all.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn publish_in(&self, folder: &Path) -> Result<(), Fault> {
        write_json(&folder.join(OUTCOME), self)
    }

    /// Reads a step's outcome; `None` if it is not done. A file that is none counts as none.
    ///
    /// # Errors
    /// If the disk refuses it.
    pub fn read(study: &StudyFolder, step: &GraphStep) -> Result<Option<Self>, Fault> {
        let file = study.step_folder(step).join(OUTCOME);
        let Some(text) = fs::if_present(fs::read_to_string(&file))? else { return Ok(None) };
        let outcome = serde_json::from_str::<Self>(&text).ok();
        let own = outcome.filter(|outcome| outcome.fingerprint == step.fingerprint);
        if own.is_none() {
            tracing::warn!("{}: is no outcome of this step; it is done again", file.display());
        }
        Ok(own)
    }

    /// True if the inputs are as the step took them. An input that was lost and done anew, on a device
    /// that does not repeat itself to the bit, has other contents.
    pub fn has_inputs(&self, inputs: &BTreeMap<String, Fingerprint>) -> bool {
        self.inputs == *inputs
    }
}

/// Contents of a step's inputs, by name; `None` if one is not done.
///
/// # Errors
/// If the disk refuses an outcome.
pub fn input_contents(
    study: &StudyFolder,
    graph: &StudyGraph,
    step: &GraphStep,
) -> Result<Option<BTreeMap<String, Fingerprint>>, Fault> {
    let mut contents = BTreeMap::new();
    for input in graph.inputs_of(step) {
        let Some(outcome) = StepOutcome::read(study, input)? else { return Ok(None) };
        contents.insert(input.fingerprint.to_string(), outcome.content);
    }
    Ok(Some(contents))
}
