//! Launches of pooling and trilinear up-sampling by two, forward and backward.

use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::{ChannelsLast, bf16_macro, strides_of, to_field, volume_shape};

/// Bytes of channels that a thread has, and threads of a block.
const GRANULE: usize = 16;
const THREADS: usize = 256;

/// Takes the largest of each 2x2x2 voxels of `[b, c, d, h, w]`, f32 or bf16, all extents even.
pub(in crate::nets) fn max_pool(volume: CubeTensor) -> CubeTensor {
    let volume = ChannelsLast::with_own_pitch(volume);
    let [b, c, d, h, w] = volume_shape(&volume.tensor);
    let coarse = [b, c, d / 2, h / 2, w / 2];
    let target = ChannelsLast::allocate(&volume.tensor, coarse);
    launch_resampling(KernelFile::MaxPool, coarse, 1, &[&volume], &target);
    target.tensor
}

/// Sends the gradient of each maximum to the first of the voxels that have it.
pub(in crate::nets) fn max_pool_gradient(volume: CubeTensor, slopes: CubeTensor) -> CubeTensor {
    let shape = volume_shape(&volume);
    let coarse = volume_shape(&slopes);
    let [volume, slopes] = [volume, slopes].map(ChannelsLast::with_own_pitch);
    let target = ChannelsLast::allocate(&volume.tensor, shape);
    launch_resampling(KernelFile::MaxPoolGradient, coarse, 1, &[&volume, &slopes], &target);
    target.tensor
}

/// Averages each 2x2x2 voxels of `[b, c, d, h, w]`, f32 or bf16, all extents even, whatever its strides.
pub(in crate::nets) fn mean_pool(volume: CubeTensor) -> CubeTensor {
    let [b, c, d, h, w] = volume_shape(&volume);
    let coarse = [b, c, d / 2, h / 2, w / 2];
    let target = ChannelsLast::allocate(&volume, coarse);
    let [_, _, td, th, tw] = coarse;
    let threads = b * td * th * tw * granules_of(&target);
    let sizes = [b, td, th, tw, c, target.pitch].into_iter();
    let fields: Vec<i32> = sizes.chain(strides_of(&volume)).map(to_field).collect();
    CudaKernel::new(KernelFile::MeanPool, &[bf16_macro(volume.dtype)]).launch_blocks(
        &volume.client,
        [threads.div_ceil(THREADS), 1, 1],
        &[&volume.handle, &target.tensor.handle],
        &fields,
    );
    target.tensor
}

/// Reads or writes of 16 bytes in a voxel.
fn granules_of(volume: &ChannelsLast) -> usize {
    volume.pitch * volume.tensor.dtype.size() / GRANULE
}

/// Spreads the gradient of each mean over its voxels.
pub(in crate::nets) fn mean_pool_gradient(slopes: CubeTensor) -> CubeTensor {
    let slopes = ChannelsLast::with_own_pitch(slopes);
    let coarse @ [b, c, d, h, w] = volume_shape(&slopes.tensor);
    let target = ChannelsLast::allocate(&slopes.tensor, [b, c, 2 * d, 2 * h, 2 * w]);
    launch_resampling(KernelFile::MeanPoolGradient, coarse, 2, &[&slopes], &target);
    target.tensor
}

/// Doubles the extents of `[b, c, d, h, w]`, f32 or bf16, with half-pixel centres.
pub(in crate::nets) fn upsample(volume: CubeTensor) -> CubeTensor {
    let volume = ChannelsLast::with_own_pitch(volume);
    let coarse @ [b, c, d, h, w] = volume_shape(&volume.tensor);
    let target = ChannelsLast::allocate(&volume.tensor, [b, c, 2 * d, 2 * h, 2 * w]);
    launch_resampling(KernelFile::Upsample, coarse, 2, &[&volume], &target);
    target.tensor
}

/// Computes the gradient of an up-sampled volume from that of the finer one.
pub(in crate::nets) fn upsample_gradient(slopes: CubeTensor) -> CubeTensor {
    let slopes = ChannelsLast::with_own_pitch(slopes);
    let [b, c, d, h, w] = volume_shape(&slopes.tensor);
    let coarse = [b, c, d / 2, h / 2, w / 2];
    let target = ChannelsLast::allocate(&slopes.tensor, coarse);
    launch_resampling(KernelFile::UpsampleGradient, coarse, 1, &[&slopes], &target);
    target.tensor
}

/// Launches a thread for each 16 bytes of a grid `scale` times as fine as the coarser volume, `coarse`.
fn launch_resampling(
    file: KernelFile,
    coarse: [usize; 5],
    scale: usize,
    sources: &[&ChannelsLast],
    target: &ChannelsLast,
) {
    let [b, c, d, h, w] = coarse;
    let dtype = target.tensor.dtype;
    let threads = b * d * h * w * scale.pow(3) * granules_of(target);
    let fields = [b, d, h, w, c, target.pitch].map(to_field);
    let buffers: Vec<_> =
        sources.iter().map(|source| &source.tensor.handle).chain([&target.tensor.handle]).collect();
    let kernel = CudaKernel::new(file, &[bf16_macro(dtype)]);
    kernel.launch_blocks(
        &target.tensor.client,
        [threads.div_ceil(THREADS), 1, 1],
        &buffers,
        &fields,
    );
}
