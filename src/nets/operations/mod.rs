//! Operations with gradients of their own, each by passes of the CPU (`nets/cpu`, f32) and by kernels of CUDA
//! GPUs (`nets/cuda`): norms with the activation behind them, pooling and up-sampling by two.
//!
//! Composed of Burn's operations, a norm and its activation are ten passes over a volume, each with memory of its
//! own; here they are two. The record is `benches/runs/2026-11-30-cpu-step.md`.

use burn::tensor::Tensor;

use crate::nets::cpu;
#[cfg(feature = "cuda")]
use crate::nets::cuda;

mod input_gradients;
mod norm;
mod resampling;

#[cfg(feature = "cuda")]
pub(super) use input_gradients::{BackwardPass, InputGradients, Recomputation};
pub(super) use norm::{NormSettings, normalise};
pub(super) use resampling::{max_pool, mean_pool, upsample};

/// True where these operations, and convolutions, have passes or kernels of their own for a volume.
pub(super) fn have_passes(volume: &Tensor<5>) -> bool {
    #[cfg(feature = "cuda")]
    if cuda::computes(volume) {
        return true;
    }
    cpu::computes(volume)
}

/// [`have_passes`] for a norm, whose kernels take no more channels than a block has threads for.
pub(super) fn normalise_by_passes(volume: &Tensor<5>) -> bool {
    #[cfg(feature = "cuda")]
    if cuda::computes(volume) {
        return cuda::normalises(volume);
    }
    cpu::computes(volume)
}
