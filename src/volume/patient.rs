//! Patients of a cohort. Scans of one patient are alike, so a split that parts them measures how
//! well a network remembers; here a cohort is split by patient.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::volume::{CaseId, Split, keep_fraction};

/// Name of a patient, who may have several cases: scans at several times.
#[derive(
    derive_more::Display, Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct PatientId(String);

impl PatientId {
    /// Creates an id from a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Patient of a case whose dataset has one case a patient.
    pub fn of_only_case(case: &CaseId) -> Self {
        Self::new(case.as_str())
    }
}

/// Case of a cohort that is to be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CohortCase<S> {
    /// The case.
    pub id: CaseId,
    /// Patient whose scan it is.
    pub patient: PatientId,
    /// Stratum that is spread evenly over the parts, such as the tumour's grade.
    pub stratum: S,
}

/// Splits a cohort by patient and returns each case's part, in the order given. `split` gets one
/// case of each patient, the first by name, with its stratum; the patient's other cases follow it.
///
/// So a cohort of one case a patient is split as by `split` alone, and a later scan moves nobody.
///
/// # Errors
/// Those of `split`.
pub fn split_by_patient<S: Clone, E>(
    cases: &[CohortCase<S>],
    split: impl FnOnce(&[(CaseId, S)]) -> Result<Vec<Split>, E>,
) -> Result<Vec<Split>, E> {
    let mut place_of_patient = BTreeMap::<&PatientId, usize>::new();
    let mut first_cases = Vec::<(CaseId, S)>::new();
    let mut places = Vec::new();
    for case in cases {
        let own = (case.id.clone(), case.stratum.clone());
        let place = *place_of_patient.entry(&case.patient).or_insert(first_cases.len());
        match first_cases.get_mut(place) {
            None => first_cases.push(own),
            Some(first) if own.0 < first.0 => *first = own,
            Some(_) => {}
        }
        places.push(place);
    }
    let parts = split(&first_cases)?;
    Ok(places.into_iter().map(|place| parts[place]).collect())
}

/// Keeps `fraction` of the patients that `parts` trains on, as [`keep_fraction`] does of cases; the
/// other ones' cases become [`Split::Unused`].
pub fn keep_patients<S: Ord + Clone>(
    cases: &[CohortCase<S>],
    parts: &mut [Split],
    fraction: f64,
    seed: u64,
) {
    let trained: Vec<usize> =
        (0..cases.len()).filter(|&place| parts[place] == Split::Train).collect();
    let own: Vec<CohortCase<S>> = trained.iter().map(|&place| cases[place].clone()).collect();
    let kept = split_by_patient(&own, |patients| {
        let mut kept = vec![Split::Train; patients.len()];
        keep_fraction(patients, &mut kept, fraction, seed);
        Ok::<_, std::convert::Infallible>(kept)
    });
    let Ok(kept) = kept;
    for (place, part) in trained.into_iter().zip(kept) {
        parts[place] = part;
    }
}

/// Part of a case without labels, whose patient's labelled cases have the parts `labelled`.
///
/// It must not be learnt from a teacher while another scan of its patient is scored, and stands in
/// no part where that scan has another.
pub fn part_of_unlabelled(labelled: &[Split]) -> Split {
    let is_alone = labelled.iter().all(|part| *part == Split::Unlabelled);
    if is_alone { Split::Unlabelled } else { Split::Unused }
}

/// Names the patients that stand in two of `parts`, those of `cases`; [`Split::Unused`] is no part.
pub fn patients_in_two_parts<'a>(
    cases: impl IntoIterator<Item = (&'a PatientId, Split)>,
) -> Vec<&'a PatientId> {
    let mut first = BTreeMap::<&PatientId, (Split, bool)>::new();
    for (patient, part) in cases.into_iter().filter(|(_, part)| *part != Split::Unused) {
        let (known, is_torn) = first.entry(patient).or_insert((part, false));
        *is_torn |= *known != part;
    }
    first.into_iter().filter(|(_, (_, is_torn))| *is_torn).map(|(patient, _)| patient).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str, patient: &str) -> CohortCase<()> {
        CohortCase { id: CaseId::new(id), patient: PatientId::new(patient), stratum: () }
    }

    #[test]
    fn a_patient_is_split_by_the_first_scan_whatever_the_order() {
        let cases = [case("b-1", "b"), case("a-0", "a"), case("b-0", "b"), case("c-0", "c")];
        let parts = split_by_patient(&cases, |patients| {
            let names: Vec<&str> = patients.iter().map(|(id, ())| id.as_str()).collect();
            assert_eq!(names, ["b-0", "a-0", "c-0"]);
            Ok::<_, ()>(vec![Split::Test, Split::Train, Split::Validation])
        });
        let expected = [Split::Test, Split::Train, Split::Test, Split::Validation];
        assert_eq!(parts.unwrap(), expected);
    }

    #[test]
    fn an_unlabelled_scan_stands_in_no_part_beside_another_of_its_patient() {
        assert_eq!(part_of_unlabelled(&[]), Split::Unlabelled);
        assert_eq!(part_of_unlabelled(&[Split::Unlabelled; 2]), Split::Unlabelled);
        for part in [Split::Train, Split::Validation, Split::Test, Split::Unused] {
            assert_eq!(part_of_unlabelled(&[part]), Split::Unused);
        }
    }

    #[test]
    fn patients_in_two_parts_are_named_and_unused_is_no_part() {
        let [a, b, c] = ["a", "b", "c"].map(PatientId::new);
        let cases = [
            (&a, Split::Train),
            (&b, Split::Train),
            (&c, Split::Test),
            (&a, Split::Unused),
            (&b, Split::Unlabelled),
            (&c, Split::Test),
        ];
        assert_eq!(patients_in_two_parts(cases), [&b]);
    }
}
