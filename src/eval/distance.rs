//! The exact Euclidean distance to the nearest feature on an anisotropic grid, axis by axis: sweeps
//! along the rows, lower envelopes of parabolas along the columns of each plane (Felzenszwalb and
//! Huttenlocher, "Distance Transforms of Sampled Functions", 2012, section 2), both linear in the
//! voxels, and then a search across the planes.
//!
//! That last step is done on demand: only surface voxels need it, a hundredth of all, and the
//! search ends as soon as the planes alone are further away than the best found.
//!
//! Precision: squared distances in f64. With whole-millimetre spacing every square is an integer
//! and exact; else the error is a few units in the last place.

use crate::volume::Dims;

/// Squared distances in mm² within each plane `z`, from which distances in space follow.
pub(super) struct DistanceMap {
    dims: Dims,
    step_z_mm: f64,
    /// Squared distance in mm² to the nearest feature in the voxel's plane, `[d, h, w]`; infinite
    /// where the plane has none.
    in_plane: Vec<f64>,
}

impl DistanceMap {
    /// Distances to the features, in memory order `[d, h, w]`; `spacing_mm` is fastest axis first,
    /// as [`crate::volume::Affine::spacing_mm`] gives it.
    ///
    /// Cropping the grid to a box that holds all features changes no distance from inside the box:
    /// each is a minimum of straight lines to features, and all of those are still there.
    ///
    /// # Panics
    /// If there are not as many values as voxels.
    pub(super) fn to_features(features: &[bool], dims: Dims, spacing_mm: [f64; 3]) -> Self {
        assert_eq!(features.len(), dims.voxel_count(), "one value per voxel");
        let [_, height, width] = dims.0;
        let [step_x_mm, step_y_mm, step_z_mm] = spacing_mm;
        let mut in_plane = vec![f64::INFINITY; features.len()];
        let mut columns = Columns::with_room_for(height, width);
        let planes = features.chunks_exact(height * width);
        for (plane, squared) in planes.zip(in_plane.chunks_exact_mut(height * width)) {
            if !plane.contains(&true) {
                continue;
            }
            let rows = plane.chunks_exact(width).zip(squared.chunks_exact_mut(width));
            rows.for_each(|(row, values)| sweep_row(row, values, step_x_mm));
            columns.lower_columns(squared, step_y_mm);
        }
        Self { dims, step_z_mm, in_plane }
    }

    /// Distance in mm from the voxel at a memory place to the nearest feature; infinite when there
    /// is none.
    ///
    /// # Panics
    /// If the place is not in the grid.
    pub(super) fn distance_mm(&self, place: usize) -> f64 {
        let stride = self.dims.0[1] * self.dims.0[2];
        let below = place / stride;
        let above = self.dims.0[0] - 1 - below;
        let mut nearest = self.in_plane[place];
        for planes in 1..=below.max(above) {
            let across = (planes as f64 * self.step_z_mm).powi(2);
            if across >= nearest {
                break;
            }
            if planes <= below {
                nearest = nearest.min(across + self.in_plane[place - planes * stride]);
            }
            if planes <= above {
                nearest = nearest.min(across + self.in_plane[place + planes * stride]);
            }
        }
        nearest.sqrt()
    }
}

