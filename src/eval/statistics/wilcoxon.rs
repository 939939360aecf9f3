//! Wilcoxon's signed-rank test of paired differences for symmetry about zero.
//!
//! Zeros are treated by Pratt's rule: they are ranked with the others and then left out, so that
//! many ties between the methods make a difference less convincing, not more (Pratt, "Remarks on
//! Zeros and Ties in the Wilcoxon Signed Rank Procedures", 1959).

use serde::{Deserialize, Serialize};

/// Up to this many non-zero differences all signs are tried; above, the normal distribution serves.
pub const EXACT_UP_TO: usize = 25;

/// Differences closer than this are equal. Ratios and means of them are off by a few 1e-16, which
/// would break ties that are ones.
const RESOLUTION: f64 = 1e-12;

/// Alternative hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// Differences are not centred on zero.
    TwoSided,
    /// Differences tend to be positive.
    Greater,
    /// Differences tend to be negative.
    Less,
}

/// The outcome of a test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SignedRank {
    /// Alternative hypothesis that was tested.
    pub alternative: Alternative,
    /// Differences that are not zero.
    pub pairs: usize,
    /// Differences that are zero.
    pub zeros: usize,
    /// Sum of the ranks of the positive differences.
    pub w_plus: f64,
    /// Sum of the ranks of the negative ones.
    pub w_minus: f64,
    /// Probability of such sums, or more extreme ones, if the methods do not differ.
    pub p: f64,
    /// True if `p` is exact, false if it is the normal approximation.
    pub exact: bool,
}

/// Tests paired differences, one per case. Zeros alone give a p of 1; `None` without cases.
///
/// The exact distribution is that of all signs of the ranks as they are, ties among them. Above
/// `EXACT_UP_TO` pairs the normal approximation is corrected for ties and continuity.
///
/// # Panics
/// If a difference is not finite.
pub fn signed_rank(differences: &[f64], alternative: Alternative) -> Option<SignedRank> {
    assert!(differences.iter().all(|value| value.is_finite()), "differences must be numbers");
    if differences.is_empty() {
        return None;
    }
    let steps: Vec<f64> = differences.iter().map(|value| (value / RESOLUTION).round()).collect();
    let ranks = doubled_ranks(&steps);
    let of_sign = |sign: f64| -> Vec<u64> {
        let ranked = steps.iter().zip(&ranks).filter(|(step, _)| **step * sign > 0.0);
        ranked.map(|(_, rank)| *rank).collect()
    };
    let positive = of_sign(1.0);
    let negative = of_sign(-1.0);
    let plus: u64 = positive.iter().sum();
    let minus: u64 = negative.iter().sum();
    let counted = [positive, negative].concat();
    let zeros = steps.len() - counted.len();
    let exact = counted.len() <= EXACT_UP_TO;
    let tails = if exact { exact_tails(&counted, plus) } else { normal_tails(&counted, plus) };
    let p = match alternative {
        Alternative::Greater => tails.upper,
        Alternative::Less => tails.lower,
        Alternative::TwoSided => (2.0 * tails.upper.min(tails.lower)).min(1.0),
    };
    Some(SignedRank {
        alternative,
        pairs: counted.len(),
        zeros,
        w_plus: plus as f64 / 2.0,
        w_minus: minus as f64 / 2.0,
        p,
        exact,
    })
}

/// Twice the rank of each value's size, from 2; ties share the mean of their ranks, which doubling
/// keeps an integer.
fn doubled_ranks(values: &[f64]) -> Vec<u64> {
    let mut ascending: Vec<usize> = (0..values.len()).collect();
    ascending.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
    let mut ranks = vec![0; values.len()];
    let mut before = 0;
    for tied in ascending.chunk_by(|&a, &b| values[a].abs() == values[b].abs()) {
        // The mean of the ranks `before + 1` to `before + n`.
        let doubled = 2 * before + tied.len() + 1;
        tied.iter().for_each(|&place| ranks[place] = doubled as u64);
        before += tied.len();
    }
    ranks
}

/// Probabilities of a sum of positive ranks at least, and at most, as large as the one found.
struct Tails {
    upper: f64,
    lower: f64,
}

