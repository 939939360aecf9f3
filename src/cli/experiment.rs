//! `experiment`: the paper's experiment, or one like it, as one command.

use std::path::{Path, PathBuf};

use crate::base::{fs, write_atomically};
use crate::cli::study_jobs::StudyCommand;
use crate::cli::{
    ActiveSession, CommandOutput, Console, SessionOptions, VerbResult, study_jobs, study_plan,
    study_steps, train,
};
use crate::experiment::config::ExperimentConfig;
use crate::experiment::plan;
use crate::experiment::runner::{StepRunner, Study};
use crate::experiment::step_state;
use crate::experiment::study_table::StudyTables;
use crate::pipeline::whole_case;
use crate::run::tools::bench_step::StepCost;
use crate::run::{Failure, phantoms};
use crate::run_folder::run_name;
use crate::volume::Split;

/// Train networks, average them, distil them into students, search settings, and print the table
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow experiment configs/table1-demo.toml
  gliaflow experiment configs/table1-demo.toml --seeds 3 --out runs/three-seeds
  gliaflow experiment --plan configs/paper/table1.toml
  gliaflow experiment configs/folds-demo.toml --status
  gliaflow experiment configs/slurm-demo.toml --on slurm

A step that is done is not done again; a killed experiment goes on with the same command. Several
processes may do steps of one experiment in one folder, also on several machines.")]
pub(super) struct Experiment {
    /// The study's file
    #[arg(value_name = "CONFIG")]
    config: PathBuf,

    /// Folder for all runs and results [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Place of the steps: this process, or jobs of a Slurm cluster
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["plan", "step", "status"])]
    on: StepPlace,

    /// Number of seeds to train everything with; the same as --set seeds=N
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,

    /// A setting to override: base.loader.batch=4, ensemble.mirrored=true
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Say what it would take, and stop before anything is written
    #[arg(long, conflicts_with_all = ["step", "status"])]
    plan: bool,

    /// Do one step, whose inputs are done: the first digits of its name, as --plan --json lists it
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "status")]
    step: Option<String>,

    /// Show each step: done, running and where, begun, ready, or waiting
    #[arg(long)]
    status: bool,

    /// File for the plan's graph as text of Graphviz, for dot -Tsvg; - for standard output
    #[arg(long, value_name = "FILE", requires = "plan")]
    dot: Option<PathBuf>,

    /// Step times for --plan, as `bench-step --json` wrote them; may be given several times
    #[arg(long, value_name = "FILE", requires = "plan")]
    times: Vec<PathBuf>,

    /// Measure a few steps of each network that --times lacks, for --plan
    #[arg(long, requires = "plan")]
    measure: bool,

    #[command(flatten)]
    long: SessionOptions,
}

/// Place where steps are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum StepPlace {
    /// This process, one after the other
    #[default]
    Local,
    /// Jobs of a Slurm cluster, which are submitted
    Slurm,
}

impl Experiment {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let mut assignments = self.set;
        assignments.extend(self.seeds.map(|seeds| format!("seeds={seeds}")));
        let experiment = ExperimentConfig::load(&self.config, &assignments)?;
        let out = self.out.unwrap_or_else(|| Path::new("runs").join(&experiment.text.name));
        let study = Study::plan_graph(&experiment, &out)?;
        if self.plan {
            let measured = read_times(&self.times)?;
            let planned = plan::plan_experiment(&study, measured, self.measure)?;
            let text = match &self.dot {
                None => study_plan::plan_text(&planned),
                Some(file) if file.as_os_str() == "-" => study_plan::plan_dot(&study, &planned),
                Some(file) => {
                    let graph = study_plan::plan_dot(&study, &planned);
                    write_atomically(file, graph.as_bytes())?;
                    format!("{}\ngraph: {}", study_plan::plan_text(&planned), file.display())
                }
            };
            return Ok(CommandOutput::new(&planned, text));
        }
        study.listing.check_is_there()?;
        if self.status {
            let status = step_state::read_status(&study)?;
            return Ok(study_jobs::show_status(&study, &status));
        }
        if self.on == StepPlace::Slurm {
            let command = StudyCommand {
                config: &self.config,
                out: &out,
                assignments: &assignments,
                session: &self.long,
            };
            return study_jobs::submit_study(&study, &command);
        }
        let step = self.step.as_deref().map(|prefix| study.graph.find_by_prefix(prefix));
        let step = step.transpose()?;
        let training = train::TOPOLOGIES.concat();
        let topologies: [&[&str]; 3] = [&phantoms::ACTORS, &training, &whole_case::CACHE_ACTORS];
        let splits = [Split::Train, Split::Validation, Split::Test, Split::Unlabelled];
        let name = &experiment.text.name;
        let label = step.map(|step| run_name(&study.folder.step_folder(step)));
        let label = label.as_ref().unwrap_or(name);
        let live = ActiveSession::start_for_study(&self.long, label, name, console)?
            .register_metrics(&topologies, &splits);
        if let Some(step) = step {
            let end = live
                .run_network_verb(|session| StepRunner::new(&study, session)?.perform_step(step))?;
            return Ok(CommandOutput::new(&end, study_steps::step_text(step, &end)));
        }
        let table = live.run_network_verb(|session| {
            StepRunner::new(&study, session)?.perform_all()?;
            StudyTables::read_tables(&study)
        })?;
        let text = format!("{}\ntable: {}", table.to_markdown()?, out.join("table.md").display());
        Ok(CommandOutput::new(&table.to_json()?, text))
    }
}

fn read_times(files: &[PathBuf]) -> Result<Vec<StepCost>, Failure> {
    let mut measured = Vec::new();
    for file in files {
        let problem = |problem: String| {
            let file = file.display();
            Failure::Usage(format!("{file}: {problem}; name what `bench-step --json` wrote"))
        };
        let text = fs::read_to_string(file).map_err(|error| problem(error.cause.to_string()))?;
        measured.push(serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?);
    }
    Ok(measured)
}
