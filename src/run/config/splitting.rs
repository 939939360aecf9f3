//! Settings that split a run's cohort: what they may be together, and the splits they give.

use crate::base::ConfigError;
use crate::brats::TumourGrade;
use crate::run::config::data::DataConfig;
use crate::volume::{
    CaseId, CohortCase, Fold, Split, SplitShares, cross_validation, hold_out_cases, keep_patients,
    partition_cohort, split_by_patient,
};

/// Share of the patients that is held out where nothing else is said.
pub const HELD_OUT: f64 = 0.2;

/// Labelled case of a run's cohort, with its tumour grade as the stratum.
pub type GradedCase = CohortCase<Option<TumourGrade>>;

impl DataConfig {
    /// Checks settings that depend on each other.
    ///
    /// # Errors
    /// Two ways to divide the cohort, or shares that leave nothing to train on. A fold beside a split
    /// file is checked when the file is read.
    pub fn check_division(&self) -> Result<(), ConfigError> {
        match (self.fold, &self.shares, &self.split) {
            (_, Some(_), Some(path)) => Err(second_way("split", path.display(), "data.shares")),
            (_, Some(shares), None) => {
                shares.check_shares().map_err(|error| error.in_section("shares"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that a share to hold out is not set beside what would override it.
    ///
    /// # Errors
    /// If it is.
    pub fn check_held_out(&self) -> Result<(), ConfigError> {
        match (self.held_out, &self.shares, &self.split) {
            (Some(share), Some(_), _) => Err(second_way("held_out", share, "data.shares")),
            (Some(share), None, Some(_)) => Err(second_way("held_out", share, "data.split")),
            _ => Ok(()),
        }
    }

    /// Sets the share to hold out, if nothing else divides the cohort.
    pub fn fill_in_held_out(&mut self) {
        if self.shares.is_none() && self.split.is_none() {
            self.held_out.get_or_insert(HELD_OUT);
        }
    }

    /// Returns the same division with no labels hidden: hiding takes cases out of the parts and moves
    /// none between them. Beside shares a fold is left out: it divides what the shares leave.
    #[must_use]
    pub fn with_open_labels(&self) -> Self {
        let open = |shares| SplitShares {
            unlabelled_of_validation: 0.0,
            unlabelled_of_test: 0.0,
            ..shares
        };
        let shares = self.shares.map(open);
        Self { fold: self.fold.filter(|_| shares.is_none()), shares, ..self.clone() }
    }

    /// Seed of the division, in a run of seed `seed`.
    pub fn seed_of_split(&self, seed: u64) -> u64 {
        self.split_seed.unwrap_or(seed)
    }

    /// Returns the split of each of `cases`, in their order, in a run of seed `seed`: all cases of a
    /// patient in one part, sizes counted in patients. Grades are spread evenly where the folders
    /// tell them.
    ///
    /// # Errors
    /// If there are fewer patients than folds.
    pub fn split_cases(&self, cases: &[GradedCase], seed: u64) -> Result<Vec<Split>, ConfigError> {
        let seed = self.seed_of_split(seed);
        let mut parts =
            split_by_patient(cases, |patients| self.split_all_labelled(patients, seed))?;
        keep_patients(cases, &mut parts, self.labelled_fraction, seed);
        Ok(parts)
    }

    /// Splits patients, each by one of its cases, with all labelled ones in use.
    fn split_all_labelled(
        &self,
        patients: &[(CaseId, Option<TumourGrade>)],
        seed: u64,
    ) -> Result<Vec<Split>, ConfigError> {
        let Some(shares) = &self.shares else {
            if let Some(fold) = self.fold {
                return validate_on_fold(patients, fold, seed);
            }
            let share = self.held_out.unwrap_or(HELD_OUT);
            let ids: Vec<CaseId> = patients.iter().map(|(id, _)| id.clone()).collect();
            return Ok(hold_out_cases(&ids, held_out_count(ids.len(), share), seed));
        };
        let mut parts = partition_cohort(patients, shares, seed);
        if let Some(fold) = self.fold {
            let is_left = |place: &usize| matches!(parts[*place], Split::Train | Split::Validation);
            let left: Vec<usize> = (0..parts.len()).filter(is_left).collect();
            let own: Vec<_> = left.iter().map(|&place| patients[place].clone()).collect();
            for (place, part) in left.into_iter().zip(validate_on_fold(&own, fold, seed)?) {
                parts[place] = part;
            }
        }
        Ok(parts)
    }
}

/// Divides patients into one fold to validate on and the others.
fn validate_on_fold(
    patients: &[(CaseId, Option<TumourGrade>)],
    fold: Fold,
    seed: u64,
) -> Result<Vec<Split>, ConfigError> {
    let found = patients.len();
    if found < fold.fold_count() {
        let problem = format!("too fine: there are {found} patients");
        return Err(ConfigError::new("data.fold", fold, problem, "use fewer folds"));
    }
    Ok(cross_validation(patients, fold, seed))
}

fn second_way(field: &str, value: impl std::fmt::Display, other: &str) -> ConfigError {
    let problem = format!("a second way to divide the cohort, beside {other}");
    ConfigError::new(field, value, problem, "keep one")
}

/// Number of held-out patients: a share, but at least one of two or more, and never all.
fn held_out_count(patients: usize, share: f64) -> usize {
    if share == 0.0 || patients < 2 {
        return 0;
    }
    ((patients as f64 * share).round() as usize).clamp(1, patients - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::{check_ranges, fs};
    use crate::run::config::{load, load_run_config};
    use crate::run_folder::CONFIG;
    use crate::volume::{Fold, PatientId, patients_in_two_parts};

    fn grade(number: usize) -> Option<TumourGrade> {
        Some(if number.is_multiple_of(4) { TumourGrade::Lgg } else { TumourGrade::Hgg })
    }

    fn cases(count: usize) -> Vec<GradedCase> {
        let case = |number| {
            let id = CaseId::new(format!("case{number}"));
            CohortCase { patient: PatientId::of_only_case(&id), id, stratum: grade(number) }
        };
        (0..count).map(case).collect()
    }

    fn count(parts: &[Split], part: Split) -> usize {
        parts.iter().filter(|own| **own == part).count()
    }

    #[test]
    fn something_is_held_out_and_something_is_left() {
        assert_eq!(held_out_count(10, 0.2), 2);
        assert_eq!(held_out_count(2, 0.01), 1);
        assert_eq!(held_out_count(3, 0.99), 2);
        assert_eq!(held_out_count(1, 0.5), 0);
        assert_eq!(held_out_count(10, 0.0), 0);
    }

    #[test]
    fn folds_take_turns_and_shares_are_the_papers() {
        let all = cases(20);
        let fold = |index| DataConfig { fold: Fold::new(index, 5).ok(), ..Default::default() };
        let mut validated = vec![0; all.len()];
        for index in 0..5 {
            let parts = fold(index).split_cases(&all, 3).unwrap();
            assert_eq!(count(&parts, Split::Validation), 4);
            for (times, part) in validated.iter_mut().zip(parts) {
                *times += usize::from(part == Split::Validation);
            }
        }
        assert_eq!(validated, vec![1; all.len()]);
        let shares = DataConfig { shares: Some(SplitShares::default()), ..Default::default() };
        let parts = shares.split_cases(&cases(592), 3).unwrap();
        let sizes = [Split::Train, Split::Validation, Split::Test, Split::Unlabelled];
        assert_eq!(sizes.map(|part| count(&parts, part)), [335, 33, 153, 71]);
    }

    #[test]
    fn folds_beside_shares_divide_what_is_neither_tested_nor_unlabelled() {
        let shares = Some(SplitShares::default());
        let config = |fold| DataConfig { fold, shares, ..Default::default() };
        let split = |fold| config(fold).split_cases(&cases(80), 3).unwrap();
        let whole = split(None);
        let folds: Vec<Vec<Split>> = (0..5).map(|index| split(Fold::new(index, 5).ok())).collect();
        for (place, before) in whole.iter().enumerate() {
            let own: Vec<Split> = folds.iter().map(|parts| parts[place]).collect();
            match before {
                Split::Test | Split::Unlabelled => assert_eq!(own, vec![*before; 5]),
                _ => assert_eq!(count(&own, Split::Validation), 1, "held out once"),
            }
        }
        let first = config(Fold::new(0, 5).ok());
        assert!(first.check_division().is_ok() && first.with_open_labels().fold.is_none());
    }

    #[test]
    fn fewer_labelled_cases_change_nothing_but_who_is_trained_on() {
        let all = cases(60);
        let parts = |labelled_fraction| {
            let shares = Some(SplitShares::default());
            let config = DataConfig { shares, labelled_fraction, ..Default::default() };
            config.split_cases(&all, 3).unwrap()
        };
        let (whole, half) = (parts(1.0), parts(0.5));
        assert_eq!((count(&whole, Split::Train), count(&half, Split::Train)), (34, 17));
        assert_eq!(count(&half, Split::Unused), 17);
        for part in [Split::Validation, Split::Test, Split::Unlabelled] {
            assert_eq!(count(&whole, part), count(&half, part));
        }
        for fraction in [0.0, -0.5, 1.5, f64::NAN] {
            let config = DataConfig { labelled_fraction: fraction, ..Default::default() };
            assert!(
                check_ranges(&config).unwrap_err().to_string().starts_with("labelled_fraction ="),
                "{fraction}"
            );
        }
    }

    #[test]
    fn runs_of_several_seeds_can_share_one_division() {
        let all = cases(40);
        for shares in [None, Some(SplitShares::default())] {
            let own = DataConfig { shares, ..Default::default() };
            let shared = DataConfig { split_seed: Some(9), ..own.clone() };
            assert_ne!(own.split_cases(&all, 1), own.split_cases(&all, 2));
            assert_eq!(shared.split_cases(&all, 1), shared.split_cases(&all, 2));
            assert_eq!(shared.split_cases(&all, 1), own.split_cases(&all, 9));
        }
    }

    #[test]
    fn too_few_cases_and_wrong_shares_are_refused() {
        let fold = Fold::new(0, 5).ok();
        let few = DataConfig { fold, ..Default::default() };
        assert!(few.split_cases(&cases(4), 0).unwrap_err().to_string().contains("use fewer folds"));
        let wrong = SplitShares { test: 1.5, ..SplitShares::default() };
        let wrong = DataConfig { shares: Some(wrong), ..Default::default() };
        assert!(wrong.check_division().unwrap_err().to_string().starts_with("shares.test"));
    }

    #[test]
    fn a_share_to_hold_out_beside_another_division_is_refused_and_not_ignored() {
        let told = |set: &[&str]| {
            let set: Vec<String> = set.iter().map(ToString::to_string).collect();
            load(None, &set).err().expect("refused").to_string()
        };
        let both = told(&["data.held_out=0.25", "data.shares={}"]);
        assert!(both.contains("data.held_out = 0.25 is a second way"), "{both}");
        assert!(both.contains("beside data.shares; keep one"), "{both}");
        let both = told(&["data.held_out=0.25", "data.split=a.csv"]);
        assert!(both.contains("data.held_out = 0.25 is a second way"), "{both}");
        assert!(both.contains("beside data.split"), "{both}");
        let both = told(&["data.split=a.csv", "data.shares={}"]);
        assert!(both.contains("data.split = a.csv is a second way"), "{both}");
        let rule = told(&["data.patients=(?<case>.+)"]);
        assert!(rule.contains("data.patients") && rule.contains("no part named patient"), "{rule}");
    }

    #[test]
    fn the_share_to_hold_out_is_shown_where_it_holds_and_settings_are_read_again() {
        let base = ["data.shares={}", "data.split=a.csv", "data.fold=0/5", "seed=3"];
        for (set, shown) in base.into_iter().zip([None, None, Some(0.2), Some(0.2)]) {
            let checked = load(None, &[set.to_owned()]).unwrap();
            assert_eq!(checked.run.data.held_out, shown, "{set}");
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(CONFIG);
            fs::write(&file, checked.to_toml().unwrap()).unwrap();
            let again = load(Some(&file), &[]).unwrap();
            assert_eq!(again.fingerprint(), checked.fingerprint(), "{set}");
        }
    }

    /// Runs of earlier versions wrote the default beside what divided their cases.
    #[test]
    fn a_run_of_an_earlier_version_is_read_with_the_share_that_it_did_not_use() {
        let checked = load(None, &["data.shares={}".into()]).unwrap();
        let mut table: toml::Table = checked.to_toml().unwrap().parse().unwrap();
        table["data"].as_table_mut().unwrap().insert("held_out".into(), HELD_OUT.into());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG), table.to_string()).unwrap();
        let resumed = load_run_config(folder.path(), &[]).unwrap();
        assert_eq!(resumed.fingerprint(), checked.fingerprint());
        assert!(load(Some(&folder.path().join(CONFIG)), &[]).is_err(), "a new run is refused");
    }

    /// Ways of splitting a cohort, one configuration each.
    fn every_way(fold: Fold, held_out: f64) -> [DataConfig; 3] {
        let base = DataConfig { held_out: Some(held_out), ..Default::default() };
        [
            base.clone(),
            DataConfig { fold: Some(fold), ..base.clone() },
            DataConfig { shares: Some(SplitShares::default()), ..base },
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn no_patient_stands_in_two_parts_however_a_cohort_is_split(
            scans in proptest::collection::vec(1usize..4, 3..40),
            fold in 0usize..3,
            held_out in 0.0f64..1.0,
            fraction in 0.05f64..=1.0,
            seed in 0u64..50,
            turned in any::<bool>(),
        ) {
            let mut all = Vec::new();
            for (number, &count) in scans.iter().enumerate() {
                for scan in 0..count {
                    let id = CaseId::new(format!("BraTS-GLI-{number:05}-{scan:03}"));
                    let patient = PatientId::new(format!("BraTS-GLI-{number:05}"));
                    // Grades of a patient may differ: a low-grade glioma can turn into a high-grade one.
                    all.push(CohortCase { id, patient, stratum: grade(number + scan) });
                }
            }
            let first: Vec<GradedCase> =
                all.iter().filter(|case| case.id.as_str().ends_with("-000")).cloned().collect();
            let reversed: Vec<GradedCase> = all.iter().rev().cloned().collect();
            let given = if turned { &reversed } else { &all };
            for config in every_way(Fold::new(fold, 3).unwrap(), held_out) {
                let config = DataConfig { labelled_fraction: fraction, ..config };
                let parts = config.split_cases(given, seed).unwrap();
                let placed = given.iter().map(|case| &case.patient).zip(parts.iter().copied());
                prop_assert!(patients_in_two_parts(placed).is_empty());
                // Nor is a patient half used: a follow-up goes where the first scan goes.
                let of_first = config.split_cases(&first, seed).unwrap();
                for (case, part) in given.iter().zip(&parts) {
                    let place = first.iter().position(|one| one.patient == case.patient).unwrap();
                    prop_assert_eq!(*part, of_first[place]);
                }
            }
        }
    }
}
