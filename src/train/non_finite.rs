//! Policy for steps that are not finite: skip or stop, with a report of the step that ends the run.
//!
//! The step itself has changed nothing (the learner sees to that on the device); its metrics arrive
//! here a step late.

use std::path::Path;

use serde::Serialize;

use crate::base::error::Fault;
use crate::base::files::write_json;
use crate::run_folder::NOT_FINITE;
use crate::run_folder::event::StepRecord;
use crate::train::settings::{NonFinitePolicy, TrainerConfig};

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

fn describe_samples(record: &StepRecord) -> String {
    let keys = record.samples.iter().zip(&record.cases);
    let named = keys.map(|(key, case)| format!("epoch {} index {} ({case})", key.epoch, key.index));
    named.collect::<Vec<String>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::SampleKey;
    use crate::volume::case::CaseId;

    fn record() -> StepRecord {
        StepRecord {
            step: 9,
            epoch: 2,
            loss: f64::NAN,
            dice_loss: f64::NAN,
            bce: 0.5,
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
