//! Scoring of the cases of one part, a file for each case.

use std::path::{Path, PathBuf};

use crate::base::{Fault, Fingerprint, fs, write_atomically};
use crate::eval::assess::{CaseAssessment, ScoringConfig};
use crate::eval::{CaseScore, CohortScore};
use crate::experiment::graph::GraphStep;
use crate::experiment::graph::step::ScoreWork;
use crate::experiment::runner::{StepRunner, Study};
use crate::experiment::step_outcome::StepResult;
use crate::run::evaluate::score_each_case;
use crate::run::{Failure, case_selection, cohort};
use crate::run_folder::write_cases_csv;
use crate::volume::CaseId;

impl StepRunner<'_> {
    /// Scores every case of a part of the runs' division. A case that an earlier process scored with
    /// the same weights is not scored again.
    ///
    /// # Errors
    /// If weights cannot be read, a case cannot be scored, or the session is stopped.
    pub(in crate::experiment) fn score_cases(
        &self,
        step: &GraphStep,
        work: &ScoreWork,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let folder = self.study.folder.step_folder(step);
        let resolved = self.study.ensemble_of(&work.predictor).resolve(&[])?;
        let lock = cohort::read_lock(&resolved.members[0].run)?;
        let locked: Vec<_> = lock.cases.iter().filter(|case| case.split == work.part).collect();
        // Scores of other weights or cases lie elsewhere and are not taken for these.
        let decided_by = Fingerprint::of_config(&(resolved.fingerprint()?, locked));
        let name = format!("cases-{}", decided_by.short_hex(12));
        let scored = folder.join(&name);
        fs::create_dir_all(&scored)?;
        let cases = case_selection::of_split(&resolved, work.part, self.session)?;
        let ids = cases.case_ids();
        let mut scores = read_scores(&scored, &ids)?;
        let left = cases.filter_by_id(|id| scores.iter().all(|one| one.case != *id));
        if !left.files.is_empty() {
            let mut predictor = resolved.build_predictor_in(self.session)?;
            let mut keep = |assessed: CaseAssessment| {
                write_score(&scored, &assessed)?;
                scores.push(assessed.score);
                Ok(())
            };
            let rules = ScoringConfig::default();
            score_each_case(predictor.as_mut(), left, &rules, self.session, &mut keep)?;
        }
        let all = CohortScore::new(&ids, scores)?;
        write_cases_csv(&folder, &all)?;
        let content = Fingerprint::of_config(&all.cases());
        Ok((content, StepResult::Scored { folder: name, cases: ids }))
    }
}

impl Study<'_> {
    /// Scores of a step that is done.
    ///
    /// # Errors
    /// If one is gone.
    pub(in crate::experiment) fn scores_of(
        &self,
        step: Fingerprint,
    ) -> Result<CohortScore, Failure> {
        let StepResult::Scored { folder, cases } = self.outcome_of(step)?.result else {
            unreachable!("scores are asked of steps that score");
        };
        let own = self.folder_of(step);
        let scores = read_scores(&own.join(folder), &cases)?;
        if scores.len() < cases.len() {
            let lost = cases.len() - scores.len();
            return Err(Failure::Usage(format!(
                "{}: {lost} of its {} scores are gone; delete the folder, and the same command scores \
                 again",
                own.display(),
                cases.len()
            )));
        }
        Ok(CohortScore::new(&cases, scores)?)
    }
}

/// Reads the scores that are there, in the order of the cases. An unreadable one counts as missing.
fn read_scores(folder: &Path, ids: &[CaseId]) -> Result<Vec<CaseScore>, Fault> {
    let mut scores = Vec::new();
    for id in ids {
        let file = score_file(folder, id);
        let Some(text) = fs::if_present(fs::read_to_string(&file))? else { continue };
        match CaseAssessment::from_text(&text) {
            Ok(assessed) if assessed.score.case == *id => scores.push(assessed.score),
            _ => tracing::warn!("{}: is no score of {id}; it is scored again", file.display()),
        }
    }
    Ok(scores)
}

fn write_score(folder: &Path, assessed: &CaseAssessment) -> Result<(), Fault> {
    write_atomically(&score_file(folder, &assessed.score.case), assessed.to_text().as_bytes())
}

fn score_file(folder: &Path, id: &CaseId) -> PathBuf {
    folder.join(format!("{id}.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Hd95, score_case};
    use crate::volume::{Dims, RegionSet};

    #[test]
    fn scores_come_back_to_the_bit_and_half_a_file_is_no_score() {
        let folder = tempfile::tempdir().unwrap();
        let ids = ["a", "b", "c"].map(CaseId::new);
        assert!(read_scores(folder.path(), &ids).unwrap().is_empty());
        let truth = [2, 2, 1, 4, 0, 0, 0, 0];
        let score = |id: &CaseId, labels: &[u8]| {
            score_case(
                RegionSet::BRATS,
                Hd95::default(),
                id.clone(),
                &truth,
                labels,
                Dims::cube(2),
                [1.0, 1.0, 3.0],
            )
        };
        let all =
            [score(&ids[0], &[2, 0, 1, 4, 4, 0, 0, 0]), score(&ids[2], &[0, 2, 2, 2, 4, 1, 1, 0])];
        for one in &all {
            let assessed = CaseAssessment { score: one.clone(), lesions: None };
            write_score(folder.path(), &assessed).unwrap();
        }
        assert_eq!(read_scores(folder.path(), &ids).unwrap(), all);
        let file = score_file(folder.path(), &ids[2]);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() / 2]).unwrap();
        assert_eq!(read_scores(folder.path(), &ids).unwrap(), all[..1]);
    }
}
