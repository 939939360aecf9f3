//! Cases of a folder on their way into a dataset: label schemes, patients, modalities, and what is wrong
//! with which.

use crate::base::{CaseError, Reason};
use crate::brats::CaseFiles;
use crate::brats::case_assembly::AssembledCase;
use crate::brats::description::DatasetDescription;
use crate::brats::discovery_errors::{DoubledFiles, duplicate_error};
use crate::brats::layout::schemes_of_case_name;
use crate::brats::read::DEFAULT_MAX_VOXELS;
use crate::brats::scheme::{NameSchemes, SchemeRequest, choose_for_case};
use crate::brats::{ChosenScheme, SchemeReason};
use crate::volume::{CaseId, ModalitySet, RunChannels, case_id_problem};

/// Cases of a folder, and what is wrong with which.
#[derive(Default)]
pub(super) struct FoundCases {
    pub(super) cases: Vec<CaseFiles>,
    /// Place of the layout and label scheme of each case, complete or not.
    pub(super) layouts: Vec<(usize, ChosenScheme)>,
    pub(super) request: SchemeRequest,
    pub(super) name_schemes: NameSchemes,
    /// Errors with the name that they are sorted by.
    pub(super) problems: Vec<(String, CaseError)>,
    /// Files that are there compressed and not.
    pub(super) doubled: Option<DoubledFiles>,
    /// First case whose label values nothing tells the meaning of, and their number.
    pub(super) without_meaning: Option<(String, usize)>,
    /// Cases that lack a modality, and their errors.
    pub(super) incomplete: Vec<(CaseFiles, CaseError)>,
}

impl FoundCases {
    /// Adds cases of their layouts.
    pub(super) fn add_cases(&mut self, cases: Vec<AssembledCase>, layouts: &[DatasetDescription]) {
        for case in cases {
            let layout = &layouts[case.layout];
            self.add_case(case, layout);
        }
    }

    fn add_case(&mut self, case: AssembledCase, layout: &DatasetDescription) {
        let AssembledCase { name, images, labels, folder, doubled, .. } = case;
        let mut schemes = layout.schemes();
        if !layout.tells_scheme() {
            match schemes_of_case_name(&name) {
                Some(by_name) => schemes = by_name,
                None if labels.is_some() && !matches!(self.request, SchemeRequest::Asked(_)) => {
                    self.without_meaning.get_or_insert((name.clone(), 0)).1 += 1;
                }
                None => {}
            }
        }
        self.name_schemes.add_case(&name, schemes);
        // Only names that others use, too, leave the meaning to the run; what a description says holds.
        let leaves_open = layout.is_much_used() && layout.scheme_reason == SchemeReason::Names;
        let request = match self.request {
            SchemeRequest::TrainedWith(run) if !leaves_open && !schemes.contains(&run) => {
                SchemeRequest::FromNames
            }
            request => request,
        };
        let mut chosen = choose_for_case(&name, schemes, request);
        if chosen.reason == SchemeReason::Names && layout.tells_scheme() {
            chosen.reason = layout.scheme_reason;
        }
        self.layouts.push((case.layout, chosen));
        if let Some(problem) = case_id_problem(&name) {
            let subject = format!("case {name:?} in {}", folder.display());
            let remedy = "rename the folder and its files";
            let error = CaseError::new(Reason::Format, subject, problem, remedy);
            self.problems.push((name, error));
            return;
        }
        if let Some(first) = doubled.first() {
            let doubled_files = DoubledFiles { first: first.clone(), count: 0 };
            self.doubled.get_or_insert(doubled_files).count += doubled.len();
        }
        let Some(patient) = layout.patient_of(&name, &case.parts) else {
            self.problems.push((name.clone(), no_patient_error(&name, layout)));
            return;
        };
        let found = match images {
            Err(error) => {
                self.problems.push((name, error));
                return;
            }
            Ok(found) => found,
        };
        let regions = layout.regions_of(chosen.scheme);
        let all = layout.modality_set();
        let there = all.iter().filter(|modality| !found.lacks_modality(*modality));
        // A case of labels alone lacks every image.
        let modalities = ModalitySet::of_modalities(there);
        let files = CaseFiles {
            id: CaseId::new(name.clone()),
            patient,
            images: found.files,
            stack: case.stack,
            labels,
            mask: None,
            scheme: chosen.scheme,
            channels: RunChannels { modalities: modalities.unwrap_or_default(), regions },
            grade: case.grade,
            max_voxels: DEFAULT_MAX_VOXELS,
        };
        match found.error {
            None => self.cases.push(files),
            Some(error) => {
                if modalities.is_some() {
                    self.incomplete.push((files, error.clone()));
                }
                self.problems.push((name, error));
            }
        }
    }

    /// Cases sorted by id, each once, and problems sorted by name.
    pub(super) fn into_sorted(mut self) -> (Vec<CaseFiles>, Vec<CaseError>) {
        self.cases.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| a.images.cmp(&b.images)));
        let mut cases: Vec<CaseFiles> = Vec::with_capacity(self.cases.len());
        for case in self.cases {
            match cases.last() {
                Some(last) if last.id == case.id => {
                    self.problems.push((
                        case.id.to_string(),
                        duplicate_error(&case.id, last.first_image(), case.first_image()),
                    ));
                }
                _ => cases.push(case),
            }
        }
        let doubled = self.doubled.map(|doubled| (String::new(), doubled.into_error()));
        self.problems.extend(doubled);
        self.problems
            .sort_by(|(a, one), (b, other)| a.cmp(b).then(one.subject.cmp(&other.subject)));
        (cases, self.problems.into_iter().map(|(_, problem)| problem).collect())
    }
}

fn no_patient_error(case: &str, layout: &DatasetDescription) -> CaseError {
    let patterns: Vec<String> =
        layout.patient.iter().map(|own| format!("{:?}", own.to_string())).collect();
    CaseError::new(
        Reason::Format,
        format!("case {case}"),
        format!("has no patient by patient = [{}]", patterns.join(", ")),
        "add a pattern that fits it, such as \"{patient}\" where a case is a patient's only one",
    )
}
