//! A dataset on disk is divided with the grades that its folders tell.
#![allow(clippy::unwrap_used)]

use std::fs;

use gliaflow::internals::brats::{TumourGrade, discover_cases};
use gliaflow::internals::volume::{
    CaseId, Fold, Split, SplitShares, cross_validation, partition_cohort,
};

type Graded = (CaseId, Option<TumourGrade>);

/// What is found in a folder of 42 high and 18 low grade cases, laid out as BraTS 2018 was.
fn graded() -> Vec<Graded> {
    let root = tempfile::tempdir().unwrap();
    for number in 0..60 {
        let grade = if number % 10 < 7 { "HGG" } else { "LGG" };
        let case = format!("Brats18_CBICA_{number:03}_1");
        let folder = root.path().join(grade).join(&case);
        fs::create_dir_all(&folder).unwrap();
        for ending in ["t1", "t1ce", "t2", "flair", "seg"] {
            fs::write(folder.join(format!("{case}_{ending}.nii.gz")), []).unwrap();
        }
    }
    let found = discover_cases(root.path(), None).unwrap();
    found.cases.into_iter().map(|files| (files.id, files.grade)).collect()
}

fn count(cases: &[Graded], parts: &[Split], grade: TumourGrade, wanted: Split) -> usize {
    let placed = cases.iter().zip(parts);
    placed.filter(|((_, own), part)| *own == Some(grade) && **part == wanted).count()
}

#[test]
fn every_part_has_its_share_of_either_grade() {
    let cases = graded();
    let parts = partition_cohort(&cases, &SplitShares::default(), 1);
    let of = |grade| {
        [Split::Train, Split::Validation, Split::Test, Split::Unlabelled]
            .map(|part| count(&cases, &parts, grade, part))
    };
    let (high, low) = (of(TumourGrade::Hgg), of(TumourGrade::Lgg));
    // Sixty cases are 34, 7 and 19; of the 7 and the 19, 3 and 4 are hidden (3.5 and 3.8).
    let both: Vec<usize> = high.iter().zip(low).map(|(a, b)| a + b).collect();
    assert_eq!(both, [34, 4, 15, 7]);
    for (found, all) in high.iter().zip(&both) {
        let exact = *all as f64 * 0.7;
        // The unlabelled ones come from two parts, and are rounded in each.
        assert!((*found as f64 - exact).abs() <= 2.0, "{high:?} {low:?}");
    }
}

#[test]
fn folds_share_the_grades_out_evenly() {
    let cases = graded();
    for index in 0..5 {
        let parts = cross_validation(&cases, Fold::new(index, 5).unwrap(), 1);
        let held_out = [TumourGrade::Hgg, TumourGrade::Lgg]
            .map(|grade| count(&cases, &parts, grade, Split::Validation));
        assert_eq!(held_out[0] + held_out[1], 12);
        assert!((8..=9).contains(&held_out[0]), "{held_out:?}");
    }
}

#[cfg(feature = "train")]
mod by_patient {
    use gliaflow::internals::brats::{
        CaseFiles, ChosenScheme, Dataset, DatasetDescription, Layout, NameSchemes, SchemeReason,
    };
    use gliaflow::internals::run::Division;
    use gliaflow::internals::run::config::RunConfig;
    use gliaflow::internals::run::config::pseudo::PseudoConfig;
    use gliaflow::internals::volume::{LabelScheme, PatientId, RunChannels, patients_in_two_parts};
    use proptest::prelude::*;

    use super::*;

    /// A scan of a patient, with labels or without.
    fn scan(patient: usize, number: usize, labelled: bool) -> CaseFiles {
        CaseFiles {
            id: CaseId::new(format!("BraTS-GLI-{patient:05}-{number:03}")),
            patient: PatientId::new(format!("BraTS-GLI-{patient:05}")),
            images: Default::default(),
            labels: labelled.then(Default::default),
            mask: None,
            stack: None,
            scheme: LabelScheme::Brats2023,
            channels: RunChannels::default(),
            max_voxels: 1 << 20,
            grade: None,
        }
    }

    fn dataset(cases: Vec<CaseFiles>) -> Dataset {
        Dataset {
            incomplete: Vec::new(),
            layout: Layout::new("brats2023"),
            layout_reason: String::new(),
            description: DatasetDescription::default(),
            labels: ChosenScheme { scheme: LabelScheme::Brats2023, reason: SchemeReason::Names },
            name_schemes: NameSchemes::default(),
            cases,
            problems: Vec::new(),
        }
    }

