//! Quality of one image: its background, the distribution of its tissue, and where to clip it.

use serde::Serialize;

use crate::quality::ForegroundRule;
use crate::quality::background::{
    BackgroundRange, ImageBackground, count_non_finite, find_background,
};
use crate::quality::extremes::{ClipLimits, Saturation, find_clip_limits, find_saturation};
use crate::quality::sorted::{SortedValues, values_at_ranks};
use crate::volume::{Dims, Voxels};

/// Percentiles that are reported, in percent.
pub const REPORTED_PERCENTILES: [f64; 7] = [0.5, 1.0, 5.0, 50.0, 95.0, 99.0, 99.5];

/// Codes that tissue is spread over when its values are no integers of 16 bits.
const CODES: f64 = 65_535.0;

/// Standard deviations of a normal distribution between its quartiles.
const QUARTILES_IN_SD: f64 = 1.349;

/// Distribution of the tissue's intensities; all 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct TissueDistribution {
    /// Tissue voxels.
    pub voxels: u64,
    /// Share of all voxels.
    pub share: f64,
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub sd: f64,
    /// Lowest value.
    pub min: f64,
    /// Highest value.
    pub max: f64,
    /// Values at [`REPORTED_PERCENTILES`], interpolated linearly (NumPy's default).
    pub percentiles: [f64; REPORTED_PERCENTILES.len()],
}

/// Quality of one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageQuality {
    /// All voxels.
    pub voxels: u64,
    /// Voxels that are NaN or infinite: background in any case.
    pub non_finite: u64,
    /// Background.
    pub background: ImageBackground,
    /// Tissue.
    pub tissue: TissueDistribution,
    /// Saturation, if there is one.
    pub saturation: Option<Saturation>,
    /// Limits to clip at, if values are owned by so few voxels that they are spikes.
    pub clip: Option<ClipLimits>,
    /// Step of 16-bit codes as a share of the tissue's standard deviation (estimated from its
    /// quartiles) after clipping; absent where whole numbers are stored as they are.
    pub code_step: Option<f64>,
}

impl ImageQuality {
    /// Measures `voxels` (`[d, h, w]`). Under a rule that names a mask, `mask` says where tissue is.
    ///
    /// # Panics
    /// If there are not as many voxels, or values of the mask, as `dims` says.
    pub fn measure_image(
        voxels: &Voxels,
        dims: Dims,
        rule: &ForegroundRule,
        mask: Option<&[u8]>,
    ) -> Self {
        let background = find_background(voxels, dims, rule);
        let tissue = match mask {
            Some(mask) => {
                assert_eq!(mask.len(), voxels.len(), "one value of the mask per voxel");
                SortedValues::collect(voxels, |place, _| mask[place] != 0)
            }
            None => SortedValues::collect(voxels, |_, value| !background.range.contains(value)),
        };
        let total = voxels.len() as u64;
        let distribution = TissueDistribution::measure_tissue(&tissue, total);
        let clip = find_clip_limits(&tissue, distribution.voxels);
        let whole = matches!(voxels, Voxels::I16(_));
        Self {
            voxels: total,
            non_finite: count_non_finite(voxels),
            background,
            saturation: find_saturation(&tissue, distribution.voxels),
            code_step: if whole { None } else { code_step(&tissue, &distribution, clip) },
            clip,
            tissue: distribution,
        }
    }

    /// Values that count as background where no mask says it.
    pub const fn background_range(&self) -> BackgroundRange {
        self.background.range
    }

    /// True for whole numbers around a background of 0: they are stored without loss, spikes and all.
    pub fn is_kept_exactly(&self) -> bool {
        self.code_step.is_none()
            && !self.is_empty()
            && self.background.range == BackgroundRange::ZERO
    }

    /// True if there is no tissue.
    pub const fn is_empty(&self) -> bool {
        self.tissue.voxels == 0
    }

    /// True if all tissue has one value.
    pub fn is_constant(&self) -> bool {
        !self.is_empty() && self.tissue.min == self.tissue.max
    }
}

