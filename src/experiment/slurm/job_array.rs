//! Steps as job arrays: steps of one kind that wait for the same steps are tasks of one array. Steps that
//! each wait for another task of one array are an array too, in which each has the index of its task: that
//! is what `aftercorr` goes by.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::Fingerprint;
use crate::experiment::graph::{GraphStep, StepKind};

/// Most tasks of an array. Slurm takes comments of 1,024 bytes, in which every task is named, and arrays of
/// 1,001 tasks where nothing else was set.
pub const MOST_TASKS: u32 = 50;

/// Task of an array that is known to Slurm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobTask {
    /// Number of the array's job.
    pub job: u64,
    /// Index in the array.
    pub index: u32,
}

impl fmt::Display for JobTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.job, self.index)
    }
}

/// Jobs that an array waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// None: all inputs are done.
    None,
    /// The task of the same index in this array.
    Corresponding(u64),
    /// All of these tasks.
    All(Vec<JobTask>),
}

impl Dependency {
    /// Value of the option `--dependency`, if there is one to give.
    pub fn to_option(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Corresponding(job) => Some(format!("aftercorr:{job}")),
            Self::All(tasks) => {
                let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
                Some(format!("afterok:{}", tasks.join(":")))
            }
        }
    }
}

/// Array of jobs that is to be submitted.
#[derive(Debug)]
pub struct JobArray<'a> {
    /// Kind of its steps.
    pub kind: StepKind,
    /// Jobs that all of its tasks wait for.
    pub dependency: Dependency,
    /// Steps by index.
    pub tasks: BTreeMap<u32, &'a GraphStep>,
}

/// Groups steps of one level into arrays. `jobs` has the task of every step that is not done and that one of
/// these waits for; inputs that are not in it are done.
pub fn group_steps<'a>(
    steps: &[&'a GraphStep],
    jobs: &BTreeMap<Fingerprint, JobTask>,
) -> Vec<JobArray<'a>> {
    let awaited: Vec<Vec<JobTask>> = steps.iter().map(|step| awaited_tasks(step, jobs)).collect();
    let mut arrays: Vec<JobArray<'a>> = Vec::new();
    for (step, own) in steps.iter().zip(&awaited) {
        let others = steps.iter().zip(&awaited);
        let is_alike = |(other, tasks): &(&&GraphStep, &Vec<JobTask>)| {
            other.kind == step.kind && *tasks == own
        };
        let is_alone = others.filter(is_alike).count() == 1;
        let (dependency, wanted) = match own.as_slice() {
            [] => (Dependency::None, None),
            [only] if is_alone => (Dependency::Corresponding(only.job), Some(only.index)),
            _ => (Dependency::All(own.clone()), None),
        };
        let fits = |array: &JobArray<'a>| {
            let is_free = match wanted {
                Some(index) => !array.tasks.contains_key(&index),
                None => (array.tasks.len() as u32) < MOST_TASKS,
            };
            array.kind == step.kind && array.dependency == dependency && is_free
        };
        let place = arrays.iter().position(fits).unwrap_or_else(|| {
            let tasks = BTreeMap::new();
            arrays.push(JobArray { kind: step.kind, dependency: dependency.clone(), tasks });
            arrays.len() - 1
        });
        let tasks = &mut arrays[place].tasks;
        tasks.insert(wanted.unwrap_or(tasks.len() as u32), *step);
    }
    arrays
}

/// Tasks that a step waits for, in order.
fn awaited_tasks(step: &GraphStep, jobs: &BTreeMap<Fingerprint, JobTask>) -> Vec<JobTask> {
    let mut awaited: Vec<JobTask> =
        step.inputs.iter().filter_map(|input| jobs.get(input).copied()).collect();
    awaited.sort();
    awaited.dedup();
    awaited
}

#[cfg(test)]
pub(in crate::experiment::slurm) mod tests {
    use super::*;
    use crate::experiment::graph::StepWork;
    use crate::experiment::graph::step::IngestWork;

