//! Paired tests of a study's table, which are one family and corrected together.

use serde::Serialize;

use crate::eval::statistics::holm;
use crate::eval::statistics::paired::Gain;

/// Below this chance of even one false rejection in the family, a difference counts.
pub const ALPHA: f64 = 0.05;

/// Paired test of two methods in one region, as one of a family.
#[derive(Debug, Clone, Serialize)]
pub struct PairedTest {
    /// Mean difference of Dice, its interval, and the test.
    #[serde(flatten)]
    pub gain: Gain,
    /// The chance after Holm's correction over the family.
    pub adjusted_p: f64,
    /// True if `adjusted_p` is below [`ALPHA`].
    pub significant: bool,
}

impl PairedTest {
    /// Tests of a family in the order given, corrected together.
    pub fn of_family(gains: Vec<Gain>) -> Vec<Self> {
        let chances: Vec<f64> = gains.iter().map(|gain| gain.test.p).collect();
        let adjusted = holm::adjust_p_values(&chances);
        let test = |(gain, adjusted_p): (Gain, f64)| Self {
            gain,
            adjusted_p,
            significant: adjusted_p < ALPHA,
        };
        gains.into_iter().zip(adjusted).map(test).collect()
    }
}
