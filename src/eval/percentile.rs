//! Percentiles with linear interpolation, as `numpy.percentile` computes them by default, so that
//! distances agree with the tools that are built on it to the last bit or nearly so.

/// The `percent`-th percentile of `values`, which are reordered. Linear time.
///
/// Place `(n - 1) * percent / 100` of the sorted values, between neighbours a straight line (the
/// seventh definition of Hyndman and Fan 1996).
///
/// # Panics
/// If there are no values or `percent` is not within 0 to 100.
pub(super) fn percentile(values: &mut [f64], percent: f64) -> f64 {
    assert!(!values.is_empty(), "no values, no percentile");
    assert!((0.0..=100.0).contains(&percent), "{percent} is no percentage");
    let place = (values.len() - 1) as f64 * (percent / 100.0);
    let below = place.floor() as usize;
    let weight = place - place.floor();
    let (_, &mut low, rest) = values.select_nth_unstable_by(below, f64::total_cmp);
    let Some(high) = rest.iter().copied().min_by(f64::total_cmp) else { return low };
    // Measured from the nearer neighbour, which keeps the result between the two.
    if weight < 0.5 { low + (high - low) * weight } else { high - (high - low) * (1.0 - weight) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy 2.4.6: np.percentile([15, 20, 35, 40, 50], [0, 5, 30, 40, 95, 100]).
        let scores = [40.0, 15.0, 50.0, 20.0, 35.0];
        let expected = [(0.0, 15.0), (5.0, 16.0), (30.0, 23.0), (40.0, 29.0), (95.0, 48.0)];
        for (percent, value) in expected.into_iter().chain([(100.0, 50.0)]) {
            assert_eq!(percentile(&mut scores.clone(), percent), value, "{percent}");
        }
        // np.percentile(np.sqrt(np.arange(1000)), 95)
        let mut roots: Vec<f64> = (0..1000).rev().map(|i| f64::from(i).sqrt()).collect();
        assert_eq!(percentile(&mut roots, 95.0), NUMPY_ROOTS_95);
        assert_eq!(percentile(&mut [7.25], 95.0), 7.25);
    }

    const NUMPY_ROOTS_95: f64 = 30.806_654_922_166_032;
}