    /// Step of that kind, named by its subject and its inputs.
    pub(in crate::experiment::slurm) fn step(
        kind: StepKind,
        subject: &str,
        inputs: &[&GraphStep],
    ) -> GraphStep {
        let cases = Fingerprint::of_bytes(subject.as_bytes());
        let inputs = inputs.iter().map(|input| input.fingerprint).collect();
        let work = StepWork::Ingest(IngestWork { cases });
        GraphStep { kind, ..GraphStep::new(subject, subject, work, inputs) }
    }

    fn jobs(known: &[(&GraphStep, u64, u32)]) -> BTreeMap<Fingerprint, JobTask> {
        let tasks = known.iter();
        tasks
            .map(|(step, job, index)| (step.fingerprint, JobTask { job: *job, index: *index }))
            .collect()
    }

    /// Kind, dependency and tasks of an array.
    type ShownArray = (StepKind, Option<String>, Vec<(u32, String)>);

    fn shown(arrays: &[JobArray<'_>]) -> Vec<ShownArray> {
        let one = |array: &JobArray<'_>| {
            let tasks = array.tasks.iter();
            let tasks = tasks.map(|(index, step)| (*index, step.subject.clone())).collect();
            (array.kind, array.dependency.to_option(), tasks)
        };
        arrays.iter().map(one).collect()
    }

    #[test]
    fn steps_of_a_kind_that_wait_for_the_same_are_one_array() {
        let ingest = step(StepKind::Ingest, "cases", &[]);
        let trains = ["a", "b", "c"].map(|name| step(StepKind::Train, name, &[&ingest]));
        let trains: Vec<&GraphStep> = trains.iter().collect();
        let named = vec![(0, "a".into()), (1, "b".into()), (2, "c".into())];
        let done = group_steps(&trains, &jobs(&[]));
        assert_eq!(shown(&done), [(StepKind::Train, None, named)]);
        let named = vec![(0, "a".into()), (1, "b".into()), (2, "c".into())];
        let waiting = group_steps(&trains, &jobs(&[(&ingest, 5, 0)]));
        assert_eq!(shown(&waiting), [(StepKind::Train, Some("afterok:5_0".to_owned()), named)]);
    }

    #[test]
    fn a_step_that_waits_for_one_task_has_its_index_and_one_of_several_waits_for_all() {
        let trains = ["a", "b", "c"].map(|name| step(StepKind::Train, name, &[]));
        let scores: Vec<GraphStep> =
            trains.iter().map(|train| step(StepKind::Score, &train.subject, &[train])).collect();
        let both = step(StepKind::Score, "both", &[&trains[0], &trains[2]]);
        let label = step(StepKind::Label, "both", &[&trains[2], &trains[0]]);
        let known = jobs(&[(&trains[0], 5, 0), (&trains[1], 4, 7), (&trains[2], 5, 2)]);
        let all: Vec<&GraphStep> = scores.iter().chain([&both, &label]).collect();
        let arrays = group_steps(&all, &known);
        assert_eq!(
            shown(&arrays),
            [
                (
                    StepKind::Score,
                    Some("aftercorr:5".into()),
                    vec![(0, "a".into()), (2, "c".into())]
                ),
                (StepKind::Score, Some("aftercorr:4".into()), vec![(7, "b".into())]),
                (StepKind::Score, Some("afterok:5_0:5_2".into()), vec![(0, "both".into())]),
                (StepKind::Label, Some("afterok:5_0:5_2".into()), vec![(0, "both".into())]),
            ]
        );
    }

    #[test]
    fn an_array_has_no_more_tasks_than_its_comment_can_name() {
        let steps: Vec<GraphStep> = (0..MOST_TASKS + 3)
            .map(|number| step(StepKind::Train, &number.to_string(), &[]))
            .collect();
        let steps: Vec<&GraphStep> = steps.iter().collect();
        let arrays = group_steps(&steps, &jobs(&[]));
        let sizes: Vec<usize> = arrays.iter().map(|array| array.tasks.len()).collect();
        assert_eq!(sizes, [MOST_TASKS as usize, 3]);
        let longest = crate::experiment::slurm::queue::comment_text("0123abcd", &arrays[0]);
        assert!(longest.len() < 1024, "{}", longest.len());
    }
}
