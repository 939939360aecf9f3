//! Simulated low resolution: fewer voxels along each axis, and interpolated back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::draw_uniform;
use crate::base::KeyedRng;
use crate::volume::{Dims, Modality};

/// Settings of the simulated low resolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct LowResolution {
    /// Share of samples, 0 to 1; 0.25 in nnU-Net.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.0)]
    pub probability: f64,
    /// Share of such a sample's modalities; as nnU-Net.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.5)]
    pub modality_probability: f64,
    /// Factors on the number of voxels along each axis, lowest first; each modality draws its own; as
    /// nnU-Net.
    #[schemars(inner(range(min = 0.1, max = 1)), extend("x-ascending" = true))]
    #[default([0.5, 1.0])]
    pub factor: [f64; 2],
}

impl LowResolution {
    pub(super) fn draw_factors(
        &self,
        rng: &mut KeyedRng,
    ) -> Option<[Option<f32>; Modality::COUNT]> {
        let drawn = rng.draw_bool(self.probability);
        drawn.then(|| {
            std::array::from_fn(|_| {
                let is_lowered = rng.draw_bool(self.modality_probability);
                is_lowered.then(|| draw_uniform(rng, self.factor))
            })
        })
    }
}

/// Takes the nearest of `factor` times as many voxels along each axis, and interpolates between them
/// (PyTorch's `interpolate`: `nearest-exact`, then `trilinear` without aligned corners).
pub(super) fn lower_resolution(
    values: &mut [f32],
    dims: Dims,
    factor: f32,
    scratch: &mut Vec<f32>,
) {
    let axes = dims.0.map(|side| CoarseAxis::new(side, factor));
    let [z, y, x] = &axes;
    let [_, height, width] = dims.0;
    let plane = height * width;
    let coarse_plane = y.taken.len() * x.taken.len();
    scratch.clear();
    scratch.resize(z.taken.len() * coarse_plane + y.taken.len() * width + 2 * plane, 0.0);
    let (coarse, rest) = scratch.split_at_mut(z.taken.len() * coarse_plane);
    let (lines, planes) = rest.split_at_mut(y.taken.len() * width);
    let (mut low, mut high) = planes.split_at_mut(plane);
    take_nearest(values, dims, &axes, coarse);
    // Coarse planes are widened once each: the fine ones follow them in order.
    let mut widened = [None; 2];
    let widen = |number: usize, lines: &mut [f32], out: &mut [f32]| {
        let source = &coarse[number * coarse_plane..][..coarse_plane];
        widen_plane(source, [y, x], lines, out, width);
    };
    for (out, place) in values.chunks_exact_mut(plane).zip(&z.places) {
        if widened[1] == Some(place.low) {
            std::mem::swap(&mut low, &mut high);
            widened = [widened[1], None];
        }
        if widened[0] != Some(place.low) {
            widen(place.low, lines, low);
            widened[0] = Some(place.low);
        }
        if widened[1] != Some(place.high) {
            widen(place.high, lines, high);
            widened[1] = Some(place.high);
        }
        mix(low, high, place.weight, out);
    }
}

/// An axis with fewer voxels.
struct CoarseAxis {
    /// Fine voxel that each coarse one takes.
    taken: Vec<usize>,
    /// Place between coarse voxels of each fine one.
    places: Vec<CoarsePlace>,
}

/// Place between two coarse voxels.
#[derive(Clone, Copy)]
struct CoarsePlace {
    low: usize,
    high: usize,
    /// Weight of `high`.
    weight: f32,
}

impl CoarseAxis {
    fn new(side: usize, factor: f32) -> Self {
        // Python rounds halves to even, PyTorch computes places in single precision.
        let count = (side as f64 * f64::from(factor)).round_ties_even().max(1.0) as usize;
        let fine_steps = side as f32 / count as f32;
        let nearest = |at: usize| ((at as f64 + 0.5) * f64::from(fine_steps)) as f32 as usize;
        let coarse_steps = count as f32 / side as f32;
        let place = |at: usize| {
            let along = (coarse_steps * (at as f32 + 0.5) - 0.5).max(0.0);
            let low = (along as usize).min(count - 1);
            CoarsePlace { low, high: (low + 1).min(count - 1), weight: along - low as f32 }
        };
        Self {
            taken: (0..count).map(|at| nearest(at).min(side - 1)).collect(),
            places: (0..side).map(place).collect(),
        }
    }
}

fn take_nearest(values: &[f32], dims: Dims, axes: &[CoarseAxis; 3], coarse: &mut [f32]) {
    let [z, y, x] = axes;
    let mut rows = coarse.chunks_exact_mut(x.taken.len());
    for from_z in &z.taken {
        for from_y in &y.taken {
            let Some(row) = rows.next() else { return };
            let source = &values[dims.offset_from_zyx([*from_z, *from_y, 0])..][..dims.0[2]];
            for (out, from) in row.iter_mut().zip(&x.taken) {
                *out = source[*from];
            }
        }
    }
}

/// Interpolates a coarse plane to the fine plane's rows and columns; `lines` holds its rows, widened.
fn widen_plane(
    coarse: &[f32],
    [y, x]: [&CoarseAxis; 2],
    lines: &mut [f32],
    out: &mut [f32],
    width: usize,
) {
    for (line, source) in lines.chunks_exact_mut(width).zip(coarse.chunks_exact(x.taken.len())) {
        for (value, place) in line.iter_mut().zip(&x.places) {
            let (low, high) = (source[place.low], source[place.high]);
            *value = low + place.weight * (high - low);
        }
    }
    for (row, place) in out.chunks_exact_mut(width).zip(&y.places) {
        let line = |number: usize| &lines[number * width..][..width];
        mix(line(place.low), line(place.high), place.weight, row);
    }
}

/// Interpolates between two rows or planes.
fn mix(low: &[f32], high: &[f32], weight: f32, out: &mut [f32]) {
    for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
        *out = low + weight * (high - low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_of_one_changes_nothing_and_a_ramp_stays_a_ramp_inside() {
        let dims = Dims([6, 8, 10]);
        let ramp: Vec<f32> =
            (0..dims.voxel_count()).map(|place| dims.zyx_from_offset(place)[2] as f32).collect();
        let mut values = ramp.clone();
        let mut scratch = Vec::new();
        lower_resolution(&mut values, dims, 1.0, &mut scratch);
        assert_eq!(values, ramp);
        lower_resolution(&mut values, dims, 0.5, &mut scratch);
        // Coarse voxels 0 to 4 lie at 0.5, 2.5 and so on, and take fine voxels 1, 3 and so on.
        let row = &values[dims.offset_from_zyx([3, 4, 0])..][..10];
        for (at, value) in row.iter().enumerate() {
            let expected = (at as f32 + 0.5).clamp(1.0, 9.0);
            assert!((value - expected).abs() < 1e-5, "{row:?}");
        }
    }
}
