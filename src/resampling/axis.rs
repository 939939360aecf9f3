//! Places and weights along one axis.

/// Map between the voxels of two grids along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AxisMap {
    /// Voxels of the grid that is mapped from.
    pub(super) from: usize,
    /// Voxels of the target.
    pub(super) to: usize,
    /// Source voxels per target voxel.
    pub(super) step: f64,
    /// True if the source's slices are thick along this axis.
    pub(super) is_thick: bool,
}

impl AxisMap {
    /// Place of a target voxel among the source's, which may lie behind the last one.
    fn source_place(&self, at: usize) -> f64 {
        at as f64 * self.step
    }
}

/// Source voxels and their weights for each target voxel along one axis.
pub(super) struct AxisWeights {
    taps: usize,
    places: Vec<usize>,
    weights: Vec<f32>,
}

impl AxisWeights {
    /// Weights of linear interpolation; behind the last voxel it is repeated.
    pub(super) fn linear(axis: &AxisMap) -> Self {
        Self::linear_within(axis, 0, axis.from)
    }

    /// Weights of linear interpolation for values of which `extent` from `start` on are there; the
    /// others are 0.
    pub(super) fn linear_within(axis: &AxisMap, start: usize, extent: usize) -> Self {
        let mut own = Self { taps: 2, places: Vec::new(), weights: Vec::new() };
        for at in 0..axis.to {
            let (places, weights) = linear_taps(axis, at);
            for (place, weight) in places.into_iter().zip(weights) {
                let inside = (start..start + extent).contains(&place);
                own.places.push(if inside { place - start } else { 0 });
                own.weights.push(if inside { weight as f32 } else { 0.0 });
            }
        }
        own
    }

    /// Weights of a cubic B-spline's coefficients; behind the last voxel the spline is mirrored.
    pub(super) fn cubic(axis: &AxisMap) -> Self {
        let mut own = Self { taps: 4, places: Vec::new(), weights: Vec::new() };
        for at in 0..axis.to {
            let place = axis.source_place(at);
            let before = place.floor();
            let t = place - before;
            let first = before as i64 - 1;
            own.places.extend((first..first + 4).map(|place| mirror_place(place, axis.from)));
            let weights = [
                (1.0 - t).powi(3),
                4.0 - 6.0 * t * t + 3.0 * t.powi(3),
                1.0 + 3.0 * t + 3.0 * t * t - 3.0 * t.powi(3),
                t.powi(3),
            ];
            own.weights.extend(weights.map(|weight| (weight / 6.0) as f32));
        }
        own
    }

    /// Source places and weights of a target voxel.
    pub(super) fn of_target(&self, at: usize) -> impl Iterator<Item = (usize, f32)> + Clone + '_ {
        let own = at * self.taps..(at + 1) * self.taps;
        self.places[own.clone()].iter().copied().zip(self.weights[own].iter().copied())
    }

    /// Weights of one target voxel alone.
    pub(super) fn of_plane(&self, at: usize) -> Self {
        let (places, weights) = self.of_target(at).unzip();
        Self { taps: self.taps, places, weights }
    }

    /// Number of target voxels.
    pub(super) const fn len(&self) -> usize {
        self.places.len() / self.taps
    }
}

/// The two source voxels around a target voxel, and their weights.
pub(super) fn linear_taps(axis: &AxisMap, at: usize) -> ([usize; 2], [f64; 2]) {
    let last = axis.from - 1;
    let place = axis.source_place(at).min(last as f64);
    let before = place.floor();
    let share = place - before;
    let before = before as usize;
    ([before, (before + 1).min(last)], [1.0 - share, share])
}

/// Place of a voxel of an axis that is mirrored at its first and at its last voxel.
fn mirror_place(place: i64, length: usize) -> usize {
    let period = 2 * (length as i64 - 1);
    if period == 0 {
        return 0;
    }
    let place = place.rem_euclid(period);
    place.min(period - place) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_mirrored_at_its_ends() {
        let found: Vec<usize> = (-3..7).map(|place| mirror_place(place, 3)).collect();
        assert_eq!(found, [1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!((mirror_place(5, 1), mirror_place(-1, 2)), (0, 1));
    }

    #[test]
    fn weights_add_up_to_one_and_behind_the_end_the_last_voxel_is_repeated() {
        let axis = AxisMap { from: 3, to: 15, step: 0.2, is_thick: true };
        for weights in [AxisWeights::linear(&axis), AxisWeights::cubic(&axis)] {
            assert_eq!(weights.len(), 15);
            for at in 0..15 {
                let sum: f32 = weights.of_target(at).map(|(_, weight)| weight).sum();
                assert!((sum - 1.0).abs() < 1e-6, "{at}: {sum}");
            }
        }
        assert_eq!(linear_taps(&axis, 14), ([2, 2], [1.0, 0.0]));
        assert_eq!(linear_taps(&axis, 10), ([2, 2], [1.0, 0.0]));
        let inside = AxisWeights::linear_within(&axis, 1, 1);
        let sums: Vec<f32> =
            (0..15).map(|at| inside.of_target(at).map(|(_, weight)| weight).sum()).collect();
        assert_eq!((sums[0], sums[5], sums[10]), (0.0, 1.0, 0.0));
        assert!(inside.of_target(3).all(|(place, _)| place == 0));
    }
}
