//! Conversion of region probabilities to canonical labels.

use crate::volume::Region;

/// A voxel belongs to a region whose probability is above this.
pub const THRESHOLD: f32 = 0.5;

/// Paints probabilities `[3, d, h, w]` into labels `[d, h, w]`: WT, then TC, then ET
/// ([`Region::label_from_regions`]), so regions need not be nested for a voxel to have one label.
///
/// # Panics
/// If the length is no multiple of three.
pub fn labels_from_probabilities(probabilities: &[f32]) -> Vec<u8> {
    let voxels = probabilities.len() / Region::COUNT;
    assert_eq!(probabilities.len(), Region::COUNT * voxels, "three regions of equal size");
    let member = |voxel: usize| {
        Region::ALL.map(|region| probabilities[region.index() * voxels + voxel] > THRESHOLD)
    };
    (0..voxels).map(|voxel| Region::label_from_regions(member(voxel))).collect()
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
        assert_eq!(labels_from_probabilities(&probabilities.concat()), expected);
    }

    #[test]
    fn not_a_number_is_background() {
        assert_eq!(labels_from_probabilities(&[f32::NAN; 3]), [label::BACKGROUND]);
    }
}
