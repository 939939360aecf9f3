//! Sums over many values: lanes in f32 over a short stretch, stretches in f64.

/// Values that are summed in f32: what stays in the first-level cache, and loses no digit that matters.
const STRETCH: usize = 2048;

/// Sums that run beside each other, whatever the processor, so that its vectors decide no bit.
const LANES: usize = 32;

/// Sums `term` of each pair of values.
#[inline(always)]
pub(super) fn sum_pairs<const N: usize>(
    left: &[f32],
    right: &[f32],
    term: impl Fn(f32, f32) -> [f32; N],
) -> [f64; N] {
    let mut total = [0.0; N];
    for (left, right) in left.chunks(STRETCH).zip(right.chunks(STRETCH)) {
        let mut sums = [[0.0_f32; LANES]; N];
        let (lefts, left_rest) = left.as_chunks::<LANES>();
        let (rights, right_rest) = right.as_chunks::<LANES>();
        for (left, right) in lefts.iter().zip(rights) {
            for lane in 0..LANES {
                let terms = term(left[lane], right[lane]);
                for (sums, term) in sums.iter_mut().zip(terms) {
                    sums[lane] += term;
                }
            }
        }
        for (lane, (left, right)) in left_rest.iter().zip(right_rest).enumerate() {
            for (sums, term) in sums.iter_mut().zip(term(*left, *right)) {
                sums[lane] += term;
            }
        }
        for (total, sums) in total.iter_mut().zip(sums) {
            *total += sums.iter().copied().map(f64::from).sum::<f64>();
        }
    }
    total
}

/// Adds sums to sums.
pub(super) fn add_sums<const N: usize>(left: [f64; N], right: [f64; N]) -> [f64; N] {
    std::array::from_fn(|which| left[which] + right[which])
}

/// Number, mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    count: f64,
    pub(super) mean: f64,
    squares: f64,
}

impl Moments {
    /// Computes the moments of values by stretches, each read twice while it is in the cache.
    #[inline(always)]
    pub(super) fn of_values(values: &[f32]) -> Self {
        let mut all = Self::default();
        for stretch in values.chunks(STRETCH) {
            let count = stretch.len() as f64;
            let [sum] = sum_pairs(stretch, stretch, |value, _| [value]);
            let middle = (sum / count) as f32;
            // About the rounded mean, whose distance from the true one is taken off again.
            let [rest, squares] = sum_pairs(stretch, stretch, |value, _| {
                let distance = value - middle;
                [distance, distance * distance]
            });
            let mean = f64::from(middle) + rest / count;
            all = all.merge_with(Self { count, mean, squares: squares - rest * rest / count });
        }
        all
    }

    /// Moments of both (Chan et al. 1979).
    #[inline(always)]
    pub(super) fn merge_with(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let distance = other.mean - self.mean;
        let share = other.count / count;
        Self {
            count,
            mean: distance.mul_add(share, self.mean),
            squares: self.squares + other.squares + distance * distance * self.count * share,
        }
    }

    /// Mean of the squared deviations.
    pub(super) fn variance(self) -> f64 {
        self.squares.max(0.0) / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_f64_far_from_zero() {
        for count in [1, 31, 33, STRETCH, 3 * STRETCH + 45] {
            let values: Vec<f32> =
                (0..count).map(|at| 1000.0 + ((at * 7919) % 1009) as f32 / 500.0).collect();
            let mean = values.iter().copied().map(f64::from).sum::<f64>() / count as f64;
            let squares: f64 = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum();
            let found = Moments::of_values(&values);
            assert!((found.mean - mean).abs() < 1e-9 * mean, "{count}: {} {mean}", found.mean);
            let variance = squares / count as f64;
            assert!((found.variance() - variance).abs() <= 1e-6 * variance, "{count}: {found:?}");
        }
    }
}
