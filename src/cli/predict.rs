//! `predict`: label files for cases, with labels or without.

use std::path::{Path, PathBuf};

use crate::base::{CaseError, Reason};
use crate::brats::names_labels;
use crate::cli::evaluate::chosen_thresholds_text;
use crate::cli::{
    ActiveSession, CommandOutput, Console, PredictorOptions, SessionOptions, ThresholdOptions,
    ThresholdSource, VerbResult,
};
use crate::pipeline::{ingest, whole_case};
use crate::run::predict::{self, PredictOptions};
use crate::run::warn_of_other_spacing;
use crate::volume::LabelScheme;

/// Segment cases with a run's network, or the mean of several, into NIfTI label files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow predict --run runs/unet-001 --data data/BraTS2020 --out predictions
  gliaflow predict --run runs/a --run runs/b --mirror --data data --out predictions

Each file has its source's grid, affine and label values. A case's own labels are not read. Nothing is \
predicted where all images are background, unless --set evaluation.within_tissue=false. A case whose \
images cannot be read is listed, the others go on, and the exit code is 3.")]
pub(super) struct Predict {
    #[command(flatten)]
    runs: PredictorOptions,

    /// A case's folder or a dataset's
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Meaning of the label values to write, as docs/labels.md lists them [default: from file names,
    /// or as the runs were trained]
    #[arg(long, value_name = "SCHEME")]
    labels: Option<LabelScheme>,

    /// Folder for CASE.nii.gz
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Write the probability of each region, too: probabilities/CASE_REGION.nii.gz in --out, float32 on the
    /// source's grid; above 0.5 a voxel is of the region, ahead of --drop-below and --smallest-et
    #[arg(long)]
    probabilities: bool,

    /// Source of the thresholds for predicted labels
    #[arg(long, value_name = "WHO", default_value = "given")]
    postprocess: ThresholdSource,

    #[command(flatten)]
    thresholds: ThresholdOptions,

    #[command(flatten)]
    long: SessionOptions,
}

impl Predict {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let resolved = self.runs.resolve_runs_within_tissue()?;
        let dataset = resolved.discover_cases(&self.data, self.labels)?;
        let tuning = [ingest::ACTORS.as_slice(), &whole_case::CACHE_ACTORS].concat();
        let actors: [&[&str]; 2] = match self.postprocess {
            ThresholdSource::Given => [&whole_case::FILE_ACTORS, &[]],
            ThresholdSource::Tuned => [&whole_case::FILE_ACTORS, &tuning],
        };
        let live = ActiveSession::start(&self.long, &self.runs.metrics_label(), console)?
            .register_metrics(&actors, &[]);
        let ((written, failed), tuned, within_tissue) = live.run_network_verb(|session| {
            let mut predictor = resolved.build_predictor_in(session)?;
            let given = self.thresholds.to_postprocess(predictor.run_channels().regions)?;
            let (postprocess, tuned) = self.postprocess.choose_thresholds(
                given,
                &resolved,
                predictor.as_mut(),
                session,
            )?;
            let preprocess = resolved.first_run_config().data.preprocess.clone();
            let probabilities = self.probabilities;
            let options = PredictOptions { preprocess, postprocess, probabilities };
            let cases = dataset.cases;
            warn_of_other_spacing(&resolved, &cases);
            let done =
                predict::predict_cases(predictor.as_mut(), &options, cases, &self.out, session)?;
            Ok((done, tuned, predictor.is_within_tissue()))
        })?;
        // A label file that is a dead or looping link is of no concern here.
        let of_labels = |problem: &&CaseError| {
            problem.reason == Reason::Io && names_labels(Path::new(&problem.subject))
        };
        let others = dataset.problems.iter().filter(|problem| !of_labels(problem));
        let problems: Vec<String> = others.chain(&failed).map(ToString::to_string).collect();
        let labels = dataset.labels;
        let out = self.out.display();
        let mut text = format!("{} cases segmented into {out}, labels {labels}\n", written.len());
        if let Some(tuned) = &tuned {
            text += &format!("{}\n", chosen_thresholds_text(tuned));
        }
        for problem in &problems {
            text += &format!("  problem: {problem}\n");
        }
        let result = serde_json::json!({
            "predictions": written,
            "labels": labels,
            "problems": problems,
            "tuned": tuned,
            "within_tissue": within_tissue,
        });
        Ok(CommandOutput::new(&result, text).with_bad_data(!problems.is_empty()))
    }
}
