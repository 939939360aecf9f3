//! Submission of a study's steps that are neither done nor queued. Calling it again is safe at any time: it
//! submits what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::base::{Fault, Fingerprint, fs, lock_exclusive, write_atomically};
use crate::experiment::graph::{GraphStep, StepKind};
use crate::experiment::runner::Study;
use crate::experiment::slurm::command::run_command;
use crate::experiment::slurm::job_array::{JobArray, JobTask, group_steps};
use crate::experiment::slurm::job_script::{JobScript, StepCommand};
use crate::experiment::slurm::queue::{QueuedStep, ask_queue};
use crate::experiment::step_state::{StepState, read_status};

/// Folder of scripts and output in that of the study.
const FOLDER: &str = "slurm";

/// Digits of the digest of a study's folder.
const DIGITS: usize = 8;

/// Study whose steps are jobs. All nodes see its folder under the same path.
pub struct SlurmStudy<'a> {
    /// The study.
    pub study: &'a Study<'a>,
}

/// Outcome of a submission.
#[derive(Debug, Serialize)]
pub struct Submission {
    /// Arrays that were submitted.
    pub submitted: Vec<SubmittedArray>,
    /// Steps that are in these arrays.
    pub steps: usize,
    /// Steps that are done.
    pub done: usize,
    /// Steps that were in the queue already.
    pub queued: usize,
    /// Folder of the scripts and of what the jobs write.
    pub folder: PathBuf,
}

/// Array that was submitted.
#[derive(Debug, Serialize)]
pub struct SubmittedArray {
    /// Number of its job.
    pub job: u64,
    /// Kind of its steps.
    pub kind: StepKind,
    /// Names of its steps in text.
    pub steps: Vec<String>,
    /// Jobs that it waits for, in Slurm's words.
    pub dependency: Option<String>,
    /// Script that was submitted.
    pub script: PathBuf,
}

impl SlurmStudy<'_> {
    /// Submits every step that is neither done nor queued. `command` does a step whose name is put behind it.
    ///
    /// # Errors
    /// If Slurm refuses an array, whose earlier ones stay queued, or the disk a file.
    pub fn submit_steps(&self, command: &StepCommand) -> Result<Submission, Fault> {
        let folder = self.study.folder.path().join(FOLDER);
        fs::create_dir_all(&folder)?;
        // Two who submit at once would both find nothing queued.
        let path = folder.join("submit.lock");
        let lock = fs::create(&path)?;
        lock_exclusive(&lock, &path)?;
        self.submit_missing(command, &whole_path(&folder)?)
    }

    fn submit_missing(&self, command: &StepCommand, folder: &Path) -> Result<Submission, Fault> {
        // The queue first: a job that ends in between has its step done, and is not missed.
        let mut known = KnownSteps { queue: self.queued_steps()?, ..KnownSteps::default() };
        for status in read_status(self.study)? {
            if status.state == StepState::Done {
                known.done.insert(status.fingerprint);
                // Its job may be about to end.
                known.queue.remove(&status.fingerprint);
            }
        }
        known.queue.retain(|_, queued| queued.is_active());
        let mut submitted = Vec::new();
        for level in self.study.graph.levels() {
            let missing = known.missing_steps(&level);
            for array in group_steps(&missing, &known.known_tasks()) {
                let one = self.submit_array(command, &array, folder)?;
                for (index, step) in &array.tasks {
                    let task = JobTask { job: one.job, index: *index };
                    known.queue.remove(&step.fingerprint);
                    known.submitted.insert(step.fingerprint, task);
                }
                submitted.push(one);
            }
        }
        Ok(Submission {
            submitted,
            steps: known.submitted.len(),
            done: known.done.len(),
            queued: known.queue.len(),
            folder: folder.to_path_buf(),
        })
    }

    /// Steps that Slurm knows, with their states.
    ///
    /// # Errors
    /// If `squeue` is not there or fails.
    pub fn queued_steps(&self) -> Result<BTreeMap<Fingerprint, QueuedStep>, Fault> {
        ask_queue(&self.folder_digest()?, &self.study.graph)
    }

    /// True if steps of the study have been submitted from its folder.
    pub fn was_submitted(&self) -> bool {
        self.study.folder.path().join(FOLDER).is_dir()
    }

    /// Digest of the study's folder, which tells its jobs from those of the same study elsewhere.
    fn folder_digest(&self) -> Result<String, Fault> {
        let whole = whole_path(self.study.folder.path())?;
        Ok(Fingerprint::of_bytes(whole.as_os_str().as_encoded_bytes()).short_hex(DIGITS))
    }

    fn submit_array(
        &self,
        command: &StepCommand,
        array: &JobArray<'_>,
        folder: &Path,
    ) -> Result<SubmittedArray, Fault> {
        let digest = self.folder_digest()?;
        let script = JobScript {
            settings: &self.study.experiment.text.slurm,
            study: &self.study.experiment.text.name,
            digest: &digest,
            command,
            logs: folder,
        };
        let text = script.to_text(array);
        // Named by its contents: the job's number is not known yet.
        let name = Fingerprint::of_bytes(text.as_bytes()).short_hex(DIGITS);
        let path = folder.join(format!("{}-{name}.sh", array.kind.name()));
        write_atomically(&path, text.as_bytes())?;
        let mut sbatch = Command::new("sbatch");
        sbatch.arg("--parsable").arg(&path);
        let remedy =
            "correct [slurm] in the study's file; the same command then submits what is missing";
        let said = run_command(&mut sbatch, remedy)?;
        // `JOB` or `JOB;CLUSTER`.
        let number = said.trim().split(';').next().and_then(|job| job.parse().ok());
        let job = number.ok_or_else(|| Fault::Environment {
            subject: format!("sbatch --parsable {}", path.display()),
            problem: format!("said `{}`, which is no number of a job", said.trim()),
            remedy: "see what squeue --me lists, and what `sbatch` is here (type sbatch)".into(),
        })?;
        Ok(SubmittedArray {
            job,
            kind: array.kind,
            steps: array.tasks.values().map(|step| step.display_name()).collect(),
            dependency: array.dependency.to_option(),
            script: path,
        })
    }
}

