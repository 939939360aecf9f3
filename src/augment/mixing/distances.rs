//! Squared distances to the nearest feature of a small grid, every voxel of it, axis by axis.
//!
//! The crate has another exact transform for scores, which answers for single voxels in double precision. This one
//! is for the loader: it works on whole rows at once, so that a compiler makes vectors of it, and ends on each row
//! with the step that cannot come nearer any more. Tumours are a few dozen voxels deep, so that is soon.

use crate::volume::Dims;

/// Values compared side by side: two vector registers of the narrowest machine.
const LANES: usize = 8;

/// Squared distances in mm² of a grid's voxels, `[d, h, w]`, and memory that is kept from grid to grid. Single
/// precision is exact for whole-millimetre voxels up to four metres.
#[derive(Debug, Default)]
pub(super) struct SquaredDistances {
    values: Vec<f32>,
    between: Vec<f32>,
}

impl SquaredDistances {
    /// Measures the distance of every voxel to the nearest feature; where that is `limit_mm2` or more, it is some
    /// number that is not less. `fill_row` gets a row's `[z, y]` and its values, and sets them to 0 at features;
    /// voxel edges are in mm, `[z, y, x]`.
    pub(super) fn measure(
        &mut self,
        dims: Dims,
        spacing_mm: [f64; 3],
        limit_mm2: f32,
        mut fill_row: impl FnMut([usize; 2], &mut [f32]),
    ) -> &[f32] {
        let [depth, height, width] = dims.0;
        let [z_mm, y_mm, x_mm] = spacing_mm;
        self.values.clear();
        self.values.resize(dims.voxel_count(), f32::INFINITY);
        self.between.resize(dims.voxel_count(), 0.0);
        if dims.voxel_count() == 0 {
            return &self.values;
        }
        for (row, values) in self.values.chunks_exact_mut(width).enumerate() {
            fill_row([row / height, row % height], values);
            sweep_row(values, x_mm);
        }
        for (row, lowered) in self.between.chunks_exact_mut(width).enumerate() {
            let line = Line { at: row * width, stride: width, place: row % height, length: height };
            line.lower_row(lowered, &self.values, y_mm, limit_mm2);
        }
        for (row, lowered) in self.values.chunks_exact_mut(width).enumerate() {
            let stride = height * width;
            let line = Line { at: row * width, stride, place: row / height, length: depth };
            line.lower_row(lowered, &self.between, z_mm, limit_mm2);
        }
        &self.values
    }
}

/// Turns 0 at features and infinity elsewhere into squared distances along the row.
fn sweep_row(row: &mut [f32], step_mm: f64) {
    let mut steps = f32::INFINITY;
    for value in row.iter_mut() {
        steps = if *value == 0.0 { 0.0 } else { steps + 1.0 };
        *value = steps;
    }
    steps = f32::INFINITY;
    for value in row.iter_mut().rev() {
        steps = if *value == 0.0 { 0.0 } else { steps + 1.0 };
        let along = f64::from(steps.min(*value)) * step_mm;
        *value = (along * along) as f32;
    }
}

/// Rows of a grid one behind the other along an axis.
struct Line {
    /// First value of the row in question.
    at: usize,
    /// Distance to the next row in memory.
    stride: usize,
    /// Number of the row among the rows of the line.
    place: usize,
    length: usize,
}

impl Line {
    /// Writes the least of a row's values and of each other row's, the squared distance to it added.
    fn lower_row(&self, lowered: &mut [f32], rows: &[f32], step_mm: f64, limit_mm2: f32) {
        let width = lowered.len();
        let row_at = |at: usize| &rows[at..at + width];
        lowered.copy_from_slice(row_at(self.at));
        let mut greatest = greatest_value(lowered);
        for steps in 1..self.length {
            let across = steps as f64 * step_mm;
            let across_mm2 = (across * across) as f32;
            if across_mm2 >= limit_mm2 || across_mm2 >= greatest {
                break;
            }
            let before = (steps <= self.place).then(|| row_at(self.at - steps * self.stride));
            let is_within = self.place + steps < self.length;
            let behind = is_within.then(|| row_at(self.at + steps * self.stride));
            let Some(near) = before.or(behind) else { break };
            greatest = take_lower(lowered, near, behind.unwrap_or(near), across_mm2);
        }
    }
}

