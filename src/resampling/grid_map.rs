//! Map between two grids that share the first voxel and the axes, and differ in voxel size.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resampling::axis::AxisMap;
use crate::volume::{Affine, Dims, GRID_TOLERANCE_VOXELS, SourceGrid};

/// Smallest voxel edge that may be asked for, in mm.
pub const MIN_SPACING_MM: f64 = 0.1;

/// Largest voxel edge that may be asked for, in mm.
pub const MAX_SPACING_MM: f64 = 20.0;

/// Slices are thick where their distance is more than this many of the smallest edge (nnU-Net's
/// `ANISO_THRESHOLD`, Isensee et al. 2021).
const THICK: f64 = 3.0;

/// Interpolation of images between voxels.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase",
    parse_err_ty = String, parse_err_fn = unknown_interpolation)]
pub enum Interpolation {
    /// Between the two nearest voxels along each axis.
    #[default]
    Linear,
    /// A cubic B-spline through the voxels; linear along thick slices.
    Cubic,
}

impl Interpolation {
    /// The name in configurations and on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

fn unknown_interpolation(text: &str) -> String {
    format!("`{text}` is no interpolation; write linear or cubic")
}

/// Voxel size that cases are resampled to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Resampling {
    /// Voxel edges in mm along canonical x, y and z.
    pub spacing_mm: [f64; 3],
    /// Interpolation of images; labels and probabilities are interpolated linearly.
    pub interpolation: Interpolation,
    /// Voxels of the largest grid that is resampled to. It refuses cases, and decides no voxel.
    #[serde(skip)]
    pub max_voxels: usize,
}

impl Resampling {
    /// Map from a canonical grid of `dims` with voxel edges `spacing_mm` (x, y, z) to the wanted voxel
    /// size; `None` where it has that size already.
    pub fn map_grid(&self, dims: Dims, spacing_mm: [f64; 3]) -> Option<GridMap> {
        let map = GridMap::new(dims, spacing_mm, |axis, length, edge| {
            let ratio = edge / self.spacing_mm[axis];
            let drift = (length as f64 - 1.0) * (ratio - 1.0).abs();
            let extent = ((length as f64 * ratio).round() as usize).max(1);
            if drift < GRID_TOLERANCE_VOXELS && extent == length {
                return (length, edge);
            }
            (extent, self.spacing_mm[axis])
        });
        (!map.is_identity()).then_some(map)
    }
}

/// Map from a canonical grid to another one with the same first voxel and the same axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GridMap {
    /// Axes slowest first, as those of [`Dims`].
    pub(super) axes: [AxisMap; 3],
    /// Voxel edges of the target in mm, fastest axis first.
    spacing_mm: [f64; 3],
}

impl GridMap {
    /// Builds a map from a grid of `dims` with voxel edges `spacing_mm` (x, y, z). `target` gives extent
    /// and edge of an axis (0 for x), whose extent and edge it gets.
    fn new(
        dims: Dims,
        spacing_mm: [f64; 3],
        target: impl Fn(usize, usize, f64) -> (usize, f64),
    ) -> Self {
        let smallest = spacing_mm.into_iter().fold(f64::INFINITY, f64::min);
        let mut edges = spacing_mm;
        let axes = [2, 1, 0].map(|axis: usize| {
            let from = dims.0[2 - axis];
            let edge = spacing_mm[axis];
            let (to, target_edge) = target(axis, from, edge);
            edges[axis] = target_edge;
            AxisMap { from, to, step: target_edge / edge, is_thick: edge > THICK * smallest }
        });
        Self { axes, spacing_mm: edges }
    }

    /// Map from one canonical grid to another, which has the same first voxel and axes.
    pub fn between(source: &SourceGrid, target: &SourceGrid) -> Self {
        let edges = target.canonical_spacing_mm();
        let dims = target.canonical_dims();
        Self::new(source.canonical_dims(), source.canonical_spacing_mm(), |axis, _, _| {
            (dims.0[2 - axis], edges[axis])
        })
    }

