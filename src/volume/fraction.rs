//! Training on a fraction of the labelled cases, to measure what a method gains from data.

use std::collections::BTreeMap;

use crate::volume::case::{CaseId, Split, split_draw};

/// Keeps `fraction`, above 0 and at most 1, of the training cases in `parts` (those of `cases`, in
/// order) and makes the others [`Split::Unused`]. At least one case is left.
///
/// Of each stratum (a grade, say) the nearest whole number is kept: those whose name draws lowest
/// under `seed`. So the cases of a smaller fraction are among those of a larger one.
pub fn keep_fraction<S: Ord>(cases: &[(CaseId, S)], parts: &mut [Split], fraction: f64, seed: u64) {
    let mut strata = BTreeMap::<&S, Vec<(u64, usize)>>::new();
    for (place, (id, stratum)) in cases.iter().enumerate() {
        if parts[place] == Split::Train {
            strata.entry(stratum).or_default().push((split_draw(id, seed), place));
        }
    }
    let largest = strata.values().map(Vec::len).max().unwrap_or(0);
    // The largest stratum is the first to keep a case, at whatever fraction that is.
    let mut is_first = true;
    for mut ranked in strata.into_values() {
        ranked.sort_unstable();
        let share = (ranked.len() as f64 * fraction).round() as usize;
        let least = usize::from(is_first && ranked.len() == largest);
        is_first &= least == 0;
        for &(_, place) in &ranked[share.clamp(least, ranked.len())..] {
            parts[place] = Split::Unused;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::volume::{SplitShares, partition_cohort};

    fn kept(cases: &[(CaseId, usize)], fraction: f64) -> Vec<Split> {
        let mut parts = partition_cohort(cases, &SplitShares::default(), 5);
        keep_fraction(cases, &mut parts, fraction, 5);
        parts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_smaller_fraction_is_within_a_larger_one_and_only_training_is_thinned(
            strata in proptest::collection::vec(1usize..60, 1..4),
            fractions in proptest::array::uniform2(0.001f64..=1.0),
        ) {
            let of = strata.iter().enumerate().flat_map(|(s, &n)| std::iter::repeat_n(s, n));
            let cases: Vec<(CaseId, usize)> =
                of.enumerate().map(|(i, s)| (CaseId::new(format!("case{i}")), s)).collect();
            let all = partition_cohort(&cases, &SplitShares::default(), 5);
            prop_assert_eq!(&kept(&cases, 1.0), &all);
            let [small, large] = [fractions[0].min(fractions[1]), fractions[0].max(fractions[1])];
            let (few, many) = (kept(&cases, small), kept(&cases, large));
            for place in 0..cases.len() {
                prop_assert!(few[place] != Split::Train || many[place] == Split::Train);
                let is_thinned = all[place] == Split::Train && few[place] == Split::Unused;
                prop_assert!(is_thinned || few[place] == all[place]);
            }
            let count = |parts: &[Split], stratum: usize| {
                let own = cases.iter().zip(parts).filter(|((_, own), _)| *own == stratum);
                own.filter(|(_, part)| **part == Split::Train).count()
            };
            for stratum in 0..strata.len() {
                let exact = count(&all, stratum) as f64 * small;
                prop_assert!((count(&few, stratum) as f64 - exact).abs() <= 1.0);
            }
            prop_assert_eq!(all.contains(&Split::Train), few.contains(&Split::Train));
        }
    }
}
