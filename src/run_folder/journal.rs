//! Journal of a run: one JSON line an event (`events.jsonl`), and the steps as a table
//! (`metrics.csv`). The files are the truth; dashboards show a sample of it.
//!
//! A checkpoint stores the length of both. A resumed run cuts them back to it, so that no event is
//! written twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::{Fault, fs};
use crate::run_folder::append_file::AppendFile;
use crate::run_folder::tensorboard::ScalarWriter;
use crate::run_folder::{CheckpointEvent, EVENTS, Event, METRICS, StepRecord, Timestamped};

/// Columns of `metrics.csv`.
const HEADER: &str =
    "step,epoch,loss,dice_loss,bce,gradient_norm,learning_rate,seconds,starved_seconds";

/// Lengths of a journal's files in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPosition {
    events: u64,
    table: u64,
}

struct JournalFiles {
    events: AppendFile,
    table: AppendFile,
    folder: PathBuf,
    last_step: u64,
    scalars: Option<ScalarWriter>,
}

/// Journal of one run. Cheap to clone; lines of all clones interleave whole.
#[derive(Clone)]
pub struct Journal(Arc<Mutex<JournalFiles>>);

impl Journal {
    /// Starts the journal in `folder`, overwriting an old one.
    ///
    /// # Errors
    /// If a file cannot be opened or written.
    pub fn start(folder: &Path) -> Result<Self, Fault> {
        Self::open_files(folder, JournalPosition::default())
    }

    /// Continues the journal in `folder` at the `position` of a checkpoint, or of the validation of
    /// it. The event of the checkpoint is kept; if an earlier process was killed ahead of it, it is
    /// written now.
    ///
    /// # Errors
    /// If a file cannot be opened or written.
    pub fn resume(
        folder: &Path,
        position: JournalPosition,
        checkpoint: CheckpointEvent,
    ) -> Result<Self, Fault> {
        let bytes = fs::if_present(fs::read(folder.join(EVENTS)))?.unwrap_or_default();
        let (before, after) = bytes.split_at(bytes.len().min(position.events as usize));
        let step = checkpoint.step;
        let own = after.iter().position(|&byte| byte == b'\n').filter(|&end| {
            let event = serde_json::from_slice(&after[..end]);
            matches!(event, Ok(Event::Checkpoint(event)) if event.step == step)
        });
        let validated = before.trim_ascii_end().rsplit(|&byte| byte == b'\n').next();
        let is_validated = validated.is_some_and(|line| {
            let event = serde_json::from_slice(line);
            matches!(event, Ok(Event::Validation(event)) if event.step == step)
        });
        let events = position.events + own.map_or(0, |end| end as u64 + 1);
        let journal = Self::open_files(folder, JournalPosition { events, ..position })?;
        journal.0.lock().last_step = step;
        if own.is_none() && !is_validated {
            journal.write_event(&Event::Checkpoint(checkpoint))?;
        }
        Ok(journal)
    }

    /// Continues the journal in `folder` where it ends; a torn last line is cut away.
    ///
    /// # Errors
    /// If a file cannot be opened or written.
    pub fn reopen(folder: &Path) -> Result<Self, Fault> {
        Self::open_files(folder, JournalPosition { events: u64::MAX, table: u64::MAX })
    }

    fn open_files(folder: &Path, position: JournalPosition) -> Result<Self, Fault> {
        let events = AppendFile::open_truncated(folder.join(EVENTS), position.events)?;
        let mut table = AppendFile::open_truncated(folder.join(METRICS), position.table)?;
        if table.len() == 0 {
            table.append_line(HEADER)?;
        }
        let files = JournalFiles {
            events,
            table,
            folder: folder.to_path_buf(),
            last_step: 0,
            scalars: None,
        };
        Ok(Self(Arc::new(Mutex::new(files))))
    }

    /// Writes one event, and a table row where it is a step. It has been given to the operating
    /// system when this returns, so a killed process loses no reported event; unless the disk is
    /// full: then it waits in memory for the next event or checkpoint.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn write_event(&self, event: &Event) -> Result<(), Fault> {
        let mut files = self.0.lock();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = Timestamped { time: time.as_secs_f64(), event };
        let text = serde_json::to_string(&line).expect("events serialise to JSON");
        files.events.append_line(&text)?;
        if let Event::Step(step) = event {
            files.last_step = step.step;
            files.table.append_line(&csv_row(step))?;
        }
        if let Some(scalars) = &mut files.scalars
            && let Err(error) = scalars.add_event(line.time, event)
        {
            tracing::warn!(
                "no more event file for TensorBoard: {error}; `train --resume` writes it anew"
            );
            files.scalars = None;
        }
        Ok(())
    }

    /// Writes the scalars of all events so far, and of those to come, to an event file for TensorBoard in
    /// the run's folder. A disk that does not take it costs the file, not the run.
    pub fn export_scalars(&self) {
        let mut files = self.0.lock();
        match ScalarWriter::from_journal(&files.folder) {
            Ok(writer) => files.scalars = Some(writer),
            Err(error) => tracing::warn!("no event file for TensorBoard: {error}"),
        }
    }

    /// Last finite step that was written, or the one that this process started from.
    pub fn last_step(&self) -> u64 {
        self.0.lock().last_step
    }

    /// The run's folder.
    pub fn run_folder(&self) -> PathBuf {
        self.0.lock().folder.clone()
    }

    /// Flushes the journal to the disk and returns its length.
    ///
    /// # Errors
    /// If the disk does not take it, or not all of it.
    pub fn sync_position(&self) -> Result<JournalPosition, Fault> {
        let mut files = self.0.lock();
        files.events.sync_to_disk()?;
        files.table.sync_to_disk()?;
        Ok(JournalPosition { events: files.events.len(), table: files.table.len() })
    }
}

