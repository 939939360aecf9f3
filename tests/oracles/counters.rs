//! Numbers that every implementation can make: inputs and weights come from them.

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
