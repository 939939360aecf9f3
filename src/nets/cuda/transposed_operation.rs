//! Transposed convolution by two as an operation of CUDA GPUs: the gradient of the input of a convolution
//! whose kernel is 2x2x2 and whose stride is 2, and that convolution on the way back.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::convolution;
use crate::nets::cuda::layout::volume_shape;

/// Side of the kernel, and stride.
const SIDE: usize = 2;

/// Convolves `[b, c, d, h, w]`, f32 or bf16, transposed, with a kernel `[c, k, 2, 2, 2]`, f32, to
/// `[b, k, 2d, 2h, 2w]`.
pub(in crate::nets) fn transposed_convolve(volume: Tensor<5>, kernel: Tensor<5>) -> Tensor<5> {
    let (volume, kernel) = (volume.into_dispatch(), kernel.into_dispatch());
    Tensor::from_dispatch(<Dispatch as TransposedConvolve>::transposed_convolve(volume, kernel))
}

/// Passes of a transposed convolution.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait TransposedConvolve: Backend {
    #[fusion(dtype = volume, shape = doubled_shape(volume, kernel))]
    fn transposed_convolve(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradient of the volume, from that of the finer one.
    #[fusion(dtype = slopes, shape = halved_shape(slopes, kernel))]
    fn transposed_volume_gradient(
        slopes: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradient of the kernel.
    #[fusion(dtype = DType::F32, shape = kernel_shape(volume, slopes))]
    fn transposed_kernel_gradient(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

fn doubled_shape(volume: &Shape, kernel: &Shape) -> Shape {
    Shape::from([volume[0], kernel[1], SIDE * volume[2], SIDE * volume[3], SIDE * volume[4]])
}

fn halved_shape(slopes: &Shape, kernel: &Shape) -> Shape {
    Shape::from([slopes[0], kernel[0], slopes[2] / SIDE, slopes[3] / SIDE, slopes[4] / SIDE])
}

fn kernel_shape(volume: &Shape, slopes: &Shape) -> Shape {
    Shape::from([volume[1], slopes[1], SIDE, SIDE, SIDE])
}

impl TransposedConvolve for CubeBackend {
    fn transposed_convolve(volume: CubeTensor, kernel: CubeTensor) -> CubeTensor {
        let [_, _, d, h, w] = volume_shape(&volume);
        let extent = [d, h, w].map(|axis| SIDE * axis);
        convolution::volume_gradient(volume, kernel, extent, SIDE, 1)
    }

    fn transposed_volume_gradient(slopes: CubeTensor, kernel: CubeTensor) -> CubeTensor {
        convolution::convolve(slopes, kernel, None, SIDE, 1)
    }

    fn transposed_kernel_gradient(volume: CubeTensor, slopes: CubeTensor) -> CubeTensor {
        convolution::kernel_gradient(slopes, volume, SIDE, SIDE, 1)
    }
}

impl<B: TransposedConvolve, C: CheckpointStrategy> TransposedConvolve for Autodiff<B, C> {
    fn transposed_convolve(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [volume.node(), kernel.node()];
        match TransposedBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut tracked) => {
                let inputs = [tracked.checkpoint(&volume), tracked.checkpoint(&kernel)];
                let (volume, kernel) = (volume.into_primitive(), kernel.into_primitive());
                tracked.finish(inputs, B::transposed_convolve(volume, kernel))
            }
            OpsKind::UnTracked(untracked) => {
                let (volume, kernel) = (volume.into_primitive(), kernel.into_primitive());
                untracked.finish(B::transposed_convolve(volume, kernel))
            }
        }
    }

    fn transposed_volume_gradient(
        slopes: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (slopes, kernel) = (slopes.into_primitive(), kernel.into_primitive());
        Self::from_inner(B::transposed_volume_gradient(slopes, kernel))
    }

    fn transposed_kernel_gradient(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (volume, slopes) = (volume.into_primitive(), slopes.into_primitive());
        Self::from_inner(B::transposed_kernel_gradient(volume, slopes))
    }
}

#[derive(Debug)]
struct TransposedBackward;

impl<B: TransposedConvolve> Backward<B, 2> for TransposedBackward {
    /// Volume and kernel.
    type State = [NodeId; 2];

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [of_volume, of_kernel] = ops.parents;
        let slopes = gradients.consume::<B>(&ops.node);
        let [volume, kernel] =
            ops.state.map(|input| checkpointer.retrieve_node_output::<FloatTensor<B>>(input));
        if let Some(node) = of_kernel {
            let gradient = B::transposed_kernel_gradient(volume, slopes.clone());
            gradients.register::<B>(node.id, gradient);
        }
        if let Some(node) = of_volume {
            gradients.register::<B>(node.id, B::transposed_volume_gradient(slopes, kernel));
        }
    }
}
