//! Section `[slurm]` of a study's file: what a job of each kind of step asks the cluster for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::ConfigError;
use crate::experiment::graph::StepKind;

/// Settings of a study's jobs on a Slurm cluster.
#[derive(Debug, Clone, Serialize, Deserialize, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct SlurmSection {
    /// Seconds ahead of its time limit at which a job is told to stop, so that it publishes a checkpoint
    /// and is queued again; Slurm takes up to 60 more.
    #[default(300)]
    pub warning_seconds: u32,
    /// Options of every job for `sbatch`, such as `--account=p123`.
    pub options: Vec<String>,
    /// Shell lines ahead of the program in every job, such as `module load cuda`.
    pub setup: Vec<String>,
    /// Resources of every step.
    pub every_step: StepResources,
    /// Resources of the steps of a kind, over those of every step.
    pub steps: BTreeMap<StepKind, StepResources>,
}

/// Resources of a job; Slurm's own defaults where nothing is said.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepResources {
    /// Partition.
    pub partition: Option<String>,
    /// GPUs; a step uses one at most.
    pub gpus: Option<u32>,
    /// CPU cores.
    pub cpus: Option<u32>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// Time limit in minutes. What takes longer goes on in the job's next turn.
    pub time_minutes: Option<u32>,
    /// Further options for `sbatch`.
    pub options: Vec<String>,
}

impl SlurmSection {
    /// Resources of a step of that kind.
    pub fn resources_of(&self, kind: StepKind) -> StepResources {
        let every = self.every_step.clone();
        let Some(own) = self.steps.get(&kind).cloned() else { return every };
        StepResources {
            partition: own.partition.or(every.partition),
            gpus: own.gpus.or(every.gpus),
            cpus: own.cpus.or(every.cpus),
            memory_mib: own.memory_mib.or(every.memory_mib),
            time_minutes: own.time_minutes.or(every.time_minutes),
            options: [every.options, own.options].concat(),
        }
    }

    /// Checks what can be checked without a cluster.
    ///
    /// # Errors
    /// If a number is out of its range, or an option is none.
    pub fn check_settings(&self) -> Result<(), ConfigError> {
        let of_kinds = self.steps.iter().map(|(kind, own)| (format!("steps.{}", kind.name()), own));
        let all = std::iter::once(("every_step".to_owned(), &self.every_step)).chain(of_kinds);
        for (place, own) in all {
            let field = |name: &str| format!("slurm.{place}.{name}");
            if own.cpus == Some(0) {
                let way_out = "write at least 1, or leave it out";
                return Err(ConfigError::new(field("cpus"), 0, "no number of cores", way_out));
            }
            if own.memory_mib == Some(0) {
                let problem = "all memory of a node, to Slurm";
                let way_out = "write the MiB that a step needs, or leave it out";
                return Err(ConfigError::new(field("memory_mib"), 0, problem, way_out));
            }
            check_options(&field("options"), &own.options)?;
        }
        for kind in StepKind::ALL {
            let Some(minutes) = self.resources_of(kind).time_minutes else { continue };
            // Slurm gives the warning up to a minute early, and a job has to come to a checkpoint.
            if u64::from(minutes) * 60 < 2 * (u64::from(self.warning_seconds) + 60) {
                let field = format!("slurm.steps.{}.time_minutes", kind.name());
                let problem =
                    format!("too short for a warning {} s ahead of its end", self.warning_seconds);
                let way_out = "write more minutes, or a smaller slurm.warning_seconds";
                return Err(ConfigError::new(field, minutes, problem, way_out));
            }
        }
        check_options("slurm.options", &self.options)
    }
}

fn check_options(field: &str, options: &[String]) -> Result<(), ConfigError> {
    let is_option = |text: &&String| text.starts_with('-') && !text.contains('\n');
    match options.iter().find(|text| !is_option(text)) {
        Some(other) => {
            let way_out = "write it as on sbatch's command line: --account=p123";
            Err(ConfigError::new(field, format!("`{other}`"), "no option", way_out))
        }
        None => Ok(()),
    }
}

impl StepResources {
    /// The resources as options for `sbatch`.
    pub fn to_options(&self) -> Vec<String> {
        let mut options = Vec::new();
        options.extend(self.partition.iter().map(|name| format!("--partition={name}")));
        let gpus = self.gpus.filter(|gpus| *gpus > 0);
        options.extend(gpus.map(|gpus| format!("--gres=gpu:{gpus}")));
        options.extend(self.cpus.map(|cpus| format!("--cpus-per-task={cpus}")));
        options.extend(self.memory_mib.map(|mib| format!("--mem={mib}M")));
        options.extend(self.time_minutes.map(|minutes| format!("--time={minutes}")));
        options.extend(self.options.iter().cloned());
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> SlurmSection {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_kinds_resources_come_over_those_of_every_step() {
        let section = section(
            "every_step = { partition = 'cpu', cpus = 4, options = ['--nice=5'] }
             steps.train = { partition = 'gpu', gpus = 1, time_minutes = 240, options = ['--exclusive'] }
             steps.score = { gpus = 0, memory_mib = 2048 }",
        );
        section.check_settings().unwrap();
        let options = |kind| section.resources_of(kind).to_options();
        assert_eq!(options(StepKind::Table), ["--partition=cpu", "--cpus-per-task=4", "--nice=5"]);
        assert_eq!(
            options(StepKind::Train),
            [
                "--partition=gpu",
                "--gres=gpu:1",
                "--cpus-per-task=4",
                "--time=240",
                "--nice=5",
                "--exclusive"
            ]
        );
        let score = ["--partition=cpu", "--cpus-per-task=4", "--mem=2048M", "--nice=5"];
        assert_eq!(options(StepKind::Score), score);
    }

    #[test]
    fn settings_that_no_cluster_takes_are_refused_by_name() {
        for (text, words) in [
            ("every_step.cpus = 0", "slurm.every_step.cpus"),
            ("steps.label.memory_mib = 0", "slurm.steps.label.memory_mib"),
            ("steps.train.time_minutes = 11", "smaller slurm.warning_seconds"),
            ("options = ['account=x']", "--account=p123"),
            ("every_step.options = [\"--a\\n#\"]", "slurm.every_step.options"),
        ] {
            let error = section(text).check_settings().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        section("steps.train.time_minutes = 12").check_settings().unwrap();
        section("").check_settings().unwrap();
        let unknown = toml::from_str::<SlurmSection>("steps.trian.cpus = 1").unwrap_err();
        assert!(unknown.to_string().contains("`ingest`"), "{unknown}");
    }
}
