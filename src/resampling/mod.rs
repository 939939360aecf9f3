//! Floor 2: other voxel sizes. The grid of a wanted size, and images, labels and probabilities on it.
//!
//! A resampled grid keeps the place of the first voxel and the directions of the axes of the canonical
//! grid; an axis of n voxels of edge a becomes round(n a / b) voxels of edge b. That is SimpleITK's
//! `Resample` with the same origin. `docs/resampling.md` says what is done along thick slices, and why.

mod axis;
mod grid_map;
mod labels;
mod planes;
mod probabilities;
mod spline;

pub use grid_map::{GridMap, Interpolation, MAX_SPACING_MM, MIN_SPACING_MM, Resampling};
pub use labels::resample_labels;
pub use planes::{resample_image, resample_mask};
pub use probabilities::resample_probabilities;
