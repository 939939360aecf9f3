//! Maximum over groups of channels as an operation of CUDA GPUs, with a gradient of its own.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::{Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::kernel::KernelFile;
use crate::nets::cuda::layout::{ChannelsLast, launch_over_granules, volume_shape};
use crate::nets::operations::{BackwardPass, InputGradients};

/// Takes the largest of the channels at the same place of each of `groups` groups that lie one after the other,
/// `[b, groups * c, d, h, w]` to `[b, c, d, h, w]`; the gradient goes to the first of equal ones.
pub(in crate::nets) fn group_max(volume: Tensor<5>, groups: usize) -> Tensor<5> {
    Tensor::from_dispatch(<Dispatch as GroupMax>::group_max(volume.into_dispatch(), groups))
}

/// Passes of a maximum over groups.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait GroupMax: Backend {
    #[fusion(dtype = volume, shape = of_group(volume, *groups))]
    fn group_max(volume: FloatTensor<Self>, groups: usize) -> FloatTensor<Self>;

    #[fusion(dtype = volume, shape = volume)]
    fn group_max_gradient(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self>;
}

fn of_group(volume: &Shape, groups: usize) -> Shape {
    Shape::from([volume[0], volume[1] / groups, volume[2], volume[3], volume[4]])
}

impl GroupMax for CubeBackend {
    fn group_max(volume: CubeTensor, groups: usize) -> CubeTensor {
        let [b, c, d, h, w] = volume_shape(&volume);
        let members = c / groups;
        let source = ChannelsLast::from_tensor(volume);
        let target = ChannelsLast::allocate(&source.tensor, [b, members, d, h, w]);
        let fields = [groups, members, source.pitch];
        launch_over_granules(KernelFile::GroupMax, &[&source.tensor], &target, &fields);
        target.tensor
    }

    fn group_max_gradient(volume: CubeTensor, slopes: CubeTensor, groups: usize) -> CubeTensor {
        let shape @ [_, c, ..] = volume_shape(&volume);
        let [source, slopes] = [volume, slopes].map(ChannelsLast::from_tensor);
        let target = ChannelsLast::allocate(&source.tensor, shape);
        let fields = [groups, c / groups, source.pitch, slopes.pitch];
        let sources = [&source.tensor, &slopes.tensor];
        launch_over_granules(KernelFile::GroupMaxGradient, &sources, &target, &fields);
        target.tensor
    }
}

impl<B: GroupMax, C: CheckpointStrategy> GroupMax for Autodiff<B, C> {
    fn group_max(volume: FloatTensor<Self>, groups: usize) -> FloatTensor<Self> {
        match BackwardPass::<ComparedGroups>::new()
            .prepare::<C>([volume.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut tracked) => {
                let input = tracked.checkpoint(&volume);
                tracked.finish(
                    ComparedGroups(input, groups),
                    B::group_max(volume.into_primitive(), groups),
                )
            }
            OpsKind::UnTracked(untracked) => {
                untracked.finish(B::group_max(volume.into_primitive(), groups))
            }
        }
    }

    fn group_max_gradient(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self> {
        let (volume, slopes) = (volume.into_primitive(), slopes.into_primitive());
        Self::from_inner(B::group_max_gradient(volume, slopes, groups))
    }
}

/// Volume whose groups were compared, and how many they are.
#[derive(Debug, Clone)]
struct ComparedGroups(NodeId, usize);

impl<B: GroupMax> InputGradients<B, 1> for ComparedGroups {
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> [FloatTensor<B>; 1] {
        let Self(volume, groups) = self;
        [B::group_max_gradient(checkpointer.retrieve_node_output(volume), slopes, groups)]
    }
}
