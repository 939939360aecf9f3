//! Passes of a convolution by CubeCL's kernels: the direct ones, whose products are f32, or those that its tuner
//! chooses.

use std::ops::Range;

use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, TensorMetadata};
use burn::tensor::ops::ConvOptions;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::conv::{
    ConvStrategy, conv_data_backward, conv_forward, conv_weight_backward,
};
use burn_cubecl::kernel::{cast, slice};
use burn_cubecl::tensor::CubeTensor;
use cubecl::zspace::Shape;

use crate::nets::cuda::layout::volume_shape;

/// Text of a panic that cannot be: these take any sizes.
const TAKES_ALL: &str = "CubeCL convolves volumes of all sizes";

/// Kernels of CubeCL's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CubeclKernels {
    /// Kernels with a thread for each value, products in f32.
    Direct,
    /// The kernels that its tuner finds to be the fastest, in TF32 or bf16 on tensor cores.
    Tuned,
}

impl CubeclKernels {
    const fn strategy(self) -> ConvStrategy {
        match self {
            Self::Direct => ConvStrategy::Direct,
            Self::Tuned => ConvStrategy::Autotune,
        }
    }
}

/// Sizes that all passes of a convolution have.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvolutionSizes {
    pub(super) side: usize,
    pub(super) stride: usize,
    pub(super) groups: usize,
}

impl ConvolutionSizes {
    /// Padding of half an odd kernel, none of an even one.
    fn options(self) -> ConvOptions<3> {
        let padding = if self.side.is_multiple_of(2) { 0 } else { self.side / 2 };
        ConvOptions::new([self.stride; 3], [padding; 3], [1; 3], self.groups)
    }
}

pub(super) fn convolve(
    volume: CubeTensor,
    kernel: CubeTensor,
    bias: Option<CubeTensor>,
    sizes: ConvolutionSizes,
    kernels: CubeclKernels,
) -> CubeTensor {
    let dtype = volume.dtype;
    let bias = bias.map(|bias| cast(bias, dtype));
    let kernel = cast(kernel, dtype);
    conv_forward::<3>(volume, kernel, bias, sizes.options(), kernels.strategy()).expect(TAKES_ALL)
}

pub(super) fn volume_gradient(
    slopes: CubeTensor,
    kernel: CubeTensor,
    extent: [usize; 3],
    sizes: ConvolutionSizes,
    kernels: CubeclKernels,
) -> CubeTensor {
    let kernel = cast(kernel, slopes.dtype);
    let [samples, inputs] = [volume_shape(&slopes)[0], volume_shape(&kernel)[1] * sizes.groups];
    let [d, h, w] = extent;
    let shape = Shape::from([samples, inputs, d, h, w]);
    conv_data_backward::<3>(slopes, kernel, shape, sizes.options(), kernels.strategy())
        .expect(TAKES_ALL)
}

/// Gradient of the kernel, f32.
pub(super) fn kernel_gradient(
    volume: CubeTensor,
    slopes: CubeTensor,
    sizes: ConvolutionSizes,
    kernels: CubeclKernels,
) -> CubeTensor {
    let gradient = match kernels {
        CubeclKernels::Direct => direct_kernel_gradient(volume, slopes, sizes),
        CubeclKernels::Tuned => {
            let [inputs, outputs] = [&volume, &slopes].map(|tensor| volume_shape(tensor)[1]);
            let ConvolutionSizes { side, groups, .. } = sizes;
            let shape = Shape::from([outputs, inputs / groups, side, side, side]);
            let strategy = kernels.strategy();
            conv_weight_backward::<3>(volume, slopes, shape, sizes.options(), strategy)
                .expect(TAKES_ALL)
        }
    };
    cast(gradient, DType::F32)
}

/// Kernel's gradient as a convolution of the input by the output's gradient, samples in the place of channels, group by
/// group. CubeCL's own way to it tunes the convolution inside, which may then be in TF32.
fn direct_kernel_gradient(
    volume: CubeTensor,
    slopes: CubeTensor,
    sizes: ConvolutionSizes,
) -> CubeTensor {
    let ConvolutionSizes { side, stride, groups } = sizes;
    let [volume, slopes] = [volume, slopes].map(|one| CubeBackend::float_swap_dims(one, 0, 1));
    let options = sizes.options();
    let turned = ConvOptions::new_with_padding([1; 3], options.padding, [stride; 3], 1);
    let of_group = |tensor: &CubeTensor, group: usize| {
        let members = tensor.shape()[0] / groups;
        cut_tensor(tensor.clone(), 0, group * members..(group + 1) * members)
    };
    let gradients = (0..groups).map(|group| {
        let [image, filter] = [&volume, &slopes].map(|tensor| of_group(tensor, group));
        let found = conv_forward::<3>(image, filter, None, turned.clone(), ConvStrategy::Direct);
        let found = CubeBackend::float_swap_dims(found.expect(TAKES_ALL), 0, 1);
        // Where the stride does not divide the extent, there is more than the kernel's size.
        (2..5).fold(found, |tensor, axis| cut_tensor(tensor, axis, 0..side))
    });
    CubeBackend::float_cat(gradients.collect(), 0)
}

/// Keeps a range along one axis.
fn cut_tensor(tensor: CubeTensor, axis: usize, range: Range<usize>) -> CubeTensor {
    let mut ranges: Vec<Range<usize>> = tensor.shape().iter().map(|extent| 0..*extent).collect();
    ranges[axis] = range;
    slice(tensor, &ranges)
}
