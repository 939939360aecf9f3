//! `evaluate`: runs' networks on cases with labels.

use std::path::{Path, PathBuf};

use crate::cli::{
    ActiveSession, CommandOutput, Console, PredictorOptions, SessionOptions, ThresholdOptions,
    ThresholdSource, VerbResult, as_options, tables,
};
use crate::eval::assess::ScoringConfig;
use crate::eval::{
    Hd95, LesionRules, PostProcess, Predictor, TunedThresholds, render_lesions, render_measures,
};
use crate::pipeline::{ingest, whole_case};
use crate::run::evaluate::{self, Evaluation};
use crate::run::{Failure, ResolvedEnsemble, Session, case_selection};
use crate::run_folder::EvaluationScores;
use crate::volume::{LabelScheme, Split};

/// Score a run's network, or the mean of several, on whole cases
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow evaluate --run runs/unet-001
  gliaflow evaluate --run runs/unet-001 --data data/other --out scores
  gliaflow evaluate --run runs/unet-001 --run runs/cascaded-001 --split test --out scores
  gliaflow evaluate --run runs/unet-001 --split test --postprocess tuned --mirror

Without --data it scores the cases that the runs held out, or those of another --split.")]
pub(super) struct Evaluate {
    #[command(flatten)]
    runs: PredictorOptions,

    /// A dataset or a case with labels [default: cases that the runs set aside]
    #[arg(long, value_name = "DIR", conflicts_with = "split")]
    data: Option<PathBuf>,

    /// Meaning of the label values of --data, as docs/labels.md lists them [default: from file
    /// names, or as the runs were trained]
    #[arg(long, value_name = "SCHEME", requires = "data")]
    labels: Option<LabelScheme>,

    /// Split of the cases that the runs set aside
    #[arg(long, value_name = "PART", default_value = "validation")]
    split: HeldOutSplit,

    /// Folder for cases.csv and summary.json [default: the folder of the split in the run's, if it
    /// is one run as it is]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Definition of HD95: medpy, monai or surface-distance; brats is the last
    #[arg(long, value_name = "NAME", default_value = "medpy")]
    hd95: Hd95,

    /// Score lesion by lesion as well, as BraTS does since 2023
    #[arg(long, alias = "lesionwise")]
    lesion_wise: bool,

    /// Rules of --lesion-wise by challenge: brats2023-gli, -ssa, -ped, -men or -met, brats2024-men,
    /// brats2025 [default: brats2023-gli]
    #[arg(long, value_name = "NAME")]
    rules: Option<LesionRules>,

    /// Source of the thresholds for predicted labels
    #[arg(long, value_name = "WHO", default_value = "given")]
    postprocess: ThresholdSource,

    #[command(flatten)]
    thresholds: ThresholdOptions,

    #[command(flatten)]
    long: SessionOptions,
}

/// A part that is not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum HeldOutSplit {
    /// Cases to choose by
    Validation,
    /// Cases to report on
    Test,
    /// Labelled, with labels that training does not see
    Unlabelled,
}

impl HeldOutSplit {
    const fn as_split(self) -> Split {
        match self {
            Self::Validation => Split::Validation,
            Self::Test => Split::Test,
            Self::Unlabelled => Split::Unlabelled,
        }
    }
}

