//! Extremes of the tissue's intensities: spikes, which own a range alone, and saturation.

use serde::Serialize;

use crate::quality::sorted::{SortedValues, central_range};

/// Distance beyond the central 99 % of tissue, in widths of it, from which on values are spikes: in
/// a normal distribution 54 standard deviations from the mean. Vessels and overshoots of resampling
/// reach 1.8 widths (T1ce of TCGA-LGG, eight images).
pub const SPIKE_WIDTHS: f64 = 10.0;

/// Tissue voxels of the highest value from which on it is saturated: a single brightest voxel and
/// its neighbours are no sign of it.
const SATURATED_VOXELS: u64 = 16;
/// Share of tissue that they make up at least, 150 of a brain's 1.5 million voxels.
const SATURATED_SHARE: f64 = 1e-4;
/// Multiple of the voxels of the next lower value that they are at least: tails decay, they do not
/// end in a peak.
const SATURATED_PEAK: u64 = 4;

/// Limits that a spike is clipped at: the lowest and the highest value of tissue that is no spike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClipLimits {
    /// Value that lower ones are raised to.
    pub low: f64,
    /// Value that higher ones are lowered to.
    pub high: f64,
    /// Voxels below.
    pub below: u64,
    /// Voxels above.
    pub above: u64,
}

/// Many voxels at the highest value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Saturation {
    /// Highest value of tissue.
    pub value: f64,
    /// Voxels that have it.
    pub voxels: u64,
}

/// Limits where tissue reaches beyond [`SPIKE_WIDTHS`]. At most 0.5 % of tissue a side lies there,
/// and what is left spans 21 widths, so that 16-bit codes keep far more than 1 % of the standard
/// deviation.
pub(super) fn find_clip_limits(tissue: &SortedValues, voxels: u64) -> Option<ClipLimits> {
    if voxels == 0 {
        return None;
    }
    let (central_low, central_high) = central_range(tissue.value_runs(), voxels);
    let reach = SPIKE_WIDTHS * (central_high - central_low);
    // More than 99 % of the voxels have one value: no scale tells what is far from it.
    if reach == 0.0 {
        return None;
    }
    let mut limits = ClipLimits { low: central_low, high: central_high, below: 0, above: 0 };
    for (value, times) in tissue.value_runs() {
        if value < central_low - reach {
            limits.below += times;
        } else if value > central_high + reach {
            limits.above += times;
        } else {
            limits.low = limits.low.min(value);
            limits.high = limits.high.max(value);
        }
    }
    (limits.below + limits.above > 0).then_some(limits)
}

/// Saturation of tissue of `voxels` voxels, if its highest value is a peak.
pub(super) fn find_saturation(tissue: &SortedValues, voxels: u64) -> Option<Saturation> {
    let mut next_lower = 0;
    let mut highest = 0;
    let mut top = 0.0;
    for (value, times) in tissue.value_runs() {
        next_lower = highest;
        highest = times;
        top = value;
    }
    let least = SATURATED_VOXELS.max((voxels as f64 * SATURATED_SHARE).ceil() as u64);
    let saturated = next_lower > 0 && highest >= least && highest >= SATURATED_PEAK * next_lower;
    saturated.then_some(Saturation { value: top, voxels: highest })
}
