//! Interpolation of a volume, plane by plane of the target: along z, then y, then x.

use crate::base::{OutOfMemory, collect_values, zeroed_values};
use crate::resampling::axis::{AxisMap, AxisWeights};
use crate::resampling::spline::to_coefficients;
use crate::resampling::{GridMap, Interpolation};
use crate::volume::Dims;

/// Share of a voxel from which it belongs to a mask; rounding of exactly one half is no matter.
const HALF: f32 = 0.5 - 1e-6;

/// Resamples an image `[d, h, w]`, which is used as working memory.
///
/// # Errors
/// If there is no memory for the target.
///
/// # Panics
/// If there are not as many values as voxels.
pub fn resample_image(
    mut image: Vec<f32>,
    map: &GridMap,
    interpolation: Interpolation,
) -> Result<Vec<f32>, OutOfMemory> {
    let is_cubic = |axis: &AxisMap| interpolation == Interpolation::Cubic && !axis.is_thick;
    to_coefficients(&mut image, map.source_dims(), map.axes.map(|axis| is_cubic(&axis)));
    let weights = map.axes.each_ref().map(|axis| {
        if is_cubic(axis) { AxisWeights::cubic(axis) } else { AxisWeights::linear(axis) }
    });
    let mut out = collect_values(map.target_dims().voxel_count(), [])?;
    resample_planes(&image, map.source_dims(), &weights, |plane| out.extend_from_slice(plane))?;
    Ok(out)
}

/// Resamples a mask `[d, h, w]`: a voxel belongs to it, 1, if at least half of its linear weight does.
///
/// # Errors
/// If there is no memory for the target.
///
/// # Panics
/// If there are not as many values as voxels.
pub fn resample_mask(mask: &[u8], map: &GridMap) -> Result<Vec<u8>, OutOfMemory> {
    let weights = map.axes.each_ref().map(AxisWeights::linear);
    let mut out = collect_values(map.target_dims().voxel_count(), [])?;
    resample_planes(mask, map.source_dims(), &weights, |plane| {
        out.extend(plane.iter().map(|share| u8::from(*share >= HALF)));
    })?;
    Ok(out)
}

/// Resamples `values` of a grid of `dims`; `take` gets the target's planes `[h, w]` from the first on.
pub(super) fn resample_planes<T: Copy + Into<f32>>(
    values: &[T],
    dims: Dims,
    weights: &[AxisWeights; 3],
    mut take: impl FnMut(&[f32]),
) -> Result<(), OutOfMemory> {
    assert_eq!(values.len(), dims.voxel_count(), "one value per voxel");
    let [_, height, width] = dims.0;
    let [along_z, along_y, along_x] = weights;
    let mut blended = zeroed_values(0.0, height * width)?;
    let mut row = zeroed_values(0.0, width)?;
    let mut plane = zeroed_values(0.0, along_y.len() * along_x.len())?;
    for z in 0..along_z.len() {
        blended.fill(0.0);
        for (place, weight) in along_z.of_target(z).filter(|(_, weight)| *weight != 0.0) {
            add_scaled(&mut blended, &values[place * height * width..], weight);
        }
        for (y, out) in plane.chunks_exact_mut(along_x.len()).enumerate() {
            row.fill(0.0);
            for (place, weight) in along_y.of_target(y).filter(|(_, weight)| *weight != 0.0) {
                add_scaled(&mut row, &blended[place * width..], weight);
            }
            for (x, value) in out.iter_mut().enumerate() {
                *value = along_x.of_target(x).map(|(place, weight)| weight * row[place]).sum();
            }
        }
        take(&plane);
    }
    Ok(())
}

fn add_scaled<T: Copy + Into<f32>>(sum: &mut [f32], values: &[T], weight: f32) {
    for (total, value) in sum.iter_mut().zip(values) {
        *total += weight * (*value).into();
    }
}
