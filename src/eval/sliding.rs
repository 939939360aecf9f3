//! Sliding windows: a whole case predicted by overlapping patches, blended by weight.
//!
//! The semantics are MONAI's `sliding_window_inference`: windows a fixed step apart, the last one
//! shifted back to fit; symmetric zero padding where the case is smaller than a window; each
//! prediction weighted by a Gaussian around the window's centre. The network is a closure here. No
//! window is left out, not even an empty one.

use std::ops::Not;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::volume::Dims;

/// The Gaussian's deviation as a share of the window.
const SIGMA_SHARE: f64 = 0.125;

/// Weights are not smaller than this, so that a corner seen by one window only is still defined.
const SMALLEST_WEIGHT: f64 = 1e-3;

/// Weight of a window's voxels where windows overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Largest in the middle, where the network saw context on all sides.
    #[default]
    Gaussian,
    /// All the same.
    Constant,
}

/// Sliding-window settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct SlidingConfig {
    /// Share of a window that its neighbour covers as well, from 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    #[default(0.5)]
    pub overlap: f64,
    /// Weight of a window's voxels.
    pub weighting: Weighting,
    /// Windows predicted at once.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "windows"))]
    #[default(1)]
    pub batch: usize,
    /// True if probabilities are 0 where all images are background: no tumour in the air. `predict`
    /// and `label` do so unless they are told otherwise.
    // Left out where it is off, so that the fingerprints of runs without it stay what they were.
    #[serde(skip_serializing_if = "Not::not")]
    pub within_tissue: bool,
}

/// The windows of one case, and how they are blended.
pub struct Sliding {
    case: Dims,
    window: Dims,
    /// Zeros ahead of the case on each axis.
    before: [usize; 3],
    padded: Dims,
    starts: Vec<[usize; 3]>,
    importance: Vec<f32>,
    batch: usize,
}

impl Sliding {
    /// Covers a case of extent `case` with windows of extent `window`.
    pub fn new(case: Dims, window: Dims, config: &SlidingConfig) -> Self {
        let padded: [usize; 3] = std::array::from_fn(|i| case.0[i].max(window.0[i]));
        let before = std::array::from_fn(|i| (padded[i] - case.0[i]) / 2);
        let along: [Vec<usize>; 3] =
            std::array::from_fn(|i| axis_starts(padded[i], window.0[i], config.overlap));
        let mut starts = Vec::with_capacity(along.iter().map(Vec::len).product());
        for &z in &along[0] {
            for &y in &along[1] {
                starts.extend(along[2].iter().map(|&x| [z, y, x]));
            }
        }
        let importance = match config.weighting {
            Weighting::Gaussian => gaussian_importance(window),
            Weighting::Constant => vec![1.0; window.voxel_count()],
        };
        let batch = config.batch.max(1);
        Self { case, window, before, padded: Dims(padded), starts, importance, batch }
    }

    /// First corners of the windows in the padded case, in the order of prediction.
    pub fn window_starts(&self) -> &[[usize; 3]] {
        &self.starts
    }

    /// Weight of each voxel of a window, `[d, h, w]`.
    pub fn importance_map(&self) -> &[f32] {
        &self.importance
    }

