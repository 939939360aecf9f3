//! Training targets of a voxel: a label, or a probability of each region.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::volume::{Region, RegionSet};

/// Probability 1 of a region, as targets store it.
pub const CERTAIN: u8 = u8::MAX;

/// Region probabilities of one voxel in 255ths, in the order of [`Region::BRATS`].
pub type RegionProbabilities = [u8; Region::BRATS.len()];

/// Storage of a voxel's target.
#[derive(strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Targets {
    /// A canonical label.
    #[default]
    Hard,
    /// Region probabilities in 255ths.
    Soft,
}

impl Targets {
    /// The name in files, configurations and messages.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Bytes of a voxel's target.
    pub const fn bytes_per_voxel(self) -> usize {
        match self {
            Self::Hard => size_of::<u8>(),
            Self::Soft => size_of::<RegionProbabilities>(),
        }
    }
}

/// Rounds a probability to 255ths. Exactly halfway goes down, so that a value above half of
/// `CERTAIN` means above 0.5.
pub fn quantise_probability(probability: f32) -> u8 {
    // Not a number becomes 0.
    (f32::from(CERTAIN) * probability - 0.5).ceil() as u8
}

/// Probabilities 0 or 1 of the regions of a label.
pub fn probabilities_of_label(canonical: u8) -> RegionProbabilities {
    Region::BRATS.map(|region| if region.contains(canonical) { CERTAIN } else { 0 })
}

/// Label of a voxel from the regions whose probability exceeds 0.5.
pub fn most_likely_label(shares: RegionProbabilities) -> u8 {
    let inside = Region::BRATS
        .map(|region| u8::from(shares[region.index()] > CERTAIN / 2) << region.index());
    RegionSet::BRATS.label_of_membership(inside.into_iter().fold(0, |all, bit| all | bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::label;

    #[test]
    fn quantising_keeps_the_ends_the_middle_and_every_stored_value() {
        assert_eq!(
            [0.0, 1.0, 0.5, f32::NAN, -0.1, 1.1].map(quantise_probability),
            [0, 255, 127, 0, 0, 255]
        );
        for share in 0..=255u8 {
            assert_eq!(quantise_probability(f32::from(share) / 255.0), share);
        }
        let mut probability = 0.5f32;
        for _ in 0..1000 {
            probability = probability.next_up();
            assert!(quantise_probability(probability) > CERTAIN / 2, "{probability}");
        }
    }

    #[test]
    fn labels_survive_as_shares() {
        for canonical in [label::BACKGROUND, label::NCR, label::ED, label::ET] {
            assert_eq!(most_likely_label(probabilities_of_label(canonical)), canonical);
        }
        assert_eq!(probabilities_of_label(label::ED), [0, 0, 255]);
        assert_eq!(
            most_likely_label([200, 100, 128]),
            label::ET,
            "painted last, whatever is around it"
        );
    }
}
