//! The events of a run's journal by kind. A last line that a killed process left incomplete is left
//! out, and so are events of later versions.

use std::path::Path;

use crate::base::{Fault, fs};
use crate::run_folder::{
    CheckpointEvent, EVENTS, EpochEvent, Event, FinishedEvent, ResumedEvent, SkippedEvent,
    StartedEvent, StepRecord, Timestamped, ValidationEvent,
};

/// The events of a run by kind, each in the order of the journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventLog {
    /// Last start of the run.
    pub started: Option<Timestamped<StartedEvent>>,
    /// Resumptions from a checkpoint.
    pub resumed: Vec<Timestamped<ResumedEvent>>,
    /// Finite steps.
    pub steps: Vec<Timestamped<StepRecord>>,
    /// Steps that were not finite.
    pub non_finite: Vec<Timestamped<StepRecord>>,
    /// Complete epochs.
    pub epochs: Vec<Timestamped<EpochEvent>>,
    /// Validations.
    pub validations: Vec<Timestamped<ValidationEvent>>,
    /// Samples that were left out.
    pub skipped: Vec<Timestamped<SkippedEvent>>,
    /// Checkpoints.
    pub checkpoints: Vec<Timestamped<CheckpointEvent>>,
    /// End of the run, if that is the last event.
    pub finished: Option<Timestamped<FinishedEvent>>,
    /// Time of the last line, in seconds since the Unix epoch.
    pub last_time: f64,
}

