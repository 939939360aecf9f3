//! Numbers of cases in each part of a study, before it is run.

use serde::Serialize;

use crate::base::ConfigError;
use crate::experiment::config::{ExperimentConfig, Repetition};
use crate::experiment::graph::listing::{CaseListing, ListingSource};
use crate::run::config::RunConfig;
use crate::run::config::splitting::GradedCase;
use crate::run::{Failure, SplitFile, labelled_cases, read_split_file};
use crate::volume::{CaseId, CohortCase, PatientId, Split};

/// Number of cases in each part.
#[derive(Debug, Clone, Serialize)]
pub struct SplitSizes {
    /// All labelled cases.
    pub cases: usize,
    /// True if the cases were found, and not only expected.
    pub found: bool,
    /// Trained on; in a study of folds, those that are divided into folds.
    pub train: usize,
    /// Validation cases, those with hidden labels among them; none of their own in a study of folds.
    pub validation: usize,
    /// Validation cases whose labels are not hidden.
    pub validation_scored: usize,
    /// Test cases, those with hidden labels among them.
    pub test: usize,
    /// Test cases whose labels are not hidden.
    pub test_scored: usize,
    /// The others of both: their labels are hidden.
    pub unlabelled: usize,
    /// Cases of each fold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<usize>,
}

/// Splits the cases that are there, or as many as are expected.
///
/// # Errors
/// If the settings do not fit, or nothing says how many cases there are.
pub fn split_sizes(
    experiment: &ExperimentConfig,
    place: Repetition<'_>,
    listing: &CaseListing,
) -> Result<SplitSizes, Failure> {
    let mut all = Vec::new();
    let folds = experiment.all_folds();
    let first = experiment.text.networks.first().expect("a study without networks is refused");
    for fold in &folds {
        let place = Repetition { fold: Some(*fold), ..place };
        let run = experiment.stand_alone_config(first, place)?.run;
        all.push(sizes_of_run(experiment, &run, listing)?);
    }
    let Some(of_first) = all.first() else {
        return sizes_of_run(experiment, &experiment.shared_config(place)?.run, listing);
    };
    let divided = of_first.train + of_first.validation_scored;
    let held_out = all.iter().map(|sizes| sizes.validation_scored).collect();
    let merged =
        SplitSizes { train: divided, validation: 0, validation_scored: 0, ..of_first.clone() };
    Ok(SplitSizes { folds: held_out, ..merged })
}

/// Sizes of the parts of one run.
fn sizes_of_run(
    experiment: &ExperimentConfig,
    run: &RunConfig,
    listing: &CaseListing,
) -> Result<SplitSizes, Failure> {
    let cohort = &experiment.text.cohort;
    let phantoms = cohort.phantoms.as_ref().map(|phantoms| phantoms.cases as usize);
    let is_found = matches!(listing.source, ListingSource::Found { .. });
    if let Some(file) = read_split_file(&run.data)? {
        return Ok(sizes_of_file(&file, is_found));
    }
    let cases = match (is_found, phantoms.or(cohort.expected_cases)) {
        (true, _) => return Ok(sizes_of_cases(run, &labelled_cases(&listing.cases), true)?),
        (false, Some(count)) => expected_cases(count),
        (false, None) => {
            return Err(Failure::Usage(format!(
                "{}: the dataset is not there, and cohort.expected_cases does not say how many cases \
                 to plan with; set one of them",
                run.data.folder.display()
            )));
        }
    };
    Ok(sizes_of_cases(run, &cases, false)?)
}

/// Cases that are not there yet, one a patient.
fn expected_cases(count: usize) -> Vec<GradedCase> {
    let id = |number| CaseId::new(format!("case{number}"));
    let case = |id| CohortCase { patient: PatientId::of_only_case(&id), id, stratum: None };
    (0..count).map(id).map(case).collect()
}

fn sizes_of_cases(
    run: &RunConfig,
    cases: &[GradedCase],
    found: bool,
) -> Result<SplitSizes, ConfigError> {
    let all = run.data.with_open_labels().split_cases(cases, run.seed)?;
    let kept = run.data.split_cases(cases, run.seed)?;
    let count = |splits: &[Split], part| splits.iter().filter(|own| **own == part).count();
    Ok(SplitSizes {
        cases: cases.len(),
        found,
        train: count(&kept, Split::Train),
        validation: count(&all, Split::Validation),
        validation_scored: count(&kept, Split::Validation),
        test: count(&all, Split::Test),
        test_scored: count(&kept, Split::Test),
        unlabelled: count(&kept, Split::Unlabelled),
        folds: Vec::new(),
    })
}

fn sizes_of_file(file: &SplitFile, found: bool) -> SplitSizes {
    let [train, validation, test, unlabelled] =
        [Split::Train, Split::Validation, Split::Test, Split::Unlabelled]
            .map(|part| file.case_count(part));
    SplitSizes {
        cases: train + validation + test + unlabelled,
        found,
        train,
        validation,
        validation_scored: validation,
        test,
        test_scored: test,
        unlabelled,
        folds: Vec::new(),
    }
}
