//! History of a run that is under way, from its journal, in a bounded number of points: what the live
//! page draws. The journal is read on from where the last look ended.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::base::fs;
use crate::run_folder::{EVENTS, Event, StepRecord, Timestamped, ValidationEvent, run_name};
use crate::telemetry::DescribeHistory;

/// Most points of a line. One more, and neighbours are averaged.
const POINTS: usize = 2048;

/// Returns the description of the run in `folder` for its endpoint.
pub fn live_history(folder: &Path) -> DescribeHistory {
    let history = Mutex::new(JournalFollower::of_folder(folder));
    // Two at once would read the same lines: the second asker comes again.
    Arc::new(move || history.try_lock().map(|mut follower| follower.describe()))
}

/// Reader of a journal that grows.
struct JournalFollower {
    folder: PathBuf,
    /// Bytes that have been read.
    offset: u64,
    curves: RunCurves,
}

/// Figures of a run since its first step.
#[derive(Default)]
struct RunCurves {
    started: Option<f64>,
    device: String,
    planned_steps: Option<u64>,
    steps: ThinnedSteps,
    epochs_done: u64,
    validations: Vec<Timestamped<ValidationEvent>>,
    best: Option<Timestamped<ValidationEvent>>,
    resumed_at: Vec<u64>,
    checkpoints: u64,
    last_checkpoint: Option<f64>,
    checkpoint_seconds: f64,
    validation_seconds: f64,
    /// Time of the last event.
    last: f64,
}

/// Means over spans of equally many steps; only the last span may have fewer.
struct ThinnedSteps {
    /// Steps of a whole span.
    span: u64,
    points: Vec<StepSums>,
}

/// Sums over the steps of a span.
#[derive(Clone, Default)]
struct StepSums {
    /// Last step of the span.
    step: u64,
    /// Time of the last step, in seconds since the Unix epoch.
    time: f64,
    count: u64,
    loss: f64,
    soft_dice: BTreeMap<String, f64>,
    /// Rate of the last step.
    learning_rate: f64,
    /// Seconds without a batch.
    starved: f64,
    /// Wall seconds.
    wall: f64,
}

impl JournalFollower {
    fn of_folder(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), offset: 0, curves: RunCurves::default() }
    }

    /// Reads on, and describes all that has been read; what cannot be read is left out.
    fn describe(&mut self) -> Value {
        if let Err(error) = self.read_on() {
            tracing::debug!("the history of the run cannot be read: {error}");
        }
        self.curves.to_json(&run_name(&self.folder))
    }

    fn read_on(&mut self) -> std::io::Result<()> {
        let mut file = fs::open(self.folder.join(EVENTS))?;
        if file.metadata()?.len() < self.offset {
            // Cut back: another process has taken the run up.
            *self = Self::of_folder(&self.folder);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut lines = BufReader::with_capacity(1 << 18, file);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            self.offset += line.len() as u64;
            if let Ok(at) = serde_json::from_slice(&line) {
                self.curves.add_event(at);
            }
            line.clear();
        }
        Ok(())
    }
}

impl RunCurves {
    fn add_event(&mut self, Timestamped { time, event }: Timestamped<Event>) {
        // Between a validation's end and the next step the trainer trains; ahead of it, it did not.
        let wall = (time - self.last).max(0.0);
        self.last = time;
        match event {
            Event::Started(event) => {
                self.started = self.started.or(Some(time));
                self.planned_steps = Some(event.steps);
                self.device = event.device;
            }
            Event::Resumed(event) => {
                self.started = self.started.or(Some(time));
                self.planned_steps = Some(event.steps).filter(|steps| *steps > 0);
                self.device = event.device;
                self.resumed_at.push(event.step);
            }
            Event::Step(record) => self.steps.add_step(time, wall, &record),
            Event::Epoch(event) => self.epochs_done = event.epoch + 1,
            Event::Validation(event) => {
                self.validation_seconds += event.seconds;
                let at = Timestamped { time, event };
                if at.event.best {
                    self.best = Some(at.clone());
                }
                self.validations.push(at);
            }
            Event::Checkpoint(event) => {
                self.checkpoints += 1;
                self.last_checkpoint = Some(time);
                self.checkpoint_seconds += event.seconds;
            }
            Event::NotFinite(_) | Event::Skipped(_) | Event::Finished(_) | Event::Unknown => {}
        }
    }

