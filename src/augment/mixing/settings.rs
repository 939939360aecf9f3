//! Settings of mixing, and what is drawn for a sample.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::{Domain, KeyedRng, SampleKey};
use crate::volume::CaseId;

/// Settings of mixing: samples whose case has the tumour of another one besides its own (CarveMix, Zhang et al.
/// 2021). Needs a cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct MixingConfig {
    /// Share of samples that are mixed, 0 to 1; which ones, and the donor of each, is part of the plan. Zhang et
    /// al. have no share: they make their mixed cases ahead of training.
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
    /// Farthest that the carved region's edge lies inside the tumour's, as a share of the tumour's depth, 0 to 1;
    /// a half in the authors' `Simple_CarveMix.py`.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.5)]
    pub shrink: f64,
    /// Farthest that it lies outside the tumour's, as a share of the same; the depth itself in
    /// the authors' `Simple_CarveMix.py`.
    #[schemars(range(min = 0, max = 4))]
    #[default(1.0)]
    pub grow: f64,
}

/// Mixing drawn for one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnMixing {
    /// Case whose tumour is put into the sample's case.
    pub donor: CaseId,
    /// Signed distance of the region's edge from the tumour's, as a share of the tumour's depth; negative inside.
    pub shift: f32,
}

impl MixingConfig {
    /// Stream of random numbers within [`Domain::Augment`].
    const STREAM: u64 = 15;

    /// True if no sample is mixed.
    pub fn is_off(&self) -> bool {
        self.share == 0.0
    }

    /// Draws the mixing of the sample of `key` with `donor`.
    pub fn draw_mixing(&self, key: SampleKey, donor: CaseId) -> DrawnMixing {
        let mut rng = KeyedRng::new(key, Domain::Augment).with_stream(Self::STREAM);
        let shrinks = rng.draw_bool(0.5);
        let unit = rng.uniform_unit();
        let shift = if shrinks { -self.shrink * unit } else { self.grow * unit };
        DrawnMixing { donor, shift: shift as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_regions_are_smaller_than_their_tumour_and_none_is_beyond_the_bounds() {
        let config = MixingConfig { share: 1.0, ..MixingConfig::default() };
        let shift = |index| {
            let key = SampleKey { seed: 20181, epoch: 3, index };
            config.draw_mixing(key, CaseId::new("donor")).shift
        };
        let shifts: Vec<f32> = (0..2000).map(shift).collect();
        assert!(shifts.iter().all(|shift| (-0.5..1.0).contains(shift)));
        let smaller: Vec<f32> = shifts.iter().copied().filter(|shift| *shift < 0.0).collect();
        assert!((900..1100).contains(&smaller.len()), "{}", smaller.len());
        let near = |values: &[f32], end: f32| values.iter().any(|own| (own - end).abs() < 0.02);
        assert!(near(&smaller, -0.5) && near(&shifts, 1.0) && near(&shifts, 0.0));
        // A changed digit makes every mixed sample of every old run another one.
        assert_eq!(shifts[..3], [shift(0), shift(1), shift(2)]);
    }
}
