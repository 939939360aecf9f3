//! CUDA kernels of our own for what decides the speed of a step: convolutions, norms with the activation behind
//! them, pooling, up-sampling, losses of regions and the optimisers' updates.
//!
//! The kernels are CUDA C++ in `kernels/`, compiled by NVRTC when they are first launched, as CubeCL's
//! are, and launched on CubeCL's stream with its memory. Volumes are kept `[b, d, h, w, c]` in memory
//! between them ([`layout`]); no columns are laid out, groups of channels cost nothing, and no sum
//! depends on the order in which blocks run. `tests/cuda/kernels` holds each against f64, run by a
//! CPU; `docs/cuda.md` says what is proved and what is not.
//!
//! Called by the rest of `nets` and by `train/loss.rs` where the device is a CUDA GPU.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};
use burn_cubecl::CubeDevice;

use crate::nets::kernel_choice::{KernelChoice, chosen_kernels};

mod biased_operation;
mod concatenation;
mod conversion;
pub(super) mod convolution;
mod convolution_choice;
mod cubecl_convolution;
mod dense;
mod dropout;
mod geometry;
mod group_max;
mod images;
mod kernel;
mod layout;
pub(super) mod norm;
mod region_loss;
mod region_loss_operation;
pub(super) mod resampling;
mod squared_error;
mod tensor_list;
mod transposed_operation;
mod update;
mod update_operation;

pub(super) use biased_operation::convolve_biased;
pub(super) use concatenation::concatenate;
pub(super) use conversion::{compute_probabilities, convert_volume};
pub(super) use dense::{dense_of_volume, dense_to_volume};
pub(super) use dropout::drop_values;
pub(super) use group_max::group_max;
pub(super) use images::lay_out_images;
pub(crate) use region_loss::RegionLossSettings;
pub(crate) use region_loss_operation::{region_loss, scores_regions};
pub(super) use squared_error::squared_error;
pub(super) use transposed_operation::transposed_convolve;
pub(super) use update::{RuleKind, UpdateSettings};
pub(super) use update_operation::{measure_gradients, update_parameters};

/// True where these kernels compute: on a CUDA GPU, in f32 and bf16, where they are chosen.
pub(super) fn computes<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.dtype(), DType::F32 | DType::BF16) && are_chosen(&tensor.device())
}

/// True on a CUDA GPU where these kernels are chosen.
pub(super) fn are_chosen(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    let is_gpu = matches!(device.as_dispatch(), DispatchDevice::Cube(CubeDevice::Cuda(_)));
    is_gpu && chosen_kernels() != KernelChoice::Cubecl
}

/// True where the norm's kernels compute, too: of no more channels than a block has places and threads for.
pub(super) fn normalises(volume: &Tensor<5>) -> bool {
    computes(volume) && volume.dims()[1] <= norm::MOST_CHANNELS
}

/// True where a bias is added by the kernels, too: its gradient is summed up as a norm's sums are.
pub(super) fn convolves_biased(volume: &Tensor<5>, kernel: &Tensor<5>) -> bool {
    computes(volume) && kernel.dims()[0] <= norm::MOST_CHANNELS
}
