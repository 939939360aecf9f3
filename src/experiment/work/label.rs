//! Annotation of the unlabelled cases.

use std::collections::BTreeMap;

use crate::base::Fingerprint;
use crate::eval::CohortScore;
use crate::experiment::graph::step::LabelWork;
use crate::experiment::runner::StepRunner;
use crate::experiment::step_outcome::StepResult;
use crate::run::label::{self, LabelRequest};
use crate::run::{Failure, case_selection};
use crate::volume::Split;

impl StepRunner<'_> {
    /// Has the teacher annotate the unlabelled cases; what has been annotated is kept.
    ///
    /// # Errors
    /// If weights cannot be read, a case cannot be annotated, or the session is stopped.
    pub(in crate::experiment) fn label_cases(
        &self,
        work: &LabelWork,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let resolved = self.study.ensemble_of(&work.teacher).resolve(&[])?;
        let (lock, files) = case_selection::files_of_split(&resolved, Split::Unlabelled)?;
        let request = LabelRequest { targets: work.targets, nifti: None };
        let report = label::annotate_cases(&resolved, &files, request, self.session)?;
        let cases: Vec<_> =
            lock.cases.iter().filter(|case| case.split == Split::Unlabelled).collect();
        let content = Fingerprint::of_config(&(report.teacher, work.targets, cases));
        let quality = report.quality.as_ref().map(dice_by_region);
        Ok((content, StepResult::Labelled { teacher: report.teacher, quality }))
    }
}

fn dice_by_region(scores: &CohortScore) -> BTreeMap<String, f64> {
    let summary = scores.summary_by_region().iter();
    summary.map(|(region, measures)| (region.to_owned(), measures.dice.mean)).collect()
}
