//! Pooling and trilinear up-sampling by two as operations with gradients of their own.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
#[cfg(feature = "cuda")]
use burn::tensor::Shape;
use burn::tensor::Tensor;
#[cfg(feature = "cuda")]
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use burn_flex::FlexTensor;

use crate::nets::cpu::{pooling, upsampling};
#[cfg(feature = "cuda")]
use crate::nets::cuda::resampling;
use crate::nets::operations::input_gradients::{BackwardPass, InputGradients, Recomputation};

/// Takes the largest of each 2x2x2 voxels of `[b, c, d, h, w]`, all extents even; the gradient goes to the
/// first of equal voxels in memory order.
pub(in crate::nets) fn max_pool(volume: Tensor<5>) -> Tensor<5> {
    Tensor::from_dispatch(<Dispatch as Resample>::max_pool(volume.into_dispatch()))
}

/// Averages each 2x2x2 voxels of `[b, c, d, h, w]`, all extents even.
pub(in crate::nets) fn mean_pool(volume: Tensor<5>) -> Tensor<5> {
    Tensor::from_dispatch(<Dispatch as Resample>::mean_pool(volume.into_dispatch()))
}

/// Doubles the extents of `[b, c, d, h, w]` by trilinear up-sampling with half-pixel centres.
pub(in crate::nets) fn upsample(volume: Tensor<5>) -> Tensor<5> {
    Tensor::from_dispatch(<Dispatch as Resample>::upsample(volume.into_dispatch()))
}

/// Passes of pooling and up-sampling.
#[backend_extension(Flex, Cube: cfg(feature = "cuda"), Autodiff, Fusion: cfg(feature = "cuda"))]
pub(in crate::nets) trait Resample: Backend {
    #[fusion(dtype = volume, shape = halved_shape(volume))]
    fn max_pool(volume: FloatTensor<Self>) -> FloatTensor<Self>;

    #[fusion(dtype = volume, shape = volume.clone())]
    fn max_pool_gradient(volume: FloatTensor<Self>, slopes: FloatTensor<Self>)
    -> FloatTensor<Self>;

    #[fusion(dtype = volume, shape = halved_shape(volume))]
    fn mean_pool(volume: FloatTensor<Self>) -> FloatTensor<Self>;

    #[fusion(dtype = slopes, shape = doubled_shape(slopes))]
    fn mean_pool_gradient(slopes: FloatTensor<Self>) -> FloatTensor<Self>;

    #[fusion(dtype = volume, shape = doubled_shape(volume))]
    fn upsample(volume: FloatTensor<Self>) -> FloatTensor<Self>;

    #[fusion(dtype = slopes, shape = halved_shape(slopes))]
    fn upsample_gradient(slopes: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "cuda")]
fn halved_shape(volume: &Shape) -> Shape {
    Shape::from([volume[0], volume[1], volume[2] / 2, volume[3] / 2, volume[4] / 2])
}

#[cfg(feature = "cuda")]
fn doubled_shape(volume: &Shape) -> Shape {
    Shape::from([volume[0], volume[1], volume[2] * 2, volume[3] * 2, volume[4] * 2])
}

impl Resample for Flex {
    fn max_pool(volume: FlexTensor) -> FlexTensor {
        pooling::max_pool(volume)
    }

    fn max_pool_gradient(volume: FlexTensor, slopes: FlexTensor) -> FlexTensor {
        pooling::max_pool_gradient(volume, slopes)
    }

    fn mean_pool(volume: FlexTensor) -> FlexTensor {
        pooling::mean_pool(volume)
    }

    fn mean_pool_gradient(slopes: FlexTensor) -> FlexTensor {
        pooling::mean_pool_gradient(slopes)
    }

    fn upsample(volume: FlexTensor) -> FlexTensor {
        upsampling::upsample_volume(volume)
    }

    fn upsample_gradient(slopes: FlexTensor) -> FlexTensor {
        upsampling::upsample_gradient(slopes)
    }
}

#[cfg(feature = "cuda")]
impl Resample for CubeBackend {
    fn max_pool(volume: CubeTensor) -> CubeTensor {
        resampling::max_pool(volume)
    }

    fn max_pool_gradient(volume: CubeTensor, slopes: CubeTensor) -> CubeTensor {
        resampling::max_pool_gradient(volume, slopes)
    }

    fn mean_pool(volume: CubeTensor) -> CubeTensor {
        resampling::mean_pool(volume)
    }

    fn mean_pool_gradient(slopes: CubeTensor) -> CubeTensor {
        resampling::mean_pool_gradient(slopes)
    }

    fn upsample(volume: CubeTensor) -> CubeTensor {
        resampling::upsample(volume)
    }

    fn upsample_gradient(slopes: CubeTensor) -> CubeTensor {
        resampling::upsample_gradient(slopes)
    }
}

impl<B: Resample, C: CheckpointStrategy> Resample for Autodiff<B, C> {
    fn max_pool(volume: FloatTensor<Self>) -> FloatTensor<Self> {
        match BackwardPass::<MaxPooled>::new()
            .prepare::<C>([volume.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut tracked) => {
                let input = tracked.checkpoint(&volume);
                tracked.finish(MaxPooled(input), B::max_pool(volume.into_primitive()))
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::max_pool(volume.into_primitive())),
        }
    }

    fn max_pool_gradient(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (volume, slopes) = (volume.into_primitive(), slopes.into_primitive());
        Self::from_inner(B::max_pool_gradient(volume, slopes))
    }

    fn mean_pool(volume: FloatTensor<Self>) -> FloatTensor<Self> {
        match BackwardPass::<MeanPooled>::new()
            .prepare::<C>([volume.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(tracked) => {
                tracked.finish(MeanPooled, B::mean_pool(volume.into_primitive()))
            }
            OpsKind::UnTracked(untracked) => {
                untracked.finish(B::mean_pool(volume.into_primitive()))
            }
        }
    }

    fn mean_pool_gradient(slopes: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::mean_pool_gradient(slopes.into_primitive()))
    }

    fn upsample(volume: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [volume.node()];
        let again = Recomputation::<B, _, 1> {
            inputs: nodes.each_ref().map(|node| node.id()),
            settings: (),
            compute: |[volume], ()| B::upsample(volume),
        };
        let prepared = BackwardPass::<Upsampled>::new()
            .prepare::<C>(nodes)
            .memory_bound()
            .retro_forward(again)
            .parents([&volume])
            .stateful();
        match prepared {
            OpsKind::Tracked(tracked) => {
                tracked.finish(Upsampled, B::upsample(volume.into_primitive()))
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::upsample(volume.into_primitive())),
        }
    }

    fn upsample_gradient(slopes: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::upsample_gradient(slopes.into_primitive()))
    }
}

/// Volume that was pooled.
#[derive(Debug, Clone)]
struct MaxPooled(NodeId);

impl<B: Resample> InputGradients<B, 1> for MaxPooled {
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> [FloatTensor<B>; 1] {
        [B::max_pool_gradient(checkpointer.retrieve_node_output(self.0), slopes)]
    }
}

#[derive(Debug, Clone)]
struct MeanPooled;

impl<B: Resample> InputGradients<B, 1> for MeanPooled {
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        _: &mut Checkpointer,
    ) -> [FloatTensor<B>; 1] {
        [B::mean_pool_gradient(slopes)]
    }
}

#[derive(Debug, Clone)]
struct Upsampled;

impl<B: Resample> InputGradients<B, 1> for Upsampled {
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        _: &mut Checkpointer,
    ) -> [FloatTensor<B>; 1] {
        [B::upsample_gradient(slopes)]
    }
}
