//! A loss of overlapping regions as one operation of CUDA GPUs, with a gradient of its own.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::computes;
use crate::nets::cuda::region_loss::{
    self, MOST_REGIONS, MOST_SAMPLES, RegionLossSettings, RegionLossTensors,
};
use crate::nets::cuda::single_input::{InputGradient, SingleInput};

/// Tells if the kernels compute the loss of these logits, `[b, k, d, h, w]`.
pub(crate) fn scores_regions(logits: &Tensor<5>) -> bool {
    let [samples, regions, ..] = logits.dims();
    let is_small = samples <= MOST_SAMPLES && regions <= MOST_REGIONS;
    is_small && logits.dtype() == DType::F32 && computes(logits)
}

/// Computes the loss of logits against targets, `[b, k, d, h, w]`: total, Dice loss and cross-entropy, `[1]`, and
/// soft Dice by region, `[k]`. The total alone has a gradient, and in the logits alone.
pub(crate) fn region_loss(
    logits: Tensor<5>,
    targets: Tensor<5>,
    settings: RegionLossSettings,
) -> [Tensor<1>; 4] {
    let (logits, targets) = (logits.into_dispatch(), targets.into_dispatch());
    let (total, dice, entropy, scores, _) =
        <Dispatch as ScoreRegions>::region_loss(logits, targets, settings);
    [total, dice, entropy, scores].map(Tensor::from_dispatch)
}

type LossTensors<B> =
    (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

/// Passes of a loss.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait ScoreRegions: Backend {
    /// Total, Dice loss, cross-entropy, soft Dice by region, and what the way back needs.
    #[fusion(meta = |logits, _targets, _settings| loss_specs(logits))]
    fn region_loss(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        settings: RegionLossSettings,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );

    /// Gradient of the logits.
    #[fusion(dtype = logits, shape = logits)]
    fn region_gradient(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        slope: FloatTensor<Self>,
        settings: RegionLossSettings,
    ) -> FloatTensor<Self>;
}

fn loss_specs(logits: &TensorSpec) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
    let (samples, regions) = (logits.shape[0], logits.shape[1]);
    let spec = |shape: Shape| TensorSpec::new(shape, DType::F32);
    let single = || spec(Shape::from([1]));
    let slopes = spec(Shape::from([samples, regions, 2]));
    (single(), single(), single(), spec(Shape::from([regions])), slopes)
}

impl ScoreRegions for CubeBackend {
    fn region_loss(
        logits: CubeTensor,
        targets: CubeTensor,
        settings: RegionLossSettings,
    ) -> RegionLossTensors {
        region_loss::region_loss(logits, targets, settings)
    }

    fn region_gradient(
        logits: CubeTensor,
        targets: CubeTensor,
        slopes: CubeTensor,
        slope: CubeTensor,
        settings: RegionLossSettings,
    ) -> CubeTensor {
        region_loss::region_gradient(logits, targets, slopes, slope, settings)
    }
}

impl<B: ScoreRegions, C: CheckpointStrategy> ScoreRegions for Autodiff<B, C> {
    fn region_loss(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        settings: RegionLossSettings,
    ) -> LossTensors<Self> {
        let targets = targets.into_primitive();
        let (total, [dice, entropy, scores, slopes]) = match SingleInput::<SavedLoss<B>>::new()
            .prepare::<C>([logits.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut tracked) => {
                let input = tracked.checkpoint(&logits);
                let logits = logits.into_primitive();
                let (total, dice, entropy, scores, slopes) =
                    B::region_loss(logits, targets.clone(), settings);
                let saved = SavedLoss { logits: input, targets, slopes: slopes.clone(), settings };
                (tracked.finish(saved, total), [dice, entropy, scores, slopes])
            }
            OpsKind::UnTracked(untracked) => {
                let (total, dice, entropy, scores, slopes) =
                    B::region_loss(logits.into_primitive(), targets, settings);
                (untracked.finish(total), [dice, entropy, scores, slopes])
            }
        };
        let constant = Self::from_inner;
        (total, constant(dice), constant(entropy), constant(scores), constant(slopes))
    }

    fn region_gradient(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        slope: FloatTensor<Self>,
        settings: RegionLossSettings,
    ) -> FloatTensor<Self> {
        let [logits, targets, slopes, slope] =
            [logits, targets, slopes, slope].map(|tensor| tensor.into_primitive());
        Self::from_inner(B::region_gradient(logits, targets, slopes, slope, settings))
    }
}

/// State that a loss's gradient needs of it.
#[derive(Debug, Clone)]
struct SavedLoss<B: Backend> {
    logits: NodeId,
    targets: FloatTensor<B>,
    slopes: FloatTensor<B>,
    settings: RegionLossSettings,
}

impl<B: ScoreRegions> InputGradient<B> for SavedLoss<B> {
    fn compute_gradient(
        self,
        slope: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> FloatTensor<B> {
        let Self { logits, targets, slopes, settings } = self;
        let logits = checkpointer.retrieve_node_output(logits);
        B::region_gradient(logits, targets, slopes, slope, settings)
    }
}
