//! Gaussian blur, plane by plane: the planes that a plane needs stay in the second cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::draw_uniform;
use crate::base::KeyedRng;
use crate::volume::{Dims, Modality};

/// Settings of the Gaussian blur.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct GaussianBlur {
    /// Share of samples, 0 to 1; 0.2 in nnU-Net.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.0)]
    pub probability: f64,
    /// Share of a blurred sample's modalities; as nnU-Net.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.5)]
    pub modality_probability: f64,
    /// Standard deviations, lowest first; each modality and axis draws its own; as nnU-Net.
    #[schemars(inner(range(min = 0.1, max = 4)), extend("x-unit" = "voxels", "x-ascending" = true))]
    #[default([0.5, 1.0])]
    pub deviation: [f64; 2],
}

impl GaussianBlur {
    pub(super) fn draw_deviations(
        &self,
        rng: &mut KeyedRng,
    ) -> Option<[Option<[f32; 3]>; Modality::COUNT]> {
        let drawn = rng.draw_bool(self.probability);
        drawn.then(|| {
            std::array::from_fn(|_| {
                let is_blurred = rng.draw_bool(self.modality_probability);
                is_blurred.then(|| [(); 3].map(|()| draw_uniform(rng, self.deviation)))
            })
        })
    }
}

/// Width of a kernel in standard deviations (batchgeneratorsv2, `blur_dimension`).
const TRUNCATE: f64 = 6.0;

/// Kernels along `[z, y, x]`, each an odd number of weights that sum to 1.
pub(super) struct BlurKernels([Vec<f32>; 3]);

impl BlurKernels {
    pub(super) fn new(deviations: [f32; 3]) -> Self {
        Self(deviations.map(kernel_weights))
    }

    /// Blurs a volume in place; its mirror image continues it, the edge not repeated.
    pub(super) fn blur_volume(&self, values: &mut [f32], dims: Dims, scratch: &mut Vec<f32>) {
        let [depth, height, width] = dims.0;
        let plane = height * width;
        let [along_z, along_y, along_x] = &self.0;
        let reach = along_z.len() / 2;
        // Planes ahead of the one in work are read where they are, those behind it from a ring.
        let padded = width + along_x.len() - 1;
        scratch.clear();
        scratch.resize((reach + 2) * plane + padded, 0.0);
        let (ring, rest) = scratch.split_at_mut((reach + 1) * plane);
        let (sums, line) = rest.split_at_mut(plane);
        for z in 0..depth {
            let slot = z % (reach + 1);
            ring[slot * plane..][..plane].copy_from_slice(&values[z * plane..][..plane]);
            sums.fill(0.0);
            for (step, weight) in along_z.iter().enumerate() {
                let from = reflect(z as isize + step as isize - reach as isize, depth);
                let source = if from <= z && z - from <= reach {
                    &ring[from % (reach + 1) * plane..][..plane]
                } else {
                    &values[from * plane..][..plane]
                };
                add_weighted(sums, source, *weight);
            }
            let out = &mut values[z * plane..][..plane];
            blur_rows_across(sums, out, [height, width], along_y);
            for row in out.chunks_exact_mut(width) {
                blur_row(row, along_x, line);
            }
        }
    }
}

/// Blurs a plane along y.
fn blur_rows_across(plane: &[f32], out: &mut [f32], [height, width]: [usize; 2], weights: &[f32]) {
    let reach = (weights.len() / 2) as isize;
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        row.fill(0.0);
        for (step, weight) in (-reach..).zip(weights) {
            let from = reflect(y as isize + step, height);
            add_weighted(row, &plane[from * width..][..width], *weight);
        }
    }
}

/// Blurs a row in place; `line` holds it with its mirror images.
fn blur_row(row: &mut [f32], weights: &[f32], line: &mut [f32]) {
    let reach = weights.len() / 2;
    line[reach..reach + row.len()].copy_from_slice(row);
    for step in 1..=reach as isize {
        let (before, behind) =
            (reflect(-step, row.len()), reflect(row.len() as isize - 1 + step, row.len()));
        line[reach - step as usize] = row[before];
        line[reach + row.len() - 1 + step as usize] = row[behind];
    }
    row.fill(0.0);
    for (step, weight) in weights.iter().enumerate() {
        add_weighted(row, &line[step..step + row.len()], *weight);
    }
}

fn add_weighted(sums: &mut [f32], values: &[f32], weight: f32) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += weight * value;
    }
}

/// Place within `side` that a place beside it mirrors.
fn reflect(place: isize, side: usize) -> usize {
    let last = side as isize - 1;
    if last == 0 {
        return 0;
    }
    let within = place.rem_euclid(2 * last);
    (if within > last { 2 * last - within } else { within }) as usize
}

/// Weights of a Gaussian, as batchgeneratorsv2 cuts and sums it.
fn kernel_weights(deviation: f32) -> Vec<f32> {
    let deviation = f64::from(deviation);
    let size = nearest_odd(deviation * TRUNCATE + 0.5);
    let half = (size - 1) as f64 / 2.0;
    let heights: Vec<f64> =
        (0..size).map(|at| (-0.5 * ((at as f64 - half) / deviation).powi(2)).exp()).collect();
    let sum: f64 = heights.iter().sum();
    heights.iter().map(|height| (height / sum) as f32).collect()
}

/// Odd number nearest to what a positive number rounds to.
fn nearest_odd(number: f64) -> usize {
    let rounded = number.round_ties_even();
    match rounded as usize {
        odd if odd % 2 == 1 => odd,
        even if number >= rounded => even + 1,
        even => even.max(2) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_three_to_seven_weights_over_the_range_of_the_default() {
        for (deviation, size) in [(0.5, 3), (0.59, 5), (0.9, 5), (0.95, 7), (1.0, 7)] {
            let weights = kernel_weights(deviation);
            assert_eq!(weights.len(), size, "{deviation}");
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn a_point_becomes_the_product_of_the_kernels_and_a_constant_stays() {
        let dims = Dims([7, 8, 9]);
        let kernels = BlurKernels::new([0.5, 0.8, 1.0]);
        let mut values = vec![0.0; dims.voxel_count()];
        values[dims.offset_from_zyx([3, 4, 4])] = 1.0;
        let mut scratch = Vec::new();
        kernels.blur_volume(&mut values, dims, &mut scratch);
        let [z, y, x] = &kernels.0;
        let at = |place: [usize; 3]| values[dims.offset_from_zyx(place)];
        assert!((at([3, 4, 4]) - z[1] * y[2] * x[3]).abs() < 1e-7);
        assert!((at([2, 6, 1]) - z[0] * y[4] * x[0]).abs() < 1e-7);
        assert_eq!(at([1, 4, 4]), 0.0);
        let mut flat = vec![2.5; dims.voxel_count()];
        kernels.blur_volume(&mut flat, dims, &mut scratch);
        assert!(flat.iter().all(|value| (value - 2.5).abs() < 1e-5));
    }

    #[test]
    fn mirrored_places_do_not_repeat_the_edge() {
        assert_eq!([-2, -1, 0, 3, 4, 5].map(|place| reflect(place, 4)), [2, 1, 0, 3, 2, 1]);
        assert_eq!([-3, 0, 5].map(|place| reflect(place, 1)), [0; 3]);
    }
}
