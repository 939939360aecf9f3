//! `score`: label files against label files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::error::{CaseError, Reason};
use crate::brats::case::{LabelVolume, read_labels_only};
use crate::brats::dataset::discover;
use crate::cli::report::Report;
use crate::eval::cohort::CohortScore;
use crate::eval::pair::{self, Pair};
use crate::eval::score::{CaseScore, score_case};
use crate::eval::table::{DiceRow, render};
use crate::experiment::failure::Failure;
use crate::volume::case::CaseId;
use crate::volume::region::LabelScheme;

/// Score predicted label files against true ones
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow score --truth case_seg.nii.gz --prediction case.nii.gz --json
  gliaflow score --truth data/BraTS2020 --prediction predictions --labels brats2018

Two folders are paired by case; a case without its partner is an error, never left out.")]
pub(super) struct Score {
    /// A label file, a folder of them, or a dataset
    #[arg(long, value_name = "SEG")]
    truth: PathBuf,

    /// A label file, or a folder of CASE.nii.gz
    #[arg(long, value_name = "SEG")]
    prediction: PathBuf,

    /// What label values mean: brats2018 (4 is ET), brats2023 (3 is ET), brats2024, msd
    /// [default: the dataset's own, or brats2023 where a 3 and no 4 is found, else brats2018]
    #[arg(long, value_name = "SCHEME")]
    labels: Option<LabelScheme>,

    /// Write one row a case and region into this CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

impl Score {
    pub(super) fn run(self) -> Result<Report, Failure> {
        for path in [&self.truth, &self.prediction] {
            path.metadata().map_err(|error| CaseError::io(path, &error))?;
        }
        if self.truth.is_file() != self.prediction.is_file() {
            return Err(Failure::Usage(
                "--truth and --prediction must both be files or both be folders".into(),
            ));
        }
        let scored = if self.truth.is_file() {
            let file = self.truth.file_name().unwrap_or_default().to_string_lossy();
            let name = pair::case_of_file(&file);
            let case = name.unwrap_or_else(|| CaseId::new(self.truth.display().to_string()));
            let pair =
                Pair { case, truth: self.truth.clone(), prediction: self.prediction.clone() };
            self.score_pairs(&[pair], None)?
        } else {
            let (truth, scheme) = self.truth_folder()?;
            let predictions = pair::flat_folder(&self.prediction).map_err(Failure::Cases)?;
            let pairs = pair::pair(&truth, &predictions).map_err(Failure::Cases)?;
            self.score_pairs(&pairs, scheme)?
        };
        if let Some(file) = &self.csv {
            let mut rows = Vec::new();
            let written = scored.write_csv(&mut rows).and_then(|()| std::fs::write(file, rows));
            written.map_err(|error| CaseError::io(file, &error))?;
        }
        let rows = [DiceRow::of_cohort("prediction", Some(&scored))];
        let text = format!("Dice over {} cases\n{}", scored.cases().len(), render(&rows));
        Ok(Report::new(&scored, text))
    }

    /// The true label files by case: a dataset's, or those of a flat folder.
    fn truth_folder(&self) -> Result<(pair::ByCase, Option<LabelScheme>), Failure> {
        let Ok(dataset) = discover(&self.truth) else {
            return Ok((pair::flat_folder(&self.truth).map_err(Failure::Cases)?, None));
        };
        let scheme = dataset.scheme;
        let labelled = dataset.cases.into_iter();
        let files: BTreeMap<CaseId, PathBuf> =
            labelled.filter_map(|files| Some((files.id, files.labels?))).collect();
        Ok((files, Some(scheme)))
    }

    fn score_pairs(
        &self,
        pairs: &[Pair],
        found: Option<LabelScheme>,
    ) -> Result<CohortScore, Failure> {
        let ids: Vec<CaseId> = pairs.iter().map(|pair| pair.case.clone()).collect();
        let mut scores = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let scheme = self.labels.or(found);
            scores.push(score_pair(pair, scheme).map_err(|error| error.of_case(&pair.case))?);
        }
        Ok(CohortScore::new(&ids, scores)?)
    }
}

fn score_pair(pair: &Pair, scheme: Option<LabelScheme>) -> Result<CaseScore, CaseError> {
    let (truth, scheme) = read(&pair.truth, scheme)?;
    let (prediction, _) = read(&pair.prediction, Some(scheme))?;
    let (dims, other) = (truth.source.canonical_dims(), prediction.source.canonical_dims());
    if dims != other {
        return Err(CaseError::new(
            Reason::Geometry,
            pair.prediction.display(),
            format!("is {other}, the truth is {dims}"),
            "score a prediction on the grid of its truth",
        ));
    }
    let spacing = truth.source.canonical_spacing_mm();
    Ok(score_case(pair.case.clone(), &truth.labels, &prediction.labels, dims, spacing))
}

/// Labels under the given scheme, or under the one that their values point to.
fn read(path: &Path, scheme: Option<LabelScheme>) -> Result<(LabelVolume, LabelScheme), CaseError> {
    let under = |scheme| read_labels_only(path, scheme).map(|volume| (volume, scheme));
    match scheme {
        Some(scheme) => under(scheme),
        None => under(LabelScheme::Brats2018)
            .or_else(|error| under(LabelScheme::Brats2023).map_err(|_| error)),
    }
}