impl Evaluate {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let resolved = self.runs.resolve_runs()?;
        let is_tuned = self.postprocess == ThresholdSource::Tuned;
        if is_tuned && self.data.is_none() && self.split == HeldOutSplit::Validation {
            return Err(Failure::Usage(
                "thresholds chosen on the validation cases flatter their own scores; report on \
                 others with --split test or --data"
                    .into(),
            ));
        }
        let part = self.split.as_split();
        let topologies: &[&[&str]] = match resolved.first_run_config().loader.cached {
            true => &[&ingest::ACTORS, &whole_case::CACHE_ACTORS],
            false => &[&whole_case::FILE_ACTORS],
        };
        let live = ActiveSession::start(&self.long, &self.runs.metrics_label(), console)?
            .register_metrics(topologies, &[part]);
        let (scored, tuned) =
            live.run_network_verb(|session| self.score_cases(&resolved, session))?;
        let out = self.out.clone().or_else(|| self.default_folder());
        if let Some(out) = &out {
            scored.write_to(out)?;
        }
        Ok(self.build_output(&resolved, &scored.scores, tuned.as_ref()))
    }

    fn score_cases(
        &self,
        resolved: &ResolvedEnsemble,
        session: &Session,
    ) -> Result<(Evaluation, Option<TunedThresholds>), Failure> {
        let mut predictor = resolved.build_predictor_in(session)?;
        let given = self.thresholds.to_postprocess(predictor.run_channels().regions)?;
        let (postprocess, tuned) =
            self.postprocess.choose_thresholds(given, resolved, predictor.as_mut(), session)?;
        let cases = match &self.data {
            Some(folder) => case_selection::of_folder(resolved, folder, self.labels, session)?,
            None => case_selection::of_split(resolved, self.split.as_split(), session)?,
        };
        let lesions = LesionRules::choose(self.lesion_wise, self.rules);
        let rules = ScoringConfig { hd95: self.hd95, lesions, postprocess };
        Ok((evaluate::evaluate_cases(predictor.as_mut(), cases, &rules, session)?, tuned))
    }

    /// Folder of the split in a run that is evaluated as it is, with the default measures.
    fn default_folder(&self) -> Option<PathBuf> {
        let is_plain = self.data.is_none()
            && self.hd95 == Hd95::default()
            && self.postprocess == ThresholdSource::Given
            && self.thresholds.is_nothing();
        let run: &Path = self.runs.single_plain_run().filter(|_| is_plain)?;
        Some(run.join(self.split.as_split().name()))
    }

    fn build_output(
        &self,
        resolved: &ResolvedEnsemble,
        scored: &EvaluationScores,
        tuned: Option<&TunedThresholds>,
    ) -> CommandOutput {
        let hd95 = self.hd95.name();
        let mut parts = vec![
            tables::dice_table(&resolved.display_name(), scored),
            format!("HD95 of {hd95}\n{}", render_measures(&scored.network)),
        ];
        parts.extend(scored.lesionwise.as_ref().map(render_lesions));
        parts.extend(tuned.map(chosen_thresholds_text));
        let steps: Vec<String> =
            resolved.members.iter().map(|member| member.step.to_string()).collect();
        parts.push(format!("after {} steps", steps.join(", ")));
        let mut result = serde_json::to_value(scored).expect("scores serialise to JSON");
        result["step"] = resolved.members[0].step.into();
        result["members"] = tables::members_json(resolved);
        if let Some(tuned) = tuned {
            result["tuned"] = serde_json::to_value(tuned).expect("thresholds serialise to JSON");
        }
        CommandOutput::new(&result, parts.join("\n\n"))
    }
}

impl ThresholdSource {
    /// Returns the thresholds `given`, or those tuned on the validation cases.
    pub(super) fn choose_thresholds(
        self,
        given: PostProcess,
        resolved: &ResolvedEnsemble,
        predictor: &mut dyn Predictor,
        session: &Session,
    ) -> Result<(PostProcess, Option<TunedThresholds>), Failure> {
        if self == Self::Given {
            return Ok((given, None));
        }
        if !given.is_nothing() {
            return Err(Failure::Usage(format!(
                "--postprocess tuned chooses what {} gives; leave one out",
                as_options(&given)
            )));
        }
        let validation = case_selection::of_split(resolved, Split::Validation, session)?;
        let tuned = evaluate::tune_postprocess(predictor, validation, session)?;
        Ok((tuned.chosen.clone(), Some(tuned)))
    }
}

/// Sentence about the thresholds tuned on the validation cases.
pub(super) fn chosen_thresholds_text(tuned: &TunedThresholds) -> String {
    let options = as_options(&tuned.chosen);
    format!(
        "chosen on the validation cases: {options}, their mean Dice {:.4} becomes {:.4}",
        tuned.before, tuned.after
    )
}
