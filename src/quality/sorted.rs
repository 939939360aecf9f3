//! Values of a volume in ascending order: everything that is measured is a walk over them.

use crate::volume::Voxels;

/// Codes of i16.
const CODES: usize = 1 << 16;

/// Finite values of a volume, in an order that can be walked upwards.
pub(super) enum SortedValues {
    /// Occurrences of each value of i16, from the lowest on: no sorting for nearly all MRI.
    Counts(Box<[u32]>),
    /// Values in ascending order.
    Reals(Vec<f64>),
    /// Distinct values with how often they occur, ascending.
    Runs(Vec<(f64, u64)>),
}

impl SortedValues {
    /// Collects the finite values at the places that `keep` names.
    pub(super) fn collect(voxels: &Voxels, keep: impl Fn(usize, f64) -> bool) -> Self {
        if let Voxels::I16(values) = voxels {
            let mut counts = vec![0u32; CODES].into_boxed_slice();
            for (place, &value) in values.iter().enumerate() {
                let code = usize::from(value.wrapping_sub(i16::MIN) as u16);
                counts[code] += u32::from(keep(place, f64::from(value)));
            }
            return Self::Counts(counts);
        }
        let kept = voxels.iter().enumerate();
        let mut values: Vec<f64> = kept
            .filter(|&(place, value)| value.is_finite() && keep(place, value))
            .map(|(_, value)| value)
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        Self::Reals(values)
    }

    /// Distinct values with how often they occur, ascending.
    pub(super) fn value_runs(&self) -> Box<dyn Iterator<Item = (f64, u64)> + '_> {
        match self {
            Self::Counts(counts) => {
                let codes = (i16::MIN..=i16::MAX).zip(counts.iter());
                let occurring = codes.filter(|(_, times)| **times > 0);
                Box::new(occurring.map(|(code, times)| (f64::from(code), u64::from(*times))))
            }
            Self::Runs(runs) => Box::new(runs.iter().copied()),
            Self::Reals(values) => {
                let runs = values.chunk_by(|a, b| a == b);
                Box::new(runs.map(|run| (run[0], run.len() as u64)))
            }
        }
    }
}

/// Most frequent of ascending values with its count; the lowest of several.
pub(super) fn most_frequent(values: &SortedValues) -> Option<(f64, u64)> {
    values.value_runs().fold(None, |best, run| match best {
        Some((_, times)) if times >= run.1 => best,
        _ => Some(run),
    })
}

/// Values at ascending ranks, counted from 0, of `runs`; the last value beyond the end.
///
/// # Panics
/// If there is no value.
pub(super) fn values_at_ranks<const N: usize>(
    runs: impl Iterator<Item = (f64, u64)>,
    ranks: [u64; N],
) -> [f64; N] {
    let mut runs = runs;
    let (mut value, mut seen) = runs.next().expect("the caller has counted at least one");
    ranks.map(|rank| {
        while seen <= rank
            && let Some((next, times)) = runs.next()
        {
            value = next;
            seen += times;
        }
        value
    })
}

/// Values between which all but the outermost 0.5 % on each side lie; at least the lowest and the
/// highest of three or more values are left out, so that one spike never decides.
///
/// # Panics
/// If `count` is 0.
pub(super) fn central_range(runs: impl Iterator<Item = (f64, u64)>, count: u64) -> (f64, f64) {
    let last = count - 1;
    let outside = if count < 3 { 0 } else { ((last as f64 * 0.005).ceil() as u64).max(1) };
    let [low, high] = values_at_ranks(runs, [outside, last - outside]);
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_reals_are_walked_alike() {
        let whole = [5i16, -32768, 0, 5, 32767, 5, 0];
        let wanted = [(-32768.0, 1), (0.0, 2), (5.0, 3), (32767.0, 1)];
        let reals = whole.map(f32::from).to_vec();
        let with_nan = [reals.clone(), vec![f32::NAN, f32::INFINITY]].concat();
        for voxels in
            [Voxels::from_whole(whole.to_vec()), Voxels::F32(reals), Voxels::F32(with_nan)]
        {
            let sorted = SortedValues::collect(&voxels, |_, _| true);
            assert_eq!(sorted.value_runs().collect::<Vec<_>>(), wanted);
            assert_eq!(most_frequent(&sorted), Some((5.0, 3)));
            assert_eq!(
                values_at_ranks(sorted.value_runs(), [0, 2, 3, 6, 9]),
                [-32768.0, 0.0, 5.0, 32767.0, 32767.0]
            );
        }
    }

    #[test]
    fn one_spike_on_each_side_is_outside_the_central_range_of_any_image() {
        for count in [3u64, 10, 200, 5000] {
            let runs = [(-1e9, 1), (0.0, 1), (1.0, count - 3), (1e9, 1)];
            let runs = runs.into_iter().filter(|(_, times)| *times > 0);
            let (low, high) = central_range(runs, count);
            assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high), "{count}");
        }
        assert_eq!(central_range([(7.0, 1)].into_iter(), 1), (7.0, 7.0));
        assert_eq!(central_range([(7.0, 1), (9.0, 1)].into_iter(), 2), (7.0, 9.0));
    }
}
