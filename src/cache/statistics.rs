//! Statistics of one modality over its tissue, and the z-score that follows from them.
//!
//! Computed over the decoded raw values, which are what training sees, and exact: a histogram of
//! all 65536 raw values gives integer sums, and the scale is applied at the end.

use serde::{Deserialize, Serialize};

use crate::cache::{IntensityScale, TissueHistogram};
use crate::quality::MARKS;
use crate::volume::Modality;

/// The percentiles that are kept, in percent.
pub const PERCENTILES: [f64; 7] = [0.5, 1.0, 5.0, 50.0, 95.0, 99.0, 99.5];

const RAW_VALUES: usize = 1 << 16;

/// Statistics over the tissue (raw value not 0) of one modality; all 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct IntensityStats {
    /// Tissue voxels.
    pub count: u64,
    /// Mean intensity.
    pub mean: f64,
    /// Population standard deviation (divisor `count`), as in the BraTS literature.
    pub sd: f64,
    /// Lowest intensity.
    pub min: f64,
    /// Highest intensity.
    pub max: f64,
    /// Intensities at the percentiles 0.5, 1, 5, 50, 95, 99 and 99.5, interpolated linearly between the two nearest ranks (NumPy's
    /// default).
    pub percentiles: [f64; PERCENTILES.len()],
}

/// Statistics and histogram of one modality's tissue.
pub type MeasuredTissue = (IntensityStats, TissueHistogram);

/// Tissue of all modalities, counted.
pub struct TissueCounts {
    /// Occurring raw values with their counts, ascending, per modality.
    pub codes: [Vec<(i16, u32)>; Modality::COUNT],
    /// Voxels with tissue in each set of modalities: bit m of an index stands for modality m.
    pub presence: [u64; MARKS],
}

/// Counter of the tissue of all modalities.
pub(super) struct TissueCounter {
    counts: [CodeCounts; Modality::COUNT],
    presence: [u64; MARKS],
    everywhere: u64,
}

impl Default for TissueCounter {
    fn default() -> Self {
        let counts = std::array::from_fn(|_| CodeCounts::default());
        Self { counts, presence: [0; MARKS], everywhere: 0 }
    }
}

impl TissueCounter {
    /// Counts some interleaved raw voxels.
    pub(super) fn count_voxels(&mut self, voxels: &[[i16; Modality::COUNT]]) {
        for voxel in voxels {
            if *voxel == [0; 4] {
                continue;
            }
            for (of_modality, raw) in self.counts.iter_mut().zip(voxel) {
                of_modality.counts[usize::from(*raw as u16)] += 1;
            }
            // Images that were stripped together agree nearly everywhere.
            if voxel.iter().all(|raw| *raw != 0) {
                self.everywhere += 1;
                continue;
            }
            let marks = voxel.iter().enumerate();
            let marks = marks.fold(0, |marks, (bit, raw)| marks | usize::from(*raw != 0) << bit);
            self.presence[marks] += 1;
        }
    }

    pub(super) fn into_counts(self) -> TissueCounts {
        let mut presence = self.presence;
        presence[MARKS - 1] = self.everywhere;
        TissueCounts { codes: self.counts.map(|own| own.collect_tissue()), presence }
    }
}

impl TissueCounts {
    /// Counts in one pass over interleaved raw voxels.
    pub fn of_images(images: &[[i16; Modality::COUNT]]) -> Self {
        let mut counter = TissueCounter::default();
        counter.count_voxels(images);
        counter.into_counts()
    }

    /// Statistics and histograms of the counted tissue.
    pub fn measure(
        &self,
        scales: &[IntensityScale; Modality::COUNT],
    ) -> [MeasuredTissue; Modality::COUNT] {
        std::array::from_fn(|modality| {
            let codes = &self.codes[modality];
            (intensity_stats(codes, &scales[modality]), TissueHistogram::from_code_counts(codes))
        })
    }
}

impl IntensityStats {
    /// Coefficients `(a, b)` of the z-score `a * raw + b` of a raw tissue value; the background's
    /// is 0.
    ///
    /// Where all tissue has one value, or there is none, both are 0: such a modality carries no
    /// information, and 0 is also its z-score's limit.
    pub fn z_score_coefficients(&self, scale: &IntensityScale) -> (f64, f64) {
        if self.sd == 0.0 {
            return (0.0, 0.0);
        }
        (scale.slope / self.sd, (scale.inter - self.mean) / self.sd)
    }
}

/// Counts of the raw values, indexed by the value's bits.
struct CodeCounts {
    counts: Box<[u32; RAW_VALUES]>,
}

impl Default for CodeCounts {
    fn default() -> Self {
        let counts: Box<[u32]> = vec![0; RAW_VALUES].into_boxed_slice();
        Self { counts: counts.try_into().expect("made with as many places") }
    }
}

impl CodeCounts {
    /// Occurring tissue values with their counts, ascending: one walk over all that there may be.
    fn collect_tissue(&self) -> Vec<(i16, u32)> {
        let all = i16::MIN..=i16::MAX;
        all.map(|raw| (raw, self.counts[usize::from(raw as u16)]))
            .filter(|&(raw, count)| raw != 0 && count > 0)
            .collect()
    }
}

