//! Successive halving (Jamieson and Talwalkar 2016, Algorithm 1): of the trials of a rung, the best one in `eta` goes
//! on to the next, which is `eta` times as long. ASHA (Li et al. 2020, section 3) promotes before a rung is full,
//! where thousands of trials wait for workers; here a rung ends first, so that the outcome is a function of the study.

use std::cmp::Ordering;

/// Rung of the ladder: trials that are trained up to the same epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Epochs after which its trials are compared, those of the rungs below included.
    pub epochs: u64,
    /// Number of trials.
    pub trials: usize,
}

/// Plans the rungs for so many trials: the first is `smallest` epochs long, the last `largest`. A trial that is left
/// alone goes to the end at once.
///
/// # Panics
/// If a number is 0, or `eta` is 1: the section of a study's file refuses them.
pub fn plan_rungs(trials: usize, eta: usize, smallest: u64, largest: u64) -> Vec<Rung> {
    assert!(trials > 0 && eta > 1 && smallest > 0 && largest > 0, "no search");
    let mut rungs = Vec::new();
    let mut rung = Rung { epochs: smallest.min(largest), trials };
    loop {
        if rung.trials == 1 {
            rung.epochs = largest;
        }
        rungs.push(rung);
        if rung.epochs == largest {
            return rungs;
        }
        let epochs = rung.epochs.saturating_mul(eta as u64).min(largest);
        rung = Rung { epochs, trials: (rung.trials / eta).max(1) };
    }
}

/// Epochs that are trained in all: a trial of a higher rung goes on where it stood.
pub fn total_epochs(rungs: &[Rung]) -> u64 {
    let mut below = 0;
    let mut total = 0;
    for rung in rungs {
        total += (rung.epochs - below) * rung.trials as u64;
        below = rung.epochs;
    }
    total
}

/// Ranks trials, given as (number, score), the best score first. Of equal ones the earlier trial is first; a score
/// that is not a number is the last.
pub fn rank_trials(scores: &[(u64, f64)]) -> Vec<u64> {
    let mut ranked = scores.to_vec();
    ranked.sort_by(|(a, of_a), (b, of_b)| match (of_a.is_nan(), of_b.is_nan()) {
        (false, false) => of_b.total_cmp(of_a).then(a.cmp(b)),
        (true, true) => a.cmp(b),
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
    });
    ranked.into_iter().map(|(trial, _)| trial).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(trials: usize, eta: usize, smallest: u64, largest: u64) -> Vec<(u64, usize)> {
        let rungs = plan_rungs(trials, eta, smallest, largest);
        rungs.into_iter().map(|rung| (rung.epochs, rung.trials)).collect()
    }

    #[test]
    fn rungs_are_those_of_the_paper() {
        assert_eq!(ladder(8, 2, 1, 8), [(1, 8), (2, 4), (4, 2), (8, 1)]);
        // Li et al. 2020, Figure 1: nine configurations, eta 3, from 1 to 9.
        assert_eq!(ladder(9, 3, 1, 9), [(1, 9), (3, 3), (9, 1)]);
        assert_eq!(
            ladder(10, 3, 2, 10),
            [(2, 10), (6, 3), (10, 1)],
            "the last is as long as a run"
        );
        assert_eq!(ladder(8, 2, 4, 8), [(4, 8), (8, 4)], "several may come to the end");
        assert_eq!(ladder(3, 2, 1, 100), [(1, 3), (100, 1)], "alone, to the end at once");
        assert_eq!(ladder(1, 2, 1, 5), [(5, 1)]);
        assert_eq!(ladder(4, 2, 9, 3), [(3, 4)], "a random search");
        assert_eq!(ladder(4, 2, 1, u64::MAX).last(), Some(&(u64::MAX, 1)));
    }

    #[test]
    fn epochs_of_a_trial_count_once() {
        assert_eq!(total_epochs(&plan_rungs(8, 2, 1, 8)), 8 + 4 + 2 * 2 + 4);
        assert_eq!(total_epochs(&plan_rungs(4, 2, 9, 3)), 12);
    }

    #[test]
    fn the_best_are_first_whatever_the_order_of_arrival() {
        let scores =
            [(3, 0.5), (0, 0.7), (2, f64::NAN), (1, 0.7), (4, f64::NEG_INFINITY), (5, 0.9)];
        assert_eq!(rank_trials(&scores), [5, 0, 1, 3, 4, 2]);
        let mut turned = scores;
        turned.reverse();
        assert_eq!(rank_trials(&turned), rank_trials(&scores));
    }
}
