//! Partition of a labelled cohort into train, validation, test and unlabelled, or into folds.
//!
//! Sizes come first, as whole numbers, then every stratum's share of them, then the cases: each
//! stratum is ranked by a draw from the case's name, and a part is a stretch of that ranking. So a
//! case's part depends on its name and not on where it stands in a list, and a cohort that grows by
//! a case moves only those that stand at an edge of a stretch. Callers give one case of each patient
//! ([`crate::volume::patient`]).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::{ConfigError, check_ranges};
use crate::volume::Fold;
use crate::volume::case::{CaseId, Split, split_draw};

/// Split of a cohort in shares. What is neither validation nor test is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct SplitShares {
    /// Share of the cohort to validate on; the paper's 66 of 592.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.111)]
    pub validation: f64,
    /// Share of the cohort to test on; the paper's 191 of 592.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.323)]
    pub test: f64,
    /// Share of the validation cases whose labels are then hidden.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.5)]
    pub unlabelled_of_validation: f64,
    /// Share of the test cases whose labels are then hidden.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.2)]
    pub unlabelled_of_test: f64,
}

/// The paper's: 335 to train, 66 to validate, 191 to test, of 592; half of the validation cases and
/// a fifth of the test cases are the unlabelled ones.
impl SplitShares {
    /// Checks the shares.
    ///
    /// # Errors
    /// A share below 0 or above 1, or validation and test that leave nothing to train on.
    pub fn check_shares(&self) -> Result<(), ConfigError> {
        check_ranges(self)?;
        if self.validation + self.test >= 1.0 {
            let both = self.validation + self.test;
            let problem = "all cases, together with test";
            return Err(ConfigError::new("validation", both, problem, "leave some to train"));
        }
        Ok(())
    }
}

/// Assigns each case its part, in the order given. The sizes are exact: those of the largest
/// remainder method; every stratum (a grade, say) is in every part by its share, to within one
/// case.
///
/// Labels are hidden within the validation and the test cases, so the shares that are hidden change
/// nothing about who is trained on.
///
/// # Panics
/// If the shares do not pass [`SplitShares::check_shares`].
pub fn partition_cohort<S: Ord>(
    cases: &[(CaseId, S)],
    shares: &SplitShares,
    seed: u64,
) -> Vec<Split> {
    shares.check_shares().expect("shares are checked with the configuration");
    let train = 1.0 - shares.validation - shares.test;
    let sizes = largest_remainder(cases.len(), [shares.test, shares.validation, train]);
    let of_place = [Split::Test, Split::Validation, Split::Train];
    let everyone: Vec<(&CaseId, &S)> = cases.iter().map(|(id, stratum)| (id, stratum)).collect();
    let places = assign_parts(&everyone, &sizes, seed);
    let mut parts: Vec<Split> = places.into_iter().map(|place| of_place[place]).collect();
    for (part, share) in [
        (Split::Test, shares.unlabelled_of_test),
        (Split::Validation, shares.unlabelled_of_validation),
    ] {
        let members: Vec<usize> = (0..parts.len()).filter(|&place| parts[place] == part).collect();
        let own: Vec<(&CaseId, &S)> = members.iter().map(|&place| everyone[place]).collect();
        let kept_and_hidden = largest_remainder(own.len(), [1.0 - share, share]);
        for (place, hidden) in members.into_iter().zip(assign_parts(&own, &kept_and_hidden, seed)) {
            if hidden == 1 {
                parts[place] = Split::Unlabelled;
            }
        }
    }
    parts
}

/// Validates on one fold and trains on the others, in the order given. Folds differ by at most one
/// case, and every stratum is in each by its share, to within one.
pub fn cross_validation<S: Ord>(cases: &[(CaseId, S)], fold: Fold, seed: u64) -> Vec<Split> {
    let smallest = cases.len() / fold.fold_count();
    let sizes: Vec<usize> = (0..fold.fold_count())
        .map(|place| smallest + usize::from(place < cases.len() % fold.fold_count()))
        .collect();
    let part = |place| if place == fold.index() { Split::Validation } else { Split::Train };
    let everyone: Vec<(&CaseId, &S)> = cases.iter().map(|(id, stratum)| (id, stratum)).collect();
    assign_parts(&everyone, &sizes, seed).into_iter().map(part).collect()
}

