//! Policy for steps that are not finite: skip or stop, with a report of the step that ends the run.
//!
//! The step itself has changed nothing (the learner sees to that on the device); its metrics arrive
//! here a step late.

use std::path::Path;

use serde::Serialize;

use crate::base::{Fault, write_json};
use crate::run_folder::{NOT_FINITE, StepRecord};
use crate::train::{NonFinitePolicy, TrainerConfig};

/// Contents of the report on the step that ended a run.
#[derive(Serialize)]
struct NonFiniteReport<'a> {
    problem: &'a str,
    /// Steps of the run that were not finite, this one included.
    unsound_steps: u64,
    /// Record of the step; each sample can be generated again from its key.
    step: &'a StepRecord,
}

/// Applies the policy to the `count`-th step that was not finite.
///
/// # Errors
/// If it may not; the report is in `run` then.
pub(super) fn skip_or_stop(
    config: &TrainerConfig,
    count: u64,
    record: &StepRecord,
    run: &Path,
) -> Result<(), Fault> {
    let problem = format!(
        "the loss is {} and the gradient's norm {} on {}",
        record.loss,
        record.gradient_norm,
        describe_samples(record)
    );
    let budget = config.non_finite_budget;
    let remedy = match config.non_finite {
        NonFinitePolicy::Skip if count <= budget => {
            tracing::warn!("step {}: skipped: {problem}", record.step);
            return Ok(());
        }
        NonFinitePolicy::Skip => format!(
            "{count} steps were skipped and train.non_finite_budget is {budget}; lower \
             train.learning_rate, or look at these samples"
        ),
        NonFinitePolicy::Stop => "look at these samples with `gliaflow replay`; lower \
                            train.learning_rate, or go on without them: --resume with --set \
                            train.non_finite=skip"
            .into(),
    };
    let report = NonFiniteReport { problem: &problem, unsound_steps: count, step: record };
    write_json(&run.join(NOT_FINITE), &report)?;
    Err(Fault::Environment { subject: format!("step {}", record.step), problem, remedy })
}

/// Last steps that the health of a run is judged by.
const RECENT: u32 = 20;
/// Number of them that are not finite in a run that is not healthy: a few are a bad sample or a
/// spike, a quarter is a network that no longer learns.
const TOO_MANY: u32 = 5;

/// Last [`RECENT`] steps, one bit each, set where the step was not finite.
#[derive(Debug, Default)]
pub(super) struct RecentSteps(u32);

impl RecentSteps {
    /// Adds a step and returns the problem, if too many of the last steps were not finite.
    pub(super) fn add_step(&mut self, is_finite: bool) -> Option<String> {
        self.0 = (self.0 << 1 | u32::from(!is_finite)) & ((1 << RECENT) - 1);
        let count = self.0.count_ones();
        (count >= TOO_MANY).then(|| {
            format!(
                "{count} of the last {RECENT} steps were not finite and changed nothing; lower \
                 train.learning_rate, or look at the samples that the journal names"
            )
        })
    }
}

fn describe_samples(record: &StepRecord) -> String {
    let keys = record.samples.iter().zip(&record.cases);
    let named = keys.map(|(key, case)| format!("epoch {} index {} ({case})", key.epoch, key.index));
    named.collect::<Vec<String>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SampleKey;
    use crate::volume::CaseId;

    fn record() -> StepRecord {
        StepRecord {
            step: 9,
            epoch: 2,
            loss: f64::NAN,
            dice_loss: f64::NAN,
            bce: 0.5,
            soft_dice: Default::default(),
            aux_losses: Default::default(),
            gradient_norm: f64::INFINITY,
            learning_rate: 1e-3,
            seconds: 0.2,
            starved_seconds: 0.0,
            samples: vec![SampleKey { seed: 4, epoch: 2, index: 1 }],
            cases: vec![CaseId::new("BraTS20_Training_007")],
        }
    }

    fn judged(
        non_finite: NonFinitePolicy,
        count: u64,
    ) -> (Result<(), Fault>, Option<serde_json::Value>) {
        let run = tempfile::tempdir().unwrap();
        let config = TrainerConfig { non_finite, non_finite_budget: 2, ..TrainerConfig::default() };
        let judged = skip_or_stop(&config, count, &record(), run.path());
        let report = std::fs::read(run.path().join(NOT_FINITE)).ok();
        (judged, report.map(|bytes| serde_json::from_slice(&bytes).unwrap()))
    }

    #[test]
    fn stopping_names_the_samples_and_leaves_a_report_of_them() {
        let (judged, report) = judged(NonFinitePolicy::Stop, 1);
        let text = judged.unwrap_err().to_string();
        let sample = "epoch 2 index 1 (BraTS20_Training_007)";
        assert!(text.contains("step 9: the loss is NaN") && text.contains(sample), "{text}");
        let report = report.unwrap();
        assert!(report["problem"].as_str().unwrap().contains(sample));
        let key = serde_json::json!({"seed": 4, "epoch": 2, "index": 1});
        assert_eq!(report["step"]["samples"], serde_json::json!([key]));
        assert_eq!(report["step"]["cases"][0], "BraTS20_Training_007");
        assert_eq!(report["step"]["loss"], serde_json::Value::Null);
    }

    #[test]
    fn health_suffers_from_five_bad_steps_of_twenty_and_recovers_after_good_ones() {
        let mut recent = RecentSteps::default();
        let problems: Vec<bool> = (1..=26)
            .map(|step| recent.add_step(![1, 3, 5, 7, 9].contains(&step)).is_some())
            .collect();
        let unhealthy: Vec<usize> = (1..=26).filter(|step| problems[step - 1]).collect();
        assert_eq!(unhealthy, (9..=20).collect::<Vec<usize>>());
        let all_bad = (0..40).map(|_| recent.add_step(false)).last().unwrap().unwrap();
        assert!(all_bad.starts_with("20 of the last 20 steps were not finite"), "{all_bad}");
    }

    #[test]
    fn skipping_goes_on_within_the_budget_and_stops_beyond() {
        for count in [1, 2] {
            assert_eq!(judged(NonFinitePolicy::Skip, count), (Ok(()), None));
        }
        let (judged, report) = judged(NonFinitePolicy::Skip, 3);
        let text = judged.unwrap_err().to_string();
        assert!(text.contains("3 steps were skipped and train.non_finite_budget is 2"), "{text}");
        assert_eq!(report.unwrap()["unsound_steps"], 3);
    }
}
