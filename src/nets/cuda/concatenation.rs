//! Concatenation of two volumes' channels as an operation of CUDA GPUs: volumes keep their layout, so that no
//! convolution has to restore it.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, TensorMetadata, backend_extension,
};
use burn::tensor::{Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::kernel::KernelFile;
use crate::nets::cuda::layout::{ChannelsLast, launch_over_granules, volume_shape};
use crate::nets::operations::Recomputation;

/// Concatenates the channels of `[b, c0, d, h, w]` and `[b, c1, d, h, w]`, of one type.
pub(in crate::nets) fn concatenate(first: Tensor<5>, second: Tensor<5>) -> Tensor<5> {
    let (first, second) = (first.into_dispatch(), second.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Concatenate>::concatenate(first, second))
}

/// Passes of a concatenation.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait Concatenate: Backend {
    #[fusion(dtype = first, shape = with_channels(first, first[1] + second[1]))]
    fn concatenate(first: FloatTensor<Self>, second: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Channels `first` to `first + channels` of a volume.
    #[fusion(dtype = volume, shape = with_channels(volume, *channels))]
    fn take_channels(volume: FloatTensor<Self>, first: usize, channels: usize)
    -> FloatTensor<Self>;
}

fn with_channels(volume: &Shape, channels: usize) -> Shape {
    Shape::from([volume[0], channels, volume[2], volume[3], volume[4]])
}

impl Concatenate for CubeBackend {
    fn concatenate(first: CubeTensor, second: CubeTensor) -> CubeTensor {
        let [b, c0, d, h, w] = volume_shape(&first);
        let [_, c1, ..] = volume_shape(&second);
        let [first, second] = [first, second].map(ChannelsLast::from_tensor);
        let target = ChannelsLast::allocate(&first.tensor, [b, c0 + c1, d, h, w]);
        let fields = [c0, c1, first.pitch, second.pitch];
        let sources = [&first.tensor, &second.tensor];
        launch_over_granules(KernelFile::Concatenate, &sources, &target, &fields);
        target.tensor
    }

    fn take_channels(volume: CubeTensor, first: usize, channels: usize) -> CubeTensor {
        let [b, _, d, h, w] = volume_shape(&volume);
        let source = ChannelsLast::from_tensor(volume);
        let target = ChannelsLast::allocate(&source.tensor, [b, channels, d, h, w]);
        let fields = [first, channels, source.pitch];
        launch_over_granules(KernelFile::TakeChannels, &[&source.tensor], &target, &fields);
        target.tensor
    }
}

impl<B: Concatenate, C: CheckpointStrategy> Concatenate for Autodiff<B, C> {
    fn concatenate(first: FloatTensor<Self>, second: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [first.node(), second.node()];
        let again = Recomputation::<B, _, 2> {
            inputs: nodes.each_ref().map(|node| node.id()),
            settings: (),
            compute: |[first, second], ()| B::concatenate(first, second),
        };
        let prepared = ConcatenateBackward
            .prepare::<C>(nodes)
            .memory_bound()
            .retro_forward(again)
            .parents([&first, &second])
            .stateful();
        match prepared {
            OpsKind::Tracked(tracked) => {
                let (first, second) = (first.into_primitive(), second.into_primitive());
                let channels = [first.shape()[1], second.shape()[1]];
                tracked.finish(channels, B::concatenate(first, second))
            }
            OpsKind::UnTracked(untracked) => {
                let (first, second) = (first.into_primitive(), second.into_primitive());
                untracked.finish(B::concatenate(first, second))
            }
        }
    }

    fn take_channels(
        volume: FloatTensor<Self>,
        first: usize,
        channels: usize,
    ) -> FloatTensor<Self> {
        Self::from_inner(B::take_channels(volume.into_primitive(), first, channels))
    }
}

#[derive(Debug)]
struct ConcatenateBackward;

impl<B: Concatenate> Backward<B, 2> for ConcatenateBackward {
    /// Channels of either volume.
    type State = [usize; 2];

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let slopes = gradients.consume::<B>(&ops.node);
        let [first, second] = ops.state;
        for (node, [from, channels]) in ops.parents.into_iter().zip([[0, first], [first, second]]) {
            if let Some(node) = node {
                let gradient = B::take_channels(slopes.clone(), from, channels);
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}