/// Computes the statistics of raw values with their counts, ascending.
fn intensity_stats(codes: &[(i16, u32)], scale: &IntensityScale) -> IntensityStats {
    let mut count = 0u64;
    let mut sum = 0i64;
    let mut squares = 0u128;
    for &(raw, times) in codes {
        count += u64::from(times);
        sum += i64::from(raw) * i64::from(times);
        squares += u128::from(raw.unsigned_abs()).pow(2) * u128::from(times);
    }
    let (Some(&(min, _)), Some(&(max, _))) = (codes.first(), codes.last()) else {
        return IntensityStats::default();
    };
    let n = count as f64;
    // n Σx² - (Σx)², which is n² times the variance, without a rounding before the division.
    let spread = u128::from(count) * squares - u128::from(sum.unsigned_abs()).pow(2);
    IntensityStats {
        count,
        mean: scale.decode_tissue(sum as f64 / n),
        sd: scale.slope * (spread as f64).sqrt() / n,
        min: scale.decode(min),
        max: scale.decode(max),
        percentiles: raw_percentiles(codes, count).map(|raw| scale.decode_tissue(raw)),
    }
}

/// Computes raw values at [`PERCENTILES`], which may lie between two.
fn raw_percentiles(codes: &[(i16, u32)], count: u64) -> [f64; PERCENTILES.len()] {
    let ranks = PERCENTILES.map(|percent| percent / 100.0 * (count - 1) as f64);
    // Ascending, since the percentiles are: one walk over the histogram finds them all.
    let mut walk = codes.iter();
    let mut raw = 0;
    let mut seen = 0;
    let mut at_rank = |rank: u64| {
        while seen <= rank
            && let Some(&(next, times)) = walk.next()
        {
            raw = next;
            seen += u64::from(times);
        }
        f64::from(raw)
    };
    ranks.map(|rank| {
        let below = at_rank(rank.floor() as u64);
        let above = at_rank(rank.ceil() as u64);
        below + (above - below) * rank.fract()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_first(raw: &[i16], scale: IntensityScale) -> IntensityStats {
        let images: Vec<[i16; 4]> = raw.iter().map(|&value| [value, 7, 0, 0]).collect();
        TissueCounts::of_images(&images).measure(&[scale; 4])[0].0
    }

    fn close(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() <= 1e-9 * wanted.abs().max(1e-9)
    }

    #[test]
    fn extremes_of_i16_do_not_overflow_the_sums() {
        let raw: Vec<i16> = (0..60_000).map(|i| if i % 2 == 0 { -32768 } else { 32767 }).collect();
        let stats = of_first(&raw, IntensityScale::LOSSLESS);
        assert_eq!((stats.mean, stats.sd), (-0.5, 32767.5));
    }

    #[test]
    fn a_large_offset_costs_no_precision() {
        let scale = IntensityScale { slope: 1e-3, inter: 1e6, max_error: 0.0 };
        let stats = of_first(&[-2, -1, 1, 2], scale);
        assert!(close(stats.sd, 2.5f64.sqrt() * 1e-3), "{}", stats.sd);
        let (a, b) = stats.z_score_coefficients(&scale);
        assert!(close(2.0 * a + b, 2.0 / 2.5f64.sqrt()));
    }

    #[test]
    fn nothing_and_one_value_normalise_to_zero() {
        assert_eq!(of_first(&[0, 0], IntensityScale::LOSSLESS), IntensityStats::default());
        let constant = of_first(&[5, 0, 5], IntensityScale::LOSSLESS);
        assert_eq!((constant.count, constant.mean, constant.sd), (2, 5.0, 0.0));
        assert_eq!(constant.z_score_coefficients(&IntensityScale::LOSSLESS), (0.0, 0.0));
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile(numpy.arange(1, 102), [0.5, 1, 5, 50, 95, 99, 99.5])
        let raw: Vec<i16> = (1..=101).rev().collect();
        let stats = of_first(&raw, IntensityScale::LOSSLESS);
        let wanted = [1.5, 2.0, 6.0, 51.0, 96.0, 100.0, 100.5];
        assert!(stats.percentiles.iter().zip(wanted).all(|(&found, want)| close(found, want)));
    }

    proptest! {
        #[test]
        fn one_pass_agrees_with_the_textbook(
            raw in prop::collection::vec(any::<i16>(), 1..300),
            slope in 1e-3f64..10.0,
            inter in -1e3f64..1e3,
        ) {
            let scale = IntensityScale { slope, inter, max_error: 0.0 };
            let stats = of_first(&raw, scale);
            let mut tissue: Vec<f64> =
                raw.iter().filter(|&&r| r != 0).map(|&r| scale.decode(r)).collect();
            prop_assume!(!tissue.is_empty());
            tissue.sort_by(f64::total_cmp);
            let n = tissue.len() as f64;
            let mean = tissue.iter().sum::<f64>() / n;
            let variance = tissue.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            prop_assert!((stats.mean - mean).abs() <= 1e-9 * (mean.abs() + variance.sqrt()));
            prop_assert!((stats.sd - variance.sqrt()).abs() <= 1e-9 * (1.0 + variance.sqrt()));
            prop_assert_eq!((stats.min, stats.max), (tissue[0], tissue[tissue.len() - 1]));
        }
    }
}