    /// Runs that split a cohort in every way that settings know.
    fn every_way(pseudo: bool, labelled_fraction: f64, seed: u64) -> Vec<RunConfig> {
        let teacher = "0123456789abcdef0123456789abcdef".to_string();
        let teacher: PseudoConfig =
            serde_json::from_value(serde_json::json!({ "teacher": teacher })).unwrap();
        let mut base = RunConfig { seed, ..RunConfig::default() };
        base.data.pseudo = pseudo.then_some(teacher);
        base.data.labelled_fraction = labelled_fraction;
        let mut ways = vec![base.clone()];
        for index in 0..3 {
            let mut run = base.clone();
            run.data.fold = Fold::new(index, 3).ok();
            ways.push(run);
        }
        base.data.shares = Some(SplitShares::default());
        ways.push(base);
        ways
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn no_patient_of_a_cohort_with_follow_ups_stands_in_two_parts(
            scans in proptest::collection::vec(
                proptest::collection::vec(proptest::bool::weighted(0.8), 2..4), 6..30),
            pseudo in any::<bool>(),
            fraction in 0.05f64..=1.0,
            seed in 0u64..50,
        ) {
            let cases = |labelled: &Vec<bool>, patient| -> Vec<CaseFiles> {
                let all = labelled.iter().enumerate();
                all.map(|(number, labelled)| scan(patient, number, *labelled)).collect()
            };
            let all = scans.iter().enumerate().flat_map(|(patient, own)| cases(own, patient));
            let mut found = dataset(all.collect());
            let labelled = scans.iter().filter(|own| own.contains(&true)).count();
            prop_assume!(labelled >= 3);
            for run in every_way(pseudo, fraction, seed) {
                let division = Division::prepare(&run, &mut found).unwrap();
                let taken: Vec<CaseFiles> =
                    found.cases.iter().filter(|files| division.has_part_for(files)).cloned().collect();
                prop_assert!(taken.iter().all(|files| pseudo || files.labels.is_some()));
                let parts = division.divide_cases(&taken).unwrap();
                prop_assert!(parts.contains(&Split::Train), "{:?}", run.data);
                let placed = taken.iter().map(|files| &files.patient).zip(parts.iter().copied());
                let torn = patients_in_two_parts(placed);
                prop_assert!(torn.is_empty(), "{torn:?} {:?}", run.data);
                let scored = [Split::Train, Split::Validation, Split::Test];
                let mut bare = taken.iter().zip(&parts).filter(|(files, _)| files.labels.is_none());
                prop_assert!(bare.all(|(_, part)| !scored.contains(part)));
            }
        }
    }

    #[test]
    fn an_unlabelled_scan_joins_a_student_only_where_its_patient_is_not_scored() {
        let cases = vec![scan(0, 0, true), scan(0, 1, false), scan(1, 0, true), scan(2, 0, false)];
        let mut found = dataset(cases);
        for run in every_way(true, 1.0, 1).into_iter().take(1) {
            let parts = Division::prepare(&run, &mut found).unwrap();
            let parts = parts.divide_cases(&found.cases).unwrap();
            assert_eq!([parts[1], parts[3]], [Split::Unused, Split::Unlabelled]);
        }
    }

    #[test]
    fn what_hidden_labels_and_follow_ups_mean_for_the_scores_is_told_once() {
        let two_scans = |patient| [scan(patient, 0, true), scan(patient, 1, true)];
        let mut found = dataset((0..60).flat_map(two_scans).collect());
        let told = |run: &RunConfig, found: &mut Dataset| {
            let division = Division::prepare(run, found).unwrap();
            let parts = division.divide_cases(&found.cases).unwrap();
            division.notices(&found.cases, &parts).unwrap()
        };
        let mut run = every_way(false, 1.0, 1).pop().unwrap();
        let lines = told(&run, &mut found);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("120 cases of 60 patients"), "{lines:#?}");
        let hidden = "6 of 14 validation cases and of 8 of 38 test cases";
        assert!(lines[1].contains(hidden), "{lines:#?}");
        run.data = run.data.with_open_labels();
        assert_eq!(told(&run, &mut found).len(), 1);
        found.cases.retain(|files| files.id.as_str().ends_with("-000"));
        assert!(told(&run, &mut found).is_empty());
    }
}
