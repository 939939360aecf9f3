//! Journal of a run: one JSON line an event (`events.jsonl`), and the steps as a table
//! (`metrics.csv`). The files are the truth; dashboards show a sample of it.
//!
//! A checkpoint stores the length of both. A resumed run cuts them back to it, so that no event is
//! written twice.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::{Fault, fs};
use crate::run_folder::{EVENTS, Event, METRICS, StepRecord, Timestamped};

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

    /// Continues the journal in `folder` where a checkpoint of `step` steps left it.
    ///
    /// # Errors
    /// If a file cannot be opened or written.
    pub fn resume(folder: &Path, position: JournalPosition, step: u64) -> Result<Self, Fault> {
        let JournalPosition { events, table } = position;
        let told = checkpoint_line_length(&folder.join(EVENTS), events, step);
        let journal = Self::open_files(folder, JournalPosition { events: events + told, table })?;
        journal.0.lock().last_step = step;
        Ok(journal)
    }

    fn open_files(folder: &Path, position: JournalPosition) -> Result<Self, Fault> {
        let events = AppendFile::open_truncated(folder.join(EVENTS), position.events)?;
        let mut table = AppendFile::open_truncated(folder.join(METRICS), position.table)?;
        if table.length == 0 {
            table.append_line(HEADER)?;
        }
        let files = JournalFiles { events, table, folder: folder.to_path_buf(), last_step: 0 };
        Ok(Self(Arc::new(Mutex::new(files))))
    }

    /// Writes one event, and a table row where it is a step. It has been given to the operating
    /// system when this returns, so a killed process loses no reported event.
    ///
    /// # Errors
    /// If the disk does not take it.
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
        Ok(())
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
    /// If the disk does not take it.
    pub fn sync_position(&self) -> Result<JournalPosition, Fault> {
        let files = self.0.lock();
        files.events.sync_to_disk()?;
        files.table.sync_to_disk()?;
        Ok(JournalPosition { events: files.events.length, table: files.table.length })
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

/// Length of the line at `position`, if it is the event of the checkpoint of `step`: it is written
/// after the checkpoint, which therefore does not count it.
fn checkpoint_line_length(events: &Path, position: u64, step: u64) -> u64 {
    let Ok(bytes) = fs::read(events) else { return 0 };
    let rest = bytes.get(position as usize..).unwrap_or_default();
    let Some(length) = rest.iter().position(|&byte| byte == b'\n') else { return 0 };
    match serde_json::from_slice(&rest[..length]) {
        Ok(Event::Checkpoint(event)) if event.step == step => length as u64 + 1,
        _ => 0,
    }
}

/// Append-only file of lines.
struct AppendFile {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl AppendFile {
    /// Opens the file and truncates it to `length`; a shorter one stays as it is.
    fn open_truncated(path: PathBuf, length: u64) -> Result<Self, Fault> {
        let opened = || {
            let mut options = OpenOptions::new();
            let options = options.create(true).write(true).truncate(false);
            let mut file = fs::open_with(&path, options)?;
            let there = file.metadata()?.len();
            file.set_len(length.min(there))?;
            let length = file.seek(SeekFrom::End(0))?;
            Ok((file, length))
        };
        let (file, length) =
            opened().map_err(|error: std::io::Error| Fault::from_io(&path, &error))?;
        Ok(Self { path, file: BufWriter::new(file), length })
    }

    fn append_line(&mut self, text: &str) -> Result<(), Fault> {
        let written = writeln!(self.file, "{text}").and_then(|()| self.file.flush());
        self.length += text.len() as u64 + 1;
        written.map_err(|error| Fault::from_io(&self.path, &error))
    }

    fn sync_to_disk(&self) -> Result<(), Fault> {
        self.file.get_ref().sync_data().map_err(|error| Fault::from_io(&self.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SampleKey;
    use crate::run_folder::CheckpointEvent;

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

    fn checkpoint(step: u64) -> Event {
        Event::Checkpoint(CheckpointEvent { step, folder: String::new(), seconds: 0.1 })
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

        let journal = Journal::resume(folder.path(), position, 1).unwrap();
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
    fn a_checkpoint_that_was_not_told_of_in_time_is_none_the_worse() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::start(folder.path()).unwrap();
        journal.write_event(&step(1)).unwrap();
        let position = journal.sync_position().unwrap();
        for after in [None, Some(checkpoint(7)), Some(step(2))] {
            after.iter().for_each(|event| journal.write_event(event).unwrap());
            let journal = Journal::resume(folder.path(), position, 1).unwrap();
            assert_eq!(told(folder.path()), [("step".into(), 1)]);
            assert_eq!(journal.sync_position().unwrap(), position);
        }
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
