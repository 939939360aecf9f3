//! Surroundings of the head: the constant on the faces of the grid, or the values about one where
//! an image rings up to them, and the distribution of everything else.

use crate::quality::BackgroundRange;
use crate::quality::sorted::{SortedValues, central_range, most_frequent};
use crate::volume::{Dims, Voxels};

/// Share of the faces that a constant beyond doubt holds. A brain cropped to its box touches each
/// face in a spot (2 % of it), one cut off at a slab's end fills up to 80 % of one face in six.
pub(super) const FACE_SHARE: f64 = 0.5;
/// Distance from the background, as a share of the amplitude, up to which values ring. Resampling
/// leaves 1e-3 of the amplitude a few voxels from the edge; 1 voxel of tissue in 1,000 is so dark
/// (TCGA-LGG, eight images).
pub(super) const RINGING: f64 = 5e-3;
/// Width of the gap above ringing, in multiples of it: tissue that is dark on its own has more
/// voxels there than below.
const GAP: f64 = 10.0;
/// Share of the voxels off the constant that ringing makes up: five times what dark tissue does.
const RINGING_SHARE: f64 = 5e-3;
/// Share of those voxels that does not ring at least: a head fills 15 % of a volume. Where less is far
/// from the background, what is near it is the tissue, and what is far is an artefact.
const TISSUE_SHARE: f64 = 0.05;

/// Constant on the faces, or the values about it.
pub(super) struct Surround {
    pub(super) range: BackgroundRange,
    pub(super) face_share: f64,
    pub(super) corners: u8,
}

/// Distribution of the voxels that do not hold the surround's value exactly.
#[derive(Default)]
pub(super) struct Spread {
    pub(super) voxels: u64,
    pub(super) zeros: u64,
    /// Larger distance of the 0.5 and 99.5 percentiles from the value: spikes do not move it.
    pub(super) amplitude: f64,
    /// Voxels nearer to the value than ringing reaches.
    pub(super) near: u64,
    /// Voxels beyond, in the gap.
    in_gap: u64,
}

impl Spread {
    pub(super) fn is_ringing(&self) -> bool {
        let voxels = self.voxels as f64;
        self.near as f64 >= RINGING_SHARE * voxels
            && self.near > self.in_gap
            && (self.voxels - self.near) as f64 >= TISSUE_SHARE * voxels
    }
}

pub(super) fn measure_spread(off_value: &SortedValues, value: f64) -> Spread {
    let voxels: u64 = off_value.value_runs().map(|(_, times)| times).sum();
    if voxels == 0 {
        return Spread::default();
    }
    let (low, high) = central_range(off_value.value_runs(), voxels);
    let amplitude = (low - value).abs().max((high - value).abs());
    let mut spread = Spread { voxels, amplitude, ..Spread::default() };
    for (intensity, times) in off_value.value_runs() {
        let distance = (intensity - value).abs();
        if intensity == 0.0 {
            spread.zeros += times;
        }
        if distance <= RINGING * amplitude {
            spread.near += times;
        } else if distance <= GAP * RINGING * amplitude {
            spread.in_gap += times;
        }
    }
    spread
}

pub(super) fn find_surround(voxels: &Voxels, dims: Dims) -> Surround {
    let places = face_places(dims);
    let mut finite: Vec<f64> =
        places.iter().map(|&place| voxels.get(place)).filter(|v| v.is_finite()).collect();
    finite.sort_unstable_by(f64::total_cmp);
    let faces = places.len();
    let median = finite.get(finite.len() / 2).copied();
    let sorted = SortedValues::Reals(finite);
    let (Some((constant, times)), Some(median)) = (most_frequent(&sorted), median) else {
        return Surround { range: BackgroundRange::ZERO, face_share: 0.0, corners: 0 };
    };
    let mut range = BackgroundRange::around(constant, 0.0);
    if (times as f64) < FACE_SHARE * faces as f64 {
        // No constant: values about one are looked for, as where an image rings up to its faces.
        let all = SortedValues::collect(voxels, |_, _| true);
        let spread = measure_spread(&all, median);
        let margin = RINGING * spread.amplitude;
        let value = if median.abs() <= margin { 0.0 } else { median };
        let about = BackgroundRange::around(value, margin);
        if spread.is_ringing() && share_within(&sorted, about, faces) >= FACE_SHARE {
            range = about;
        }
    }
    let corners = corner_places(dims).into_iter();
    Surround {
        range,
        face_share: share_within(&sorted, range, faces),
        corners: corners.filter(|&place| range.contains(voxels.get(place))).count() as u8,
    }
}

fn share_within(sorted: &SortedValues, range: BackgroundRange, of: usize) -> f64 {
    let within = sorted.value_runs().filter(|(intensity, _)| range.contains(*intensity));
    within.map(|(_, times)| times).sum::<u64>() as f64 / of.max(1) as f64
}

/// Memory offsets of the voxels on the six faces, each once.
pub(super) fn face_places(dims: Dims) -> Vec<usize> {
    let [depth, height, width] = dims.0;
    let mut places = Vec::new();
    for z in 0..depth {
        for y in 0..height {
            let row = dims.offset_from_zyx([z, y, 0]);
            let edge = z == 0 || z + 1 == depth || y == 0 || y + 1 == height;
            let step = if edge { 1 } else { (width - 1).max(1) };
            places.extend((row..row + width).step_by(step));
        }
    }
    places
}

pub(super) fn corner_places(dims: Dims) -> [usize; 8] {
    std::array::from_fn(|corner| {
        let at = std::array::from_fn(|axis| {
            if corner >> axis & 1 == 1 { dims.0[axis].saturating_sub(1) } else { 0 }
        });
        dims.offset_from_zyx(at)
    })
}
