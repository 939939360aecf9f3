//! The exact Euclidean distance transform on an anisotropic grid, in linear time: one pass of
//! sweeps along the rows, then lower envelopes of parabolas along the other two axes
//! (Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", 2012, section 2).
//!
//! Precision: squared distances in f64. With whole-millimetre spacing every value is an integer
//! and exact; else the error is a few units in the last place.

use crate::volume::grid::Dims;

/// Squared distance in mm² from every voxel's centre to that of the nearest feature voxel, in
/// memory order `[d, h, w]`; infinite everywhere when there is no feature.
///
/// `spacing_mm` is fastest axis first, as [`crate::volume::grid::Affine::spacing_mm`] gives it.
///
/// A grid may be cropped to any box that holds all features without changing a value inside the
/// box: the transform takes the minimum over features only, and all of them are still there; voxels
/// outside the box are no stations on the way, since the distance is a straight line's.
///
/// # Panics
/// If there are not as many values as voxels.
pub(super) fn squared_distances(features: &[bool], dims: Dims, spacing_mm: [f64; 3]) -> Vec<f64> {
    assert_eq!(features.len(), dims.voxels(), "one value per voxel");
    let [depth, height, width] = dims.0;
    let [step_x, step_y, step_z] = spacing_mm;
    let mut squared = vec![f64::INFINITY; features.len()];
    for (row, values) in features.chunks_exact(width).zip(squared.chunks_exact_mut(width)) {
        sweep(row, values, step_x);
    }
    let plane = height * width;
    let along_y = Lines { length: height, stride: width, width, step_mm: step_y };
    along_y.transform(&mut squared, (0..depth).map(|z| z * plane));
    let along_z = Lines { length: depth, stride: plane, width, step_mm: step_z };
    along_z.transform(&mut squared, (0..height).map(|y| y * width));
    squared
}

/// Squared distances along one row: the nearest feature to the left, then that to the right.
fn sweep(row: &[bool], squared: &mut [f64], step_mm: f64) {
    let mut last: Option<usize> = None;
    for (x, &feature) in row.iter().enumerate() {
        if feature {
            last = Some(x);
        }
        if let Some(left) = last {
            squared[x] = ((x - left) as f64 * step_mm).powi(2);
        }
    }
    let Some(mut right) = last else { return };
    for x in (0..right).rev() {
        if row[x] {
            right = x;
        }
        squared[x] = squared[x].min(((right - x) as f64 * step_mm).powi(2));
    }
}

/// The parallel lines of one axis: `length` voxels `stride` apart; `width` lines lie side by side
/// in memory.
struct Lines {
    length: usize,
    stride: usize,
    width: usize,
    step_mm: f64,
}

impl Lines {
    /// Transforms the lines that start at each of `starts` and the `width - 1` places after it.
    ///
    /// The lines of one start are turned into scratch memory first: they run across the rows, and
    /// reading them one by one would touch a new cache line for every voxel.
    fn transform(&self, squared: &mut [f64], starts: impl Iterator<Item = usize>) {
        let mut turned = vec![0.0; self.length * self.width];
        let mut envelope = Envelope::with_room_for(self.length);
        for start in starts {
            for place in 0..self.length {
                let from = start + place * self.stride;
                for (line, &value) in squared[from..from + self.width].iter().enumerate() {
                    turned[line * self.length + place] = value;
                }
            }
            for line in turned.chunks_exact_mut(self.length) {
                envelope.lower(line, self.step_mm);
            }
            for place in 0..self.length {
                let to = start + place * self.stride;
                for (line, value) in squared[to..to + self.width].iter_mut().enumerate() {
                    *value = turned[line * self.length + place];
                }
            }
        }
    }
}

/// A parabola of the envelope: `height + (x - at_mm)²`, the lowest from `from_mm` on.
struct Parabola {
    at_mm: f64,
    height: f64,
    from_mm: f64,
}

/// The lower envelope of one line's parabolas; recycled from line to line.
struct Envelope(Vec<Parabola>);

impl Envelope {
    fn with_room_for(length: usize) -> Self {
        Self(Vec::with_capacity(length))
    }

