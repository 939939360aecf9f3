//! `runs`: the runs in a folder, and what differs between some of them.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{Table, presets};

use crate::base::format_duration;
use crate::cli::{CommandOutput, Console, VerbResult};
use crate::report::{ListedRun, RunComparison, compare_runs, find_runs};
use crate::run::Failure;
use crate::run_folder::{CONFIG, EVENTS};

/// List the runs in a folder: state, network, steps, best Dice, last sign of life, wall time
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow runs
  gliaflow runs --in /data/runs --json
  gliaflow runs --compare unet-001 unet-002 cascaded-001

--compare prints what differs in settings and scores; `gliaflow report A B` draws their curves.")]
pub(super) struct Runs {
    /// Folder to search, its folders included
    #[arg(long = "in", value_name = "DIR", default_value = "runs")]
    root: PathBuf,

    /// Runs to compare, by folder or by their names in the folder
    #[arg(long, value_name = "RUN", num_args = 2..)]
    compare: Vec<PathBuf>,
}

impl Runs {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        if !self.compare.is_empty() {
            let runs = self.compare.iter().map(|run| self.find_named(run));
            let comparison = compare_runs(&runs.collect::<Result<Vec<_>, _>>()?)?;
            return Ok(CommandOutput::new(&comparison, comparison_text(&comparison)));
        }
        if !self.root.is_dir() {
            return Err(Failure::Usage(format!(
                "{}: is no folder; name the one that holds the runs with --in",
                self.root.display()
            )));
        }
        let runs: Vec<ListedRun> =
            find_runs(&self.root).iter().map(|folder| ListedRun::read(folder)).collect();
        let text = match runs.is_empty() {
            true => format!("{}: holds no run", self.root.display()),
            false => list_text(&runs),
        };
        Ok(CommandOutput::new(&runs, text))
    }

    /// Folder of a run that is named by its folder, or by its name below the one that is searched.
    fn find_named(&self, run: &Path) -> Result<PathBuf, Failure> {
        let direct =
            [run.to_path_buf(), self.root.join(run)].into_iter().find(|path| holds_run(path));
        let below = || find_runs(&self.root).into_iter().find(|path| path.ends_with(run));
        direct.or_else(below).ok_or_else(|| missing_run(run))
    }
}

/// Returns true if a folder holds a run.
pub(super) fn holds_run(folder: &Path) -> bool {
    [CONFIG, EVENTS].iter().any(|file| folder.join(file).is_file())
}

/// Makes the failure of a folder that holds no run.
pub(super) fn missing_run(folder: &Path) -> Failure {
    Failure::Usage(format!(
        "{}: holds no run; `gliaflow runs --in DIR` lists those of a folder",
        folder.display()
    ))
}

fn list_text(runs: &[ListedRun]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut table = new_table([
        "run",
        "state",
        "network",
        "steps",
        "best Dice",
        "last sign of life",
        "wall time",
    ]);
    for run in runs {
        table.add_row([
            run.folder.display().to_string(),
            run.state.clone(),
            run.network.clone().unwrap_or_else(|| "–".into()),
            steps_text(run),
            best_text(run),
            run.last_sign_of_life
                .map_or("–".into(), |at| format!("{} ago", format_duration((now - at).max(0.0)))),
            format_duration(run.wall_seconds),
        ]);
    }
    table.to_string()
}

fn steps_text(run: &ListedRun) -> String {
    match run.planned_steps {
        Some(planned) => format!("{} of {planned}", run.steps),
        None => run.steps.to_string(),
    }
}

fn best_text(run: &ListedRun) -> String {
    match (run.best_dice, run.best_epoch) {
        (Some(dice), Some(epoch)) => format!("{dice:.4} (epoch {epoch})"),
        _ => "–".into(),
    }
}

fn comparison_text(comparison: &RunComparison) -> String {
    let runs = &comparison.runs;
    let names = || runs.iter().map(|run| run.name.clone());
    let mut table = new_table(["".to_owned()].into_iter().chain(names()));
    let mut row = |name: &str, value: &dyn Fn(&ListedRun) -> String| {
        table.add_row([name.to_owned()].into_iter().chain(runs.iter().map(value)));
    };
    row("state", &|run| run.state.clone());
    row("network", &|run| run.network.clone().unwrap_or_else(|| "–".into()));
    row("steps", &steps_text);
    row("best Dice", &best_text);
    let mut regions: Vec<&String> = runs.iter().flat_map(|run| run.dice.keys()).collect();
    regions.sort();
    regions.dedup();
    for region in regions {
        row(&format!("Dice {region}"), &|run| {
            run.dice.get(region).map_or("–".into(), |dice| format!("{dice:.4}"))
        });
    }
    row("wall time", &|run| format_duration(run.wall_seconds));
    if comparison.settings.is_empty() {
        return format!("{table}\nno setting differs");
    }
    let mut settings = new_table(["setting".to_owned()].into_iter().chain(names()));
    for (path, values) in &comparison.settings {
        let values = values.iter().map(|value| value.clone().unwrap_or_else(|| "not set".into()));
        settings.add_row([path.clone()].into_iter().chain(values));
    }
    format!("{table}\n{settings}")
}

fn new_table<T: Into<comfy_table::Cell>>(header: impl IntoIterator<Item = T>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(header.into_iter().map(Into::into).collect::<Vec<comfy_table::Cell>>());
    table
}