/// Steps that need no job of their own any more.
#[derive(Default)]
struct KnownSteps {
    done: BTreeSet<Fingerprint>,
    queue: BTreeMap<Fingerprint, QueuedStep>,
    submitted: BTreeMap<Fingerprint, JobTask>,
}

impl KnownSteps {
    /// Steps of a level that have to be submitted; those of the levels before it have been.
    fn missing_steps<'a>(&self, level: &[&'a GraphStep]) -> Vec<&'a GraphStep> {
        let is_queued = |step: &GraphStep| {
            // A job that waits for one that has failed is cancelled by Slurm sooner or later.
            let is_renewed = |input: &Fingerprint| self.submitted.contains_key(input);
            let is_stranded =
                |queued: &QueuedStep| queued.is_pending() && step.inputs.iter().any(is_renewed);
            self.queue.get(&step.fingerprint).is_some_and(|queued| !is_stranded(queued))
        };
        let is_missing =
            |step: &&&GraphStep| !self.done.contains(&step.fingerprint) && !is_queued(step);
        level.iter().filter(is_missing).copied().collect()
    }

    /// Task of every step that has one.
    fn known_tasks(&self) -> BTreeMap<Fingerprint, JobTask> {
        let queued = self.queue.iter().map(|(step, queued)| (*step, queued.task));
        queued.chain(self.submitted.iter().map(|(step, task)| (*step, *task))).collect()
    }
}

/// Path from the root, through links: the same for every process of this machine.
fn whole_path(folder: &Path) -> Result<PathBuf, Fault> {
    folder.canonicalize().map_err(|error| Fault::from_io(folder, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::slurm::job_array::tests::step;

    #[test]
    fn what_is_done_or_queued_is_not_missing_unless_it_waits_for_a_job_that_is_no_more() {
        let trains = ["a", "b", "c"].map(|name| step(StepKind::Train, name, &[]));
        let scores: Vec<GraphStep> =
            trains.iter().map(|train| step(StepKind::Score, &train.subject, &[train])).collect();
        let queued = |job: u64, state: &str| QueuedStep {
            task: JobTask { job, index: 0 },
            state: state.into(),
            node: String::new(),
            reason: "None".into(),
        };
        let mut known = KnownSteps::default();
        known.done.insert(trains[0].fingerprint);
        known.queue.insert(trains[1].fingerprint, queued(5, "RUNNING"));
        for (number, score) in (6..).zip(&scores[1..]) {
            known.queue.insert(score.fingerprint, queued(number, "PENDING"));
        }
        let names = |steps: Vec<&GraphStep>| -> Vec<String> {
            steps.iter().map(|step| step.subject.clone()).collect()
        };
        let [trains, scores]: [Vec<&GraphStep>; 2] =
            [trains.iter().collect(), scores.iter().collect()];
        assert_eq!(names(known.missing_steps(&trains)), ["c"], "its job was cancelled");
        known.submitted.insert(trains[2].fingerprint, JobTask { job: 9, index: 0 });
        assert_eq!(names(known.missing_steps(&scores)), ["a", "c"], "c waits for the old job");
        known.queue.insert(scores[2].fingerprint, queued(7, "RUNNING"));
        assert_eq!(names(known.missing_steps(&scores)), ["a"]);
        assert_eq!(known.known_tasks()[&trains[2].fingerprint].to_string(), "9_0");
    }
}
