//! The steps of a study and their order.

use std::collections::BTreeMap;

use crate::base::Fingerprint;
use crate::experiment::graph::step::GraphStep;
use crate::run::Failure;

/// Shortest prefix of a fingerprint that names a step.
const SHORTEST_PREFIX: usize = 4;

/// Steps of a study, each after its inputs.
#[derive(Debug, Clone, Default)]
pub struct StudyGraph {
    steps: Vec<GraphStep>,
}

impl StudyGraph {
    /// Adds a step, unless it is there, and returns its name.
    ///
    /// # Panics
    /// If an input is not in the graph.
    pub fn add_step(&mut self, step: GraphStep) -> Fingerprint {
        let fingerprint = step.fingerprint;
        if self.find_step(fingerprint).is_none() {
            let has = |input: &Fingerprint| self.find_step(*input).is_some();
            assert!(step.inputs.iter().all(has), "{}: an input comes later", step.display_name());
            self.steps.push(step);
        }
        fingerprint
    }

    /// All steps, each after its inputs.
    pub fn steps(&self) -> &[GraphStep] {
        &self.steps
    }

    /// The step of that name.
    pub fn find_step(&self, fingerprint: Fingerprint) -> Option<&GraphStep> {
        self.steps.iter().find(|step| step.fingerprint == fingerprint)
    }

    /// The step whose name begins with `prefix`.
    ///
    /// # Errors
    /// If there is none, or there are several.
    pub fn find_by_prefix(&self, prefix: &str) -> Result<&GraphStep, Failure> {
        let prefix = prefix.to_ascii_lowercase();
        let begins = |step: &&GraphStep| step.fingerprint.to_string().starts_with(&prefix);
        let found: Vec<&GraphStep> = self.steps.iter().filter(begins).collect();
        match found.as_slice() {
            [only] if prefix.len() >= SHORTEST_PREFIX => Ok(only),
            [] => Err(Failure::Usage(format!(
                "--step {prefix}: no step of this study has that name; its settings or its cases may \
                 have changed since; --plan --json lists the names"
            ))),
            several => Err(Failure::Usage(format!(
                "--step {prefix}: could be any of {} steps; write more digits",
                several.len()
            ))),
        }
    }

    /// Inputs of a step.
    pub fn inputs_of<'a>(
        &'a self,
        step: &'a GraphStep,
    ) -> impl Iterator<Item = &'a GraphStep> + 'a {
        step.inputs.iter().filter_map(|input| self.find_step(*input))
    }

    /// Steps by level: those of one level depend on earlier levels only, and so can run at one time.
    pub fn levels(&self) -> Vec<Vec<&GraphStep>> {
        let mut level_of = BTreeMap::<Fingerprint, usize>::new();
        let mut levels: Vec<Vec<&GraphStep>> = Vec::new();
        for step in &self.steps {
            let own = step.inputs.iter().map(|input| level_of[input] + 1).max().unwrap_or(0);
            level_of.insert(step.fingerprint, own);
            if levels.len() <= own {
                levels.resize_with(own + 1, Vec::new);
            }
            levels[own].push(step);
        }
        levels
    }
}
