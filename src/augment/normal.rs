//! Counter-based, nearly normal random numbers: a voxel's number follows from a key and the voxel
//! alone, independent of the order of the voxels and of the machine.
//!
//! Two rounds of an integer hash give eight bytes; their sum, centred and scaled to variance 1, is
//! close to normal (Irwin–Hall: no value beyond 4.9, kurtosis 2.85) in steps of 0.005. Box–Muller
//! would need a logarithm and a cosine, whose last bits differ between libraries.

/// Mean of the sum of eight bytes.
const MEAN: i32 = 1020;

/// Reciprocal of the standard deviation of that sum, whose variance is 8 (256² - 1)
/// 12.
const SCALE: f32 = 0.004_784_154_6;

/// Random number `counter` of the field of `key`: mean 0, variance 1.
#[inline(always)]
pub(super) fn counter_normal(key: [u32; 2], counter: u32) -> f32 {
    let first = hash_word(counter ^ key[0]);
    let second = hash_word(first ^ key[1]);
    let pairs = byte_pairs(first) + byte_pairs(second);
    let sum = (pairs & 0xffff) + (pairs >> 16);
    (sum as i32 - MEAN) as f32 * SCALE
}

/// Sums of the even and of the odd two bytes, one in each half.
#[inline(always)]
fn byte_pairs(word: u32) -> u32 {
    (word & 0x00ff_00ff) + (word >> 8 & 0x00ff_00ff)
}

/// Mixes 32 bits, each into all (C. Wellons, "Prospecting for Hash Functions", 2018: lowbias32).
#[inline(always)]
fn hash_word(word: u32) -> u32 {
    let mixed = (word ^ word >> 16).wrapping_mul(0x7feb_352d);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x846c_a68b);
    mixed ^ mixed >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u32; 2] = [0x1234_5678, 0x9abc_def0];
    const COUNT: usize = 1 << 20;

    fn field(key: [u32; 2]) -> Vec<f64> {
        (0..COUNT as u32).map(|counter| f64::from(counter_normal(key, counter))).collect()
    }

    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn the_numbers_of_a_key_stay_what_they_are() {
        let numbers: Vec<i32> =
            (0..4).map(|counter| (counter_normal(KEY, counter) / SCALE).round() as i32).collect();
        assert_eq!(numbers, [83, -52, -9, 154]);
    }

    #[test]
    fn moments_are_those_of_a_normal_number_nearly() {
        let numbers = field(KEY);
        let moment = |power: i32| {
            numbers.iter().map(|number| number.powi(power)).sum::<f64>() / COUNT as f64
        };
        // Standard errors: 0.001, 0.0013, 0.004, 0.009.
        assert!(moment(1).abs() < 0.005, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.007, "{}", moment(2));
        assert!(moment(3).abs() < 0.02, "{}", moment(3));
        assert!((moment(4) - 2.85).abs() < 0.05, "{}", moment(4));
        let beyond = numbers.iter().filter(|number| number.abs() > 1.959_964).count();
        assert!((beyond as f64 / COUNT as f64 - 0.05).abs() < 0.002, "{beyond}");
    }

    #[test]
    fn neighbours_rows_modalities_and_samples_do_not_follow_one_another() {
        let numbers = field(KEY);
        // Modalities are 1 apart, voxels 4, rows of 128 voxels 512.
        for lag in [1, 2, 3, 4, 8, 512, 1024, 65_536] {
            let value = correlation(&numbers[lag..], &numbers[..COUNT - lag]);
            assert!(value.abs() < 0.006, "lag {lag}: {value}");
        }
        for other in [[KEY[0] ^ 1, KEY[1]], [KEY[1], KEY[0]], [1, 2]] {
            let value = correlation(&numbers, &field(other));
            assert!(value.abs() < 0.006, "{other:?}: {value}");
        }
    }
}