    /// Replaces every value by the minimum over the line of `value + distance²`.
    fn lower(&mut self, line: &mut [f64], step_mm: f64) {
        let parabolas = &mut self.0;
        parabolas.clear();
        for (place, &height) in line.iter().enumerate() {
            // A line without a feature has no parabola, and infinities have no intersection.
            if height == f64::INFINITY {
                continue;
            }
            let at_mm = place as f64 * step_mm;
            let mut from_mm = f64::NEG_INFINITY;
            while let Some(top) = parabolas.last() {
                // Where the new parabola falls below the last one.
                let meet_mm =
                    0.5 * (at_mm + top.at_mm) + 0.5 * (height - top.height) / (at_mm - top.at_mm);
                if meet_mm > top.from_mm {
                    from_mm = meet_mm;
                    break;
                }
                parabolas.pop();
            }
            parabolas.push(Parabola { at_mm, height, from_mm });
        }
        if parabolas.is_empty() {
            return;
        }
        let mut lowest = 0;
        for (place, value) in line.iter_mut().enumerate() {
            let x_mm = place as f64 * step_mm;
            while parabolas.get(lowest + 1).is_some_and(|next| next.from_mm <= x_mm) {
                lowest += 1;
            }
            let parabola = &parabolas[lowest];
            *value = parabola.height + (x_mm - parabola.at_mm).powi(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn brute_force(features: &[bool], dims: Dims, spacing_mm: [f64; 3]) -> Vec<f64> {
        let [step_x, step_y, step_z] = spacing_mm;
        let squared = |from: usize, to: usize| {
            let (a, b) = (dims.position(from), dims.position(to));
            let along = |axis: usize, step: f64| (a[axis].abs_diff(b[axis]) as f64 * step).powi(2);
            along(0, step_z) + along(1, step_y) + along(2, step_x)
        };
        let places: Vec<usize> = (0..features.len()).filter(|&place| features[place]).collect();
        let nearest =
            |from| places.iter().map(|&to| squared(from, to)).fold(f64::INFINITY, f64::min);
        (0..features.len()).map(nearest).collect()
    }

    #[test]
    fn one_feature_gives_its_own_distances() {
        let dims = Dims::from_nifti([3, 4, 2]);
        let mut features = vec![false; dims.voxels()];
        features[dims.offset([1, 2, 0])] = true;
        let squared = squared_distances(&features, dims, [1.0, 2.0, 5.0]);
        assert_eq!(squared[dims.offset([1, 2, 0])], 0.0);
        assert_eq!(squared[dims.offset([1, 2, 2])], 4.0);
        assert_eq!(squared[dims.offset([1, 0, 0])], 16.0);
        assert_eq!(squared[dims.offset([0, 1, 1])], 25.0 + 4.0 + 1.0);
    }

    #[test]
    fn without_a_feature_everything_is_infinitely_far() {
        let squared = squared_distances(&[false; 8], Dims::cube(2), [1.0; 3]);
        assert!(squared.iter().all(|value| *value == f64::INFINITY));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_transform_equals_brute_force(
            bits in proptest::collection::vec(0u8..=99, 12 * 12 * 12),
            density in 1u8..60,
            spacing_mm in proptest::array::uniform3(0.3f64..6.0),
        ) {
            let dims = Dims::cube(12);
            let features: Vec<bool> = bits.iter().map(|&bit| bit < density).collect();
            let expected = brute_force(&features, dims, spacing_mm);
            for (got, want) in squared_distances(&features, dims, spacing_mm).iter().zip(&expected) {
                prop_assert!(got == want || (got - want).abs() <= 1e-12 * want, "{got} {want}");
            }
        }

        #[test]
        fn whole_millimetres_are_exact_on_uneven_grids(
            bits in proptest::collection::vec(0u8..=99, 5 * 7 * 11),
            density in 1u8..30,
        ) {
            let dims = Dims([5, 7, 11]);
            let features: Vec<bool> = bits.iter().map(|&bit| bit < density).collect();
            let spacing_mm = [1.0, 3.0, 2.0];
            prop_assert_eq!(
                squared_distances(&features, dims, spacing_mm),
                brute_force(&features, dims, spacing_mm)
            );
        }
    }
}
