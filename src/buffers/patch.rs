//! Voxels and targets of one patch, or of patches one behind the other.

use half::f16;

use crate::buffers::BufferPart;
use crate::volume::{Dims, Modality, Targets};

/// Voxels and targets of a patch, in memory of its own or in its place in a batch's.
#[derive(Debug, Default, PartialEq)]
pub struct PatchBuffer {
    /// Normalised, augmented intensities `[c, d, h, w]`.
    pub images: BufferPart<f16>,
    /// Canonical labels `[d, h, w]`, or region probabilities in 255ths `[d, h, w, 3]`.
    pub labels: BufferPart<u8>,
    /// Kind of `labels`.
    pub targets: Targets,
}

impl PatchBuffer {
    /// Resizes for a patch of `dims`; old content is left to be overwritten.
    pub fn shape_for(&mut self, dims: Dims, targets: Targets) {
        let [images, labels] = Self::value_counts(dims, targets);
        self.images.resize_to(images);
        self.labels.resize_to(labels);
        self.targets = targets;
    }

    /// Bytes of a patch of `dims`.
    pub fn bytes_for(dims: Dims, targets: Targets) -> usize {
        let [images, labels] = Self::value_counts(dims, targets);
        images * size_of::<f16>() + labels
    }

    /// Numbers of intensities and of bytes of targets of a patch.
    pub(super) fn value_counts(dims: Dims, targets: Targets) -> [usize; 2] {
        [Modality::COUNT, targets.bytes_per_voxel()].map(|each| each * dims.voxel_count())
    }

    /// Joins the patch whose memory lies behind this one's.
    pub(super) fn join_patch(&mut self, next: Self) {
        self.images.join_part(next.images);
        self.labels.join_part(next.labels);
        self.targets = next.targets;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_shaped_for_its_next_use() {
        let mut patch = PatchBuffer::default();
        patch.shape_for(Dims::cube(2), Targets::Hard);
        assert_eq!((patch.images.len(), patch.labels.len()), (32, 8));
        patch.shape_for(Dims::cube(3), Targets::Soft);
        assert_eq!((patch.images.len(), patch.labels.len()), (108, 81));
        assert_eq!(patch.targets, Targets::Soft);
        assert_eq!(PatchBuffer::bytes_for(Dims::cube(3), Targets::Soft), 2 * 108 + 81);
    }
}