/// Index of each case's part among parts of the given sizes.
fn assign_parts<S: Ord>(cases: &[(&CaseId, &S)], sizes: &[usize], seed: u64) -> Vec<usize> {
    let mut strata = BTreeMap::<&S, Vec<(u64, usize)>>::new();
    for (place, &(id, stratum)) in cases.iter().enumerate() {
        strata.entry(stratum).or_default().push((split_draw(id, seed), place));
    }
    let members: Vec<usize> = strata.values().map(Vec::len).collect();
    let mut parts = vec![0; cases.len()];
    for (mut ranked, counts) in strata.into_values().zip(balanced_counts(&members, sizes)) {
        ranked.sort_unstable();
        let stretches = counts.iter().enumerate().flat_map(|(s, &n)| std::iter::repeat_n(s, n));
        ranked.iter().zip(stretches).for_each(|((_, place), stretch)| parts[*place] = stretch);
    }
    parts
}

/// Number of cases of each stratum in each part: whole numbers within one of the exact share, with
/// every stratum used up and every part full.
///
/// Rounded down first. What is left is a 0-1 table with given margins; giving each row its ones in
/// the columns that lack most finds one if there is any (Gale, "A theorem on flows in networks",
/// 1957), and the exact shares show that there is.
fn balanced_counts(strata: &[usize], parts: &[usize]) -> Vec<Vec<usize>> {
    let cases: usize = strata.iter().sum();
    let mut counts: Vec<Vec<usize>> = strata
        .iter()
        .map(|members| parts.iter().map(|part| members * part / cases).collect())
        .collect();
    let mut lacking: Vec<usize> = (0..parts.len())
        .map(|place| parts[place] - counts.iter().map(|row| row[place]).sum::<usize>())
        .collect();
    for (row, &members) in counts.iter_mut().zip(strata) {
        let left = members - row.iter().sum::<usize>();
        let mut neediest: Vec<usize> = (0..parts.len()).collect();
        // Of columns that lack equally many, the one whose share was cut most.
        neediest.sort_by_key(|&place| Reverse((lacking[place], members * parts[place] % cases)));
        for &place in &neediest[..left] {
            row[place] += 1;
            lacking[place] -= 1;
        }
    }
    counts
}