fn csv_row(step: &StepRecord) -> String {
    format!(
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
    )
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;
    use crate::base::SampleKey;
    use crate::run_folder::ValidationEvent;

    fn step(step: u64) -> Event {
        Event::Step(StepRecord {
            step,
            epoch: 0,
            loss: 1.5,
            dice_loss: 1.0,
            bce: 0.5,
            soft_dice: Default::default(),
            aux_losses: Default::default(),
            gradient_norm: 2.0,
            learning_rate: 1e-3,
            seconds: 0.2,
            starved_seconds: 0.0,
            samples: vec![SampleKey { seed: 1, epoch: 0, index: 0 }],
            cases: Vec::new(),
        })
    }

    fn of_checkpoint(step: u64) -> CheckpointEvent {
        CheckpointEvent { step, folder: String::new(), seconds: 0.1 }
    }

    fn checkpoint(step: u64) -> Event {
        Event::Checkpoint(of_checkpoint(step))
    }

    fn told(folder: &Path) -> Vec<(String, u64)> {
        let events = fs::read_to_string(folder.join(EVENTS)).unwrap();
        let lines = events.lines().map(|line| serde_json::from_str(line).unwrap());
        let tell = |line: serde_json::Value| {
            (line["event"].as_str().unwrap().into(), line["step"].as_u64().unwrap())
        };
        lines.map(tell).collect()
    }

    #[test]
    fn a_resumed_journal_is_cut_back_to_its_checkpoint_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::start(folder.path()).unwrap();
        journal.write_event(&step(1)).unwrap();
        let position = journal.sync_position().unwrap();
        journal.write_event(&checkpoint(1)).unwrap();
        journal.write_event(&step(2)).unwrap();
        drop(journal);
        let mut torn = OpenOptions::new().append(true).open(folder.path().join(EVENTS)).unwrap();
        torn.write_all(b"{\"event\":\"st").unwrap();

        let journal = Journal::resume(folder.path(), position, of_checkpoint(1)).unwrap();
        assert_eq!(journal.last_step(), 1);
        journal.write_event(&step(2)).unwrap();
        let name = String::from;
        let expected = [(name("step"), 1), (name("checkpoint"), 1), (name("step"), 2)];
        assert_eq!(told(folder.path()), expected);
        let table = fs::read_to_string(folder.path().join(METRICS)).unwrap();
        let rows: Vec<&str> = table.lines().map(|row| row.split(',').next().unwrap()).collect();
        assert_eq!(rows, ["step", "1", "2"]);
    }

    #[test]
    fn a_checkpoint_that_was_not_told_of_in_time_is_told_of_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::start(folder.path()).unwrap();
        journal.write_event(&step(1)).unwrap();
        let position = journal.sync_position().unwrap();
        for after in [None, Some(checkpoint(7)), Some(step(2))] {
            after.iter().for_each(|event| journal.write_event(event).unwrap());
            drop(Journal::resume(folder.path(), position, of_checkpoint(1)).unwrap());
            assert_eq!(told(folder.path()), [("step".into(), 1), ("checkpoint".into(), 1)]);
            let events = OpenOptions::new().write(true).open(folder.path().join(EVENTS)).unwrap();
            events.set_len(position.events).unwrap();
        }
    }

    #[test]
    fn a_journal_at_the_validation_of_its_checkpoint_tells_of_neither_again() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::start(folder.path()).unwrap();
        let validation = ValidationEvent { step: 1, ..ValidationEvent::default() };
        for event in [step(1), checkpoint(1), Event::Validation(validation)] {
            journal.write_event(&event).unwrap();
        }
        let position = journal.sync_position().unwrap();
        journal.write_event(&step(2)).unwrap();
        let journal = Journal::resume(folder.path(), position, of_checkpoint(1)).unwrap();
        assert_eq!(journal.sync_position().unwrap(), position);
        let kinds = ["step", "checkpoint", "validation"].map(|kind| (kind.to_owned(), 1));
        assert_eq!(told(folder.path()), kinds);
    }

    #[test]
    fn a_journal_is_opened_at_its_end_without_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        Journal::start(folder.path()).unwrap().write_event(&step(1)).unwrap();
        for file in [EVENTS, METRICS] {
            let path = folder.path().join(file);
            let mut torn = OpenOptions::new().append(true).open(path).unwrap();
            torn.write_all(b"{\"event\":\"st").unwrap();
        }
        Journal::reopen(folder.path()).unwrap().write_event(&step(2)).unwrap();
        assert_eq!(told(folder.path()), [("step".into(), 1), ("step".into(), 2)]);
        let table = fs::read_to_string(folder.path().join(METRICS)).unwrap();
        assert_eq!(table.lines().count(), 3, "{table}");
    }

    #[test]
    fn a_new_journal_cuts_away_an_old_one() {
        let folder = tempfile::tempdir().unwrap();
        Journal::start(folder.path()).unwrap().write_event(&step(1)).unwrap();
        Journal::start(folder.path()).unwrap();
        assert!(told(folder.path()).is_empty());
        let table = fs::read_to_string(folder.path().join(METRICS)).unwrap();
        assert_eq!(table.lines().count(), 1, "the header");
    }
}