    /// Probabilities `[k, d, h, w]` of `regions` regions of a case with `channels` channels
    /// `[c, d, h, w]`.
    ///
    /// `predict` gets windows `[n, c, wd, wh, ww]` with `n`, at most the configured batch, and
    /// answers with `[n, k, wd, wh, ww]`. `progress` is called with (windows done, windows).
    ///
    /// # Errors
    /// Those of `predict`; the first ends the work.
    ///
    /// # Panics
    /// If `images` or an answer has another length than its shape says.
    pub fn blend_windows<E>(
        &self,
        images: &[f32],
        [channels, regions]: [usize; 2],
        mut predict: impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, E>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Vec<f32>, E> {
        assert_eq!(
            images.len(),
            channels * self.case.voxel_count(),
            "channels of the case's extent"
        );
        let mut sum = vec![0.0; regions * self.padded.voxel_count()];
        let mut weight = vec![0.0; self.padded.voxel_count()];
        let answer_length = regions * self.window.voxel_count();
        let mut done = 0;
        for starts in self.starts.chunks(self.batch) {
            let mut windows =
                Vec::with_capacity(starts.len() * channels * self.window.voxel_count());
            for &start in starts {
                self.cut_window(images, channels, start, &mut windows);
            }
            let answers = predict(windows, starts.len())?;
            assert_eq!(answers.len(), starts.len() * answer_length, "all regions of each window");
            for (&start, answer) in starts.iter().zip(answers.chunks_exact(answer_length)) {
                self.add_weighted(answer, start, &mut sum, &mut weight);
            }
            done += starts.len();
            progress(done, self.starts.len());
        }
        Ok(self.crop_padding(&sum, &weight))
    }

    /// Appends the window at `start`, zero outside the case.
    fn cut_window(&self, images: &[f32], channels: usize, start: [usize; 3], into: &mut Vec<f32>) {
        let [wd, wh, ww] = self.window.0;
        let [d, h, w] = self.case.0;
        let lead = self.before[2].saturating_sub(start[2]).min(ww);
        let from = (start[2] + lead).saturating_sub(self.before[2]);
        let length = (ww - lead).min(w.saturating_sub(from));
        for image in images.chunks_exact(self.case.voxel_count()).take(channels) {
            for line in 0..wd * wh {
                let row_end = into.len() + ww;
                // Rows in the padding wrap to a huge number and fail the comparison.
                let z = (start[0] + line / wh).wrapping_sub(self.before[0]);
                let y = (start[1] + line % wh).wrapping_sub(self.before[1]);
                if z < d && y < h {
                    let row = self.case.offset_from_zyx([z, y, from]);
                    into.resize(into.len() + lead, 0.0);
                    into.extend_from_slice(&image[row..row + length]);
                }
                into.resize(row_end, 0.0);
            }
        }
    }

    /// Adds one window's prediction, weighted.
    fn add_weighted(&self, answer: &[f32], start: [usize; 3], sum: &mut [f32], weight: &mut [f32]) {
        let [wd, wh, ww] = self.window.0;
        let plane = self.padded.voxel_count();
        for row in 0..wd * wh {
            let to =
                self.padded.offset_from_zyx([start[0] + row / wh, start[1] + row % wh, start[2]]);
            let importance = &self.importance[row * ww..(row + 1) * ww];
            for region in 0..sum.len() / plane {
                let values = &answer[(region * wd * wh + row) * ww..][..ww];
                let target = &mut sum[region * plane + to..][..ww];
                for ((total, value), count) in target.iter_mut().zip(values).zip(importance) {
                    *total += value * count;
                }
            }
            for (total, count) in weight[to..to + ww].iter_mut().zip(importance) {
                *total += count;
            }
        }
    }

    /// Divides by the weights and cuts the padding off.
    fn crop_padding(&self, sum: &[f32], weight: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(sum.len() / weight.len() * self.case.voxel_count());
        for region in sum.chunks_exact(self.padded.voxel_count()) {
            for row in 0..self.case.0[0] * self.case.0[1] {
                let z = row / self.case.0[1];
                let y = row % self.case.0[1];
                let [before_z, before_y, before_x] = self.before;
                let from = self.padded.offset_from_zyx([before_z + z, before_y + y, before_x]);
                let places = from..from + self.case.0[2];
                out.extend(places.map(|place| region[place] / weight[place]));
            }
        }
        out
    }
}

/// First voxels of the windows along one axis.
fn axis_starts(extent: usize, window: usize, overlap: f64) -> Vec<usize> {
    let step = ((window as f64 * (1.0 - overlap)) as usize).max(1);
    let last = extent - window;
    let mut starts: Vec<usize> = (0..last).step_by(step).collect();
    starts.push(last);
    starts
}

/// Product of three Gaussians around the window's centre.
fn gaussian_importance(window: Dims) -> Vec<f32> {
    let along: [Vec<f64>; 3] = window.0.map(|extent| {
        let centre = (extent as f64 - 1.0) / 2.0;
        let sigma = extent as f64 * SIGMA_SHARE;
        let falloff = |place| (-(place as f64 - centre).powi(2) / (2.0 * sigma * sigma)).exp();
        (0..extent).map(falloff).collect()
    });
    let product = |place| {
        let [z, y, x] = window.zyx_from_offset(place);
        (along[0][z] * along[1][y] * along[2][x]).max(SMALLEST_WEIGHT) as f32
    };
    (0..window.voxel_count()).map(product).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const WINDOW: Dims = Dims::cube(4);

    /// Answers with the windows' first channel, once for each region.
    fn echo(windows: Vec<f32>, count: usize) -> Result<Vec<f32>, Infallible> {
        let channels = windows.len() / (count * WINDOW.voxel_count());
        let each = windows.chunks_exact(channels * WINDOW.voxel_count());
        Ok(each.flat_map(|window| window[..WINDOW.voxel_count()].repeat(3)).collect())
    }

    fn ramp(dims: Dims, channels: usize) -> Vec<f32> {
        (0..channels * dims.voxel_count()).map(|place| place as f32 + 1.0).collect()
    }

    #[test]
    fn what_goes_in_comes_out_at_its_place() {
        for case in [Dims([4, 9, 6]), Dims([2, 3, 11]), Dims([1, 1, 1]), WINDOW] {
            for weighting in [Weighting::Gaussian, Weighting::Constant] {
                let config = SlidingConfig { weighting, batch: 3, ..SlidingConfig::default() };
                let images = ramp(case, 2);
                let sliding = Sliding::new(case, WINDOW, &config);
                let Ok(blended) = sliding.blend_windows(&images, [2, 3], echo, |_, _| ());
                let expected = images[..case.voxel_count()].repeat(3);
                let differences = blended.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                assert!(differences.fold(0.0, f32::max) < 1e-3, "{case} {weighting:?}");
            }
        }
    }

    #[test]
    fn a_window_near_the_middle_counts_more() {
        // Two windows, at 0 and 2, answer 1 and 2; where both reach, the nearer centre wins.
        let config = SlidingConfig { batch: 1, ..SlidingConfig::default() };
        let case = Dims([4, 4, 6]);
        let sliding = Sliding::new(case, WINDOW, &config);
        assert_eq!(sliding.window_starts(), [[0, 0, 0], [0, 0, 2]]);
        let mut answer = 0.0;
        let predict = |_: Vec<f32>, _: usize| {
            answer += 1.0;
            Ok::<_, Infallible>(vec![answer; 3 * WINDOW.voxel_count()])
        };
        let Ok(blended) = sliding.blend_windows(&ramp(case, 1), [1, 3], predict, |_, _| ());
        let row = &blended[case.offset_from_zyx([1, 1, 0])..][..6];
        assert!(row[2] < 1.1 && row[3] > 1.9, "{row:?}");
        assert!((row[0] - 1.0).abs() < 1e-6 && (row[5] - 2.0).abs() < 1e-6);
    }

    #[test]
    fn every_window_is_predicted_in_batches_and_counted() {
        let weighting = Weighting::Constant;
        let config = SlidingConfig { weighting, batch: 4, ..SlidingConfig::default() };
        let case = Dims([8, 8, 7]);
        let sliding = Sliding::new(case, WINDOW, &config);
        assert_eq!(sliding.window_starts().len(), 27);
        let (mut batches, mut reports) = (Vec::new(), Vec::new());
        let predict = |windows: Vec<f32>, count: usize| {
            batches.push(count);
            echo(windows, count)
        };
        let progress = |done, all| reports.push((done, all));
        let Ok(_) =
            sliding.blend_windows(&vec![0.0; case.voxel_count()], [1, 3], predict, progress);
        assert_eq!(batches, [4, 4, 4, 4, 4, 4, 3]);
        assert_eq!(reports.last(), Some(&(27, 27)));
    }

    #[test]
    fn the_first_error_ends_the_work() {
        let mut calls = 0;
        let predict = |_: Vec<f32>, _: usize| {
            calls += 1;
            Err("out of memory")
        };
        let sliding = Sliding::new(Dims::cube(8), WINDOW, &SlidingConfig::default());
        let blended = sliding.blend_windows(&[0.0; 512], [1, 3], predict, |_, _| ());
        assert_eq!((blended, calls), (Err("out of memory"), 1));
    }
}
