//! Histogram of a modality's tissue, fine enough for the mean and standard deviation of any smooth
//! curve over it: a contrast transform can keep them without a pass over the voxels.
//!
//! A bin holds one raw value, or neighbouring ones that make up at most 1/512 of the tissue and span
//! at most 1/512 of its range. So a modality of up to 512 raw values is kept exactly; of a wider one
//! only what a bin spreads within itself is lost, less than 1e-6 of the variance.

use zerocopy::little_endian::{F32, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Parts of all tissue, and of the range of its raw values, that a bin of several values may fill.
const PARTS: u64 = 512;

/// Most bins of one modality: two neighbours hold more than a part of the tissue together, or the
/// first spans a part of the range.
pub const MAX_BINS: usize = 4 * PARTS as usize;

/// Bin of a histogram.
#[derive(
    Clone, Copy, PartialEq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct HistogramBin {
    mean_code: F32,
    count: U32,
}

impl HistogramBin {
    fn new(sum: i64, count: u64) -> Self {
        let mean_code = F32::new((sum as f64 / count as f64) as f32);
        Self { mean_code, count: U32::new(count as u32) }
    }

    /// Mean of the raw values in the bin.
    pub fn mean_code(&self) -> f64 {
        f64::from(self.mean_code.get())
    }

    /// Tissue voxels in the bin.
    pub fn voxel_count(&self) -> u64 {
        u64::from(self.count.get())
    }
}

/// Histogram of the tissue's raw values; no bins where there is no tissue.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TissueHistogram {
    bins: Vec<HistogramBin>,
}

impl TissueHistogram {
    /// Collects raw values with their counts, ascending, into bins.
    pub fn from_code_counts(codes: &[(i16, u32)]) -> Self {
        let (Some(&(lowest, _)), Some(&(highest, _))) = (codes.first(), codes.last()) else {
            return Self::default();
        };
        let total: u64 = codes.iter().map(|(_, times)| u64::from(*times)).sum();
        let largest_count = total / PARTS;
        let widest = (u64::from(highest.abs_diff(lowest)) + 1).div_ceil(PARTS) as i64;
        let mut bins = Vec::new();
        let mut first = i64::from(lowest);
        let mut sum = 0;
        let mut count = 0;
        for &(code, times) in codes {
            let code = i64::from(code);
            let times = u64::from(times);
            if count > 0 && (count + times > largest_count || code - first >= widest) {
                bins.push(HistogramBin::new(sum, count));
                (sum, count) = (0, 0);
            }
            if count == 0 {
                first = code;
            }
            sum += code * times as i64;
            count += times;
        }
        bins.push(HistogramBin::new(sum, count));
        Self { bins }
    }

    /// Borrows the bins like those of a mapped file.
    pub fn as_view(&self) -> TissueHistogramView<'_> {
        TissueHistogramView { bins: &self.bins }
    }
}

/// Histogram of the tissue's raw values, borrowed from a case in memory or from a mapped file.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TissueHistogramView<'a> {
    bins: &'a [HistogramBin],
}

impl<'a> TissueHistogramView<'a> {
    /// Views bins, which ascend.
    pub const fn new(bins: &'a [HistogramBin]) -> Self {
        Self { bins }
    }

    /// Bins, ascending.
    pub const fn bins(&self) -> &'a [HistogramBin] {
        self.bins
    }

    /// Mean and population standard deviation of `curve` over the tissue; both 0 without tissue.
    /// The curve takes a raw value, which may lie between two.
    pub fn mean_and_sd(&self, curve: impl Fn(f64) -> f64) -> (f64, f64) {
        let mut weight = 0.0;
        let mut mean = 0.0;
        let mut squares = 0.0;
        // West 1979: updated means lose no digits to a large offset.
        for bin in self.bins {
            let value = curve(bin.mean_code());
            let count = bin.voxel_count() as f64;
            weight += count;
            let away = value - mean;
            mean += away * count / weight;
            squares += away * (value - mean) * count;
        }
        if weight == 0.0 { (0.0, 0.0) } else { (mean, (squares / weight).sqrt()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram_of(raw: &[i16]) -> TissueHistogram {
        let mut counts = vec![0u32; 1 << 16];
        for &code in raw {
            counts[usize::from(code.wrapping_sub(i16::MIN) as u16)] += 1;
        }
        let codes = (i16::MIN..=i16::MAX).zip(counts).filter(|(_, times)| *times > 0);
        TissueHistogram::from_code_counts(&codes.collect::<Vec<_>>())
    }

    /// Mean and standard deviation of gamma's curve over the voxels themselves.
    fn exactly(raw: &[i16], curve: impl Fn(f64) -> f64) -> (f64, f64) {
        let values: Vec<f64> = raw.iter().map(|&code| curve(f64::from(code))).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    fn assert_keeps_gamma(raw: &[i16]) {
        let histogram = histogram_of(raw);
        assert!(histogram.bins.len() <= MAX_BINS, "{}", histogram.bins.len());
        let total: u64 = histogram.bins.iter().map(HistogramBin::voxel_count).sum();
        assert_eq!(total, raw.len() as u64);
        let low = f64::from(*raw.iter().min().unwrap());
        let range = f64::from(*raw.iter().max().unwrap()) - low;
        for exponent in [0.7, 1.0, 1.5] {
            let curve = |code: f64| {
                if range == 0.0 { 0.0 } else { ((code - low) / range).powf(exponent) }
            };
            let (mean, sd) = histogram.as_view().mean_and_sd(curve);
            let (wanted_mean, wanted_sd) = exactly(raw, curve);
            assert!((mean - wanted_mean).abs() <= 1e-4 * wanted_mean, "{mean} {wanted_mean}");
            assert!((sd - wanted_sd).abs() <= 1e-4 * wanted_sd + 1e-9, "{sd} {wanted_sd}");
        }
    }

    #[test]
    fn up_to_512_codes_are_kept_exactly_and_none_is_nothing() {
        let raw: Vec<i16> = (0..2000).map(|place| place % 512 - 100).collect();
        let histogram = histogram_of(&raw);
        let codes: Vec<f64> = histogram.bins.iter().map(HistogramBin::mean_code).collect();
        assert_eq!(codes, (-100..412).map(f64::from).collect::<Vec<_>>());
        assert_eq!(histogram_of(&[]), TissueHistogram::default());
        assert_eq!(TissueHistogram::default().as_view().mean_and_sd(|code| code), (0.0, 0.0));
    }

    #[test]
    fn gamma_over_a_spike_a_long_tail_and_one_value_is_that_of_the_voxels() {
        // A spike that owns the range leaves the tissue a few codes: they are bins of their own.
        let spiked = (0..50_000).map(|place: i32| (place % 39 - 32_768) as i16);
        let spiked: Vec<i16> = spiked.chain([32_767]).collect();
        assert_keeps_gamma(&spiked);
        let tailed: Vec<i16> =
            (1..60_000).map(|place: i32| (40_000_000 / (place + 1_300) - 650) as i16).collect();
        assert_keeps_gamma(&tailed);
        assert_keeps_gamma(&[7; 100]);
    }

    proptest! {
        #[test]
        fn gamma_over_the_bins_is_that_of_the_voxels(
            centre in -9000i32..9000, width in 1i32..20_000, skew in 1i32..4, count in 1usize..4000,
        ) {
            let raw: Vec<i16> = (0..count).map(|place| {
                let share = (place as f64 + 0.5) / count as f64;
                (f64::from(centre) + f64::from(width) * share.powi(skew)) as i16
            }).collect();
            assert_keeps_gamma(&raw);
        }
    }
}