/// Lowers values to those of two rows with `across_mm2` added, and returns the greatest that is left: in one pass, as
/// reading and writing them costs more than the comparisons.
fn take_lower(lowered: &mut [f32], one: &[f32], other: &[f32], across_mm2: f32) -> f32 {
    let lower = |greatest: &mut f32, value: &mut f32, one: f32, other: f32| {
        let through = (if one < other { one } else { other }) + across_mm2;
        *value = if through < *value { through } else { *value };
        *greatest = if *value > *greatest { *value } else { *greatest };
    };
    let mut lanes = [0.0_f32; LANES];
    let (groups, rest) = lowered.as_chunks_mut::<LANES>();
    let [(ones, rest_of_one), (others, rest_of_other)] =
        [one, other].map(<[f32]>::as_chunks::<LANES>);
    for ((group, ones), others) in groups.iter_mut().zip(ones).zip(others) {
        for (((greatest, value), one), other) in lanes.iter_mut().zip(group).zip(ones).zip(others) {
            lower(greatest, value, *one, *other);
        }
    }
    let [first, ..] = &mut lanes;
    for ((value, one), other) in rest.iter_mut().zip(rest_of_one).zip(rest_of_other) {
        lower(first, value, *one, *other);
    }
    lanes.into_iter().fold(0.0, f32::max)
}

/// Greatest of values that are not negative; 0 of none.
pub(super) fn greatest_value(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (groups, rest) = values.as_chunks::<LANES>();
    for group in groups {
        for (greatest, value) in lanes.iter_mut().zip(group) {
            *greatest = if *value > *greatest { *value } else { *greatest };
        }
    }
    lanes.iter().chain(rest).copied().fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn brute_force(features: &[bool], dims: Dims, spacing_mm: [f64; 3]) -> Vec<f64> {
        let places = || (0..features.len()).filter(|place| features[*place]);
        let squared = |from: usize, to: usize| -> f64 {
            let [from, to] = [from, to].map(|place| dims.zyx_from_offset(place));
            (0..3)
                .map(|axis| (from[axis].abs_diff(to[axis]) as f64 * spacing_mm[axis]).powi(2))
                .sum()
        };
        let nearest = |from| places().map(|to| squared(from, to)).fold(f64::INFINITY, f64::min);
        (0..features.len()).map(nearest).collect()
    }

    proptest! {
        #[test]
        fn every_distance_is_that_of_the_nearest_feature_up_to_the_limit(
            (dims, features) in (1_usize..7, 1_usize..7, 1_usize..20).prop_flat_map(|(d, h, w)| {
                let features = prop::collection::vec(prop::bool::weighted(0.05), d * h * w);
                (Just(Dims([d, h, w])), features)
            }),
            spacing_mm in prop::array::uniform3(prop_oneof![Just(1.0), 0.3_f64..4.0]),
            limit_mm2 in prop_oneof![Just(f32::INFINITY), 1.0_f32..60.0],
        ) {
            let mut memory = SquaredDistances::default();
            let found = memory.measure(dims, spacing_mm, limit_mm2, |[z, y], row| {
                let from = dims.offset_from_zyx([z, y, 0]);
                for (value, feature) in row.iter_mut().zip(&features[from..]) {
                    if *feature {
                        *value = 0.0;
                    }
                }
            });
            for (found, wanted) in found.iter().zip(brute_force(&features, dims, spacing_mm)) {
                let found = f64::from(*found);
                let near = found == wanted || (found - wanted).abs() <= 1e-6 * wanted;
                let beyond = wanted >= f64::from(limit_mm2) && found >= f64::from(limit_mm2);
                prop_assert!(near || beyond, "{} {}", found, wanted);
            }
        }
    }
}