/// Rounds shares of a number of cases, which add up to 1, so that they add up to it: down, then one
/// more for those that lost most, the earlier one of equals (the method of largest remainders).
fn largest_remainder<const N: usize>(cases: usize, shares: [f64; N]) -> [usize; N] {
    // A share of 0.2 of 5 is one case, not the 0.999… that binary fractions make of it.
    let exact = shares.map(|share| (share * cases as f64 * 1e9).round() / 1e9);
    let mut sizes = exact.map(|size| size.floor() as usize);
    let mut by_loss: Vec<usize> = (0..N).collect();
    by_loss.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let left = cases.saturating_sub(sizes.iter().sum());
    by_loss.iter().take(left).for_each(|&place| sizes[place] += 1);
    sizes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The paper's shares with no label hidden.
    const OPEN: SplitShares = SplitShares {
        validation: 0.111,
        test: 0.323,
        unlabelled_of_validation: 0.0,
        unlabelled_of_test: 0.0,
    };

    /// Cases in strata of the given sizes.
    fn cohort(strata: &[usize]) -> Vec<(CaseId, usize)> {
        let labels = strata.iter().enumerate().flat_map(|(s, &n)| std::iter::repeat_n(s, n));
        labels.enumerate().map(|(i, s)| (CaseId::new(format!("case{i:04}")), s)).collect()
    }

    fn count(parts: &[Split], wanted: Split) -> usize {
        parts.iter().filter(|part| **part == wanted).count()
    }

    #[test]
    fn the_papers_cohort_has_the_papers_sizes() {
        let cases = cohort(&[259 + 191, 592 - 450]);
        let parts = partition_cohort(&cases, &SplitShares::default(), 1);
        assert_eq!(count(&parts, Split::Train), 335);
        assert_eq!(count(&parts, Split::Unlabelled), 33 + 38);
        assert_eq!(count(&parts, Split::Validation), 33);
        assert_eq!(count(&parts, Split::Test), 153);
        let parts = partition_cohort(&cases, &OPEN, 1);
        assert_eq!((count(&parts, Split::Validation), count(&parts, Split::Test)), (66, 191));
    }

    #[test]
    fn hiding_labels_changes_nothing_about_who_is_trained_on() {
        let cases = cohort(&[40, 25, 7]);
        let hidden = partition_cohort(&cases, &SplitShares::default(), 3);
        let open = partition_cohort(&cases, &OPEN, 3);
        let pairs: Vec<(Split, Split)> = hidden.into_iter().zip(open).collect();
        assert!(pairs.iter().any(|(with, without)| with != without));
        for (with, without) in pairs {
            assert!(with == without || (with == Split::Unlabelled && without != Split::Train));
        }
    }

    #[test]
    fn shares_that_cannot_be_had_are_refused_by_name() {
        let refused = |shares: SplitShares| shares.check_shares().unwrap_err().to_string();
        assert!(
            refused(SplitShares { test: -0.1, ..SplitShares::default() }).contains("test = -0.1")
        );
        assert!(
            refused(SplitShares { test: 0.9, ..SplitShares::default() })
                .contains("leave some to train")
        );
        let nan = SplitShares { unlabelled_of_test: f64::NAN, ..SplitShares::default() };
        assert!(refused(nan).contains("unlabelled_of_test"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn parts_are_exact_balanced_and_a_function_of_the_names(
            strata in proptest::collection::vec(0usize..90, 1..4),
            seed in 0u64..50,
        ) {
            let cases = cohort(&strata);
            let (parts, open) =
                (partition_cohort(&cases, &SplitShares::default(), seed), partition_cohort(&cases, &OPEN, seed));
            let [test, validation, train] = largest_remainder(cases.len(), [0.323, 0.111, 0.566]);
            let [_, hidden_test] = largest_remainder(test, [0.8, 0.2]);
            let [_, hidden_validation] = largest_remainder(validation, [0.5, 0.5]);
            let hidden = hidden_test + hidden_validation;
            for (found, part, size, rounded) in [
                (&open, Split::Train, train, 1.0),
                (&open, Split::Validation, validation, 1.0),
                (&open, Split::Test, test, 1.0),
                // Rounded with the two parts that they come from, and then within each.
                (&parts, Split::Unlabelled, hidden, 3.0),
            ] {
                prop_assert_eq!(count(found, part), size, "{}", part.name());
                for (stratum, &members) in strata.iter().enumerate() {
                    let own = cases.iter().zip(found).filter(|((_, s), _)| *s == stratum);
                    let own = own.filter(|(_, own_part)| **own_part == part).count() as f64;
                    let exact = (members * size) as f64 / cases.len().max(1) as f64;
                    prop_assert!((own - exact).abs() <= rounded, "{}: {own} {exact}", part.name());
                }
            }
            let mut turned = cases.clone();
            turned.reverse();
            let mut turned_parts = partition_cohort(&turned, &SplitShares::default(), seed);
            turned_parts.reverse();
            prop_assert_eq!(parts, turned_parts);
        }

        #[test]
        fn a_case_more_moves_few_others(members in 10usize..400, seed in 0u64..50) {
            let (before, after) = (cohort(&[members]), cohort(&[members + 1]));
            let shares = SplitShares::default();
            let old = partition_cohort(&before, &shares, seed);
            let new = partition_cohort(&after, &shares, seed);
            let moved = old.iter().zip(&new).filter(|(a, b)| a != b).count();
            // One at each of the four edges between the stretches.
            prop_assert!(moved <= 4, "{moved} of {members}");
        }

        #[test]
        fn every_case_is_validated_in_exactly_one_fold(
            strata in proptest::collection::vec(0usize..60, 1..4),
            of in 2usize..8,
            seed in 0u64..50,
        ) {
            let cases = cohort(&strata);
            let folds: Vec<Vec<Split>> = (0..of)
                .map(|index| cross_validation(&cases, Fold::new(index, of).unwrap(), seed))
                .collect();
            for place in 0..cases.len() {
                let validated = folds.iter().filter(|fold| fold[place] == Split::Validation);
                prop_assert_eq!(validated.count(), 1);
            }
            for fold in &folds {
                let held_out = count(fold, Split::Validation);
                prop_assert!(held_out.abs_diff(cases.len() / of) <= 1);
                prop_assert_eq!(held_out + count(fold, Split::Train), cases.len());
                for (stratum, &members) in strata.iter().enumerate() {
                    let own = cases.iter().zip(fold).filter(|((_, s), _)| *s == stratum);
                    let found = own.filter(|(_, part)| **part == Split::Validation).count() as f64;
                    prop_assert!((found - members as f64 / of as f64).abs() < 2.0);
                }
            }
        }
    }
}
