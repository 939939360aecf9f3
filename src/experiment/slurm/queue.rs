//! Steps that Slurm knows as jobs. Each array's comment says whose steps its tasks are, so that nothing has
//! to be remembered beside Slurm's own queue.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Serialize;

use crate::base::{Fault, Fingerprint};
use crate::experiment::graph::{GraphStep, StudyGraph};
use crate::experiment::slurm::command::run_command;
use crate::experiment::slurm::job_array::{JobArray, JobTask};
use crate::experiment::slurm::job_script::DIGITS;

/// First word of a comment.
const MARK: &str = "gliaflow";

/// States of jobs that have ended, by Slurm's names.
const ENDED: [&str; 10] = [
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
];

/// Reason of a job that waits for one that has failed; Slurm is about to cancel it.
const STRANDED: &str = "DependencyNeverSatisfied";

/// Step as Slurm knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueuedStep {
    /// Job in Slurm's words: `12_3`.
    #[serde(serialize_with = "as_text")]
    pub task: JobTask,
    /// State in Slurm's words: `PENDING`, `RUNNING`, `FAILED`.
    pub state: String,
    /// Node; empty while there is none.
    pub node: String,
    /// Reason why it waits or why it ended, in Slurm's words; `None` among them.
    pub reason: String,
}

impl QueuedStep {
    /// True if the job has not ended, and is not about to without having run.
    pub fn is_active(&self) -> bool {
        !ENDED.contains(&self.state.as_str()) && self.reason != STRANDED
    }

    /// True if the job has not begun.
    pub fn is_pending(&self) -> bool {
        self.state == "PENDING"
    }
}

fn as_text<S: serde::Serializer>(task: &JobTask, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(task)
}

/// Comment of an array: mark, the study's digest, and the step of each index.
pub fn comment_text(digest: &str, array: &JobArray<'_>) -> String {
    let mut text = format!("{MARK} {digest}");
    for (index, step) in &array.tasks {
        text += &format!(" {index}={}", step.fingerprint.short_hex(DIGITS));
    }
    text
}

/// Asks Slurm for this user's jobs of a study, the newest of each step. Jobs that have ended are among them
/// as long as Slurm remembers them.
///
/// # Errors
/// If `squeue` is not there or fails.
pub fn ask_queue(
    digest: &str,
    graph: &StudyGraph,
) -> Result<BTreeMap<Fingerprint, QueuedStep>, Fault> {
    let mut command = Command::new("squeue");
    command.args(["--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%N|%r|%k"]);
    let listed = run_command(&mut command, "see that the cluster answers: scontrol ping")?;
    Ok(read_queue(&listed, digest, graph.steps()))
}

fn read_queue(
    listed: &str,
    digest: &str,
    steps: &[GraphStep],
) -> BTreeMap<Fingerprint, QueuedStep> {
    let by_name: BTreeMap<String, Fingerprint> =
        steps.iter().map(|step| (step.fingerprint.short_hex(DIGITS), step.fingerprint)).collect();
    let mut found = BTreeMap::<Fingerprint, QueuedStep>::new();
    for line in listed.lines() {
        let Some((name, queued)) = read_line(line, digest) else { continue };
        let Some(step) = by_name.get(name) else { continue };
        let is_newer = |known: &QueuedStep| {
            (queued.is_active(), queued.task) > (known.is_active(), known.task)
        };
        if found.get(step).is_none_or(is_newer) {
            found.insert(*step, queued);
        }
    }
    found
}

/// Reads a job of the study; `None` for any other.
fn read_line<'a>(line: &'a str, digest: &str) -> Option<(&'a str, QueuedStep)> {
    let mut fields = line.splitn(5, '|');
    let mut next_field = || fields.next().map(str::trim);
    let task = next_field()?;
    let [state, node, reason] = [next_field()?, next_field()?, next_field()?].map(str::to_owned);
    let comment = next_field()?;
    let (job, index) = task.split_once('_')?;
    let task = JobTask { job: job.parse().ok()?, index: index.parse().ok()? };
    let mut words = comment.split(' ');
    if words.next() != Some(MARK) || words.next() != Some(digest) {
        return None;
    }
    let mut tasks = words.filter_map(|word| word.split_once('='));
    let (_, name) = tasks.find(|(own, _)| *own == index)?;
    Some((name, QueuedStep { task, state, node, reason }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::graph::StepKind;
    use crate::experiment::slurm::job_array::Dependency;
    use crate::experiment::slurm::job_array::tests::step;

    #[test]
    fn steps_are_found_in_the_queue_by_their_arrays_comment() {
        let steps = ["a", "b", "c"].map(|subject| step(StepKind::Train, subject, &[]));
        let tasks = BTreeMap::from([(0, &steps[0]), (4, &steps[1])]);
        let array = JobArray { kind: StepKind::Train, dependency: Dependency::None, tasks };
        let comment = comment_text("00aa", &array);
        let other = comment_text("00ab", &array);
        let listed = format!(
            "7_0|RUNNING|node1|None|{comment}\n\
             7_4|PENDING||Dependency|{comment}\n\
             5_4|FAILED|node1|NonZeroExitCode|{comment}\n\
             8_9|PENDING||None|{comment}\n\
             6_0|RUNNING|node1|None|{other}\n\
             3|RUNNING|node1|None|(null)\n\
             4_1|RUNNING|node1|None|notes|of mine\n"
        );
        let found = read_queue(&listed, "00aa", &steps);
        assert_eq!(found.len(), 2);
        let [a, b] = [0, 1].map(|which: usize| &found[&steps[which].fingerprint]);
        assert_eq!((a.task.to_string(), a.node.as_str()), ("7_0".into(), "node1"));
        assert_eq!((b.state.as_str(), b.reason.as_str()), ("PENDING", "Dependency"));
        assert!(a.is_active() && b.is_active());
        let ended = read_queue(&listed.replace("7_4|PENDING", "7_4|CANCELLED"), "00aa", &steps);
        let newest = &ended[&steps[1].fingerprint];
        assert_eq!((newest.task.job, newest.is_active()), (7, false));
        let stranded = listed.replace("|Dependency|", "|DependencyNeverSatisfied|");
        let stranded = &read_queue(&stranded, "00aa", &steps)[&steps[1].fingerprint];
        assert!(stranded.is_pending() && !stranded.is_active());
    }

    #[test]
    fn a_job_that_goes_on_is_named_before_a_newer_one_that_has_ended() {
        let steps = [step(StepKind::Train, "a", &[])];
        let tasks = BTreeMap::from([(0, &steps[0])]);
        let array = JobArray { kind: StepKind::Train, dependency: Dependency::None, tasks };
        let comment = comment_text("1", &array);
        let listed = format!("9_0|CANCELLED||None|{comment}\n7_0|RUNNING|n|None|{comment}\n");
        let found = read_queue(&listed, "1", &steps);
        assert_eq!(found[&steps[0].fingerprint].task.job, 7);
    }
}
