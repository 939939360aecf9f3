//! Labels on another grid: each value's indicator is interpolated linearly, and the shares decide.

use crate::base::{OutOfMemory, collect_values};
use crate::resampling::GridMap;
use crate::resampling::axis::linear_taps;
use crate::volume::label;

/// Difference of shares that is rounding.
const ROUNDING: f64 = 1e-6;

/// Resamples labels `[d, h, w]`. A voxel is labelled if at least half of its linear weight is, and gets
/// the value with the largest share, of two with the same the higher one. Where two values meet, that is
/// nnU-Net's rule (a share of at least half, the higher value last); where more do, the extent of the
/// labelled voxels is kept, which a share for each value alone would let shrink.
///
/// # Errors
/// If there is no memory for the target.
///
/// # Panics
/// If there are not as many labels as voxels.
pub fn resample_labels(labels: &[u8], map: &GridMap) -> Result<Vec<u8>, OutOfMemory> {
    let source = map.source_dims();
    assert_eq!(labels.len(), source.voxel_count(), "one label per voxel");
    let [depth, height, width] = map.target_dims().0;
    let columns: Vec<_> = (0..width).map(|x| linear_taps(&map.axes[2], x)).collect();
    let mut out = collect_values(map.target_dims().voxel_count(), [])?;
    for z in 0..depth {
        let (planes, along_z) = linear_taps(&map.axes[0], z);
        for y in 0..height {
            let (rows, along_y) = linear_taps(&map.axes[1], y);
            let corner = |corner: usize| {
                let start = source.offset_from_zyx([planes[corner / 2], rows[corner % 2], 0]);
                let weight = along_z[corner / 2] * along_y[corner % 2];
                (&labels[start..start + source.0[2]], weight)
            };
            let lines = [0, 1, 2, 3].map(corner);
            // Most rows are air.
            if lines.iter().all(|(line, _)| line.iter().all(|value| *value == label::BACKGROUND)) {
                out.resize(out.len() + width, label::BACKGROUND);
                continue;
            }
            for (places, along_x) in &columns {
                let taps = lines.iter().flat_map(|(line, weight)| {
                    let tap = |side: usize| (line[places[side]], weight * along_x[side]);
                    [tap(0), tap(1)]
                });
                out.push(decide_label(taps));
            }
        }
    }
    Ok(out)
}

/// Label of a voxel from the labels around it and their weights.
fn decide_label(taps: impl Iterator<Item = (u8, f64)>) -> u8 {
    let mut shares = [(label::BACKGROUND, 0.0); 8];
    let mut kinds = 0;
    for (value, weight) in taps {
        match shares[..kinds].iter_mut().find(|(known, _)| *known == value) {
            Some((_, share)) => *share += weight,
            None => {
                shares[kinds] = (value, weight);
                kinds += 1;
            }
        }
    }
    let shares = &shares[..kinds];
    let of_background = shares.iter().filter(|(value, _)| *value == label::BACKGROUND);
    if of_background.map(|(_, share)| share).sum::<f64>() > 0.5 + ROUNDING {
        return label::BACKGROUND;
    }
    let mut best = (label::BACKGROUND, 0.0);
    for &(value, share) in shares.iter().filter(|(value, _)| *value != label::BACKGROUND) {
        let is_same = (share - best.1).abs() <= ROUNDING;
        if share > best.1 + ROUNDING || (is_same && value > best.0) {
            best = (value, share);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resampling::{Interpolation, Resampling};
    use crate::volume::Dims;
    use crate::volume::label::{ED, ET, NCR, RC};

    fn to_size(dims: Dims, from: [f64; 3], to: [f64; 3]) -> GridMap {
        let interpolation = Interpolation::Linear;
        let resampling = Resampling { spacing_mm: to, interpolation, max_voxels: usize::MAX };
        resampling.map_grid(dims, from).unwrap()
    }

    #[test]
    fn halfway_the_labelled_side_wins_and_the_higher_of_two_labels() {
        let map = to_size(Dims([1, 1, 5]), [2.0, 1.0, 1.0], [1.0; 3]);
        let found = resample_labels(&[0, ED, ET, 0, NCR], &map).unwrap();
        assert_eq!(found, [0, ED, ED, ET, ET, ET, 0, NCR, NCR, NCR]);
    }

    #[test]
    fn where_three_values_meet_the_labelled_extent_stays() {
        let shares = [(0, 0.4), (ED, 0.3), (NCR, 0.3)];
        assert_eq!(decide_label(shares.into_iter()), ED, "of the same share the higher value");
        assert_eq!(decide_label([(0, 0.45), (ED, 0.15), (RC, 0.4)].into_iter()), RC);
        assert_eq!(decide_label([(0, 0.3), (ED, 0.4), (0, 0.3)].into_iter()), 0);
    }

    #[test]
    fn thick_slices_come_back_from_thin_ones_as_they_were() {
        let dims = Dims([4, 6, 5]);
        let labels: Vec<u8> = (0..dims.voxel_count()).map(|at| ((at * 7 / 3) % 5) as u8).collect();
        let there = to_size(dims, [1.0, 1.0, 5.0], [1.0; 3]);
        let thin = resample_labels(&labels, &there).unwrap();
        let back = to_size(there.target_dims(), [1.0; 3], [1.0, 1.0, 5.0]);
        assert_eq!(resample_labels(&thin, &back).unwrap(), labels);
    }
}
