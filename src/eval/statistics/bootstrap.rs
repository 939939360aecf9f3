//! Bootstrap confidence intervals of a mean over cases, without an assumed distribution.

use crate::base::{Domain, KeyedRng, SampleKey};
use crate::eval::percentile::percentile;

/// Cohorts drawn. The ends of the interval scatter by about a thirtieth of its width.
const RESAMPLES: usize = 2000;

/// The 95 % confidence interval of the mean: the 2.5th and the 97.5th percentile of the means of
/// cohorts drawn from the cases with replacement (Efron and Tibshirani, "An Introduction to the
/// Bootstrap", 1993, chapter 13). `None` for fewer than two cases, which have no spread.
///
/// Keyed by the number of cases alone: the same values give the same interval for ever, and all
/// measures of a cohort are judged on the same drawn cohorts.
pub fn ci95_of_mean(values: &[f64]) -> Option<[f64; 2]> {
    if values.len() < 2 {
        return None;
    }
    let cases = values.len() as u64;
    let key = SampleKey { seed: 0, epoch: 0, index: cases };
    let mut rng = KeyedRng::new(key, Domain::Bootstrap);
    let mut mean_of_drawn = || {
        let drawn = (0..cases).map(|_| values[rng.uniform_below(cases) as usize]);
        drawn.sum::<f64>() / cases as f64
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean_of_drawn()).collect();
    Some([2.5, 97.5].map(|percent| percentile(&mut means, percent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_mean_and_shrinks_with_the_cases() {
        let width = |cases: usize| {
            let values: Vec<f64> = (0..cases).map(|case| (case % 5) as f64 / 4.0).collect();
            let [low, high] = ci95_of_mean(&values).unwrap();
            assert!(low < 0.5 && 0.5 < high, "{cases}: {low} to {high}");
            high - low
        };
        let (few, many) = (width(20), width(320));
        // Sixteen times the cases, a quarter of the width.
        assert!((0.2..0.3).contains(&(many / few)), "{few} {many}");
    }

    #[test]
    fn equal_values_leave_no_doubt_and_one_value_no_interval() {
        assert_eq!(ci95_of_mean(&[0.75; 9]), Some([0.75, 0.75]));
        assert_eq!(ci95_of_mean(&[0.75]), None);
    }

    #[test]
    fn nineteen_in_twenty_intervals_cover_the_truth() {
        let covers = |index: u64| {
            let mut rng = KeyedRng::new(SampleKey { seed: 5, epoch: 0, index }, Domain::Bootstrap);
            let values: Vec<f64> = (0..40).map(|_| rng.uniform_unit()).collect();
            let [low, high] = ci95_of_mean(&values).unwrap();
            low <= 0.5 && 0.5 <= high
        };
        let covered = (0..200).filter(|&index| covers(index)).count();
        assert!((180..=198).contains(&covered), "{covered} of 200");
    }
}
