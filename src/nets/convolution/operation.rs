//! Convolution as an operation of its own, with gradients of its own, on the CPU and on CUDA GPUs.
//!
//! Burn's own on the CPU (flex 0.22.1) lays out columns one value at a time, and computes the gradient of a
//! kernel by a convolution whose kernel is the whole output gradient. Here values are read where
//! they lie in a window of a few planes, into sums that stay in vector registers. The record is
//! `benches/runs/2026-11-24-step.md`. On CUDA GPUs, the passes are those of `nets/cuda`.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, TensorMetadata, backend_extension,
};
use burn::tensor::Tensor;
#[cfg(feature = "cuda")]
use burn::tensor::{DType, Shape};
#[cfg(feature = "cuda")]
use burn_cubecl::{CubeBackend, tensor::CubeTensor};

#[cfg(feature = "cuda")]
use crate::nets::cuda::convolution as cuda;

/// Convolves `[b, c, d, h, w]` with a zero-padded kernel `[k, c/groups, s, s, s]` of odd size to
/// `[b, k, d', h', w']`, `d' = ceil(d / stride)`. On the CPU both are f32; on a CUDA GPU the volume is f32
/// or bf16 and the kernel f32, 1 or 3 voxels wide.
pub(super) fn convolve(
    volume: Tensor<5>,
    kernel: Tensor<5>,
    stride: usize,
    groups: usize,
) -> Tensor<5> {
    let volume = volume.into_dispatch();
    let kernel = kernel.into_dispatch();
    Tensor::from_dispatch(<Dispatch as Convolve>::convolve(volume, kernel, stride, groups))
}

/// Passes of a convolution.
#[backend_extension(Flex, Cube: cfg(feature = "cuda"), Autodiff, Fusion: cfg(feature = "cuda"))]
pub(super) trait Convolve: Backend {
    #[fusion(dtype = volume, shape = output_shape(volume, kernel, *stride))]
    fn convolve(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        stride: usize,
        groups: usize,
    ) -> FloatTensor<Self>;

    /// Gradient of a volume of extent `[d, h, w]`, from its output's.
    #[fusion(dtype = slopes, shape = volume_shape(slopes, kernel, *extent, *groups))]
    fn volume_gradient(
        slopes: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        extent: [usize; 3],
        stride: usize,
        groups: usize,
    ) -> FloatTensor<Self>;

    /// Gradient of a kernel of `side` voxels along each axis.
    #[fusion(dtype = DType::F32, shape = kernel_shape(volume, slopes, *side, *groups))]
    fn kernel_gradient(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        side: usize,
        stride: usize,
        groups: usize,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "cuda")]
fn output_shape(volume: &Shape, kernel: &Shape, stride: usize) -> Shape {
    let along = |axis: usize| volume[axis].div_ceil(stride);
    Shape::from([volume[0], kernel[0], along(2), along(3), along(4)])
}

#[cfg(feature = "cuda")]
fn volume_shape(slopes: &Shape, kernel: &Shape, extent: [usize; 3], groups: usize) -> Shape {
    let [d, h, w] = extent;
    Shape::from([slopes[0], kernel[1] * groups, d, h, w])
}

#[cfg(feature = "cuda")]
fn kernel_shape(volume: &Shape, slopes: &Shape, side: usize, groups: usize) -> Shape {
    Shape::from([slopes[1], volume[1] / groups, side, side, side])
}

#[cfg(feature = "cuda")]
impl Convolve for CubeBackend {
    fn convolve(
        volume: CubeTensor,
        kernel: CubeTensor,
        stride: usize,
        groups: usize,
    ) -> CubeTensor {
        cuda::convolve(volume, kernel, None, stride, groups)
    }

    fn volume_gradient(
        slopes: CubeTensor,
        kernel: CubeTensor,
        extent: [usize; 3],
        stride: usize,
        groups: usize,
    ) -> CubeTensor {
        cuda::volume_gradient(slopes, kernel, extent, stride, groups)
    }

    fn kernel_gradient(
        volume: CubeTensor,
        slopes: CubeTensor,
        side: usize,
        stride: usize,
        groups: usize,
    ) -> CubeTensor {
        cuda::kernel_gradient(volume, slopes, side, stride, groups)
    }
}

impl<B: Convolve, C: CheckpointStrategy> Convolve for Autodiff<B, C> {
    fn convolve(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        stride: usize,
        groups: usize,
    ) -> FloatTensor<Self> {
        let nodes = [volume.node(), kernel.node()];
        match ConvolveBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut tracked) => {
                let inputs = [tracked.checkpoint(&volume), tracked.checkpoint(&kernel)];
                let volume = volume.into_primitive();
                let kernel = kernel.into_primitive();
                let shape = volume.shape();
                let extent = [shape[2], shape[3], shape[4]];
                let state =
                    SavedConvolution { inputs, extent, side: kernel.shape()[2], stride, groups };
                tracked.finish(state, B::convolve(volume, kernel, stride, groups))
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::convolve(
                volume.into_primitive(),
                kernel.into_primitive(),
                stride,
                groups,
            )),
        }
    }

    fn volume_gradient(
        slopes: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        extent: [usize; 3],
        stride: usize,
        groups: usize,
    ) -> FloatTensor<Self> {
        let (slopes, kernel) = (slopes.into_primitive(), kernel.into_primitive());
        Self::from_inner(B::volume_gradient(slopes, kernel, extent, stride, groups))
    }

    fn kernel_gradient(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        side: usize,
        stride: usize,
        groups: usize,
    ) -> FloatTensor<Self> {
        let (volume, slopes) = (volume.into_primitive(), slopes.into_primitive());
        Self::from_inner(B::kernel_gradient(volume, slopes, side, stride, groups))
    }
}

#[derive(Debug)]
struct ConvolveBackward;

/// State that a convolution's gradients need of it.
#[derive(Debug, Clone)]
struct SavedConvolution {
    /// Volume and kernel.
    inputs: [NodeId; 2],
    extent: [usize; 3],
    side: usize,
    stride: usize,
    groups: usize,
}

impl<B: Convolve> Backward<B, 2> for ConvolveBackward {
    type State = SavedConvolution;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [of_volume, of_kernel] = ops.parents;
        let slopes = gradients.consume::<B>(&ops.node);
        let SavedConvolution { inputs: [volume, kernel], extent, side, stride, groups } = ops.state;
        let volume = checkpointer.retrieve_node_output::<FloatTensor<B>>(volume);
        let kernel = checkpointer.retrieve_node_output::<FloatTensor<B>>(kernel);
        if let Some(node) = of_kernel {
            let gradient = B::kernel_gradient(volume, slopes.clone(), side, stride, groups);
            gradients.register::<B>(node.id, gradient);
        }
        if let Some(node) = of_volume {
            let gradient = B::volume_gradient(slopes, kernel, extent, stride, groups);
            gradients.register::<B>(node.id, gradient);
        }
    }
}
