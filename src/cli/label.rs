//! `label`: a teacher's labels for cases to train on.

use std::path::PathBuf;

use crate::brats::CaseFiles;
use crate::cli::{
    ActiveSession, CommandOutput, Console, PredictorOptions, SessionOptions, VerbResult, tables,
};
use crate::eval::{DiceRow, render_dice};
use crate::pipeline::{ingest, whole_case};
use crate::run::label::{self, LabelReport, LabelRequest};
use crate::run::{Failure, ResolvedEnsemble, case_selection};
use crate::volume::{LabelScheme, Split, Targets, Temperature};

/// Let a run's network, or the mean of several, label cases for others to train on
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow label --run runs/unet-001 --run runs/resunet_vae-001 --run runs/cascaded-001
  gliaflow label --run runs/unet-001 --data data/unlabelled --soft --temperature 2
  gliaflow label --run runs/unet-001 --data data/BraTS2020 --all --nifti pseudo-labels

Without --data it labels the cases whose labels the runs hid (data.shares). Labels lie in the cache, \
beside the case files; `train --set data.pseudo={teacher=\"…\"}` takes them up by the teacher's \
fingerprint, which is printed. A case that is labelled already is not done again. Nothing is labelled \
where all images are background, unless --set evaluation.within_tissue=false.")]
pub(super) struct Label {
    #[command(flatten)]
    runs: PredictorOptions,

    /// A dataset or a case: those of its cases that have no labels
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Meaning of the label values of --data, as docs/labels.md lists them [default: from file
    /// names, or as the runs were trained]
    #[arg(long, value_name = "SCHEME", requires = "data")]
    labels: Option<LabelScheme>,

    /// Label the cases of --data that have labels, too
    #[arg(long, requires = "data")]
    all: bool,

    /// Keep region probabilities, not labels
    #[arg(long)]
    soft: bool,

    /// Soften the probabilities: sigmoid of their logit over T, 1 to 20 [default: 1]
    #[arg(long, value_name = "T", requires = "soft", value_parser = parse_temperature)]
    temperature: Option<Temperature>,

    /// Write labels as CASE.nii.gz into this folder, too
    #[arg(long, value_name = "DIR")]
    nifti: Option<PathBuf>,

    #[command(flatten)]
    long: SessionOptions,
}

impl Label {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let resolved = self.runs.resolve_runs_within_tissue()?;
        let live = ActiveSession::start(&self.long, &self.runs.metrics_label(), console)?
            .register_metrics(&[&ingest::ACTORS, &whole_case::CACHE_ACTORS], &[Split::Unlabelled]);
        let targets = if self.soft { Targets::Soft } else { Targets::Hard };
        let done = live.run_network_verb(|session| {
            let cases = self.select_cases(&resolved)?;
            let temperature = self.temperature.unwrap_or_default();
            let order = LabelRequest { targets, temperature, nifti: self.nifti.as_deref() };
            label::annotate_cases(&resolved, &cases, order, session)
        })?;
        let mut result = serde_json::to_value(&done).expect("reports serialise to JSON");
        result["members"] = tables::members_json(&resolved);
        Ok(CommandOutput::new(&result, report_text(&resolved, &done)))
    }

    fn select_cases(&self, resolved: &ResolvedEnsemble) -> Result<Vec<CaseFiles>, Failure> {
        let Some(folder) = &self.data else {
            return Ok(case_selection::files_of_split(resolved, Split::Unlabelled)?.1);
        };
        let mut cases = resolved.discover_cases(folder, self.labels)?.cases;
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

fn parse_temperature(text: &str) -> Result<Temperature, String> {
    let number = text.parse().ok().and_then(Temperature::new);
    number.ok_or_else(|| format!("no temperature; write a number from 1 to {}", Temperature::MAX))
}

fn report_text(resolved: &ResolvedEnsemble, done: &LabelReport) -> String {
    let LabelReport { teacher, targets, temperature, labelled, reused, quality, .. } = done;
    let targets = targets.name();
    let softened = match temperature.is_one() {
        true => String::new(),
        false => format!(", temperature={temperature}"),
    };
    let quality = match quality {
        None => "no case has true labels to measure them by".to_string(),
        Some(quality) => {
            let cases = quality.cases().len();
            let row = DiceRow::of_cohort(resolved.display_name(), Some(quality));
            format!("Dice of the labels over {cases} cases with true ones\n{}", render_dice(&[row]))
        }
    };
    format!(
        "{quality}\n{labelled} cases labelled, {reused} were already; {targets} targets\nto train on \
         them: --set 'data.pseudo={{teacher=\"{teacher}\", targets=\"{targets}\"{softened}}}'"
    )
}
