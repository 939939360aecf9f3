//! Step of a study: what is done, of which inputs, and the name that follows from both.
//!
//! A step is named by its inputs' names and its own settings, so every name is known before anything
//! runs. What a step depended on by content stands in its outcome
//! ([`crate::experiment::step_outcome`]).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::base::Fingerprint;
use crate::experiment::graph::table_work::{FoldTableWork, TableWork};
use crate::run::CheckpointChoice;
use crate::volume::{Fold, Split, Targets};

/// Version of the steps, raised when one does something else for the same settings.
const MEANING: u32 = 2;

/// Step of a study.
#[derive(Debug, Clone)]
pub struct GraphStep {
    /// Kind of its work.
    pub kind: StepKind,
    /// Subject in text, which no other step of this kind has: `unet seed 1 fold 0`.
    pub subject: String,
    /// Name that its repetitions over seeds and folds share: `unet`.
    pub series: String,
    /// Name: a function of `work` and `inputs`, and of nothing else.
    pub fingerprint: Fingerprint,
    /// Steps that have to be done before it.
    pub inputs: Vec<Fingerprint>,
    /// Work, with every setting that decides its outcome.
    pub work: StepWork,
}

impl GraphStep {
    /// A step that does `work` once `inputs` are done.
    pub fn new(
        subject: impl Into<String>,
        series: impl Into<String>,
        work: StepWork,
        inputs: Vec<Fingerprint>,
    ) -> Self {
        let fingerprint = Fingerprint::of_config(&(MEANING, &work, &inputs));
        let kind = work.kind();
        Self { kind, subject: subject.into(), series: series.into(), fingerprint, inputs, work }
    }

    /// Name in text: `train unet seed 1`.
    pub fn display_name(&self) -> String {
        format!("{} {}", self.kind.name(), self.subject)
    }

    /// Folder relative to the study's, such as `train/unet-seed-1-0a1b2c3d4e5f`.
    pub fn relative_folder(&self) -> PathBuf {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let subject: String = self.subject.chars().map(plain).collect();
        Path::new(self.kind.name()).join(format!("{subject}-{}", self.fingerprint.short_hex(12)))
    }
}

/// Kind of a step: what it costs and where it runs best follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Cases are drawn or found, brought into the cache and divided: CPU and disk.
    Ingest,
    /// A network is trained: GPU.
    Train,
    /// Cases are predicted and scored: GPU.
    Score,
    /// Cases are annotated: GPU.
    Label,
    /// A network is chosen by scores: nothing to speak of.
    Choose,
    /// Scores are brought together and tested: CPU, seconds.
    Table,
}

impl StepKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Ingest, Self::Train, Self::Score, Self::Label, Self::Choose, Self::Table];

    /// Name in folders, tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Train => "train",
            Self::Score => "score",
            Self::Label => "label",
            Self::Choose => "choose",
            Self::Table => "table",
        }
    }
}

/// Work of a step. Its serialised form is what names the step, beside the inputs.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StepWork {
    /// See [`StepKind::Ingest`].
    Ingest(IngestWork),
    /// See [`StepKind::Train`].
    Train(TrainWork),
    /// See [`StepKind::Score`].
    Score(ScoreWork),
    /// See [`StepKind::Label`].
    Label(LabelWork),
    /// See [`StepKind::Choose`].
    Choose(ChooseWork),
    /// The paper's table.
    Table(TableWork),
    /// The table of a cross-validation.
    FoldTable(FoldTableWork),
}

impl StepWork {
    /// Kind of the work.
    pub const fn kind(&self) -> StepKind {
        match self {
            Self::Ingest(_) => StepKind::Ingest,
            Self::Train(_) => StepKind::Train,
            Self::Score(_) => StepKind::Score,
            Self::Label(_) => StepKind::Label,
            Self::Choose(_) => StepKind::Choose,
            Self::Table(_) | Self::FoldTable(_) => StepKind::Table,
        }
    }
}

/// Ingest of the study's cases.
#[derive(Debug, Clone, Serialize)]
pub struct IngestWork {
    /// Fingerprint of what decides the cases: settings of the data, and names and sizes of the files
    /// that were found, or the settings of the phantoms.
    pub cases: Fingerprint,
}

