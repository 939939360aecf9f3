//! The events of a run's journal, `events.jsonl`, with the fields that the report uses. A last line
//! that a killed process left incomplete is left out.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::base::error::Fault;
use crate::base::fs;

/// The journal's file in a run's folder.
pub(super) const EVENTS: &str = "events.jsonl";

/// The events of a run by kind, each in the order of the journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct EventLog {
    pub(super) started: Option<Timestamped<StartedEvent>>,
    pub(super) resumed: Vec<Timestamped<ResumedEvent>>,
    pub(super) steps: Vec<Timestamped<StepEvent>>,
    /// Steps that were not finite.
    pub(super) non_finite: Vec<Timestamped<StepEvent>>,
    pub(super) epochs: Vec<Timestamped<EpochEvent>>,
    pub(super) validations: Vec<Timestamped<ValidationEvent>>,
    pub(super) skipped: Vec<Timestamped<SkippedEvent>>,
    pub(super) checkpoints: Vec<Timestamped<CheckpointEvent>>,
    /// End of the run, if that is the last event.
    pub(super) finished: Option<Timestamped<FinishedEvent>>,
    /// Time of the last line, in seconds since the Unix epoch.
    pub(super) last_time: f64,
}

/// An event, and its time in seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timestamped<T> {
    pub(super) time: f64,
    pub(super) event: T,
}

/// The trainer started.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct StartedEvent {
    pub(super) steps: u64,
    pub(super) parameters: u64,
}

/// The trainer resumed from a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct ResumedEvent {
    pub(super) step: u64,
}

/// An optimiser step; values that were not finite are absent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct StepEvent {
    pub(super) step: u64,
    pub(super) loss: Option<f64>,
    pub(super) dice_loss: Option<f64>,
    pub(super) bce: Option<f64>,
    #[serde(default)]
    pub(super) penalties: BTreeMap<String, Option<f64>>,
    pub(super) gradient_norm: Option<f64>,
    pub(super) learning_rate: f64,
    pub(super) seconds: f64,
    pub(super) starved_seconds: f64,
    #[serde(default)]
    pub(super) samples: Vec<IgnoredAny>,
}

/// An epoch was complete.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct EpochEvent {
    /// Index of the epoch, from 0.
    pub(super) epoch: u64,
    pub(super) loss: Option<f64>,
    pub(super) seconds: f64,
    pub(super) starved_seconds: f64,
}

/// The held-out cases were scored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct ValidationEvent {
    pub(super) epoch: u64,
    pub(super) mean_dice: f64,
    /// Dice by region.
    pub(super) dice: BTreeMap<String, f64>,
    /// HD95 in mm by region.
    pub(super) hd95_mm: BTreeMap<String, f64>,
    pub(super) best: bool,
}

/// A sample was left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct SkippedEvent {
    pub(super) item: String,
    pub(super) error: String,
}

/// A checkpoint was published.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct CheckpointEvent {
    pub(super) seconds: f64,
}

/// The run ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct FinishedEvent {
    pub(super) state: String,
    pub(super) cause: Option<String>,
}

impl EventLog {
    /// Reads the events of the run in `folder`; empty if there is no file yet.
    ///
    /// # Errors
    /// If a line is no event; the error has its number.
    pub(super) fn read(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join(EVENTS);
        let text = fs::if_present(fs::read_to_string(&path))?.unwrap_or_default();
        let mut log = Self::default();
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let Some(whole) = line.strip_suffix('\n') else { break };
            log.add_line(whole).map_err(|error| Fault::Environment {
                subject: format!("{}, line {}", path.display(), number + 1),
                problem: error.to_string(),
                remedy: "the journal was changed by hand or by a broken disk; delete the line"
                    .into(),
            })?;
        }
        Ok(log)
    }

    fn add_line(&mut self, line: &str) -> serde_json::Result<()> {
        #[derive(Deserialize)]
        struct Head<'a> {
            time: f64,
            event: &'a str,
        }
        let Head { time, event } = serde_json::from_str(line)?;
        self.last_time = time;
        self.finished = None;
        match event {
            "started" => self.started = Some(parse_event(time, line)?),
            "resumed" => self.resumed.push(parse_event(time, line)?),
            "step" => self.steps.push(parse_event(time, line)?),
            "not_finite" => self.non_finite.push(parse_event(time, line)?),
            "epoch" => self.epochs.push(parse_event(time, line)?),
            "validation" => self.validations.push(parse_event(time, line)?),
            "skipped" => self.skipped.push(parse_event(time, line)?),
            "checkpoint" => self.checkpoints.push(parse_event(time, line)?),
            "finished" => self.finished = Some(parse_event(time, line)?),
            // A later version may have more events.
            _ => {}
        }
        Ok(())
    }

    /// Time of the first start or resume, in seconds since the Unix epoch.
    pub(super) fn first_time(&self) -> Option<f64> {
        let started = self.started.as_ref().map(|at| at.time);
        started.or_else(|| self.resumed.first().map(|at| at.time))
    }

    /// Steps done, those included that were not finite.
    pub(super) fn last_step(&self) -> u64 {
        let last = |steps: &[Timestamped<StepEvent>]| steps.last().map_or(0, |at| at.event.step);
        last(&self.steps).max(last(&self.non_finite))
    }
}

fn parse_event<'a, T: Deserialize<'a>>(
    time: f64,
    line: &'a str,
) -> serde_json::Result<Timestamped<T>> {
    Ok(Timestamped { time, event: serde_json::from_str(line)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<EventLog, Fault> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(EVENTS), text).unwrap();
        EventLog::read(folder.path())
    }

    const STEP: &str = r#"{"time":11.5,"event":"step","step":1,"epoch":0,"loss":1.5,"dice_loss":1.0,
        "bce":0.5,"gradient_norm":null,"learning_rate":0.002,"seconds":0.5,"starved_seconds":0.1,
        "samples":[{"seed":7,"epoch":0,"index":0},{"seed":7,"epoch":0,"index":1}],"cases":["a","b"]}"#;

    #[test]
    fn a_journal_comes_back_and_a_torn_last_line_is_none() {
        let step = STEP.replace('\n', "");
        let text = format!(
            "{}\n{step}\n{}\n{}\n{{\"time\":13,\"ev",
            r#"{"time":10,"event":"started","step":0,"steps":9,"parameters":5,"device":"cpu"}"#,
            r#"{"time":12,"event":"of a later version"}"#,
            r#"{"time":12.5,"event":"finished","step":1,"state":"stopped","cause":null}"#,
        );
        let story = read(&text).unwrap();
        assert_eq!(story.first_time(), Some(10.0));
        assert_eq!((story.last_time, story.last_step()), (12.5, 1));
        let Timestamped { time, event } = &story.steps[0];
        assert_eq!((*time, event.loss, event.gradient_norm), (11.5, Some(1.5), None));
        assert_eq!(event.samples.len(), 2);
        assert_eq!(story.finished.unwrap().event.state, "stopped");
    }

    #[test]
    fn a_run_that_went_on_after_an_end_has_not_ended() {
        let text = "{\"time\":1,\"event\":\"finished\",\"step\":4,\"state\":\"stopped\"}\n\
                    {\"time\":2,\"event\":\"resumed\",\"step\":4}\n";
        let story = read(text).unwrap();
        assert_eq!((story.finished, story.resumed[0].event.step), (None, 4));
        assert_eq!(read("").unwrap(), EventLog::default());
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let refused = read("{\"time\":1,\"event\":\"resumed\",\"step\":4}\nnonsense\n");
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("events.jsonl, line 2"), "{text}");
    }
}
