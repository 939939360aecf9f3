//! Cells that the tables of studies share: spreads and paired tests.

use crate::experiment::paired_test::PairedTest;

/// Headings of [`test_cells`].
pub const TEST_HEADINGS: [&str; 5] = ["difference", "95 % CI", "p", "p, Holm", "pairs + zeros"];

/// Cells of a test under [`TEST_HEADINGS`]; `~` marks a chance by the normal approximation.
pub fn test_cells(test: &PairedTest) -> [String; 5] {
    let PairedTest { gain, adjusted_p, .. } = test;
    let interval = gain.ci95.map(|[low, high]| format!("{low:+.4} to {high:+.4}"));
    let approximate = if gain.test.exact { "" } else { "~" };
    [
        format!("{:+.4}", gain.mean),
        interval.unwrap_or_else(|| "-".into()),
        format!("{approximate}{}", chance_text(gain.test.p)),
        chance_text(*adjusted_p),
        format!("{} + {}", gain.test.pairs, gain.test.zeros),
    ]
}

fn chance_text(p: f64) -> String {
    if p < 1e-4 { "<0.0001".into() } else { format!("{p:.4}") }
}

/// Cell of a mean, its standard deviation over cases, and in brackets that of the means of runs.
pub fn spread_cell(mean: f64, sd: Option<f64>, sd_of_means: Option<f64>) -> String {
    let sd = sd.map_or_else(String::new, |sd| format!(" ± {sd:.4}"));
    let sd_of_means = sd_of_means.map_or_else(String::new, |sd| format!(" [{sd:.4}]"));
    format!("{mean:.4}{sd}{sd_of_means}")
}

/// Cell of optimiser steps; a dash for what is not trained.
pub fn steps_cell(steps: Option<u64>) -> String {
    steps.map_or_else(|| "-".to_string(), |steps| steps.to_string())
}

/// Cell that says whether a test is significant.
pub const fn verdict_cell(test: &PairedTest) -> &'static str {
    if test.significant { "yes" } else { "no" }
}
