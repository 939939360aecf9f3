//! Folder of a study: one folder for each step, locked while a process is at it, and a journal of the
//! steps. Several processes may work in it, each at another step.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{
    Fault, Fingerprint, LockOutcome, end_of_last_line, fs, lock_exclusive, try_lock_exclusive,
};
use crate::experiment::graph::{GraphStep, StepKind};
use crate::run::{Failure, Session, prepare};

/// The journal's file.
const JOURNAL: &str = "steps.jsonl";

/// File in a step's folder that its process locks and names itself in.
const LOCK: &str = ".step.lock";

/// Time between two looks at a step that another process is at.
const LOOK: Duration = Duration::from_millis(200);

/// Folder of a study.
pub struct StudyFolder {
    root: PathBuf,
}

/// Lock of a step, held as long as this lives.
#[must_use]
pub struct StepLock {
    file: File,
    path: PathBuf,
}

impl StepLock {
    /// Writes down which process is at the step, for whoever looks or waits.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn name_holder(&self) -> Result<(), Fault> {
        let holder = format!("process {} on {}", std::process::id(), host_name());
        // Whoever waited has read the name of the one before.
        let emptied = self.file.set_len(0).and_then(|()| (&self.file).rewind());
        let named = emptied.and_then(|()| (&self.file).write_all(holder.as_bytes()));
        named.map_err(|error| Fault::from_io(&self.path, &error))
    }
}

/// Line of the journal.
#[derive(Serialize, Deserialize)]
struct JournalLine {
    kind: StepKind,
    subject: String,
    fingerprint: Fingerprint,
    event: StepEvent,
    seconds: Option<f64>,
}

/// Event of a step in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEvent {
    /// Work began.
    Begun,
    /// Work went on where an earlier process left it.
    Resumed,
    /// Work is done.
    Done,
    /// The step was found done.
    Kept,
}

impl StudyFolder {
    /// The folder at `root`, which need not be there.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Path of a step's own folder.
    pub fn step_folder(&self, step: &GraphStep) -> PathBuf {
        self.root.join(step.relative_folder())
    }

    /// Makes a step's folder and locks it; waits for another process that is at the same step.
    ///
    /// # Errors
    /// If it cannot be made or locked, or the session is stopped.
    pub fn lock_step(&self, step: &GraphStep, session: &Session) -> Result<StepLock, Failure> {
        let folder = self.step_folder(step);
        fs::create_dir_all(&folder)?;
        let path = folder.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        let mut file = fs::open_with(&path, &options)?;
        let mut is_told = false;
        while try_lock_exclusive(&file, &path)? == LockOutcome::HeldByAnother {
            if !is_told {
                let holder = read_holder(&mut file);
                let name = step.display_name();
                session.progress.print_line(&format!("waits for {holder}, which is at `{name}`"));
                is_told = true;
            }
            prepare::fail_if_stopped(&session.stop, "another process goes on with the step")?;
            thread::sleep(LOOK);
        }
        Ok(StepLock { file, path })
    }

    /// Process that is at a step: `process 12 on node3`; `None` if none is.
    ///
    /// # Errors
    /// If its lock cannot be read.
    pub fn step_holder(&self, step: &GraphStep) -> Result<Option<String>, Fault> {
        let path = self.step_folder(step).join(LOCK);
        let Some(mut file) = fs::if_present(fs::open(&path))? else { return Ok(None) };
        let outcome = try_lock_exclusive(&file, &path)?;
        Ok((outcome == LockOutcome::HeldByAnother).then(|| read_holder(&mut file)))
    }

    /// Records an event of a step. A line that a killed process left half written is cut away.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn record_event(
        &self,
        step: &GraphStep,
        event: StepEvent,
        seconds: Option<f64>,
    ) -> Result<(), Fault> {
        let line = JournalLine {
            kind: step.kind,
            subject: step.subject.clone(),
            fingerprint: step.fingerprint,
            event,
            seconds,
        };
        let mut text = serde_json::to_string(&line).expect("a line serialises to JSON");
        text.push('\n');
        let path = self.root.join(JOURNAL);
        let mut options = OpenOptions::new();
        let mut journal = fs::open_with(&path, options.create(true).read(true).append(true))?;
        lock_exclusive(&journal, &path)?;
        let whole = journal.metadata().and_then(|file| end_of_last_line(&mut journal, file.len()));
        let written = whole
            .and_then(|end| journal.set_len(end))
            .and_then(|()| journal.write_all(text.as_bytes()));
        written.map_err(|error| Fault::from_io(&path, &error))
    }

    /// Seconds that the last process took for each step that is done, by name; half a line at the end,
    /// and lines of earlier versions, are passed over.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn read_seconds(&self) -> Result<Vec<(Fingerprint, f64)>, Fault> {
        let text = fs::if_present(fs::read_to_string(self.root.join(JOURNAL)))?.unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<JournalLine>(line).ok());
        let done = lines.filter(|line| line.event == StepEvent::Done);
        Ok(done.filter_map(|line| Some((line.fingerprint, line.seconds?))).collect())
    }
}

fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    if read.is_ok() && !text.is_empty() { text } else { "another process".into() }
}

fn host_name() -> String {
    let name = fs::read_to_string(Path::new("/proc/sys/kernel/hostname"));
    name.map_or_else(|_| "this machine".into(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::graph::step::{IngestWork, StepWork};

    fn step(settings: u8) -> GraphStep {
        let work = IngestWork { cases: Fingerprint([settings; 16]) };
        GraphStep::new("cases", "cases", StepWork::Ingest(work), Vec::new())
    }

    #[test]
    fn half_a_line_is_cut_away() {
        let root = tempfile::tempdir().unwrap();
        let study = StudyFolder::new(root.path());
        let record =
            |settings| study.record_event(&step(settings), StepEvent::Begun, None).unwrap();
        let journal = root.path().join(JOURNAL);
        record(1);
        let one = fs::read_to_string(&journal).unwrap();
        record(2);
        let both = fs::read_to_string(&journal).unwrap();
        fs::write(&journal, &both[..both.len() - 5]).unwrap();
        record(2);
        assert_eq!(fs::read_to_string(&journal).unwrap(), both);
        assert!(both.starts_with(&one));
    }

    #[test]
    fn the_last_seconds_of_a_step_are_those_of_its_last_end() {
        let root = tempfile::tempdir().unwrap();
        let study = StudyFolder::new(root.path());
        assert!(study.read_seconds().unwrap().is_empty());
        study.record_event(&step(1), StepEvent::Begun, None).unwrap();
        study.record_event(&step(1), StepEvent::Done, Some(2.5)).unwrap();
        study.record_event(&step(1), StepEvent::Kept, None).unwrap();
        assert_eq!(study.read_seconds().unwrap(), [(step(1).fingerprint, 2.5)]);
        assert_eq!(study.step_holder(&step(1)).unwrap(), None, "nobody is at it");
    }
}
