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
    self, LossOperands, MOST_REGIONS, MOST_SAMPLES, RegionLossSettings, RegionLossTensors,
};
use crate::nets::operations::{BackwardPass, InputGradients};

/// Tells if the kernels compute the loss of these logits, `[b, k, d, h, w]`.
pub(crate) fn scores_regions(logits: &Tensor<5>) -> bool {
    let [samples, regions, ..] = logits.dims();
    let is_small = samples <= MOST_SAMPLES && regions <= MOST_REGIONS;
    is_small && logits.dtype() == DType::F32 && computes(logits)
}

/// Computes the loss of logits against targets, `[b, k, d, h, w]`, in which voxels have the weights
/// `[b, 1, d, h, w]`, or all count: total, Dice loss and cross-entropy, `[1]`, and
/// soft Dice by region, `[k]`. The total alone has a gradient, and in the logits alone.
pub(crate) fn region_loss(
    logits: Tensor<5>,
    targets: Tensor<5>,
    weights: Option<Tensor<5>>,
    settings: RegionLossSettings,
) -> [Tensor<1>; 4] {
    let settings = RegionLossSettings { has_weights: weights.is_some(), ..settings };
    let weights = weights.unwrap_or_else(|| targets.clone());
    let [logits, targets, weights] =
        [logits, targets, weights].map(|volume| volume.into_dispatch());
    let (total, dice, entropy, scores, _) =
        <Dispatch as ScoreRegions>::region_loss(logits, targets, weights, settings);
    [total, dice, entropy, scores].map(Tensor::from_dispatch)
}

type LossTensors<B> =
    (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

/// Passes of a loss.
#[backend_extension(Cube, Autodiff, Fusion)]
pub(in crate::nets) trait ScoreRegions: Backend {
    /// Total, Dice loss, cross-entropy, soft Dice by region, and what the way back needs.
    #[fusion(meta = |logits, _targets, _weights, _settings| loss_specs(logits))]
    fn region_loss(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        weights: FloatTensor<Self>,
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
        weights: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        slope: FloatTensor<Self>,
        settings: RegionLossSettings,
    ) -> FloatTensor<Self>;
}

fn loss_specs(logits: &TensorSpec) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
    let (samples, regions) = (logits.shape[0], logits.shape[1]);
    let spec = |shape: Shape| TensorSpec::new(shape, DType::F32);
    let single = || spec(Shape::from([1]));
    let slopes = spec(Shape::from([samples * regions * 2 + 1]));
    (single(), single(), single(), spec(Shape::from([regions])), slopes)
}

impl ScoreRegions for CubeBackend {
    fn region_loss(
        logits: CubeTensor,
        targets: CubeTensor,
        weights: CubeTensor,
        settings: RegionLossSettings,
    ) -> RegionLossTensors {
        region_loss::region_loss(LossOperands { logits, targets, weights }, settings)
    }

    fn region_gradient(
        logits: CubeTensor,
        targets: CubeTensor,
        weights: CubeTensor,
        slopes: CubeTensor,
        slope: CubeTensor,
        settings: RegionLossSettings,
    ) -> CubeTensor {
        let operands = LossOperands { logits, targets, weights };
        region_loss::region_gradient(operands, slopes, slope, settings)
    }
}

impl<B: ScoreRegions, C: CheckpointStrategy> ScoreRegions for Autodiff<B, C> {
    fn region_loss(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        settings: RegionLossSettings,
    ) -> LossTensors<Self> {
        let (targets, weights) = (targets.into_primitive(), weights.into_primitive());
        let (total, [dice, entropy, scores, slopes]) = match BackwardPass::<SavedLoss<B>>::new()
            .prepare::<C>([logits.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut tracked) => {
                let input = tracked.checkpoint(&logits);
                let logits = logits.into_primitive();
                let (total, dice, entropy, scores, slopes) =
                    B::region_loss(logits, targets.clone(), weights.clone(), settings);
                let saved =
                    SavedLoss { logits: input, targets, weights, slopes: slopes.clone(), settings };
                (tracked.finish(saved, total), [dice, entropy, scores, slopes])
            }
            OpsKind::UnTracked(untracked) => {
                let (total, dice, entropy, scores, slopes) =
                    B::region_loss(logits.into_primitive(), targets, weights, settings);
                (untracked.finish(total), [dice, entropy, scores, slopes])
            }
        };
        let constant = Self::from_inner;
        (total, constant(dice), constant(entropy), constant(scores), constant(slopes))
    }

    fn region_gradient(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        slopes: FloatTensor<Self>,
        slope: FloatTensor<Self>,
        settings: RegionLossSettings,
    ) -> FloatTensor<Self> {
        let [logits, targets, weights, slopes, slope] =
            [logits, targets, weights, slopes, slope].map(|tensor| tensor.into_primitive());
        Self::from_inner(B::region_gradient(logits, targets, weights, slopes, slope, settings))
    }
}

/// State that a loss's gradient needs of it.
#[derive(Debug, Clone)]
struct SavedLoss<B: Backend> {
    logits: NodeId,
    targets: FloatTensor<B>,
    weights: FloatTensor<B>,
    slopes: FloatTensor<B>,
    settings: RegionLossSettings,
}

impl<B: ScoreRegions> InputGradients<B, 1> for SavedLoss<B> {
    fn compute_gradients(
        self,
        slope: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> [FloatTensor<B>; 1] {
        let Self { logits, targets, weights, slopes, settings } = self;
        let logits = checkpointer.retrieve_node_output(logits);
        [B::region_gradient(logits, targets, weights, slopes, slope, settings)]
    }
}
