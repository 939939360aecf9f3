//! Division of a run's cases into parts, from its settings, and what has to be said about it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ConfigError;
use crate::brats::{CaseFiles, Dataset};
use crate::run::SplitFile;
use crate::run::config::RunConfig;
use crate::run::config::data::DataConfig;
use crate::run::config::splitting::GradedCase;
use crate::run_folder::LockedSplitFile;
use crate::volume::{CaseId, CohortCase, PatientId, Split, keep_patients, part_of_unlabelled};

/// Division of the cases of a dataset as a run's settings ask for it.
pub struct Division<'a> {
    run: &'a RunConfig,
    split_file: Option<SplitFile>,
}

impl<'a> Division<'a> {
    /// Names the patients of `dataset` as `data.patients` says, and reads `data.split`.
    ///
    /// # Errors
    /// If a case has no patient, or the file does not fit the dataset.
    pub fn prepare(run: &'a RunConfig, dataset: &mut Dataset) -> Result<Self, ConfigError> {
        name_patients(&run.data, &mut dataset.cases)?;
        let split_file = read_split_file(&run.data)?;
        if let Some(file) = &split_file {
            file.check_cases(dataset, run.data.pseudo.is_some())?;
        }
        Ok(Self { run, split_file })
    }

    /// True of a case that can have a part: a labelled one, one that a teacher may have labelled, or
    /// one that a file calls unlabelled.
    pub fn has_part_for(&self, files: &CaseFiles) -> bool {
        let given = self.split_file.as_ref().and_then(|file| file.part_of(&files.id));
        files.labels.is_some() || self.run.data.pseudo.is_some() || given == Some(Split::Unlabelled)
    }

    /// Returns the part of each of `cases`, in their order.
    ///
    /// # Errors
    /// If the settings do not fit the cases.
    pub fn divide_cases(&self, cases: &[CaseFiles]) -> Result<Vec<Split>, ConfigError> {
        let labelled = labelled_cases(cases);
        let parts = match &self.split_file {
            Some(file) => {
                let all: Vec<GradedCase> = cases.iter().map(graded_case).collect();
                let part = |case: &GradedCase| file.part_of(&case.id).unwrap_or(Split::Unused);
                let mut parts: Vec<Split> = all.iter().map(part).collect();
                let data = &self.run.data;
                keep_patients(
                    &all,
                    &mut parts,
                    data.labelled_fraction,
                    data.seed_of_split(self.run.seed),
                );
                return Ok(parts);
            }
            None => self.run.data.split_cases(&labelled, self.run.seed)?,
        };
        let mut parts_of_patient = BTreeMap::<&PatientId, Vec<Split>>::new();
        for (case, part) in labelled.iter().zip(&parts) {
            parts_of_patient.entry(&case.patient).or_default().push(*part);
        }
        let mut of_labelled = parts.iter();
        let part_of = |files: &CaseFiles| match &files.labels {
            Some(_) => *of_labelled.next().expect("a part for each labelled case"),
            None => {
                let own = parts_of_patient.get(&files.patient);
                part_of_unlabelled(own.map_or(&[], Vec::as_slice))
            }
        };
        Ok(cases.iter().map(part_of).collect())
    }

    /// Lines to show at the start of a run about `parts`, those of `cases`: what the reader of its
    /// scores has to know and does not see in the settings.
    ///
    /// # Errors
    /// As [`Division::divide_cases`].
    pub fn notices(
        &self,
        cases: &[CaseFiles],
        parts: &[Split],
    ) -> Result<Vec<String>, ConfigError> {
        let mut lines = Vec::new();
        let patients: BTreeSet<&PatientId> = cases.iter().map(|files| &files.patient).collect();
        if patients.len() < cases.len() {
            lines.push(format!(
                "cohort: {} cases of {} patients; all cases of a patient are in one part",
                cases.len(),
                patients.len()
            ));
        }
        let placed = || cases.iter().zip(parts);
        let is_left = |(files, part): &(&CaseFiles, &Split)| {
            files.labels.is_none() && **part == Split::Unused
        };
        let left = placed().filter(is_left).count();
        if left > 0 && self.split_file.is_none() {
            lines.push(format!(
                "cohort: {left} cases without labels are not used, because their patients' labelled \
                 cases are trained or scored on"
            ));
        }
        lines.extend(self.hidden_labels(cases, parts)?);
        Ok(lines)
    }

    /// Line about the labels of validation and test cases that `data.shares` hides, if it does.
    fn hidden_labels(
        &self,
        cases: &[CaseFiles],
        parts: &[Split],
    ) -> Result<Option<String>, ConfigError> {
        if self.run.data.shares.is_none() {
            return Ok(None);
        }
        let open = self.run.data.with_open_labels();
        let open = open.split_cases(&labelled_cases(cases), self.run.seed)?;
        let kept: Vec<Split> = cases
            .iter()
            .zip(parts)
            .filter(|(files, _)| files.labels.is_some())
            .map(|(_, part)| *part)
            .collect();
        let count_of = |part: Split| {
            let own = open.iter().zip(&kept).filter(|(before, _)| **before == part);
            let hidden = own.clone().filter(|(_, after)| **after == Split::Unlabelled).count();
            (hidden, own.count())
        };
        let (of_validation, of_test) = (count_of(Split::Validation), count_of(Split::Test));
        if of_validation.0 + of_test.0 == 0 {
            return Ok(None);
        }
        Ok(Some(format!(
            "data.shares hides the labels of {} of {} validation cases and of {} of {} test cases, \
             which are then the unlabelled ones; data.shares.unlabelled_of_validation = 0 and \
             data.shares.unlabelled_of_test = 0 show them",
            of_validation.0, of_validation.1, of_test.0, of_test.1
        )))
    }

    /// Record of the file that divides the cases, if one does.
    pub fn locked_file(&self) -> Option<LockedSplitFile> {
        self.split_file.as_ref().map(SplitFile::to_locked)
    }
}

/// Reads the file of `data.split`, if it is set.
///
/// # Errors
/// As [`SplitFile::read`].
pub fn read_split_file(data: &DataConfig) -> Result<Option<SplitFile>, ConfigError> {
    data.split.as_ref().map(|path| SplitFile::read(path, data.fold)).transpose()
}

/// Names the patients of `cases` as `data.patients` says; without it they are the layout's.
///
/// # Errors
/// If a case has no patient by that rule.
pub fn name_patients(data: &DataConfig, cases: &mut [CaseFiles]) -> Result<(), ConfigError> {
    let Some(rule) = &data.patients else { return Ok(()) };
    let ids: Vec<CaseId> = cases.iter().map(|files| files.id.clone()).collect();
    for (files, patient) in cases.iter_mut().zip(rule.find_patients(&ids)?) {
        files.patient = patient;
    }
    Ok(())
}

/// Labelled ones of `cases`, as they are divided.
pub fn labelled_cases(cases: &[CaseFiles]) -> Vec<GradedCase> {
    cases.iter().filter(|files| files.labels.is_some()).map(graded_case).collect()
}

fn graded_case(files: &CaseFiles) -> GradedCase {
    CohortCase { id: files.id.clone(), patient: files.patient.clone(), stratum: files.grade }
}