/// Training of one run.
#[derive(Debug, Clone, Serialize)]
pub struct TrainWork {
    /// The network.
    pub network: NetworkRef,
    /// Number of the repetition, which is added to the base's seed.
    pub repetition: u64,
    /// Fold that is held out, of a cross-validation.
    pub fold: Option<Fold>,
    /// Fingerprint of the settings that decide the result and are known beforehand: those of the
    /// network, or of every network that may be chosen.
    pub deciding: Fingerprint,
    /// Settings over those of the network, such as a student's; part of `deciding`.
    #[serde(skip)]
    pub settings: Table,
    /// Share of the labelled training cases, where it is not all of them.
    pub labelled_fraction: Option<f64>,
    /// Length of an epoch.
    pub length: EpochLength,
    /// Pseudo-labels that it is trained on beside the labelled cases.
    pub teaching: Option<TeachingRef>,
}

/// Network of a training step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkRef {
    /// The network of that name.
    Named(String),
    /// The one that this step of [`StepKind::Choose`] chooses.
    Chosen(Fingerprint),
}

/// Number of steps of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochLength {
    /// Steps that the run's settings and cases give.
    OfRun,
    /// Steps that the labelled and the unlabelled cases together give: student and control take as
    /// many.
    OfAllCases,
}

/// Pseudo-labels of a student.
#[derive(Debug, Clone, Serialize)]
pub struct TeachingRef {
    /// The step that annotated the cases.
    pub label: Fingerprint,
    /// The teacher's labels, or its probabilities.
    pub targets: Targets,
    /// Share of the samples; without it, every case is drawn alike.
    pub share: Option<f64>,
}

/// Networks that predict together.
#[derive(Debug, Clone, Serialize)]
pub struct EnsembleRef {
    /// Members, at least one, in the order of summation.
    pub members: Vec<MemberRef>,
    /// Checkpoint of each.
    pub checkpoint: CheckpointChoice,
    /// True if each window is predicted in all eight mirrorings.
    pub mirrored: bool,
}

/// Member of an ensemble.
#[derive(Debug, Clone, Serialize)]
pub struct MemberRef {
    /// The step that trained it.
    pub train: Fingerprint,
    /// Weight of its probabilities, above 0; only ratios matter.
    pub weight: f64,
}

/// Scoring of the cases of one part of the runs' division, one file a case.
#[derive(Debug, Clone, Serialize)]
pub struct ScoreWork {
    /// The networks.
    pub predictor: EnsembleRef,
    /// The part; of runs of a fold, validation is the fold that they hold out.
    pub part: Split,
}

/// Annotation of the unlabelled cases.
#[derive(Debug, Clone, Serialize)]
pub struct LabelWork {
    /// The networks.
    pub teacher: EnsembleRef,
    /// Labels, or probabilities.
    pub targets: Targets,
}

/// Choice of the network with the best mean Dice over regions, cases and repetitions; of two that are
/// equally good, the first.
#[derive(Debug, Clone, Serialize)]
pub struct ChooseWork {
    /// Networks to choose from.
    pub candidates: Vec<CandidateRef>,
}

/// Network with the steps that scored it on validation cases.
#[derive(Debug, Clone, Serialize)]
pub struct CandidateRef {
    /// Name of the network.
    pub network: String,
    /// Steps of [`StepKind::Score`], one a repetition.
    pub scores: Vec<Fingerprint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(weight: f64, inputs: &[Fingerprint]) -> GraphStep {
        let member = MemberRef { train: Fingerprint::of_bytes(b"run"), weight };
        let predictor = EnsembleRef {
            members: vec![member],
            checkpoint: CheckpointChoice::Latest,
            mirrored: false,
        };
        let work = StepWork::Score(ScoreWork { predictor, part: Split::Test });
        GraphStep::new("U-Net seed 1", "U-Net", work, inputs.to_vec())
    }

    #[test]
    fn a_step_is_named_by_its_work_and_its_inputs() {
        let input = Fingerprint::of_bytes(b"input");
        assert_eq!(score(1.0, &[]).fingerprint, score(1.0, &[]).fingerprint);
        assert_ne!(score(1.0, &[]).fingerprint, score(2.0, &[]).fingerprint);
        assert_ne!(score(1.0, &[]).fingerprint, score(1.0, &[input]).fingerprint);
        let folder = score(1.0, &[]).relative_folder().display().to_string();
        assert!(folder.starts_with("score/U-Net-seed-1-"), "{folder}");
    }
}
