//! Numbers that every implementation can make: inputs and weights come from them, and the vectors
//! that tensors are projected on.

/// Number of vectors that a tensor of the oracle is projected on.
const DIRECTIONS: u64 = 2;

/// `count` numbers in `[0, 1)` of the SplitMix64 sequence of `seed`.
pub(super) fn units(count: usize, seed: u64) -> Vec<f64> {
    let unit = |place: u64| {
        let mut z = seed.wrapping_add(place.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    };
    (1..=count as u64).map(unit).collect()
}

/// `units` scaled to `[low, high)`.
pub(super) fn uniform(count: usize, seed: u64, low: f64, high: f64) -> Vec<f32> {
    units(count, seed).into_iter().map(|unit| (low + (high - low) * unit) as f32).collect()
}

/// Largest difference between the products of `values` with vectors of U(-1, 1), of the seeds from
/// `seed` on, and the oracle's products, as a share of the vectors' length.
///
/// Where the values differ at random by `e` each, so does this; where they are in another order or
/// have another sign, it is as large as they are.
pub(super) fn off_projections(values: &[f32], expected: &[f32], seed: u64) -> f64 {
    assert_eq!(expected.len() as u64, DIRECTIONS);
    let off = |(&expected, seed): (&f32, u64)| {
        let direction = uniform(values.len(), seed, -1.0, 1.0);
        let pairs = values.iter().zip(&direction);
        let product: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let length = direction.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>().sqrt();
        (product - f64::from(expected)).abs() / length
    };
    expected.iter().zip(seed..).map(off).fold(0.0, f64::max)
}
