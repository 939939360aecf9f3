//! `experiment`: the paper's experiment, or one like it, as one command.

use std::path::{Path, PathBuf};

use crate::base::{format_bytes, format_duration, fs};
use crate::cli::{ActiveSession, CommandOutput, Console, SessionOptions, VerbResult, train};
use crate::eval::{in_markdown, with_numbers_right};
use crate::experiment::config::ExperimentConfig;
use crate::experiment::plan::{self, ExperimentPlan};
use crate::experiment::protocol::run_experiment;
use crate::experiment::table;
use crate::pipeline::whole_case;
use crate::run::tools::bench_step::StepCost;
use crate::run::{DeviceMemory, Failure, phantoms};
use crate::volume::Split;

/// Train networks, average them, distil their ensemble into a student, and print the table
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow experiment configs/table1-demo.toml
  gliaflow experiment configs/table1-demo.toml --seeds 3 --out runs/three-seeds
  gliaflow experiment --plan configs/paper/table1.toml

A step that is done is not done again; a killed experiment goes on with the same command.")]
pub(super) struct Experiment {
    /// The study's file
    #[arg(value_name = "CONFIG")]
    config: PathBuf,

    /// Folder for all runs and results [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Number of seeds to train everything with; the same as --set seeds=N
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,

    /// A setting to override: base.loader.batch=4, student.targets=soft
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Say what it would take, and stop before anything is read or written
    #[arg(long)]
    plan: bool,

    /// Step times for --plan, as `bench-step --json` wrote them; may be given several times
    #[arg(long, value_name = "FILE", requires = "plan")]
    times: Vec<PathBuf>,

    /// Measure a few steps of each network that --times lacks, for --plan
    #[arg(long, requires = "plan")]
    measure: bool,

    #[command(flatten)]
    long: SessionOptions,
}

impl Experiment {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let mut assignments = self.set;
        assignments.extend(self.seeds.map(|seeds| format!("seeds={seeds}")));
        let experiment = ExperimentConfig::load(&self.config, &assignments)?;
        let out = self.out.unwrap_or_else(|| Path::new("runs").join(&experiment.text.name));
        if self.plan {
            let measured = read_times(&self.times)?;
            let planned = plan::plan_experiment(&experiment, &out, measured, self.measure)?;
            let text = plan_text(&planned);
            return Ok(CommandOutput::new(&planned, text));
        }
        let training = train::TOPOLOGIES.concat();
        let topologies: [&[&str]; 3] = [&phantoms::ACTORS, &training, &whole_case::CACHE_ACTORS];
        let splits = [Split::Train, Split::Validation, Split::Test, Split::Unlabelled];
        let name = &experiment.text.name;
        let live = ActiveSession::start_for_study(&self.long, name, name, console)?
            .register_metrics(&topologies, &splits);
        let outcome =
            live.run_network_verb(|session| run_experiment(&experiment, &out, session))?;
        let text =
            format!("{}\ntable: {}", table::to_markdown(&outcome)?, out.join("table.md").display());
        Ok(CommandOutput::new(&table::to_json(&outcome)?, text))
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

fn device_memory_cell(device: Option<DeviceMemory>) -> String {
    let Some(DeviceMemory { bytes, smallest_card }) = device else { return "not counted".into() };
    let card = smallest_card
        .map_or_else(|| "no card".to_owned(), |gigabytes| format!("{gigabytes} GB card"));
    format!("{}, {card}", format_bytes(bytes as f64))
}

fn plan_text(plan: &ExperimentPlan) -> String {
    let parts = &plan.parts;
    let mut text = format!(
        "{} labelled cases{}: {} training, {} validation and {} test cases; of the latter two {} \
         are unlabelled, so {} and {} are scored\n\n",
        parts.cases,
        if parts.found { "" } else { " expected" },
        parts.train,
        parts.validation,
        parts.test,
        parts.unlabelled,
        parts.validation_scored,
        parts.test_scored
    );
    let header = [
        "step",
        "times",
        "cases",
        "samples",
        "steps",
        "windows",
        "checkpoints",
        "disk",
        "memory",
        "device memory",
        "time",
    ];
    let mut steps = in_markdown();
    steps.set_header(header);
    for step in &plan.steps {
        steps.add_row([
            step.step.clone(),
            step.times.to_string(),
            step.cases.to_string(),
            step.samples.to_string(),
            step.steps.to_string(),
            step.windows.to_string(),
            step.checkpoints.to_string(),
            format_bytes(step.disk_bytes as f64),
            // What a step takes is known where it was measured.
            if step.seconds.is_none() && step.steps > 0 {
                format!("> {}", format_bytes(step.memory_bytes as f64))
            } else {
                format_bytes(step.memory_bytes as f64)
            },
            if step.steps > 0 { device_memory_cell(step.device_memory) } else { String::new() },
            step.seconds.map_or_else(|| "not measured".into(), format_duration),
        ]);
    }
    let disk: u64 = plan.steps.iter().map(|step| step.disk_bytes).sum();
    let known = plan.steps.iter().filter_map(|step| Some(step.seconds? * step.times as f64));
    let known: f64 = known.fold(0.0, |sum, seconds| sum + seconds);
    text += &format!(
        "{}\n\nin all: at most {} on the disk, {} where it was measured; samples to time are \
         each time, disk is of all times together, a case counts as its whole grid",
        with_numbers_right(steps, 1),
        format_bytes(disk as f64),
        format_duration(known)
    );
    for cost in &plan.measured {
        text += &format!(
            "\nmeasured: {} {:.4} s a step of {} on {}, {:.4} s a pass of inference",
            cost.model, cost.seconds_per_step, cost.batch, cost.device, cost.inference_seconds
        );
    }
    for network in &plan.unmeasured {
        text += &format!("\nnot measured: {network}");
    }
    text
}
