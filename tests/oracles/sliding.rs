//! MONAI's sliding windows: where they start, what they weigh, what comes out.

use std::collections::BTreeMap;
use std::convert::Infallible;

use gliaflow::internals::eval::{Sliding, SlidingConfig, Weighting};
use gliaflow::internals::volume::Dims;
use serde::Deserialize;

use super::counters::{off_projections, uniform};
use super::figures::{fixture, tensors, worst};

const WINDOW: Dims = Dims::cube(24);
const CASES: [(&str, Dims); 2] = [("a", Dims([40, 36, 31])), ("b", Dims([20, 30, 24]))];
const CHANNELS: usize = 2;

/// Seed of the vectors that a blended prediction is projected on (`scripts/oracles/sliding.py`).
const PROJECTIONS_SEED: u64 = 700_000;

#[derive(Deserialize)]
struct Figures {
    starts: BTreeMap<String, Vec<[usize; 3]>>,
    importance_min_max: [f32; 2],
    importance_row_11_12: Vec<f32>,
    stride: usize,
    projections: BTreeMap<String, Vec<f32>>,
}

/// The oracle's predictor: a zero-padded 3x3x3 convolution, plus a ramp over the window, so that
/// windows disagree where they overlap.
struct Predictor {
    kernel: Vec<f32>,
    bias: Vec<f32>,
    ramp: Vec<f32>,
}

impl Predictor {
    fn new() -> Self {
        Self {
            kernel: uniform(3 * CHANNELS * 27, 54, -0.4, 0.4),
            bias: uniform(3, 55, -0.1, 0.1),
            ramp: uniform(WINDOW.voxel_count(), 52, -1.0, 1.0),
        }
    }

    fn convolve(&self, window: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(3 * WINDOW.voxel_count());
        for region in 0..3 {
            for place in 0..WINDOW.voxel_count() {
                let at = WINDOW.zyx_from_offset(place);
                let mut sum = f64::from(self.bias[region]) + f64::from(self.ramp[place]);
                for tap in 0..CHANNELS * 27 {
                    let shift = [tap / 9 % 3, tap / 3 % 3, tap % 3];
                    let from: [usize; 3] =
                        std::array::from_fn(|i| (at[i] + shift[i]).wrapping_sub(1));
                    if from.iter().all(|&i| i < 24) {
                        let image = tap / 27 * WINDOW.voxel_count();
                        let weight = self.kernel[region * CHANNELS * 27 + tap];
                        sum += f64::from(weight * window[image + WINDOW.offset_from_zyx(from)]);
                    }
                }
                out.push(sum as f32);
            }
        }
        out
    }
}

fn config(overlap: f64, weighting: Weighting) -> SlidingConfig {
    SlidingConfig { overlap, weighting, batch: 5, within_tissue: false }
}

#[test]
fn windows_start_where_monai_starts_them() {
    let figures: Figures = fixture("sliding_window");
    for (name, case) in CASES {
        for overlap in [0.25, 0.5] {
            let sliding = Sliding::new(case, WINDOW, &config(overlap, Weighting::Constant));
            assert_eq!(sliding.window_starts(), figures.starts[&format!("{name}_ov{overlap}")]);
        }
    }
}

#[test]
fn windows_weigh_what_monai_makes_them_weigh() {
    let figures: Figures = fixture("sliding_window");
    let sliding = Sliding::new(WINDOW, WINDOW, &SlidingConfig::default());
    let weights = sliding.importance_map();
    let smallest = weights.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = weights.iter().copied().fold(0.0, f32::max);
    assert!(worst(&[smallest, largest], &figures.importance_min_max) < 1e-6);
    let row = WINDOW.offset_from_zyx([11, 12, 0]);
    assert!(worst(&weights[row..row + 24], &figures.importance_row_11_12) < 1e-6);
}

#[test]
fn blended_predictions_are_monais() {
    let figures: Figures = fixture("sliding_window");
    let (oracle, predictor) = (tensors("sliding_window"), Predictor::new());
    for (name, case) in CASES {
        for (overlap, weighting, key) in [
            (0.25, Weighting::Constant, "ov25_constant"),
            (0.25, Weighting::Gaussian, "ov25_gaussian"),
            (0.5, Weighting::Constant, "ov50_constant"),
            (0.5, Weighting::Gaussian, "ov50_gaussian"),
        ] {
            let predict = |windows: Vec<f32>, _count: usize| {
                let each = windows.chunks_exact(CHANNELS * WINDOW.voxel_count());
                Ok::<_, Infallible>(each.flat_map(|window| predictor.convolve(window)).collect())
            };
            let sliding = Sliding::new(case, WINDOW, &config(overlap, weighting));
            let input = uniform(CHANNELS * case.voxel_count(), 53, -1.0, 1.0);
            let Ok(blended) = sliding.blend_windows(&input, [CHANNELS, 3], predict, |_, _| ());
            assert_eq!(blended.len(), 3 * case.voxel_count());
            let key = format!("{name}_{key}");
            let sampled: Vec<f32> = blended.iter().copied().step_by(figures.stride).collect();
            let difference = worst(&sampled, &oracle[&key].values);
            assert!(difference < 1e-5, "{key}: {difference}");
            let off = off_projections(&blended, &figures.projections[&key], PROJECTIONS_SEED);
            assert!(off < 1e-5, "{key}: {off} off the oracle's projections");
        }
    }
}