    /// Extent of the grid that is mapped from.
    pub fn source_dims(&self) -> Dims {
        Dims(self.axes.map(|axis| axis.from))
    }

    /// Extent of the target; saturated where it is beyond the address space.
    pub fn target_dims(&self) -> Dims {
        Dims(self.axes.map(|axis| axis.to))
    }

    /// Voxel edges of the target in mm along canonical x, y and z.
    pub const fn target_spacing_mm(&self) -> [f64; 3] {
        self.spacing_mm
    }

    /// Number of the target's voxels, if it can be counted.
    pub fn target_voxel_count(&self) -> Option<usize> {
        let extents = self.target_dims().0;
        extents.into_iter().try_fold(1usize, |product, extent| product.checked_mul(extent))
    }

    fn is_identity(&self) -> bool {
        self.axes.iter().all(|axis| axis.from == axis.to && axis.step == 1.0)
    }

    /// The target as a grid of its own, in canonical orientation.
    pub fn target_grid(&self, source: &SourceGrid) -> SourceGrid {
        let Affine(mut world_from_voxel) = source.canonical_world_from_voxel();
        for row in world_from_voxel.iter_mut().take(3) {
            for (axis, map) in self.axes.iter().rev().enumerate() {
                row[axis] *= map.step;
            }
        }
        SourceGrid::canonical(self.target_dims(), Affine(world_from_voxel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resampling(spacing_mm: [f64; 3]) -> Resampling {
        let interpolation = Interpolation::Linear;
        Resampling { spacing_mm, interpolation, max_voxels: usize::MAX }
    }

    #[test]
    fn the_target_keeps_the_first_voxel_and_the_axes_and_rounds_the_extent() {
        // Stored with z first and x against the axis: canonical 8 x 5 x 3.
        let source = SourceGrid {
            dims: Dims::from_nifti([3, 8, 5]),
            world_from_voxel: Affine([
                [0.0, 0.9, 0.0, -7.0],
                [0.0, 0.0, -0.9, 3.0],
                [5.0, 0.0, 0.0, 2.0],
                [0.0, 0.0, 0.0, 1.0],
            ]),
            axes: [1, 2, 0],
            flipped: [true, false, false],
        };
        let map = resampling([1.0; 3])
            .map_grid(source.canonical_dims(), source.canonical_spacing_mm())
            .unwrap();
        assert_eq!(map.target_dims().to_nifti(), [7, 5, 15]);
        assert_eq!(map.axes.map(|axis| axis.is_thick), [true, false, false]);
        let target = map.target_grid(&source);
        let Affine(found) = target.world_from_voxel;
        let Affine(first) = source.canonical_world_from_voxel();
        assert_eq!(found.map(|row| row[3]), first.map(|row| row[3]));
        let wanted = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]];
        for (row, wanted) in found.iter().zip(wanted) {
            assert!(row.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{row:?}");
        }
        let back = GridMap::between(&target, &source);
        assert_eq!(back.target_dims(), source.canonical_dims());
        assert!((back.axes[0].step - 5.0).abs() < 1e-12 && (back.axes[2].step - 0.9).abs() < 1e-12);
    }

    #[test]
    fn a_grid_of_the_wanted_size_but_for_rounding_is_left_alone() {
        let map = |edge: f64| resampling([1.0; 3]).map_grid(Dims::BRATS, [1.0, edge, 1.0]);
        assert_eq!(map(1.0), None);
        assert_eq!(map(1.000_01), None);
        // Nearly a voxel over the whole head.
        let map = map(1.004).unwrap();
        assert_eq!((map.target_dims().to_nifti(), map.axes[1].from), ([240, 241, 155], 240));
        // The other axes stay where they are.
        assert_eq!(map.axes.map(|axis| axis.step == 1.0), [true, false, true]);
    }

    #[test]
    fn a_grid_too_large_to_count_is_said_to_be_so() {
        let map = resampling([1e-9; 3]).map_grid(Dims::BRATS, [1.0; 3]).unwrap();
        assert_eq!(map.target_voxel_count(), None);
    }
}