/// Squared distances along one row: the nearest feature to the left, then that to the right.
fn sweep_row(row: &[bool], squared: &mut [f64], step_mm: f64) {
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

/// Scratch memory for the columns of a plane, recycled from plane to plane.
struct Columns {
    height: usize,
    width: usize,
    /// The plane turned, `[w, h]`: a column is contiguous.
    turned: Vec<f64>,
    envelope: Envelope,
}

impl Columns {
    fn with_room_for(height: usize, width: usize) -> Self {
        let envelope = Envelope(Vec::with_capacity(height));
        Self { height, width, turned: vec![0.0; height * width], envelope }
    }

    /// Replaces every value of a plane `[h, w]` by the minimum over its column of
    /// `value + distance²`.
    fn lower_columns(&mut self, plane: &mut [f64], step_mm: f64) {
        for (y, row) in plane.chunks_exact(self.width).enumerate() {
            for (x, &value) in row.iter().enumerate() {
                self.turned[x * self.height + y] = value;
            }
        }
        for column in self.turned.chunks_exact_mut(self.height) {
            self.envelope.lower_line(column, step_mm);
        }
        for (y, row) in plane.chunks_exact_mut(self.width).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                *value = self.turned[x * self.height + y];
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
    /// Replaces every value by the minimum over the line of `value + distance²`.
    fn lower_line(&mut self, line: &mut [f64], step_mm: f64) {
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

    fn everywhere(features: &[bool], dims: Dims, spacing_mm: [f64; 3]) -> Vec<f64> {
        let map = DistanceMap::to_features(features, dims, spacing_mm);
        (0..features.len()).map(|place| map.distance_mm(place)).collect()
    }

    fn brute_force(features: &[bool], dims: Dims, spacing_mm: [f64; 3]) -> Vec<f64> {
        let [step_x, step_y, step_z] = spacing_mm;
        let squared = |from: usize, to: usize| {
            let (a, b) = (dims.zyx_from_offset(from), dims.zyx_from_offset(to));
            let along = |axis: usize, step: f64| (a[axis].abs_diff(b[axis]) as f64 * step).powi(2);
            along(0, step_z) + along(1, step_y) + along(2, step_x)
        };
        let places: Vec<usize> = (0..features.len()).filter(|&place| features[place]).collect();
        let nearest =
            |from| places.iter().map(|&to| squared(from, to)).fold(f64::INFINITY, f64::min).sqrt();
        (0..features.len()).map(nearest).collect()
    }

    #[test]
    fn one_feature_gives_its_own_distances() {
        let dims = Dims::from_nifti([3, 4, 2]);
        let mut features = vec![false; dims.voxel_count()];
        features[dims.offset_from_zyx([1, 2, 0])] = true;
        let distances = everywhere(&features, dims, [1.0, 2.0, 5.0]);
        assert_eq!(distances[dims.offset_from_zyx([1, 2, 0])], 0.0);
        assert_eq!(distances[dims.offset_from_zyx([1, 2, 2])], 2.0);
        assert_eq!(distances[dims.offset_from_zyx([1, 0, 0])], 4.0);
        assert_eq!(distances[dims.offset_from_zyx([0, 1, 1])], (25.0_f64 + 4.0 + 1.0).sqrt());
    }

    #[test]
    fn without_a_feature_everything_is_infinitely_far() {
        let distances = everywhere(&[false; 8], Dims::cube(2), [1.0; 3]);
        assert!(distances.iter().all(|value| *value == f64::INFINITY));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_transform_equals_brute_force(
            bits in proptest::collection::vec(0u16..1000, 12 * 12 * 12),
            density in 1u16..500,
            spacing_mm in proptest::array::uniform3(0.3f64..6.0),
        ) {
            let dims = Dims::cube(12);
            let features: Vec<bool> = bits.iter().map(|&bit| bit < density).collect();
            let expected = brute_force(&features, dims, spacing_mm);
            for (got, want) in everywhere(&features, dims, spacing_mm).iter().zip(&expected) {
                prop_assert!(got == want || (got - want).abs() <= 1e-12 * want, "{got} {want}");
            }
        }

        #[test]
        fn whole_millimetres_are_exact_on_uneven_grids(
            bits in proptest::collection::vec(0u16..1000, 5 * 7 * 11),
            density in 1u16..300,
        ) {
            let dims = Dims([5, 7, 11]);
            let features: Vec<bool> = bits.iter().map(|&bit| bit < density).collect();
            let spacing_mm = [1.0, 3.0, 2.0];
            prop_assert_eq!(
                everywhere(&features, dims, spacing_mm),
                brute_force(&features, dims, spacing_mm)
            );
        }
    }
}
