//! Launches of a loss of overlapping regions, soft Dice plus binary cross-entropy, forward and backward.

use burn::backend::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::server::Handle;
use cubecl::zspace::Shape;

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::{ChannelsLast, to_field, volume_shape};

/// Threads of a block.
const THREADS: usize = 256;

/// Blocks that keep a large card busy.
const BLOCKS_WANTED: usize = 1056;

/// Regions that the kernels are compiled for, and samples that they have places for; at most.
pub(super) const MOST_REGIONS: usize = 8;
pub(super) const MOST_SAMPLES: usize = 64;

/// Variant of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RegionLossSettings {
    /// Dice of each sample, averaged, instead of sums over the batch.
    pub(crate) per_sample: bool,
    /// Cross-entropy summed over regions instead of averaged.
    pub(crate) region_sum: bool,
    pub(crate) numerator_epsilon: f64,
    pub(crate) denominator_epsilon: f64,
    /// True where voxels have weights; otherwise all count, and any tensor stands for them.
    pub(crate) has_weights: bool,
}

/// Operands of a loss: logits and targets, `[b, k, d, h, w]`, and weights of voxels, `[b, 1, d, h, w]`; all f32.
#[derive(Clone)]
pub(super) struct LossOperands {
    pub(super) logits: CubeTensor,
    pub(super) targets: CubeTensor,
    pub(super) weights: CubeTensor,
}

/// Loss of a batch: total, Dice loss and cross-entropy, `[1]`; soft Dice by region, `[k]`; and for the way back
/// two numbers of each sample and region, and the share of a voxel in the cross-entropy, `[2 b k + 1]`.
pub(super) type RegionLossTensors = (CubeTensor, CubeTensor, CubeTensor, CubeTensor, CubeTensor);

/// A loss's launches over one batch.
struct LossPasses {
    operands: LossOperands,
    gradient: [usize; 5],
    stretch: usize,
    settings: RegionLossSettings,
}

impl LossPasses {
    fn new(operands: LossOperands, settings: RegionLossSettings) -> Self {
        let LossOperands { logits, targets, weights } = operands;
        let shape @ [samples, _, d, h, w] = volume_shape(&logits);
        let blocks = BLOCKS_WANTED.div_ceil(samples);
        let stretch = (d * h * w).div_ceil(blocks).next_multiple_of(THREADS);
        let [logits, targets, weights] = [logits, targets, weights].map(with_even_voxels);
        let operands = LossOperands { logits, targets, weights };
        Self { operands, gradient: shape, stretch, settings }
    }

    fn voxels(&self) -> usize {
        let [_, _, d, h, w] = self.gradient;
        d * h * w
    }

    fn allocate(&self, shape: &[usize]) -> CubeTensor {
        let (client, device) =
            (self.operands.logits.client.clone(), self.operands.logits.device.clone());
        let elements: usize = shape.iter().product();
        let handle = client.empty(elements * size_of::<f32>());
        CubeTensor::new_contiguous(client, device, Shape::from(shape), handle, DType::F32)
    }

    fn launch(&self, file: KernelFile, blocks: [usize; 2], buffers: &[&Handle], pitch: usize) {
        let [samples, regions, ..] = self.gradient;
        let distances = |tensor: &CubeTensor| [0, 1, 4].map(|axis| tensor.meta.strides()[axis]);
        let sizes = [samples, self.voxels(), self.stretch];
        let settings = &self.settings;
        let LossOperands { logits, targets, weights } = &self.operands;
        let fields =
            sizes.into_iter().chain([logits, targets, weights].into_iter().flat_map(distances));
        let flags = [settings.per_sample, settings.region_sum].map(usize::from);
        let mut fields: Vec<i32> = fields.chain([pitch]).chain(flags).map(to_field).collect();
        let numbers = [settings.numerator_epsilon, settings.denominator_epsilon];
        fields.extend(numbers.map(|number| (number as f32).to_bits().cast_signed()));
        let regions = u32::try_from(regions).expect("regions are few");
        let [x, y] = blocks;
        let counted = u32::from(settings.has_weights);
        CudaKernel::new(file, &[("REGIONS", regions), ("COUNTED", counted)]).launch_blocks(
            &logits.client,
            [x, y, 1],
            buffers,
            &fields,
        );
    }
}

/// Computes the loss of logits against targets.
pub(super) fn region_loss(
    operands: LossOperands,
    settings: RegionLossSettings,
) -> RegionLossTensors {
    let passes = LossPasses::new(operands, settings);
    let [samples, regions, ..] = passes.gradient;
    let stretches = passes.voxels().div_ceil(passes.stretch);
    let parts = passes.allocate(&[samples, stretches, regions * 4 + 1]);
    let LossOperands { logits, targets, weights } = &passes.operands;
    let buffers = [&logits.handle, &targets.handle, &weights.handle, &parts.handle];
    passes.launch(KernelFile::RegionSums, [stretches, samples], &buffers, 0);
    let [total, dice, entropy] = [(); 3].map(|()| passes.allocate(&[1]));
    let scores = passes.allocate(&[regions]);
    let slopes = passes.allocate(&[samples * regions * 2 + 1]);
    let answers = [&total, &dice, &entropy, &scores, &slopes].map(|answer| &answer.handle);
    let buffers = [&[&parts.handle], &answers[..]].concat();
    passes.launch(KernelFile::RegionScores, [1, 1], &buffers, 0);
    (total, dice, entropy, scores, slopes)
}

/// Computes the gradient of the logits from that of the total, `[1]`, and what [`region_loss`] has left.
pub(super) fn region_gradient(
    operands: LossOperands,
    slopes: CubeTensor,
    slope: CubeTensor,
    settings: RegionLossSettings,
) -> CubeTensor {
    let passes = LossPasses::new(operands, settings);
    let LossOperands { logits, targets, weights } = &passes.operands;
    let target = ChannelsLast::allocate(logits, passes.gradient);
    let buffers = [
        &logits.handle,
        &targets.handle,
        &weights.handle,
        &slopes.handle,
        &slope.handle,
        &target.tensor.handle,
    ];
    let blocks = [passes.voxels().div_ceil(THREADS), passes.gradient[0]];
    passes.launch(KernelFile::RegionGradient, blocks, &buffers, target.pitch);
    target.tensor
}

/// Takes a volume `[b, k, d, h, w]` whose voxels are equally far apart as it is, and lays others out anew.
fn with_even_voxels(tensor: CubeTensor) -> CubeTensor {
    let [_, _, _, h, w] = volume_shape(&tensor);
    let strides = tensor.meta.strides();
    let is_even = strides[3] == w * strides[4] && strides[2] == h * strides[3];
    if is_even { tensor } else { into_contiguous(tensor) }
}
