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
    /// Standard deviation that the quartiles tell: outliers do not move it.
    pub quartile_sd: f64,
    /// Lowest value.
    pub min: f64,
    /// Highest value.
    pub max: f64,
    /// Values at [`REPORTED_PERCENTILES`], interpolated linearly (NumPy's default).
    pub percentiles: [f64; REPORTED_PERCENTILES.len()],
}

/// Values that are tissue beyond doubt: the brain box is drawn around them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CertainTissue {
    background: BackgroundRange,
    low: f64,
    high: f64,
}

impl CertainTissue {
    /// True if `intensity` is neither background nor ringing nor a spike.
    pub fn contains(&self, intensity: f64) -> bool {
        !self.background.contains(intensity) && (self.low..=self.high).contains(&intensity)
    }
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
    /// Standard deviation of the tissue as a multiple of that which its quartiles tell; 0 where they are one.
    pub sd_of_quartiles: f64,
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
        let measured = Self::of_tissue(&tissue, background, voxels.len() as u64);
        let whole = matches!(voxels, Voxels::I16(_));
        Self {
            non_finite: count_non_finite(voxels),
            code_step: if whole {
                None
            } else {
                code_step(&tissue, &measured.tissue, measured.clip)
            },
            ..measured
        }
    }

    /// Measures an image of `voxels` whole numbers with 0 around the head, by the ascending values
    /// that are not 0 and their counts.
    pub fn measure_counts(counts: &[(i16, u32)], voxels: u64) -> Self {
        let runs = counts.iter().map(|&(value, times)| (f64::from(value), u64::from(times)));
        let tissue = SortedValues::Runs(runs.collect());
        Self::of_tissue(&tissue, ImageBackground::of_zeros(&tissue, voxels), voxels)
    }

    /// Quality of an image of whole numbers, by its tissue.
    fn of_tissue(tissue: &SortedValues, background: ImageBackground, voxels: u64) -> Self {
        let distribution = TissueDistribution::measure_tissue(tissue, voxels);
        Self {
            voxels,
            non_finite: 0,
            background,
            saturation: find_saturation(tissue, distribution.voxels),
            code_step: None,
            sd_of_quartiles: if distribution.quartile_sd > 0.0 {
                distribution.sd / distribution.quartile_sd
            } else {
                0.0
            },
            clip: find_clip_limits(tissue, distribution.voxels),
            tissue: distribution,
        }
    }

    /// Values that are tissue beyond doubt, where some are not: ringing and spikes.
    pub fn certain_tissue(&self) -> Option<CertainTissue> {
        if self.background.ringing == 0 && self.clip.is_none() {
            return None;
        }
        let range = self.background.range;
        let margin = range.margin.max(self.background.ringing_reach);
        let background = BackgroundRange { margin, ..range };
        let limits = self.clip.map_or((f64::MIN, f64::MAX), |clip| (clip.low, clip.high));
        Some(CertainTissue { background, low: limits.0, high: limits.1 })
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
        let [lower, upper] = interpolated_percentiles(tissue, voxels, [25.0, 75.0]);
        Self {
            voxels,
            share: voxels as f64 / total as f64,
            mean,
            quartile_sd: (upper - lower) / QUARTILES_IN_SD,
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
    let sd = distribution.quartile_sd;
    let integral = tissue.value_runs().all(|(value, _)| f64::from(value as i16) == value);
    (sd > 0.0 && !integral).then_some((high - low) / CODES / sd)
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
