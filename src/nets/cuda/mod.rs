//! CUDA kernels of our own for what decides the speed of a step: convolutions, in all three passes, and norms
//! with the activation behind them.
//!
//! The kernels are CUDA C++ in `kernels/`, compiled by NVRTC when they are first launched, as CubeCL's
//! are, and launched on CubeCL's stream with its memory. Volumes are kept `[b, d, h, w, c]` in memory
//! between them ([`layout`]); no columns are laid out, groups of channels cost nothing, and no sum
//! depends on the order in which blocks run. `tests/cuda/kernels` holds each against f64, run by a
//! CPU; `docs/cuda.md` says what is proved and what is not.
//!
//! Called by `nets/convolution` and `nets/norm.rs` where the device is a CUDA GPU.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeDevice;

use crate::nets::kernel_choice::{KernelChoice, chosen_kernels};

mod concatenation;
pub(super) mod convolution;
mod geometry;
mod kernel;
mod layout;
mod norm;
mod norm_operation;
mod region_loss;
mod region_loss_operation;
mod resampling;
mod resampling_operation;
mod tensor_list;
mod transposed_operation;
mod update;
mod update_operation;

pub(super) use concatenation::concatenate;
pub(super) use norm::NormSettings;
pub(super) use norm_operation::normalise;
pub(crate) use region_loss::RegionLossSettings;
pub(crate) use region_loss_operation::{region_loss, scores_regions};
pub(super) use resampling_operation::{max_pool, upsample};
pub(super) use transposed_operation::transposed_convolve;
pub(super) use update::{RuleKind, UpdateSettings};
pub(super) use update_operation::{measure_gradients, update_parameters};

/// True where these kernels compute: on a CUDA GPU, in f32 and bf16, where they are chosen.
pub(super) fn computes<const D: usize>(tensor: &Tensor<D>) -> bool {
    if chosen_kernels() != KernelChoice::Own {
        return false;
    }
    let device = tensor.device().without_autodiff();
    let is_gpu = matches!(device.as_dispatch(), DispatchDevice::Cube(CubeDevice::Cuda(_)));
    is_gpu && matches!(tensor.dtype(), DType::F32 | DType::BF16)
}

/// True where the norm's kernels compute, too: of no more channels than a block has places and threads for.
pub(super) fn normalises(volume: &Tensor<5>) -> bool {
    computes(volume) && volume.dims()[1] <= norm::MOST_CHANNELS
}