    fn to_json(&self, name: &str) -> Value {
        let best = self.best.as_ref().map(|Timestamped { time, event }| {
            json!({ "mean_dice": event.mean_dice, "epoch": event.epoch, "step": event.step, "time": time })
        });
        // Of more validations than points every second, fourth, … is shown.
        let every = self.validations.len().div_ceil(POINTS).max(1);
        let shown = self.validations.iter().step_by(every).map(|at| &at.event);
        let validations: Vec<Value> = shown
            .map(|event| {
                json!({
                    "step": event.step, "epoch": event.epoch, "mean_dice": round_digits(event.mean_dice),
                    "loss": event.loss.and_then(round_digits),
                    "dice": round_all(event.dice.iter().map(|(region, dice)| (region, *dice))),
                })
            })
            .collect();
        json!({
            "name": name,
            "device": self.device,
            "started": self.started,
            "planned_steps": self.planned_steps,
            "epochs_done": self.epochs_done,
            "steps": self.steps.to_json(),
            "validations": validations,
            "best": best,
            "resumed_at": self.resumed_at,
            "checkpoints": self.checkpoints,
            "last_checkpoint": self.last_checkpoint,
            "checkpoint_seconds": self.checkpoint_seconds,
            "validation_seconds": self.validation_seconds,
        })
    }
}

impl Default for ThinnedSteps {
    fn default() -> Self {
        Self { span: 1, points: Vec::new() }
    }
}

impl ThinnedSteps {
    fn add_step(&mut self, time: f64, wall: f64, record: &StepRecord) {
        let one = StepSums {
            step: record.step,
            time,
            count: 1,
            loss: record.loss,
            soft_dice: record.soft_dice.clone(),
            learning_rate: record.learning_rate,
            starved: record.starved_seconds,
            wall,
        };
        match self.points.last_mut() {
            Some(last) if last.count < self.span => last.add_later(&one),
            _ => self.points.push(one),
        }
        if self.points.len() > POINTS {
            let pairs = self.points.chunks(2).map(|pair| {
                let mut sum = pair[0].clone();
                pair[1..].iter().for_each(|later| sum.add_later(later));
                sum
            });
            self.points = pairs.collect();
            self.span *= 2;
        }
    }

