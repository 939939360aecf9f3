//! Paired comparison of two methods on the same cases.
//!
//! Runs of one method that differ in the seed alone are averaged per case first: tested as more
//! cases, repetition alone would be significant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{CaseError, Reason};
use crate::eval::statistics::bootstrap;
use crate::eval::statistics::wilcoxon::{Alternative, SignedRank, signed_rank};
use crate::volume::CaseId;

/// Values of one measure of one run, by case.
pub type MeasureByCase = BTreeMap<CaseId, f64>;

/// Difference between two methods on the same cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Cases compared.
    pub cases: usize,
    /// Mean difference.
    pub mean: f64,
    /// Bootstrap confidence interval of the mean difference; absent for a single case.
    pub ci95: Option<[f64; 2]>,
    /// Test for a difference by chance.
    pub test: SignedRank,
}

/// The mean over a method's seeds, case by case.
///
/// # Errors
/// If there is no run, or one scored other cases than the first: the error names them.
pub fn average_seeds(runs: &[MeasureByCase]) -> Result<MeasureByCase, CaseError> {
    let Some((first, others)) = runs.split_first() else {
        return Err(unpaired_error("it has no run".into()));
    };
    let mut sums = first.clone();
    for run in others {
        check_same_cases(first, run)?;
        sums.iter_mut().zip(run.values()).for_each(|((_, sum), value)| *sum += value);
    }
    sums.values_mut().for_each(|sum| *sum /= runs.len() as f64);
    Ok(sums)
}

/// `ours - theirs` case by case, each the mean of its seeds.
///
/// # Errors
/// If a method has no run, or not all runs of both scored the same cases.
pub fn case_differences(
    ours: &[MeasureByCase],
    theirs: &[MeasureByCase],
) -> Result<MeasureByCase, CaseError> {
    let mut gained = average_seeds(ours)?;
    let baseline = average_seeds(theirs)?;
    check_same_cases(&gained, &baseline)?;
    gained.iter_mut().zip(baseline.values()).for_each(|((_, value), other)| *value -= other);
    Ok(gained)
}

/// Tests `ours` against `theirs`; a positive mean means that ours is larger.
///
/// # Errors
/// As [`case_differences`], and if there is no case.
pub fn compare_methods(
    ours: &[MeasureByCase],
    theirs: &[MeasureByCase],
    alternative: Alternative,
) -> Result<Gain, CaseError> {
    let gained: Vec<f64> = case_differences(ours, theirs)?.into_values().collect();
    let Some(test) = signed_rank(&gained, alternative) else {
        return Err(unpaired_error("it has no case".into()));
    };
    let mean = gained.iter().sum::<f64>() / gained.len() as f64;
    Ok(Gain { cases: gained.len(), mean, ci95: bootstrap::ci95_of_mean(&gained), test })
}

fn check_same_cases(one: &MeasureByCase, other: &MeasureByCase) -> Result<(), CaseError> {
    let lacks = |has: &MeasureByCase, wants: &MeasureByCase| -> Vec<String> {
        wants.keys().filter(|case| !has.contains_key(*case)).map(ToString::to_string).collect()
    };
    let alone = [lacks(one, other), lacks(other, one)].concat();
    if alone.is_empty() {
        return Ok(());
    }
    Err(unpaired_error(format!("one side lacks a score of {}", alone.join(", "))))
}

fn unpaired_error(problem: String) -> CaseError {
    CaseError::new(
        Reason::Missing,
        "paired comparison",
        problem,
        "score every run of both methods on the same cases",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(values: &[(&str, f64)]) -> MeasureByCase {
        values.iter().map(|(name, value)| (CaseId::new(*name), *value)).collect()
    }

    #[test]
    fn seeds_are_averaged_before_anything_is_compared() {
        let ours = [run(&[("a", 0.5), ("b", 1.0)]), run(&[("a", 1.0), ("b", 0.5)])];
        let theirs = [run(&[("a", 0.5), ("b", 0.25)])];
        assert_eq!(case_differences(&ours, &theirs).unwrap(), run(&[("a", 0.25), ("b", 0.5)]));
        let found = compare_methods(&ours, &theirs, Alternative::Greater).unwrap();
        assert_eq!((found.cases, found.mean, found.test.pairs), (2, 0.375, 2));
        assert_eq!(found.test.p, 0.25, "two cases, not four");
        let [low, high] = found.ci95.unwrap();
        assert!((0.25..=0.375).contains(&low) && (0.375..=0.5).contains(&high));
    }

    #[test]
    fn runs_on_other_cases_are_refused_and_the_cases_named() {
        let (both, one) = (run(&[("a", 0.5), ("b", 1.0)]), run(&[("a", 0.5)]));
        for (ours, theirs) in [(&both, &one), (&one, &both)] {
            let error = case_differences(std::slice::from_ref(ours), std::slice::from_ref(theirs));
            assert!(error.unwrap_err().to_string().contains("lacks a score of b"));
        }
        assert!(average_seeds(&[both.clone(), one]).is_err(), "seeds of one method");
        assert!(average_seeds(&[]).unwrap_err().to_string().contains("no run"));
        assert!(compare_methods(&[run(&[])], &[run(&[])], Alternative::Less).is_err());
        assert!(compare_methods(&[both], &[], Alternative::Less).is_err());
    }
}