/// Exact tails: counts, rank by rank, the sign patterns that give every possible sum.
fn exact_tails(ranks: &[u64], found: u64) -> Tails {
    let largest = ranks.iter().sum::<u64>() as usize;
    let mut ways = vec![0u64; largest + 1];
    ways[0] = 1;
    for &rank in ranks {
        let rank = rank as usize;
        for sum in (rank..=largest).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let all = (1u64 << ranks.len()) as f64;
    let found = found as usize;
    let share = |part: &[u64]| part.iter().sum::<u64>() as f64 / all;
    Tails { upper: share(&ways[found..]), lower: share(&ways[..=found]) }
}

/// Tails by the normal approximation: the sum of ranks with random signs has half their sum as its
/// mean and a quarter of their squares' sum as its variance, with zeros and ties as well.
fn normal_tails(doubled: &[u64], found: u64) -> Tails {
    let sum = doubled.iter().sum::<u64>() as f64 / 2.0;
    let squares = doubled.iter().map(|rank| rank * rank).sum::<u64>() as f64 / 4.0;
    let mean = sum / 2.0;
    let sd = squares.sqrt() / 2.0;
    // Sums come in steps; half of one counts on either side.
    let beyond = |sign: f64| ((found as f64 / 2.0 - mean) * sign - 0.5) / sd;
    Tails { upper: normal_tail(beyond(1.0)), lower: normal_tail(beyond(-1.0)) }
}

/// Probability of a standard normal draw above `z`.
fn normal_tail(z: f64) -> f64 {
    libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(differences: &[f64], alternative: Alternative) -> f64 {
        signed_rank(differences, alternative).unwrap().p
    }

    #[test]
    fn three_pairs_worked_out_by_hand() {
        // Ranks 1, 2, 3; the sums of positive ranks 0 to 6 come up 1, 1, 1, 2, 1, 1, 1 times of 8.
        let found = signed_rank(&[0.1, -0.2, 0.3], Alternative::Greater).unwrap();
        assert_eq!((found.w_plus, found.w_minus, found.pairs, found.zeros), (4.0, 2.0, 3, 0));
        assert_eq!((found.p, found.exact), (3.0 / 8.0, true));
        assert_eq!(p(&[0.1, -0.2, 0.3], Alternative::Less), 6.0 / 8.0);
        assert_eq!(p(&[0.1, -0.2, 0.3], Alternative::TwoSided), 6.0 / 8.0);
        assert_eq!(p(&[0.1, 0.2, 0.3], Alternative::TwoSided), 2.0 / 8.0);
    }

    #[test]
    fn zeros_raise_the_ranks_of_the_others_and_are_not_counted() {
        let found = signed_rank(&[0.0, 0.1, 0.0, -0.2], Alternative::Greater).unwrap();
        assert_eq!((found.w_plus, found.w_minus, found.pairs, found.zeros), (3.0, 4.0, 2, 2));
        assert_eq!(found.p, 3.0 / 4.0);
    }

    #[test]
    fn methods_that_never_differ_are_not_told_apart() {
        for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
            assert_eq!(p(&[0.0; 5], alternative), 1.0);
        }
        assert_eq!(signed_rank(&[], Alternative::TwoSided), None);
    }

    #[test]
    fn ties_that_rounding_broke_are_ties() {
        let broken = [0.3 - 0.2, -(0.4 - 0.3), 0.9 - 0.8];
        assert_ne!(broken[0], -broken[1]);
        let found = signed_rank(&broken, Alternative::Greater).unwrap();
        assert_eq!((found.w_plus, found.w_minus), (4.0, 2.0));
    }

    #[test]
    fn sides_mirror_each_other() {
        let differences: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17) - 6.0).collect();
        let mirrored: Vec<f64> = differences.iter().map(|value| -value).collect();
        for (cases, exact) in [(20, true), (40, false)] {
            let [one, other] = [&differences[..cases], &mirrored[..cases]];
            assert_eq!(p(one, Alternative::Greater), p(other, Alternative::Less));
            assert_eq!(p(one, Alternative::TwoSided), p(other, Alternative::TwoSided));
            assert_eq!(signed_rank(one, Alternative::Less).unwrap().exact, exact);
        }
    }

    #[test]
    fn where_the_methods_change_they_agree() {
        let differences: Vec<f64> =
            (1..=25).map(|i| f64::from(i) * if i % 3 == 0 { -0.01 } else { 0.01 }).collect();
        let ranks = doubled_ranks(&differences);
        let plus = signed_rank(&differences, Alternative::Greater).unwrap().w_plus as u64 * 2;
        let (exact, normal) = (exact_tails(&ranks, plus), normal_tails(&ranks, plus));
        assert!((exact.upper - normal.upper).abs() < 0.002, "{} {}", exact.upper, normal.upper);
    }
}