    /// The points by column: loss and soft Dice as means of their spans, waiting as a share of the time.
    fn to_json(&self) -> Value {
        let column = |value: fn(&StepSums) -> f64| -> Vec<Option<f64>> {
            self.points.iter().map(|point| round_digits(value(point))).collect()
        };
        let regions: Vec<&String> =
            self.points.first().map_or(Vec::new(), |point| point.soft_dice.keys().collect());
        let dice = regions.into_iter().map(|region| {
            let mean = |point: &StepSums| {
                point.soft_dice.get(region).and_then(|sum| round_digits(sum / point.count as f64))
            };
            (region.clone(), self.points.iter().map(mean).collect::<Value>())
        });
        json!({
            "span": self.span,
            "step": self.points.iter().map(|point| point.step).collect::<Vec<_>>(),
            "time": self.points.iter().map(|point| point.time.round()).collect::<Vec<_>>(),
            "loss": column(|point| point.loss / point.count as f64),
            "learning_rate": column(|point| point.learning_rate),
            "waiting": column(|point| (point.starved / point.wall.max(point.starved).max(1e-9)).min(1.0)),
            "soft_dice": dice.collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl StepSums {
    fn add_later(&mut self, later: &Self) {
        (self.step, self.time, self.learning_rate) = (later.step, later.time, later.learning_rate);
        self.count += later.count;
        self.loss += later.loss;
        self.starved += later.starved;
        self.wall += later.wall;
        for (region, dice) in &later.soft_dice {
            *self.soft_dice.entry(region.clone()).or_default() += dice;
        }
    }
}

/// Five significant digits, as JSON; none of a value that is not finite.
fn round_digits(value: f64) -> Option<f64> {
    format!("{value:.4e}").parse().ok().filter(|rounded: &f64| rounded.is_finite())
}

fn round_all<'a>(values: impl Iterator<Item = (&'a String, f64)>) -> Value {
    values.map(|(name, value)| (name.clone(), json!(round_digits(value)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder::{Journal, StartedEvent};

    fn step(step: u64, loss: f64) -> Event {
        let soft_dice = [("core".to_owned(), 0.25), ("whole".to_owned(), 0.75)].into();
        Event::Step(StepRecord {
            step,
            loss,
            soft_dice,
            gradient_norm: 1.0,
            learning_rate: 1e-3,
            ..StepRecord::default()
        })
    }

    fn length(described: &Value, column: &str) -> usize {
        described["steps"][column].as_array().unwrap().len()
    }

    #[test]
    fn a_run_of_many_steps_comes_back_from_its_first_in_few_points() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::start(folder.path()).unwrap();
        let started = StartedEvent { steps: 20_000, ..StartedEvent::default() };
        journal.write_event(&Event::Started(started)).unwrap();
        let history = live_history(folder.path());
        let described = history().unwrap();
        assert_eq!((length(&described, "step"), &described["planned_steps"]), (0, &20_000.into()));
        for number in 1..=10_000 {
            journal.write_event(&step(number, if number <= 2 { 4.0 } else { 1.0 })).unwrap();
            if number == 1 {
                assert_eq!(history().unwrap()["steps"]["loss"], json!([4.0]));
            }
        }
        let described = history().unwrap();
        let points = length(&described, "step");
        assert!((POINTS / 2..=POINTS).contains(&points), "{points}");
        assert_eq!(described["steps"]["step"][points - 1], 10_000);
        assert_eq!(described["steps"]["span"], 8);
        assert_eq!(described["steps"]["loss"][0], json!(1.75), "a mean of two fours and six ones");
        for (region, dice) in [("core", 0.25), ("whole", 0.75)] {
            let values = described["steps"]["soft_dice"][region].as_array().unwrap();
            assert!(values.len() == points && values.iter().all(|value| *value == dice));
        }
    }

    #[test]
    fn the_best_validation_is_told_and_a_journal_that_was_cut_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::start(folder.path()).unwrap();
        journal.write_event(&step(1, 2.0)).unwrap();
        let position = journal.sync_position().unwrap();
        journal.write_event(&step(2, 1.0)).unwrap();
        for (epoch, mean_dice, best) in [(1, 0.5, true), (2, 0.25, false)] {
            let dice = [("core".to_owned(), mean_dice)].into();
            let event = ValidationEvent {
                epoch,
                mean_dice,
                dice,
                best,
                seconds: 2.0,
                ..Default::default()
            };
            journal.write_event(&Event::Validation(event)).unwrap();
        }
        let history = live_history(folder.path());
        let described = history().unwrap();
        assert_eq!(described["best"]["epoch"], 1);
        assert_eq!(described["validations"][1]["dice"]["core"], 0.25);
        assert_eq!(described["validation_seconds"], 4.0);
        drop(journal);
        let checkpoint = crate::run_folder::CheckpointEvent { step: 1, ..Default::default() };
        let journal = Journal::resume(folder.path(), position, checkpoint).unwrap();
        let described = history().unwrap();
        assert_eq!((length(&described, "step"), &described["best"]), (1, &Value::Null));
        journal.write_event(&step(2, 3.0)).unwrap();
        assert_eq!(history().unwrap()["steps"]["loss"], json!([2.0, 3.0]));
    }
}