impl TissueDistribution {
    fn measure_tissue(tissue: &SortedValues, total: u64) -> Self {
        let mut voxels = 0;
        let mut mean = 0.0;
        let mut squares = 0.0;
        let mut range: Option<(f64, f64)> = None;
        // West 1979: updated means lose no digits to a large offset.
        for (value, times) in tissue.value_runs() {
            voxels += times;
            let away = value - mean;
            mean += away * times as f64 / voxels as f64;
            squares += away * (value - mean) * times as f64;
            range = Some((range.map_or(value, |(min, _)| min), value));
        }
        let Some((min, max)) = range else { return Self::default() };
        Self {
            voxels,
            share: voxels as f64 / total as f64,
            mean,
            sd: (squares / voxels as f64).sqrt(),
            min,
            max,
            percentiles: interpolated_percentiles(tissue, voxels, REPORTED_PERCENTILES),
        }
    }
}

fn interpolated_percentiles<const N: usize>(
    tissue: &SortedValues,
    voxels: u64,
    percents: [f64; N],
) -> [f64; N] {
    let ranks = percents.map(|percent| percent / 100.0 * (voxels - 1) as f64);
    let below = values_at_ranks(tissue.value_runs(), ranks.map(|rank| rank.floor() as u64));
    let above = values_at_ranks(tissue.value_runs(), ranks.map(|rank| rank.ceil() as u64));
    std::array::from_fn(|place| below[place] + (above[place] - below[place]) * ranks[place].fract())
}

