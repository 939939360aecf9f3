//! Sigmoid of logits, by vectors on all threads.

use burn::tensor::{Tensor, TensorData};
use pulp::Arch;
use rayon::prelude::*;

use crate::nets::cpu::PIECE;

/// Logits beyond it, on either side, are as good as it: the exponential stays a normal number.
const FARTHEST: f32 = 87.0;
/// Coefficients of `(e^r - 1 - r) / r^2` for `r` of at most half of ln 2, from the highest power down (Cephes, `expf`).
const COEFFICIENTS: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
/// ln 2 in two parts, the first of few bits.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Added to a number it leaves the nearest integer in the last bits.
const ROUNDING: f32 = 12_582_912.0;
const EXPONENT_BIAS: u32 = 127;
const MANTISSA_BITS: u32 = 23;

/// Sigmoid of each logit, `[b, c, d, h, w]`.
pub(in crate::nets) fn sigmoid(logits: Tensor<5>) -> Tensor<5> {
    let (device, shape) = (logits.device(), logits.shape());
    let mut values =
        logits.into_data().try_into_vec::<f32>().expect("passes on the CPU are for f32");
    values.par_chunks_mut(PIECE).for_each(|values| {
        Arch::new().dispatch(
            #[inline(always)]
            || values.iter_mut().for_each(|value| *value = sigmoid_of(*value)),
        );
    });
    Tensor::from_data(TensorData::new(values, shape), &device)
}

#[inline(always)]
fn sigmoid_of(logit: f32) -> f32 {
    // A number that is none stays so.
    let logit = if logit > FARTHEST { FARTHEST } else { logit };
    let logit = if logit < -FARTHEST { -FARTHEST } else { logit };
    let power = logit * -std::f32::consts::LOG2_E + ROUNDING;
    let rounded = power - ROUNDING;
    let rest = -logit - rounded * LN_2[0] - rounded * LN_2[1];
    let [first, others @ ..] = COEFFICIENTS;
    let sum = others.into_iter().fold(first, |sum, next| sum * rest + next);
    let exponent = power.to_bits().wrapping_sub(ROUNDING.to_bits()).wrapping_add(EXPONENT_BIAS);
    let scale = f32::from_bits(exponent << MANTISSA_BITS);
    let exponential = (sum * rest * rest + rest + 1.0) * scale;
    1.0 / (1.0 + exponential)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn probabilities_are_those_of_f64() {
        let logits: Vec<f32> = (-100_000..=100_000).map(|at| at as f32 * 1e-3).collect();
        let count = logits.len();
        let shape = [1, 1, 1, 1, count];
        let found =
            sigmoid(Tensor::from_data(TensorData::new(logits.clone(), shape), &Device::flex()));
        for (logit, found) in logits.into_iter().zip(found.into_data().iter::<f32>()) {
            let exact = 1.0 / (1.0 + (-f64::from(logit)).exp());
            let error = (f64::from(found) - exact).abs();
            assert!(error < 3e-7 * exact + 1e-37, "{logit}: {found} and {exact}");
        }
    }

    #[test]
    fn no_number_stays_none_and_infinity_is_certain() {
        assert!(sigmoid_of(f32::NAN).is_nan());
        assert_eq!(sigmoid_of(f32::INFINITY), 1.0);
        assert!(sigmoid_of(f32::NEG_INFINITY) < 1e-37);
    }
}
