//! What happened in a run, one JSON line an event (`events.jsonl`), and the same steps as a table
//! (`metrics.csv`). The files are the truth; dashboards show a sample of it.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::base::error::Fault;
use crate::base::seed::SampleKey;

/// Columns of `metrics.csv`.
const HEADER: &str =
    "step,epoch,loss,dice_loss,bce,gradient_norm,learning_rate,seconds,starved_seconds";

/// One line of `events.jsonl`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The trainer starts.
    Started {
        /// First step of this process.
        step: u64,
        /// Steps planned in all.
        steps: u64,
        /// Trainable parameters.
        parameters: usize,
        /// The device.
        device: String,
    },
    /// One optimiser step.
    Step(StepRecord),
    /// An epoch is complete.
    Epoch {
        /// Which, from 0.
        epoch: u64,
        /// Mean total loss over its steps.
        loss: f64,
        /// Seconds it took.
        seconds: f64,
        /// Seconds of them without a batch.
        starved_seconds: f64,
    },
    /// A sample was left out.
    Skipped {
        /// Which, as the planner named it.
        item: String,
        /// Its place in the order.
        ordinal: u64,
        /// The error, in full.
        error: String,
    },
    /// A checkpoint is safe on disk.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Its folder, relative to the run.
        folder: String,
        /// Seconds it took.
        seconds: f64,
    },
    /// The run ends.
    Finished {
        /// Steps done.
        step: u64,
        /// `finished`, `stopped` or `failed`.
        state: &'static str,
        /// The cause, if it failed.
        cause: Option<String>,
    },
}

/// The figures of one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: u64,
    /// Epoch of the step, from 0.
    pub epoch: u64,
    /// Total loss.
    pub loss: f64,
    /// Soft Dice part.
    pub dice_loss: f64,
    /// Cross-entropy part.
    pub bce: f64,
    /// L2 norm of the whole gradient.
    pub gradient_norm: f64,
    /// Learning rate used.
    pub learning_rate: f64,
    /// Wall seconds from batch to settled loss.
    pub seconds: f64,
    /// Wall seconds without a batch before it.
    pub starved_seconds: f64,
    /// The samples, so that each can be made again.
    pub samples: Vec<SampleKey>,
}

struct Files {
    events: BufWriter<File>,
    table: BufWriter<File>,
    folder: PathBuf,
    last_step: u64,
}

/// The journal of one run. Cheap to clone; lines of all clones interleave whole.
#[derive(Clone)]
pub struct Journal(Arc<Mutex<Files>>);

impl Journal {
    /// Opens the journal in `folder`, appending.
    ///
    /// # Errors
    /// If a file cannot be opened or written.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let append = |name: &str| {
            let path = folder.join(name);
            let file = OpenOptions::new().create(true).append(true).open(&path);
            file.map_err(|error| Fault::io(&path, &error))
        };
        let events = BufWriter::new(append("events.jsonl")?);
        let table_file = append("metrics.csv")?;
        let fresh = table_file.metadata().map_or(true, |metadata| metadata.len() == 0);
        let table = BufWriter::new(table_file);
        let mut files = Files { events, table, folder: folder.to_path_buf(), last_step: 0 };
        if fresh {
            files.row(HEADER.to_string())?;
        }
        Ok(Self(Arc::new(Mutex::new(files))))
    }

    /// Writes one event, and a table row where it is a step. Everything up to it is on its way to
    /// the disk when this returns: a killed process loses nothing that was reported.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write(&self, event: &Event) -> Result<(), Fault> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        #[derive(Serialize)]
        struct Line<'a> {
            time: f64,
            #[serde(flatten)]
            event: &'a Event,
        }
        let line = Line { time: time.as_secs_f64(), event };
        let text = serde_json::to_string(&line).expect("events serialise to JSON");
        files.line(&text)?;
        if let Event::Started { step, .. } | Event::Step(StepRecord { step, .. }) = event {
            files.last_step = *step;
        }
        if let Event::Step(step) = event {
            files.row(format!(
                "{},{},{},{},{},{},{},{:.6},{:.6}",
                step.step,
                step.epoch,
                step.loss,
                step.dice_loss,
                step.bce,
                step.gradient_norm,
                step.learning_rate,
                step.seconds,
                step.starved_seconds
            ))?;
        }
        Ok(())
    }

    /// The last step that was written down, or the one that this process started from.
    pub fn last_step(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last_step
    }
}

impl Files {
    fn line(&mut self, text: &str) -> Result<(), Fault> {
        let written = writeln!(self.events, "{text}").and_then(|()| self.events.flush());
        written.map_err(|error| Fault::io(&self.folder.join("events.jsonl"), &error))
    }

    fn row(&mut self, text: String) -> Result<(), Fault> {
        let written = writeln!(self.table, "{text}").and_then(|()| self.table.flush());
        written.map_err(|error| Fault::io(&self.folder.join("metrics.csv"), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reopened_journal_goes_on_where_it_stood() {
        let folder = tempfile::tempdir().unwrap();
        let record = StepRecord {
            step: 1,
            epoch: 0,
            loss: 1.5,
            dice_loss: 1.0,
            bce: 0.5,
            gradient_norm: 2.0,
            learning_rate: 1e-3,
            seconds: 0.2,
            starved_seconds: 0.0,
            samples: vec![SampleKey { seed: 1, epoch: 0, index: 0 }],
        };
        for step in 1..=2 {
            let journal = Journal::open(folder.path()).unwrap();
            journal.write(&Event::Step(StepRecord { step, ..record.clone() })).unwrap();
        }
        let events = std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
        let steps: Vec<serde_json::Value> =
            events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[1]["event"], "step");
        assert_eq!(steps[1]["step"], 2);
        assert_eq!(steps[1]["samples"][0]["seed"], 1);
        let table = std::fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
        assert_eq!(table.lines().count(), 3, "one header, two rows");
    }
}
