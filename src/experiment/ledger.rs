//! Folder of an experiment: one folder for each step, and a journal of the steps.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{Fault, Fingerprint, LockOutcome, end_of_last_line, fs, try_lock_exclusive};

/// Version of the steps, raised when one does something else for the same settings.
const MEANING: u32 = 1;

/// The journal's file.
const JOURNAL: &str = "steps.jsonl";

/// Step of an experiment, identified by everything that decides its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExperimentStep {
    /// `train`, `score`, `label`.
    pub kind: &'static str,
    /// Subject in text: `unet seed 1`.
    pub subject: String,
    /// Fingerprint of everything that decides its outcome.
    pub fingerprint: Fingerprint,
}

impl ExperimentStep {
    /// A step whose outcome is a function of `inputs`, of its kind, and of nothing else.
    pub fn new(kind: &'static str, subject: impl Into<String>, inputs: &impl Serialize) -> Self {
        let fingerprint = Fingerprint::of_config(&(MEANING, kind, inputs));
        Self { kind, subject: subject.into(), fingerprint }
    }

    /// Folder relative to the experiment's, such as `train/unet-seed-1-0a1b2c3d4e5f`.
    fn relative_folder(&self) -> PathBuf {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let subject: String = self.subject.chars().map(plain).collect();
        Path::new(self.kind).join(format!("{subject}-{}", self.fingerprint.short_hex(12)))
    }
}

/// Folder of an experiment, locked against other processes for as long as this lives.
pub struct ExperimentFolder {
    root: PathBuf,
    journal: File,
}

#[derive(Serialize)]
struct StepJournalEntry<'a> {
    #[serde(flatten)]
    step: &'a ExperimentStep,
    event: &'a str,
    seconds: Option<f64>,
}

impl ExperimentFolder {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// If it cannot be made, or another process works in it.
    pub fn open(root: &Path) -> Result<Self, Fault> {
        fs::create_dir_all(root)?;
        let path = root.join(JOURNAL);
        let mut options = OpenOptions::new();
        let mut journal = fs::open_with(&path, options.create(true).read(true).append(true))?;
        if try_lock_exclusive(&journal, &path)? == LockOutcome::HeldByAnother {
            return Err(Fault::Environment {
                subject: root.display().to_string(),
                problem: "another process works on this study".into(),
                remedy: "wait for it or stop it, or choose another folder with --out".into(),
            });
        }
        // A killed process may have left half a line.
        let whole = journal.metadata().and_then(|file| end_of_last_line(&mut journal, file.len()));
        let cut = whole.and_then(|end| journal.set_len(end));
        cut.map_err(|error| Fault::from_io(&path, &error))?;
        Ok(Self { root: root.to_path_buf(), journal })
    }

    /// Returns a step's own folder, whose parent is made.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn step_folder(&self, step: &ExperimentStep) -> Result<PathBuf, Fault> {
        let folder = self.root.join(step.relative_folder());
        let parent = self.root.join(step.kind);
        fs::create_dir_all(&parent)?;
        Ok(folder)
    }

    /// Records that a step was `begun`, `resumed`, `done` or found `kept`.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn record_event(
        &self,
        step: &ExperimentStep,
        event: &str,
        seconds: Option<f64>,
    ) -> Result<(), Fault> {
        let line = StepJournalEntry { step, event, seconds };
        let mut text = serde_json::to_string(&line).expect("a line serialises to JSON");
        text.push('\n');
        let written = (&self.journal).write_all(text.as_bytes());
        written.map_err(|error| Fault::from_io(&self.root.join(JOURNAL), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_named_by_what_decides_it() {
        let step = |inputs: &str| ExperimentStep::new("train", "U-Net seed 1", &inputs);
        assert_eq!(step("a"), step("a"));
        assert_ne!(step("a").fingerprint, step("b").fingerprint);
        let other = ExperimentStep::new("score", "U-Net seed 1", &"a");
        assert_ne!(step("a").fingerprint, other.fingerprint);
        let folder = step("a").relative_folder().display().to_string();
        assert!(folder.starts_with("train/U-Net-seed-1-"), "{folder}");
    }

    #[test]
    fn two_processes_do_not_share_a_study() {
        let root = tempfile::tempdir().unwrap();
        let first = ExperimentFolder::open(root.path()).unwrap();
        let refused = ExperimentFolder::open(root.path()).err().unwrap().to_string();
        assert!(refused.contains("another process"), "{refused}");
        first.record_event(&ExperimentStep::new("train", "a", &1), "begun", None).unwrap();
        drop(first);
        ExperimentFolder::open(root.path()).unwrap();
        let text = fs::read_to_string(root.path().join(JOURNAL)).unwrap();
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn half_a_line_is_cut_away() {
        let root = tempfile::tempdir().unwrap();
        let record = |inputs: u32| {
            let study = ExperimentFolder::open(root.path()).unwrap();
            study.record_event(&ExperimentStep::new("train", "a", &inputs), "begun", None).unwrap();
        };
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
}
