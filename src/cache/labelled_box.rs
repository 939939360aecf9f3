//! Part of a brain box that has labels, outside of which the augmentation reads none.

use crate::volume::{Box3, Dims};

/// Finds the smallest box around the voxels of `labels` `[d, h, w]` that are not 0; an empty one without any.
pub(super) fn find_labelled_box(labels: &[u8], dims: Dims) -> Box3 {
    let [_, height, width] = dims.0;
    let (mut low, mut high) = (dims.0, [0; 3]);
    for (number, row) in labels.chunks_exact(width.max(1)).enumerate() {
        // Without a branch per voxel: most rows have no label.
        if row.iter().fold(0, |all, label| all | label) == 0 {
            continue;
        }
        let is_labelled = |label: &u8| *label != 0;
        let first = row.iter().position(is_labelled).unwrap_or(0);
        let last = row.iter().rposition(is_labelled).unwrap_or(width - 1);
        let (z, y) = (number / height, number % height);
        for (axis, [from, to]) in [[z, z], [y, y], [first, last]].into_iter().enumerate() {
            low[axis] = low[axis].min(from);
            high[axis] = high[axis].max(to + 1);
        }
    }
    let dims = Dims(std::array::from_fn(|axis| high[axis].saturating_sub(low[axis])));
    Box3 { start: low, dims }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_is_the_smallest_around_all_labels() {
        let dims = Dims([3, 4, 5]);
        let mut labels = vec![0; dims.voxel_count()];
        assert_eq!(find_labelled_box(&labels, dims).dims.voxel_count(), 0);
        for at in [[1, 3, 1], [2, 1, 4]] {
            labels[dims.offset_from_zyx(at)] = 2;
        }
        let wanted = Box3 { start: [1, 1, 1], dims: Dims([2, 3, 4]) };
        assert_eq!(find_labelled_box(&labels, dims), wanted);
        let slow = Box3::bounding_box(dims, |place| labels[place] != 0);
        assert_eq!(slow, Some(wanted));
    }
}
