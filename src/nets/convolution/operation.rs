//! CPU convolution as an operation of its own, with gradients of its own.
//!
//! Burn's own (flex 0.22.1) lays out columns one value at a time, and computes the gradient of a
//! kernel by a convolution whose kernel is the whole output gradient. Here values are read where
//! they lie in a window of a few planes, into sums that stay in vector registers. The record is
//! `benches/runs/2026-11-24-step.md`.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

use crate::nets::convolution::correlate::{Channels, PackedKernel, correlate_volume};
use crate::nets::convolution::geometry;
use crate::nets::convolution::kernel_gradient::KernelGradientInput;

/// Convolves `[b, c, d, h, w]` with a zero-padded kernel `[k, c/groups, s, s, s]` of odd size to
/// `[b, k, d', h', w']`, `d' = ceil(d / stride)`. Both are f32 and on the CPU.
pub(super) fn convolve(
    volume: Tensor<5>,
    kernel: Tensor<5>,
    stride: usize,
    groups: usize,
) -> Tensor<5> {
    let (volume, kernel) = (volume.into_dispatch(), kernel.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Convolve>::convolve(volume, kernel, stride, groups))
}

#[backend_extension(Flex, Autodiff)]
pub(super) trait Convolve: Backend {
    fn convolve(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        stride: usize,
        groups: usize,
    ) -> FloatTensor<Self>;
}

impl Convolve for Flex {
    fn convolve(
        volume: FlexTensor,
        kernel: FlexTensor,
        stride: usize,
        groups: usize,
    ) -> FlexTensor {
        ConvShape::of_tensors(&volume, &kernel, stride, groups).compute_output(&volume, &kernel)
    }
}

impl<C: CheckpointStrategy> Convolve for Autodiff<Flex, C> {
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
                let form = ConvShape::of_tensors(&volume, &kernel, stride, groups);
                tracked.finish((inputs, form), form.compute_output(&volume, &kernel))
            }
            OpsKind::UnTracked(untracked) => untracked.finish(Flex::convolve(
                volume.into_primitive(),
                kernel.into_primitive(),
                stride,
                groups,
            )),
        }
    }
}

#[derive(Debug)]
struct ConvolveBackward;

impl Backward<Flex, 2> for ConvolveBackward {
    type State = ([NodeId; 2], ConvShape);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [of_volume, of_kernel] = ops.parents;
        let slopes = gradients.consume::<Flex>(&ops.node);
        let ([volume, kernel], form) = ops.state;
        let volume = checkpointer.retrieve_node_output::<FlexTensor>(volume);
        let kernel = checkpointer.retrieve_node_output::<FlexTensor>(kernel);
        if let Some(node) = of_kernel {
            gradients.register::<Flex>(node.id, form.kernel_gradient(&volume, &slopes));
        }
        if let Some(node) = of_volume {
            gradients.register::<Flex>(node.id, form.volume_gradient(&slopes, &kernel));
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct ConvShape {
    samples: usize,
    groups: usize,
    /// Input channels of a group.
    inputs: usize,
    /// Output channels of a group.
    outputs: usize,
    extent: [usize; 3],
    side: usize,
    stride: usize,
}

impl ConvShape {
    fn of_tensors(volume: &FlexTensor, kernel: &FlexTensor, stride: usize, groups: usize) -> Self {
        let volume = volume.shape();
        let kernel = kernel.shape();
        Self {
            samples: volume[0],
            groups,
            inputs: kernel[1],
            outputs: kernel[0] / groups,
            extent: [volume[2], volume[3], volume[4]],
            side: kernel[2],
            stride,
        }
    }

    fn compute_output(self, volume: &FlexTensor, kernel: &FlexTensor) -> FlexTensor {
        let Self { samples, groups, inputs, outputs, side, .. } = self;
        let volume = volume.to_contiguous();
        let kernel = kernel.to_contiguous();
        let kernel = as_values(&kernel);
        let channels = Channels { groups, from: inputs, to: outputs };
        let weight = |to: usize, from: usize, [z, y, x]: [usize; 3]| {
            kernel[(((to * inputs + from) * side + z) * side + y) * side + x]
        };
        let lattice = geometry::of_convolution(self.extent, side, self.stride);
        let target = lattice.map(|axis| axis.outputs);
        let pass = PackedKernel::new(lattice, channels, weight);
        let answer = correlate_volume(as_values(&volume), samples, channels, &[pass], target);
        volumes_to_tensor(answer, samples * groups * outputs, samples, target)
    }

    /// Computes [`Self::compute_output`] of the output gradient, with the kernel flipped and its
    /// channels exchanged.
    fn volume_gradient(self, slopes: &FlexTensor, kernel: &FlexTensor) -> FlexTensor {
        let Self { samples, groups, inputs, outputs, side, .. } = self;
        let slopes = slopes.to_contiguous();
        let kernel = kernel.to_contiguous();
        let kernel = as_values(&kernel);
        let channels = Channels { groups, from: outputs, to: inputs };
        let weight = |to: usize, from: usize, [z, y, x]: [usize; 3]| {
            let output = to / inputs * outputs + from;
            kernel[(((output * inputs + to % inputs) * side + z) * side + y) * side + x]
        };
        let lattices = geometry::of_transpose(self.extent, side, self.stride).into_iter();
        let passes: Vec<PackedKernel> =
            lattices.map(|lattice| PackedKernel::new(lattice, channels, weight)).collect();
        let gradient =
            correlate_volume(as_values(&slopes), samples, channels, &passes, self.extent);
        volumes_to_tensor(gradient, samples * groups * inputs, samples, self.extent)
    }

    fn kernel_gradient(self, volume: &FlexTensor, slopes: &FlexTensor) -> FlexTensor {
        let Self { samples, groups, inputs, outputs, side, .. } = self;
        let volume = volume.to_contiguous();
        let slopes = slopes.to_contiguous();
        let input = KernelGradientInput {
            lattice: geometry::of_convolution(self.extent, side, self.stride),
            channels: Channels { groups, from: inputs, to: outputs },
            volume: as_values(&volume),
            slopes: as_values(&slopes),
            samples,
        };
        let outputs = groups * outputs;
        volumes_to_tensor(input.kernel_gradient(), outputs * inputs, outputs, [side; 3])
    }
}

fn as_values(contiguous: &FlexTensor) -> &[f32] {
    contiguous.as_slice().expect("it was made contiguous, and convolve takes f32")
}

/// Makes a tensor `[first, volumes / first, d, h, w]`.
fn volumes_to_tensor(
    values: Vec<f32>,
    volumes: usize,
    first: usize,
    extent: [usize; 3],
) -> FlexTensor {
    let [depth, height, width] = extent;
    let shape = [first, volumes / first, depth, height, width];
    FlexTensor::from_data(TensorData::new(values, shape))
}
