//! Randomness as a pure function of a key. There is no other source of it in the crate, so a
//! sample, an order or a weight can be made again from four integers, by any thread, in any order.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Key of one sample of one run: all that its voxels depend on besides case and configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SampleKey {
    /// The run's seed.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Position within the epoch, from 0.
    pub index: u64,
}

/// Purpose of a draw. Part of the key, so that two uses never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Domain {
    /// Order of the cases in an epoch.
    Order = 1,
    /// Patch position.
    Crop = 2,
    /// Augmentation of the patch; each transform has its own stream.
    Augment = 3,
    /// Held-out cases.
    Split = 4,
    /// Voxels in the foreground index.
    Foreground = 5,
    /// Phantom anatomy; each organ has its own stream.
    Phantom = 6,
    /// Initial weights.
    Weights = 7,
    /// Dropout and latent draws.
    Network = 8,
    /// Cases of a bootstrap cohort, which estimates the spread of a mean.
    Bootstrap = 9,
    /// Settings of a search's trial; each setting has its own stream.
    Tuning = 10,
}

/// Keyed ChaCha8 generator: value-stable across platforms and releases.
///
/// The 256-bit key is `seed ‖ epoch ‖ index ‖ domain`, packed, not hashed, so distinct keys cannot
/// collide.
///
/// ```
/// use gliaflow::embed::augmentation::{Domain, KeyedRng, SampleKey};
///
/// let of_sample = |index| KeyedRng::new(SampleKey { seed: 7, epoch: 0, index }, Domain::Augment);
/// assert_eq!(of_sample(3).next_bits(), of_sample(3).next_bits());
/// assert_ne!(of_sample(3).next_bits(), of_sample(4).next_bits());
/// ```
#[derive(Debug, Clone)]
pub struct KeyedRng(ChaCha8Rng);

impl KeyedRng {
    /// Makes the generator of `key` for `domain`.
    pub fn new(key: SampleKey, domain: Domain) -> Self {
        let mut packed = [0u8; 32];
        let words = [key.seed, key.epoch, key.index, domain as u64];
        for (place, word) in packed.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(packed))
    }

    /// Selects an independent stream under the same key; streams never shift each other's draws.
    #[must_use]
    pub fn with_stream(mut self, id: u64) -> Self {
        self.0.set_stream(id);
        self
    }

    /// Draws 64 random bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws uniformly from `[0, 1)`, 53 bits.
    pub fn uniform_unit(&mut self) -> f64 {
        (self.next_bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Draws uniformly from `[low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform_unit()
    }

    /// Draws true with probability `p`.
    pub fn draw_bool(&mut self, p: f64) -> bool {
        self.uniform_unit() < p
    }

    /// Draws uniformly from `0..bound`, without modulo bias (Lemire 2019).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn uniform_below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no element to draw");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let wide = u128::from(self.next_bits()) * u128::from(bound);
            if wide as u64 >= threshold {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Draws from the standard normal distribution (Box–Muller, one of the pair).
    pub fn standard_normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform_unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform_unit()).cos()
    }

    /// Shuffles in place (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.uniform_below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SampleKey = SampleKey { seed: 7, epoch: 1, index: 2 };

    /// A change of these values would make old runs irreproducible. They were computed by a second
    /// implementation of ChaCha8, Lemire's draw and the shuffle, not by this one.
    #[test]
    fn the_same_key_gives_the_same_numbers_for_ever() {
        let rng = |domain| KeyedRng::new(KEY, domain);
        let mut crop = rng(Domain::Crop);
        let bits = [crop.next_bits(), crop.next_bits()];
        assert_eq!(bits, [0xf712_a339_a9e4_8533, 0xb482_a395_6fea_8e7b]);
        assert_eq!(rng(Domain::Crop).with_stream(1).next_bits(), 0x381e_8360_1238_adac);
        let mut crop = rng(Domain::Crop);
        assert_eq!(
            [crop.uniform_unit(), crop.uniform_unit()],
            [0.9651281371860865, 0.7051183929287764]
        );

        let mut order = rng(Domain::Order);
        let small: Vec<u64> = (0..8).map(|_| order.uniform_below(10)).collect();
        assert_eq!(small, [5, 5, 5, 8, 2, 5, 3, 1]);
        // A quarter of the bits is rejected under this bound, the third word among them.
        let mut order = rng(Domain::Order);
        let wide: Vec<u64> = (0..3).map(|_| order.uniform_below(3 << 62)).collect();
        let expected = [0x6a06_5ffe_59f1_30e0, 0x6728_b660_23e3_ee8d, 0xa92f_0c43_8cb1_7655];
        assert_eq!(wide, expected);
        let mut items: Vec<u8> = (0..8).collect();
        rng(Domain::Order).shuffle(&mut items);
        assert_eq!(items, [2, 5, 1, 0, 7, 6, 3, 4]);

        // Logarithm and cosine are the platform's: the last bits may differ.
        let normal = rng(Domain::Phantom).standard_normal();
        assert!((normal - 0.6210689164282402).abs() < 1e-12, "{normal}");
    }

    #[test]
    fn domains_streams_and_seed_epoch_pairs_do_not_share_numbers() {
        let first =
            |key, domain, stream| KeyedRng::new(key, domain).with_stream(stream).next_bits();
        let swapped = SampleKey { seed: 1, epoch: 7, index: 2 };
        let mut seen = vec![
            first(KEY, Domain::Crop, 0),
            first(KEY, Domain::Crop, 1),
            first(KEY, Domain::Augment, 0),
            first(swapped, Domain::Crop, 0),
        ];
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn bounded_draws_are_in_range_and_reach_both_ends() {
        let mut rng = KeyedRng::new(KEY, Domain::Order);
        let drawn: Vec<u64> = (0..200).map(|_| rng.uniform_below(3)).collect();
        assert!((0..3).all(|value| drawn.contains(&value)));
        assert!(drawn.iter().all(|&value| value < 3));
    }

    #[test]
    fn normal_draws_have_zero_mean_and_unit_deviation() {
        let mut rng = KeyedRng::new(KEY, Domain::Phantom);
        let drawn: Vec<f64> = (0..20_000).map(|_| rng.standard_normal()).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
