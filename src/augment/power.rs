//! `base^exponent` for a base from 0 to 1, from exactly specified operations only: the same bits on
//! every machine, and loops over it are vectorised.
//!
//! `2^(exponent * log2 base)`, both by series: log2 by that of the inverse hyperbolic tangent,
//! whose argument stays below 0.172, the power by that of the exponential, below 0.347. Cut where
//! the next term is less than a hundredth of an f32's last place. Absolute error below 5e-7.

use std::f32::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E};

/// Addend that rounds a small f32 to a whole number, which is then the low bits of the sum.
const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23

/// Smallest base; below, the power is 0: 1e-30^0.5 is 1e-15.
const LEAST: f32 = 1e-30;

/// `base^exponent`; `base` from 0 to 1, `exponent` from 0.5 to 2.
#[inline(always)]
pub(super) fn power(base: f32, exponent: f32) -> f32 {
    let positive = base.max(LEAST);
    let result = exp2(exponent * log2(positive));
    if base < LEAST { 0.0 } else { result }
}

/// Binary logarithm of a normal positive number.
#[inline(always)]
fn log2(value: f32) -> f32 {
    // The power of two that leaves a fraction from sqrt(1/2) to sqrt(2).
    let offset = value.to_bits().wrapping_sub(FRAC_1_SQRT_2.to_bits());
    let whole = offset as i32 >> 23;
    let fraction = f32::from_bits(value.to_bits().wrapping_sub((whole << 23) as u32));
    let s = (fraction - 1.0) / (fraction + 1.0);
    let square = s * s;
    let series = 1.0 / 9.0;
    let series = series * square + 1.0 / 7.0;
    let series = series * square + 1.0 / 5.0;
    let series = series * square + 1.0 / 3.0;
    let series = series * square + 1.0;
    whole as f32 + 2.0 * LOG2_E * s * series
}

/// `2^value` for a value from -125 to 1.
#[inline(always)]
fn exp2(value: f32) -> f32 {
    let clamped = value.max(-125.0);
    let rounded = clamped + ROUNDER;
    let x = (clamped - (rounded - ROUNDER)) * LN_2;
    let series = 1.0 / 5040.0;
    let series = series * x + 1.0 / 720.0;
    let series = series * x + 1.0 / 120.0;
    let series = series * x + 1.0 / 24.0;
    let series = series * x + 1.0 / 6.0;
    let series = series * x + 0.5;
    let series = series * x + 1.0;
    let series = series * x + 1.0;
    let whole = rounded.to_bits().wrapping_sub(ROUNDER.to_bits());
    series * f32::from_bits(whole.wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_librarys_power_to_single_precision() {
        let mut worst = 0.0f64;
        for exponent in [0.5f32, 0.7, 0.999, 1.0, 1.3, 1.5, 2.0] {
            for step in 0..=100_000u32 {
                let base = step as f32 / 100_000.0;
                let wanted = f64::from(base).powf(f64::from(exponent));
                worst = worst.max((f64::from(power(base, exponent)) - wanted).abs());
            }
        }
        assert!(worst < 5e-7, "{worst:e}");
    }

    #[test]
    fn the_ends_and_the_smallest_bases_hold() {
        for exponent in [0.5, 0.7, 1.0, 2.0] {
            assert_eq!((power(0.0, exponent), power(1.0, exponent)), (0.0, 1.0));
            for base in [f32::MIN_POSITIVE, 1e-30, 1e-20, 1e-7] {
                let wanted = base.powf(exponent);
                assert!((power(base, exponent) - wanted).abs() < 1e-9, "{base:e} {exponent}");
            }
        }
    }
}
