//! `predict`: label files for cases, with labels or without.

use std::fmt::Write;
use std::path::PathBuf;

use crate::cli::console::Console;
use crate::cli::evaluate::chosen;
use crate::cli::predictors::{PostProcessing, Runs};
use crate::cli::report::Report;
use crate::cli::session::{Live, LongOptions};
use crate::cli::thresholds::Thresholds;
use crate::pipeline::{ingest, whole_case};
use crate::run::failure::Failure;
use crate::run::predict::{self, Recipe};
use crate::run::prepare;

/// Segment cases with a run's network, or the mean of several, into NIfTI label files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow predict --run runs/unet-001 --data data/BraTS2020 --out predictions
  gliaflow predict --run runs/a --run runs/b --mirror --data data --out predictions

Each file has its source's grid, affine and label values. A case that cannot be read is listed, the \
others go on, and the exit code is 3.")]
pub(super) struct Predict {
    #[command(flatten)]
    runs: Runs,

    /// A case's folder or a dataset's
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Folder for CASE.nii.gz
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Source of the thresholds for predicted labels
    #[arg(long, value_name = "WHO", default_value = "given")]
    postprocess: PostProcessing,

    #[command(flatten)]
    thresholds: Thresholds,

    #[command(flatten)]
    long: LongOptions,
}

impl Predict {
    pub(super) fn run(self, console: &Console) -> Result<Report, Failure> {
        let resolved = self.runs.resolve()?;
        let dataset = prepare::look(&self.data)?;
        let tuning = [ingest::ACTORS.as_slice(), &whole_case::CACHE_ACTORS].concat();
        let actors: [&[&str]; 2] = match self.postprocess {
            PostProcessing::Given => [&whole_case::FILE_ACTORS, &[]],
            PostProcessing::Tuned => [&whole_case::FILE_ACTORS, &tuning],
        };
        let live = Live::start(&self.long, &self.runs.label(), console)?.announce(&actors, &[]);
        let ((written, failed), tuned) = live.conduct_run(|session| {
            let mut predictor = resolved.predictor()?;
            let given = self.thresholds.rules();
            let (postprocess, tuned) =
                self.postprocess.choose(given, &resolved, predictor.as_mut(), session)?;
            let preprocess = resolved.settings().data.preprocess.clone();
            let recipe = Recipe { preprocess, postprocess };
            let cases = dataset.cases;
            let done = predict::predict(predictor.as_mut(), &recipe, cases, &self.out, session)?;
            Ok((done, tuned))
        })?;
        let problems: Vec<String> =
            dataset.problems.iter().chain(&failed).map(ToString::to_string).collect();
        let mut text = format!("{} cases segmented into {}\n", written.len(), self.out.display());
        // Writing into a String cannot fail.
        if let Some(tuned) = &tuned {
            let _ = writeln!(text, "{}", chosen(tuned));
        }
        for problem in &problems {
            let _ = writeln!(text, "  problem: {problem}");
        }
        let result =
            serde_json::json!({ "predictions": written, "problems": problems, "tuned": tuned });
        Ok(Report::new(&result, text).with_bad_data(!problems.is_empty()))
    }
}
