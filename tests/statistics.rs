//! The tests and intervals of the table are those of SciPy and statsmodels. The figures lie in
//! `fixtures/statistics`; `scripts/oracles/signed_rank.py` makes them.
#![allow(clippy::unwrap_used)]

use gliaflow::internals::eval::statistics::bootstrap::ci95_of_mean;
use gliaflow::internals::eval::statistics::holm;
use gliaflow::internals::eval::statistics::wilcoxon::{Alternative, signed_rank};
use serde::Deserialize;

#[derive(Deserialize)]
struct Figures {
    signed_rank: Vec<Tested>,
    holm: Vec<Family>,
    bootstrap: Interval,
}

#[derive(Deserialize)]
struct Tested {
    name: String,
    differences: Vec<f64>,
    exact: bool,
    w_plus: f64,
    p: Sides,
}

#[derive(Deserialize)]
struct Sides {
    two_sided: f64,
    greater: f64,
    less: f64,
}

#[derive(Deserialize)]
struct Family {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct Interval {
    values: Vec<f64>,
    ci95: [f64; 2],
}

fn figures() -> Figures {
    serde_json::from_str(include_str!("fixtures/statistics/figures.json")).unwrap()
}

#[test]
fn signed_ranks_and_their_chances_are_scipys() {
    let tested = figures().signed_rank;
    assert_eq!(tested.len(), 9);
    for case in tested {
        let sides = [
            (Alternative::TwoSided, case.p.two_sided),
            (Alternative::Greater, case.p.greater),
            (Alternative::Less, case.p.less),
        ];
        for (alternative, want) in sides {
            let found = signed_rank(&case.differences, alternative).unwrap();
            assert_eq!((found.w_plus, found.exact), (case.w_plus, case.exact), "{}", case.name);
            let off = (found.p - want).abs() / want;
            // Exact chances are ratios of integers; the others go through two error functions.
            let tolerance = if case.exact { 1e-15 } else { 1e-12 };
            assert!(off <= tolerance, "{} {alternative:?}: {} {want}", case.name, found.p);
        }
    }
}

#[test]
fn families_are_adjusted_as_statsmodels_does() {
    for family in figures().holm {
        let found = holm::adjust_p_values(&family.p);
        assert_eq!(found.len(), family.adjusted.len());
        for (ours, theirs) in found.iter().zip(&family.adjusted) {
            assert!((ours - theirs).abs() < 1e-15, "{found:?} {:?}", family.adjusted);
        }
    }
}

#[test]
fn the_interval_is_scipys_up_to_the_chance_of_drawing() {
    let figure = figures().bootstrap;
    let found = ci95_of_mean(&figure.values).unwrap();
    let width = figure.ci95[1] - figure.ci95[0];
    for (ours, theirs) in found.iter().zip(figure.ci95) {
        // The standard error of a 2.5th percentile of 2000 draws is 1.7 % of the width; four of it.
        assert!((ours - theirs).abs() < 0.07 * width, "{found:?} {:?}", figure.ci95);
    }
}
