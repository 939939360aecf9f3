//! Convolution with a bias as one operation of CUDA GPUs: the bias is added where sums are written.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::layout::ChannelsLast;
use crate::nets::cuda::{convolution, norm};

/// Convolves like `nets/convolution`, and adds a bias `[k]`, f32.
pub(in crate::nets) fn convolve_biased(
    volume: Tensor<5>,
    kernel: Tensor<5>,
    bias: Tensor<1>,
    stride: usize,
    groups: usize,
) -> Tensor<5> {
    let [volume, kernel, bias] =
        [volume.into_dispatch(), kernel.into_dispatch(), bias.into_dispatch()];
    let shape = BiasedPass { extent: [0; 3], side: 0, stride, groups };
    Tensor::from_dispatch(<Dispatch as ConvolveBiased>::convolve_biased(
        volume, kernel, bias, shape,
    ))
}

/// Stride and groups of a convolution, and for the way back the extent of its input and the side of its kernel.
#[derive(Debug, Clone, Copy)]
pub(in crate::nets) struct BiasedPass {
    extent: [usize; 3],
    side: usize,
    stride: usize,
    groups: usize,
}

/// Passes of a convolution with a bias.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait ConvolveBiased: Backend {
    #[fusion(dtype = volume, shape = output_shape(volume, kernel, *shape))]
    fn convolve_biased(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shape: BiasedPass,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = slopes, shape = volume_shape(slopes, kernel, *shape))]
    fn biased_volume_gradient(
        slopes: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        shape: BiasedPass,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = DType::F32, shape = kernel_shape(volume, slopes, *shape))]
    fn biased_kernel_gradient(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        shape: BiasedPass,
    ) -> FloatTensor<Self>;

    /// The same volume, laid out as the gradients' passes read it, so that it is laid out once for all three.
    #[fusion(dtype = volume, shape = volume)]
    fn lay_out_channels_last(volume: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradient of the bias: sums over samples and voxels.
    #[fusion(dtype = DType::F32, shape = Shape::from([slopes[1]]))]
    fn bias_gradient(slopes: FloatTensor<Self>) -> FloatTensor<Self>;
}

fn output_shape(volume: &Shape, kernel: &Shape, shape: BiasedPass) -> Shape {
    let along = |axis: usize| volume[axis].div_ceil(shape.stride);
    Shape::from([volume[0], kernel[0], along(2), along(3), along(4)])
}

fn volume_shape(slopes: &Shape, kernel: &Shape, shape: BiasedPass) -> Shape {
    let [d, h, w] = shape.extent;
    Shape::from([slopes[0], kernel[1] * shape.groups, d, h, w])
}

fn kernel_shape(volume: &Shape, slopes: &Shape, shape: BiasedPass) -> Shape {
    Shape::from([slopes[1], volume[1] / shape.groups, shape.side, shape.side, shape.side])
}

impl ConvolveBiased for CubeBackend {
    fn convolve_biased(
        volume: CubeTensor,
        kernel: CubeTensor,
        bias: CubeTensor,
        shape: BiasedPass,
    ) -> CubeTensor {
        convolution::convolve(volume, kernel, Some(bias), shape.stride, shape.groups)
    }

    fn biased_volume_gradient(
        slopes: CubeTensor,
        kernel: CubeTensor,
        shape: BiasedPass,
    ) -> CubeTensor {
        convolution::volume_gradient(slopes, kernel, shape.extent, shape.stride, shape.groups)
    }

    fn biased_kernel_gradient(
        volume: CubeTensor,
        slopes: CubeTensor,
        shape: BiasedPass,
    ) -> CubeTensor {
        convolution::kernel_gradient(volume, slopes, shape.side, shape.stride, shape.groups)
    }

    fn lay_out_channels_last(volume: CubeTensor) -> CubeTensor {
        ChannelsLast::with_own_pitch(volume).tensor
    }

    fn bias_gradient(slopes: CubeTensor) -> CubeTensor {
        norm::channel_sums(slopes)
    }
}

impl<B: ConvolveBiased, C: CheckpointStrategy> ConvolveBiased for Autodiff<B, C> {
    fn convolve_biased(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shape: BiasedPass,
    ) -> FloatTensor<Self> {
        let nodes = [volume.node(), kernel.node(), bias.node()];
        match BiasedBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut tracked) => {
                let inputs = [tracked.checkpoint(&volume), tracked.checkpoint(&kernel)];
                let [volume, kernel, bias] =
                    [volume, kernel, bias].map(|tensor| tensor.into_primitive());
                let of_volume = volume.shape();
                let extent = [of_volume[2], of_volume[3], of_volume[4]];
                let shape = BiasedPass { extent, side: kernel.shape()[2], ..shape };
                tracked.finish((inputs, shape), B::convolve_biased(volume, kernel, bias, shape))
            }
            OpsKind::UnTracked(untracked) => {
                let [volume, kernel, bias] =
                    [volume, kernel, bias].map(|tensor| tensor.into_primitive());
                untracked.finish(B::convolve_biased(volume, kernel, bias, shape))
            }
        }
    }

    fn biased_volume_gradient(
        slopes: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        shape: BiasedPass,
    ) -> FloatTensor<Self> {
        let (slopes, kernel) = (slopes.into_primitive(), kernel.into_primitive());
        Self::from_inner(B::biased_volume_gradient(slopes, kernel, shape))
    }

    fn biased_kernel_gradient(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        shape: BiasedPass,
    ) -> FloatTensor<Self> {
        let (volume, slopes) = (volume.into_primitive(), slopes.into_primitive());
        Self::from_inner(B::biased_kernel_gradient(volume, slopes, shape))
    }

    fn lay_out_channels_last(volume: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::lay_out_channels_last(volume.into_primitive()))
    }

    fn bias_gradient(slopes: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::bias_gradient(slopes.into_primitive()))
    }
}

#[derive(Debug)]
struct BiasedBackward;

impl<B: ConvolveBiased> Backward<B, 3> for BiasedBackward {
    /// Volume and kernel, and what else is known of the convolution.
    type State = ([NodeId; 2], BiasedPass);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [of_volume, of_kernel, of_bias] = ops.parents;
        let slopes = B::lay_out_channels_last(gradients.consume::<B>(&ops.node));
        let (inputs, shape) = ops.state;
        let [volume, kernel] =
            inputs.map(|input| checkpointer.retrieve_node_output::<FloatTensor<B>>(input));
        if let Some(node) = of_bias {
            gradients.register::<B>(node.id, B::bias_gradient(slopes.clone()));
        }
        if let Some(node) = of_kernel {
            let gradient = B::biased_kernel_gradient(volume, slopes.clone(), shape);
            gradients.register::<B>(node.id, gradient);
        }
        if let Some(node) = of_volume {
            gradients.register::<B>(node.id, B::biased_volume_gradient(slopes, kernel, shape));
        }
    }
}
