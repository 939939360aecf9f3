//! Coefficients of the cubic B-spline through samples (Unser, Aldroubi and Eden 1993, "B-spline signal
//! processing", part II; the first coefficient as in Thévenaz, Blu and Unser 2000). The ends are mirrored
//! at the voxels' centres.

use crate::volume::Dims;

/// Pole of the filter, √3 − 2.
const POLE: f64 = -0.267_949_192_431_122_7;

/// Replaces the samples of a grid of `dims` by the coefficients along each axis of `axes`.
pub(super) fn to_coefficients(values: &mut [f32], dims: Dims, axes: [bool; 3]) {
    for axis in (0..3).filter(|axis| axes[*axis]) {
        // Neighbours along the axis lie `inner` values apart; the values between them are filtered alike.
        let inner = dims.0[axis + 1..].iter().product();
        for block in values.chunks_exact_mut(dims.0[axis] * inner) {
            filter_lines(block, dims.0[axis], inner);
        }
    }
}

/// Filters `inner` lines of `length` samples, which lie side by side.
fn filter_lines(block: &mut [f32], length: usize, inner: usize) {
    if length < 2 {
        return;
    }
    let gain = ((1.0 - POLE) * (1.0 - 1.0 / POLE)) as f32;
    block.iter_mut().for_each(|value| *value *= gain);
    let first = first_coefficients(block, length, inner);
    block[..inner].copy_from_slice(&first);
    for at in 1..length {
        let (before, rest) = block.split_at_mut(at * inner);
        let before = &before[(at - 1) * inner..];
        for (value, previous) in rest[..inner].iter_mut().zip(before) {
            *value += POLE as f32 * previous;
        }
    }
    let (before, last) = block.split_at_mut((length - 1) * inner);
    let factor = (POLE / (POLE * POLE - 1.0)) as f32;
    for (value, previous) in last.iter_mut().zip(&before[(length - 2) * inner..]) {
        *value = factor * (*value + POLE as f32 * previous);
    }
    for at in (0..length - 1).rev() {
        let (own, next) = block.split_at_mut((at + 1) * inner);
        for (value, next) in own[at * inner..].iter_mut().zip(next) {
            *value = POLE as f32 * (*next - *value);
        }
    }
}

/// Starts of the causal filter: the sums over the samples and their mirror images.
fn first_coefficients(block: &[f32], length: usize, inner: usize) -> Vec<f32> {
    let mut sums: Vec<f64> = block[..inner].iter().map(|value| f64::from(*value)).collect();
    let mut add = |at: usize, weight: f64| {
        for (sum, value) in sums.iter_mut().zip(&block[at * inner..]) {
            *sum += weight * f64::from(*value);
        }
    };
    let round_trip = 2 * (length - 1);
    for at in 1..length {
        let mirrored = if at + 1 < length { power_of_pole(round_trip - at) } else { 0.0 };
        add(at, power_of_pole(at) + mirrored);
    }
    let share = 1.0 - power_of_pole(round_trip);
    sums.into_iter().map(|sum| (sum / share) as f32).collect()
}

fn power_of_pole(exponent: usize) -> f64 {
    // Beyond the smallest number it is 0.
    POLE.powi(i32::try_from(exponent).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spline_goes_through_its_samples() {
        for (dims, axis) in [(Dims([7, 3, 2]), 0), (Dims([2, 9, 4]), 1), (Dims([1, 2, 40]), 2)] {
            let count = dims.voxel_count();
            let samples: Vec<f32> = (0..count).map(|at| ((at * 37) % 23) as f32 - 8.0).collect();
            let mut coefficients = samples.clone();
            to_coefficients(&mut coefficients, dims, [0, 1, 2].map(|own| own == axis));
            let last = dims.0[axis] - 1;
            for (place, sample) in samples.iter().enumerate() {
                let at = |index: usize| {
                    let mut own = dims.zyx_from_offset(place);
                    own[axis] = index;
                    coefficients[dims.offset_from_zyx(own)]
                };
                let own = dims.zyx_from_offset(place)[axis];
                let before = if own == 0 { 1 } else { own - 1 };
                let after = if own == last { last - 1 } else { own + 1 };
                let value = (at(before) + 4.0 * at(own) + at(after)) / 6.0;
                assert!((value - sample).abs() < 1e-4, "{dims} {place}: {value} {sample}");
            }
        }
    }

    #[test]
    fn one_voxel_is_its_own_coefficient() {
        let mut values = vec![3.0f32; 2];
        to_coefficients(&mut values, Dims([1, 1, 2]), [true, true, false]);
        assert_eq!(values, [3.0, 3.0]);
    }
}
