//! A norm and the activation behind it as one operation, with gradients of its own.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
#[cfg(feature = "cuda")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
#[cfg(feature = "cuda")]
use burn::tensor::{DType, Shape};
#[cfg(feature = "cuda")]
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use burn_flex::FlexTensor;

use crate::nets::cpu;
#[cfg(feature = "cuda")]
use crate::nets::cuda;
use crate::nets::operations::input_gradients::{BackwardPass, InputGradients, Recomputation};

/// Groups, epsilon and the activation's slope below zero: 1 for none, 0 for ReLU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::nets) struct NormSettings {
    pub(in crate::nets) groups: usize,
    pub(in crate::nets) epsilon: f32,
    pub(in crate::nets) slope: f32,
}

/// Normalises each group of each sample of `[b, c, d, h, w]`, scales and shifts by `weight` and `bias`, `[c]`,
/// and applies the activation: ReLU where `slope` is 0, leaky ReLU up to 1, none at 1.
pub(in crate::nets) fn normalise(
    volume: Tensor<5>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    settings: NormSettings,
) -> Tensor<5> {
    let [volume, weight, bias] =
        [volume.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    let (answer, _) = <Dispatch as Normalise>::normalise(volume, weight, bias, settings);
    Tensor::from_dispatch(answer)
}

/// Passes of a norm.
#[backend_extension(Flex, Cube: cfg(feature = "cuda"), Autodiff, Fusion: cfg(feature = "cuda"))]
pub(in crate::nets) trait Normalise: Backend {
    /// The normalised volume, and mean and inverse deviation of each group, `[b, groups, 2]`.
    #[fusion(meta = |volume, _weight, _bias, settings| (volume.clone(), of_groups(volume, settings)))]
    fn normalise(
        volume: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of volume, weight and bias.
    #[fusion(meta = |volume, _slopes, weight, bias, _statistics, _settings| {
        (volume.clone(), weight.clone(), bias.clone())
    })]
    fn norm_gradients(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

#[cfg(feature = "cuda")]
fn of_groups(volume: &TensorSpec, settings: &NormSettings) -> TensorSpec {
    TensorSpec::new(Shape::from([volume.shape[0], settings.groups, 2]), DType::F32)
}

impl Normalise for Flex {
    fn normalise(
        volume: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        settings: NormSettings,
    ) -> (FlexTensor, FlexTensor) {
        cpu::norm::normalise_volume(volume, weight, bias, settings)
    }

    fn norm_gradients(
        volume: FlexTensor,
        slopes: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        statistics: FlexTensor,
        settings: NormSettings,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        cpu::norm::norm_gradients(volume, slopes, weight, bias, statistics, settings)
    }
}

#[cfg(feature = "cuda")]
impl Normalise for CubeBackend {
    fn normalise(
        volume: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        settings: NormSettings,
    ) -> (CubeTensor, CubeTensor) {
        cuda::norm::normalise(volume, weight, bias, settings)
    }

    fn norm_gradients(
        volume: CubeTensor,
        slopes: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        statistics: CubeTensor,
        settings: NormSettings,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        cuda::norm::norm_gradients(volume, slopes, weight, bias, statistics, settings)
    }
}

impl<B: Normalise, C: CheckpointStrategy> Normalise for Autodiff<B, C> {
    fn normalise(
        volume: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [volume.node(), weight.node(), bias.node()];
        let again = Recomputation::<B, _, 3> {
            inputs: nodes.each_ref().map(|node| node.id()),
            settings,
            compute: |[volume, weight, bias], settings| {
                B::normalise(volume, weight, bias, settings).0
            },
        };
        let prepared = BackwardPass::<SavedNorm<B>>::new()
            .prepare::<C>(nodes)
            .memory_bound()
            .retro_forward(again)
            .parents([&volume, &weight, &bias])
            .stateful();
        match prepared {
            OpsKind::Tracked(mut tracked) => {
                let inputs = [
                    tracked.checkpoint(&volume),
                    tracked.checkpoint(&weight),
                    tracked.checkpoint(&bias),
                ];
                let [volume, weight, bias] =
                    [volume, weight, bias].map(|tensor| tensor.into_primitive());
                let (answer, statistics) = B::normalise(volume, weight, bias, settings);
                let saved = SavedNorm { inputs, statistics: statistics.clone(), settings };
                (tracked.finish(saved, answer), Self::from_inner(statistics))
            }
            OpsKind::UnTracked(untracked) => {
                let [volume, weight, bias] =
                    [volume, weight, bias].map(|tensor| tensor.into_primitive());
                let (answer, statistics) = B::normalise(volume, weight, bias, settings);
                (untracked.finish(answer), Self::from_inner(statistics))
            }
        }
    }

    fn norm_gradients(
        volume: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [volume, slopes, weight, bias, statistics] =
            [volume, slopes, weight, bias, statistics].map(|tensor| tensor.into_primitive());
        let (volume, weight, bias) =
            B::norm_gradients(volume, slopes, weight, bias, statistics, settings);
        (Self::from_inner(volume), Self::from_inner(weight), Self::from_inner(bias))
    }
}

/// State that a norm's gradients need of it.
#[derive(Debug, Clone)]
struct SavedNorm<B: Backend> {
    /// Volume, weight and bias.
    inputs: [NodeId; 3],
    statistics: FloatTensor<B>,
    settings: NormSettings,
}

impl<B: Normalise> InputGradients<B, 3> for SavedNorm<B> {
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> [FloatTensor<B>; 3] {
        let Self { inputs, statistics, settings } = self;
        let [volume, weight, bias] =
            inputs.map(|input| checkpointer.retrieve_node_output::<FloatTensor<B>>(input));
        B::norm_gradients(volume, slopes, weight, bias, statistics, settings).into()
    }
}
