//! Probabilities of a box of one grid on the whole of another.

use crate::base::OutOfMemory;
use crate::resampling::GridMap;
use crate::resampling::axis::AxisWeights;
use crate::resampling::planes::resample_planes;
use crate::volume::Box3;

/// Resamples probabilities `[r, d, h, w]` of `brain`, a box of the grid that `map` is from, linearly;
/// outside the box they are 0. `take` gets the target's planes from the first on, each `[r, h, w]`: the
/// whole of a fine grid need not be in memory.
///
/// # Errors
/// If there is no memory for a plane.
///
/// # Panics
/// If there is not a whole number of probabilities per voxel of the box.
pub fn resample_probabilities(
    probabilities: &[f32],
    brain: &Box3,
    map: &GridMap,
    mut take: impl FnMut(&[f32]),
) -> Result<(), OutOfMemory> {
    let regions = probabilities.chunks_exact(brain.dims.voxel_count());
    let [_, height, width] = map.target_dims().0;
    let [along_z, along_y, along_x] = [0, 1, 2].map(|axis: usize| {
        AxisWeights::linear_within(&map.axes[axis], brain.start[axis], brain.dims.0[axis])
    });
    let mut weights = [along_z.of_plane(0), along_y, along_x];
    for z in 0..along_z.len() {
        weights[0] = along_z.of_plane(z);
        let mut planes = Vec::with_capacity(regions.len() * height * width);
        for region in regions.clone() {
            resample_planes(region, brain.dims, &weights, |plane| planes.extend_from_slice(plane))?;
        }
        take(&planes);
    }
    Ok(())
}