fn code_step(
    tissue: &SortedValues,
    distribution: &TissueDistribution,
    clip: Option<ClipLimits>,
) -> Option<f64> {
    if distribution.voxels == 0 {
        return None;
    }
    let low = clip.map_or(distribution.min, |limits| limits.low);
    let high = clip.map_or(distribution.max, |limits| limits.high);
    let [lower, upper] = interpolated_percentiles(tissue, distribution.voxels, [25.0, 75.0]);
    let sd = (upper - lower) / QUARTILES_IN_SD;
    let integral = tissue.value_runs().all(|(value, _)| f64::from(value as i16) == value);
    (sd > 0.0 && !integral).then_some((high - low) / CODES / sd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::SPIKE_WIDTHS;
    use crate::quality::sorted::central_range;

    /// Column of `tissue` between as many zeros, as integers if all are.
    fn measured(tissue: &[f64]) -> ImageQuality {
        let mut values = vec![0.0; 3 * tissue.len()];
        values[tissue.len()..2 * tissue.len()].copy_from_slice(tissue);
        let whole = tissue.iter().all(|value| f64::from(*value as i16) == *value);
        let dims = Dims([values.len(), 1, 1]);
        let voxels = if whole {
            Voxels::I16(values.iter().map(|value| *value as i16).collect())
        } else {
            Voxels::F64(values)
        };
        ImageQuality::measure_image(&voxels, dims, &ForegroundRule::Nonzero, None)
    }

    /// Tissue from 100 to 201 whose central width is 100.
    fn ramp() -> Vec<f64> {
        (0..2002).map(|number| 100.0 + f64::from(number % 1001) * 0.101).collect()
    }

    #[test]
    fn the_distribution_is_that_of_numpy() {
        // numpy.percentile(numpy.arange(1, 102), [0.5, 1, 5, 50, 95, 99, 99.5])
        let seen = measured(&(1..=101).rev().map(f64::from).collect::<Vec<_>>()).tissue;
        assert_eq!(seen.percentiles, [1.5, 2.0, 6.0, 51.0, 96.0, 100.0, 100.5]);
        assert_eq!((seen.voxels, seen.mean, seen.min, seen.max), (101, 51.0, 1.0, 101.0));
        assert!((seen.sd - 850f64.sqrt()).abs() < 1e-12);
        assert!((seen.share - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn one_spike_is_clipped_to_the_highest_value_that_is_none() {
        let mut tissue = ramp();
        let width = {
            let sorted = SortedValues::Reals({
                let mut sorted = tissue.clone();
                sorted.sort_unstable_by(f64::total_cmp);
                sorted
            });
            let (low, high) = central_range(sorted.value_runs(), tissue.len() as u64);
            assert!((high - low - 100.0).abs() < 1.0);
            high - low
        };
        assert_eq!(measured(&tissue).clip, None);
        for (value, above, below) in [(1e7, 1, 0), (-1e7, 0, 1)] {
            tissue[1000] = value;
            let clip = measured(&tissue).clip.unwrap();
            assert_eq!((clip.above, clip.below, clip.low), (above, below, 100.0));
            assert_eq!(clip.high, 201.0);
        }
        let top = 201.0 + (SPIKE_WIDTHS - 0.1) * width;
        tissue[1000] = top;
        assert_eq!(measured(&tissue).clip, None, "just within");
        tissue[1000] = 201.0 + (SPIKE_WIDTHS + 0.1) * width;
        assert!(measured(&tissue).clip.is_some(), "just beyond");
    }

    #[test]
    fn after_clipping_codes_keep_one_percent_of_the_sd_and_without_spikes_too() {
        let mut tissue = ramp();
        for height in [1e5, 1e7, 1e30] {
            tissue[77] = height;
            let seen = measured(&tissue);
            assert!(seen.clip.is_some() && seen.code_step.unwrap() < 1e-3, "{seen:?}");
        }
        // 2 % of the voxels are far out: no spike.
        tissue[77] = 150.5;
        for (number, value) in tissue.iter_mut().take(40).enumerate() {
            *value = 1e6 + number as f64;
        }
        let seen = measured(&tissue);
        assert_eq!(seen.clip, None);
        assert!(seen.code_step.unwrap() > 0.2, "{seen:?}");
    }

    #[test]
    fn whole_numbers_are_stored_as_they_are_in_any_type() {
        let whole: Vec<f64> = (1..=500).map(f64::from).collect();
        assert_eq!(measured(&whole).code_step, None);
        let mut values = vec![0.0; 1500];
        values[500..1000].copy_from_slice(&whole);
        let seen = ImageQuality::measure_image(
            &Voxels::F64(values),
            Dims([1500, 1, 1]),
            &ForegroundRule::Nonzero,
            None,
        );
        assert_eq!(seen.code_step, None);
    }

    #[test]
    fn a_peak_at_the_top_is_saturation_and_a_tail_is_none() {
        let with_top = |count: usize, next: usize| {
            let mut tissue: Vec<f64> = (1..=3000).map(f64::from).collect();
            tissue[..count].fill(32_767.0);
            tissue[count..count + next].fill(32_766.0);
            measured(&tissue).saturation
        };
        assert_eq!(with_top(15, 1), None);
        assert_eq!(with_top(16, 1), Some(Saturation { value: 32_767.0, voxels: 16 }));
        assert_eq!(with_top(40, 10), Some(Saturation { value: 32_767.0, voxels: 40 }));
        assert_eq!(with_top(40, 11), None);
        let few = [[5.0; 20], [6.0; 20]].concat();
        assert_eq!(measured(&few).saturation, None, "few values are no peak");
    }

    #[test]
    fn nothing_one_value_and_a_mask_are_seen() {
        assert!(measured(&[0.0; 9]).is_empty());
        let constant = measured(&[5.0; 9]);
        assert!(constant.is_constant() && constant.clip.is_none() && !constant.is_empty());
        let voxels = Voxels::F32(vec![0.0, 0.0, 3.5, 4.0, f32::NAN, 0.0]);
        let rule = ForegroundRule::Mask("mask".into());
        let mask = [0, 1, 1, 0, 1, 0];
        let seen = ImageQuality::measure_image(&voxels, Dims([6, 1, 1]), &rule, Some(&mask));
        assert_eq!((seen.tissue.voxels, seen.tissue.min, seen.tissue.max), (2, 0.0, 3.5));
        assert_eq!(seen.non_finite, 1);
    }
}
