//! Head-from-voxel coordinates. Anatomy is in millimetres, so a phantom shows the same head on any
//! grid: fewer voxels are larger voxels, and HD95 in mm means the same on all of them.

use crate::volume::{Affine, Dims, SourceGrid};

/// Point in the head, in mm from the centre of the field of view: `[x, y, z]`, towards left,
/// posterior and superior, as the voxels of BraTS run.
pub(super) type Point = [f32; 3];

/// Field of view in mm, `[x, y, z]`: that of a BraTS volume, 240 x 240 x 155 voxels of 1 mm.
pub(super) const EXTENT_MM: [f32; 3] = [240.0, 240.0, 155.0];

/// A voxel grid laid over the field of view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    dims: Dims,
    spacing: [f32; 3],
}

impl Frame {
    /// The grid of `dims` that fills the field of view.
    pub(super) fn new(dims: Dims) -> Self {
        let shape = dims.to_nifti();
        Self { dims, spacing: std::array::from_fn(|axis| EXTENT_MM[axis] / shape[axis] as f32) }
    }

    /// Mean edge of a voxel in mm.
    pub(super) fn voxel_mm(&self) -> f32 {
        (self.spacing[0] + self.spacing[1] + self.spacing[2]) / 3.0
    }

    /// Centre of voxel `[z, y, x]` in head coordinates.
    pub(super) fn voxel_centre(&self, [z, y, x]: [usize; 3]) -> Point {
        let place = [x, y, z];
        std::array::from_fn(|axis| {
            (place[axis] as f32 + 0.5) * self.spacing[axis] - 0.5 * EXTENT_MM[axis]
        })
    }

    /// Grid of the files: LPS+ with the translation of BraTS, `(0, 239, 0)`, at full size; a
    /// coarser grid covers the same box.
    pub(super) fn source_grid(&self) -> SourceGrid {
        let shape = self.dims.to_nifti();
        let [x, y, z]: [f64; 3] =
            std::array::from_fn(|axis| f64::from(EXTENT_MM[axis]) / shape[axis] as f64);
        let affine = Affine([
            [-x, 0.0, 0.0, 0.5 - 0.5 * x],
            [0.0, -y, 0.0, f64::from(EXTENT_MM[1]) - 0.5 - 0.5 * y],
            [0.0, 0.0, z, 0.5 * z - 0.5],
            [0.0, 0.0, 0.0, 1.0],
        ]);
        SourceGrid::canonical(self.dims, affine)
    }
}

/// `a - b`.
pub(super) fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// Scalar product.
pub(super) fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Euclidean length.
pub(super) fn length(a: Point) -> f32 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_full_size_the_affine_is_that_of_brats() {
        let source = Frame::new(Dims::BRATS).source_grid();
        let brats = Affine([
            [-1.0, 0.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, 239.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ]);
        assert_eq!(source.world_from_voxel, brats);
    }

    #[test]
    fn a_coarse_grid_covers_the_same_space() {
        let frame = Frame::new(Dims::from_nifti([48, 60, 31]));
        assert_eq!(frame.source_grid().world_from_voxel.spacing_mm(), [5.0, 4.0, 5.0]);
        let (first, last) = (frame.voxel_centre([0, 0, 0]), frame.voxel_centre([30, 59, 47]));
        for axis in 0..3 {
            assert!((first[axis] + last[axis]).abs() < 1e-4, "the grid is centred");
        }
        assert_eq!(first[0], -117.5);
    }
}