impl EventLog {
    /// Reads the events of the run in `folder`; empty if there is no file yet.
    ///
    /// # Errors
    /// If a line is no event; the error has its number.
    pub fn read_from(folder: &Path) -> Result<Self, Fault> {
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

    /// Steps planned in all, by the last process that told; absent if none did.
    pub fn planned_steps(&self) -> Option<u64> {
        let resumed = self.resumed.iter().rev().map(|at| at.event.steps);
        let started = self.started.iter().map(|at| at.event.steps);
        resumed.chain(started).find(|steps| *steps > 0)
    }

    fn add_line(&mut self, line: &str) -> serde_json::Result<()> {
        let Timestamped { time, event } = serde_json::from_str(line)?;
        self.last_time = time;
        self.finished = None;
        match event {
            Event::Started(event) => self.started = Some(Timestamped { time, event }),
            Event::Resumed(event) => self.resumed.push(Timestamped { time, event }),
            Event::Step(event) => self.steps.push(Timestamped { time, event }),
            Event::NotFinite(event) => self.non_finite.push(Timestamped { time, event }),
            Event::Epoch(event) => self.epochs.push(Timestamped { time, event }),
            Event::Validation(event) => self.validations.push(Timestamped { time, event }),
            Event::Skipped(event) => self.skipped.push(Timestamped { time, event }),
            Event::Checkpoint(event) => self.checkpoints.push(Timestamped { time, event }),
            Event::Finished(event) => self.finished = Some(Timestamped { time, event }),
            Event::Unknown => {}
        }
        Ok(())
    }

    /// Time of the first start or resume, in seconds since the Unix epoch.
    pub fn first_time(&self) -> Option<f64> {
        let started = self.started.as_ref().map(|at| at.time);
        started.or_else(|| self.resumed.first().map(|at| at.time))
    }

    /// Steps done, those included that were not finite.
    pub fn last_step(&self) -> u64 {
        let last = |steps: &[Timestamped<StepRecord>]| steps.last().map_or(0, |at| at.event.step);
        last(&self.steps).max(last(&self.non_finite))
    }
}

/// Reads the skipped samples that the journal of the run in `folder` tells of. Lines that are none
/// are passed over, whatever they are: a run goes on without them.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn read_skipped_samples(folder: &Path) -> Result<Vec<SkippedEvent>, Fault> {
    let bytes = fs::if_present(fs::read(folder.join(EVENTS)))?.unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n');
    let skips = lines.filter_map(|line| match serde_json::from_slice(line) {
        Ok(Event::Skipped(skip)) => Some(skip),
        _ => None,
    });
    Ok(skips.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SampleKey;
    use crate::run_folder::Journal;
    use crate::volume::CaseId;

    fn read(text: &str) -> Result<EventLog, Fault> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(EVENTS), text).unwrap();
        EventLog::read_from(folder.path())
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
        assert_eq!((*time, event.loss), (11.5, 1.5));
        assert!(event.gradient_norm.is_nan());
        assert_eq!(event.samples.len(), 2);
        assert!(event.soft_dice.is_empty(), "an early version wrote none");
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
    #[test]
    fn every_event_that_the_journal_writes_is_read_back() {
        let record = |step: u64, loss: f64| StepRecord {
            step,
            epoch: 1,
            loss,
            dice_loss: 0.5,
            bce: 1.0,
            soft_dice: [("ET".to_owned(), 0.25), ("TC".to_owned(), loss)].into(),
            aux_losses: [("kl".to_owned(), 0.25), ("mse".to_owned(), loss)].into(),
            gradient_norm: 2.0,
            learning_rate: 1e-3,
            seconds: 0.5,
            starved_seconds: 0.125,
            samples: vec![SampleKey { seed: 7, epoch: 1, index: 3 }],
            cases: vec![CaseId::new("BraTS20_Training_007")],
        };
        let device = "cpu".to_owned();
        let (step, seconds) = (9, 1.5);
        let started = StartedEvent {
            step: 1,
            steps: 9,
            parameters: 5,
            device: device.clone(),
            initial_weights: None,
            frozen: vec!["enc".into()],
        };
        let checkpoint = Some("step-0000001".to_owned());
        let resumed = ResumedEvent { step: 1, steps: 18, checkpoint, device };
        let epoch = EpochEvent { epoch: 1, loss: Some(1.5), seconds, starved_seconds: 0.25 };
        let by_region = |value: f64| [("ET".to_owned(), value), ("WT".to_owned(), 0.75)].into();
        let validation = ValidationEvent {
            epoch: 2,
            step,
            mean_dice: 0.625,
            dice: by_region(0.5),
            hd95_mm: by_region(3.5),
            loss: Some(0.75),
            best: true,
            seconds,
        };
        let (item, error) = ("epoch 1 index 3".to_owned(), "x: is gone; bring it back".to_owned());
        let skipped = SkippedEvent { item, position: 12, error, case: None };
        let published = CheckpointEvent { step, folder: "step-0000009".into(), seconds };
        let cause = Some("disk full".to_owned());
        let finished = FinishedEvent { step, state: "failed".into(), cause };

        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::start(folder.path()).unwrap();
        let events = [
            Event::Started(started.clone()),
            Event::Resumed(resumed.clone()),
            Event::Step(record(8, 1.5)),
            Event::NotFinite(record(9, f64::NAN)),
            Event::Epoch(epoch.clone()),
            Event::Validation(validation.clone()),
            Event::Skipped(skipped.clone()),
            Event::Checkpoint(published.clone()),
            Event::Finished(finished.clone()),
        ];
        events.iter().for_each(|event| journal.write_event(event).unwrap());

        let log = EventLog::read_from(folder.path()).unwrap();
        assert_eq!(log.started.unwrap().event, started);
        assert_eq!(log.resumed[0].event, resumed);
        assert_eq!(log.steps[0].event, record(8, 1.5));
        // NaN is no equal of itself.
        let not_finite = format!("{:?}", log.non_finite[0].event);
        assert_eq!(not_finite, format!("{:?}", record(9, f64::NAN)));
        assert_eq!(log.epochs[0].event, epoch);
        assert_eq!(log.validations[0].event, validation);
        assert_eq!(log.skipped[0].event, skipped);
        assert_eq!(log.checkpoints[0].event, published);
        let finished_at = log.finished.unwrap();
        assert_eq!(finished_at.event, finished);
        assert_eq!(finished_at.time, log.last_time);
    }
}
