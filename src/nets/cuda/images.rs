//! Images as an operation of CUDA GPUs: from the type and layout of their transfer to those of a network.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::{ChannelsLast, bf16_macro, to_field, volume_shape};

/// Threads of a block, and bytes of channels that each writes.
const THREADS: usize = 256;
const GRANULE: usize = 16;

/// Converts images `[b, c, d, h, w]` in f16 to f32 or bf16, the channels of a voxel side by side. They have no
/// gradient.
pub(in crate::nets) fn lay_out_images(images: Tensor<5>, dtype: DType) -> Tensor<5> {
    let images = images.into_dispatch();
    Tensor::from_dispatch(<Dispatch as LayOutImages>::lay_out_images(images, dtype))
}

/// Conversion of images.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait LayOutImages: Backend {
    #[fusion(dtype = *dtype, shape = images)]
    fn lay_out_images(images: FloatTensor<Self>, dtype: DType) -> FloatTensor<Self>;
}

impl LayOutImages for CubeBackend {
    fn lay_out_images(images: CubeTensor, dtype: DType) -> CubeTensor {
        let shape @ [b, c, d, h, w] = volume_shape(&images);
        let images = into_contiguous(images);
        let target = ChannelsLast::allocate_as(&images, shape, dtype);
        let voxels = d * h * w;
        let granules = b * voxels * (target.pitch * dtype.size() / GRANULE);
        let fields = [b, voxels, c, target.pitch].map(to_field);
        CudaKernel::new(KernelFile::LayOutImages, &[bf16_macro(dtype)]).launch_blocks(
            &images.client,
            [granules.div_ceil(THREADS), 1, 1],
            &[&images.handle, &target.tensor.handle],
            &fields,
        );
        target.tensor
    }
}

impl<B: LayOutImages, C: CheckpointStrategy> LayOutImages for Autodiff<B, C> {
    fn lay_out_images(images: FloatTensor<Self>, dtype: DType) -> FloatTensor<Self> {
        Self::from_inner(B::lay_out_images(images.into_primitive(), dtype))
    }
}
