//! Conversion of region probabilities to canonical labels.

use crate::volume::RegionSet;

/// A voxel belongs to a region whose probability is above this.
pub const THRESHOLD: f32 = 0.5;

/// Paints probabilities `[k, d, h, w]` into labels `[d, h, w]`: WT, then TC, then ET for the regions of
/// BraTS ([`RegionSet::label_of_membership`]), so regions need not be nested for a voxel to have one
/// label.
///
/// # Panics
/// If the length is no multiple of the number of regions.
pub fn labels_from_probabilities(regions: RegionSet, probabilities: &[f32]) -> Vec<u8> {
    let voxels = probabilities.len() / regions.len();
    assert_eq!(probabilities.len(), regions.len() * voxels, "regions of equal size");
    let mut labels = vec![0u8; voxels];
    if voxels == 0 {
        return labels;
    }
    for (place, region) in probabilities.chunks_exact(voxels).enumerate() {
        for (membership, probability) in labels.iter_mut().zip(region) {
            *membership |= u8::from(*probability > THRESHOLD) << place;
        }
    }
    labels.iter_mut().for_each(|membership| *membership = regions.label_of_membership(*membership));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::label;

    #[test]
    fn every_membership_gets_the_innermost_label() {
        // Columns: nothing, at the threshold, WT, WT and TC, all three, ET alone.
        let probabilities = [
            [0.1, 0.5, 0.2, 0.3, 0.6, 0.9], // ET
            [0.2, 0.5, 0.4, 0.7, 0.8, 0.1], // TC
            [0.3, 0.5, 0.6, 0.8, 0.9, 0.2], // WT
        ];
        let expected =
            [label::BACKGROUND, label::BACKGROUND, label::ED, label::NCR, label::ET, label::ET];
        assert_eq!(labels_from_probabilities(RegionSet::BRATS, &probabilities.concat()), expected);
    }

    #[test]
    fn not_a_number_is_background() {
        let unknown = [f32::NAN; 3];
        assert_eq!(labels_from_probabilities(RegionSet::BRATS, &unknown), [label::BACKGROUND]);
    }
}
