//! `label`: a teacher's labels for cases to train on.

use std::path::PathBuf;

use crate::brats::dataset::CaseFiles;
use crate::cli::console::Console;
use crate::cli::predictors::Runs;
use crate::cli::report::Report;
use crate::cli::session::{Live, LongOptions};
use crate::cli::tables;
use crate::eval::table::{DiceRow, render};
use crate::pipeline::{ingest, whole_case};
use crate::run::case_selection;
use crate::run::ensemble::Resolved;
use crate::run::failure::Failure;
use crate::run::label::{self, LabelReport, Order};
use crate::run::prepare::{self, Session};
use crate::volume::case::Split;
use crate::volume::targets::Targets;

/// Let a run's network, or the mean of several, label cases for others to train on
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow label --run runs/unet-001 --run runs/resunet_vae-001 --run runs/cascaded-001
  gliaflow label --run runs/unet-001 --data data/unlabelled --soft
  gliaflow label --run runs/unet-001 --data data/BraTS2020 --all --nifti pseudo-labels

Without --data it labels the cases whose labels the runs hid (data.shares). Labels lie in the cache, \
beside the case files; `train --set data.pseudo={teacher=\"…\"}` takes them up by the teacher's \
fingerprint, which is printed. A case that is labelled already is not done again.")]
pub(super) struct Label {
    #[command(flatten)]
    runs: Runs,

    /// A dataset or a case: those of its cases that have no labels
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Label the cases of --data that have labels, too
    #[arg(long, requires = "data")]
    all: bool,

    /// Keep region probabilities, not labels
    #[arg(long)]
    soft: bool,

    /// Write labels as CASE.nii.gz into this folder, too
    #[arg(long, value_name = "DIR")]
    nifti: Option<PathBuf>,

    #[command(flatten)]
    long: LongOptions,
}

impl Label {
    pub(super) fn run(self, console: &Console) -> Result<Report, Failure> {
        let resolved = self.runs.resolve()?;
        let live = Live::start(&self.long, &self.runs.label(), console)?
            .announce(&[&ingest::ACTORS, &whole_case::CACHE_ACTORS], &[Split::Unlabelled]);
        let targets = if self.soft { Targets::Soft } else { Targets::Hard };
        let done = live.conduct_run(|session| {
            let cases = self.cases(&resolved, session)?;
            let order = Order { targets, nifti: self.nifti.as_deref() };
            label::annotate(&resolved, &cases, order, session)
        })?;
        let mut result = serde_json::to_value(&done).expect("reports serialise to JSON");
        result["members"] = tables::members(&resolved);
        Ok(Report::new(&result, text(&resolved, &done)))
    }

    fn cases(&self, resolved: &Resolved, session: &Session) -> Result<Vec<CaseFiles>, Failure> {
        let Some(folder) = &self.data else {
            return Ok(case_selection::of_split(resolved, Split::Unlabelled, session)?.files);
        };
        let mut cases = prepare::look(folder)?.cases;
        cases.retain(|files| self.all || files.labels.is_none());
        if cases.is_empty() {
            return Err(Failure::Usage(format!(
                "{}: every case has labels; to label them all the same, say --all",
                folder.display()
            )));
        }
        Ok(cases)
    }
}

fn text(resolved: &Resolved, done: &LabelReport) -> String {
    let LabelReport { teacher, targets, labelled, reused, quality } = done;
    let targets = targets.name();
    let quality = match quality {
        None => "no case has true labels to measure them by".to_string(),
        Some(quality) => {
            let cases = quality.cases().len();
            let row = DiceRow::of_cohort(resolved.name(), Some(quality));
            format!("Dice of the labels over {cases} cases with true ones\n{}", render(&[row]))
        }
    };
    format!(
        "{quality}\n{labelled} cases labelled, {reused} were already; {targets} targets\nto train on \
         them: --set 'data.pseudo={{teacher=\"{teacher}\", targets=\"{targets}\"}}'"
    )
}
