//! Convolutions on the CPU as products with columns of neighbours, a few planes at a time.
//!
//! Burn's own lays out columns one value at a time, and gets the gradient of a kernel from a
//! convolution whose kernel is the whole gradient of the answer. Here the columns are slices put one
//! above the other, small enough to stay in the cache, and serve the answer and both gradients. The
//! record is `benches/runs/2026-11-24-step.md`.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::ops::PadMode;
use burn::tensor::{Slice, Tensor};

/// Values in the columns of one product: what stays in the cache while it is used.
const TILE: usize = 1 << 20;

/// `[b, c, d, h, w]` and a kernel `[k, c / groups, s, s, s]` of odd size to `[b, k, d, h, w]`, with
/// zeros around the volume. Both are f32 and on the CPU.
pub(super) fn convolve(volume: Tensor<5>, kernel: Tensor<5>, groups: usize) -> Tensor<5> {
    let (volume, kernel) = (volume.into_dispatch(), kernel.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Columns>::convolve(volume, kernel, groups))
}

/// The convolution as an operation of its own, with gradients of its own.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Columns: Backend {
    /// See [`convolve`].
    fn convolve(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self>;
}

impl Columns for Flex {
    fn convolve(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self> {
        answer::<Self>(volume, kernel, groups)
    }
}

impl<C: CheckpointStrategy> Columns for Autodiff<Flex, C> {
    fn convolve(
        volume: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self> {
        let nodes = [volume.node(), kernel.node()];
        match Convolved.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut tracked) => {
                let state = (tracked.checkpoint(&volume), tracked.checkpoint(&kernel), groups);
                let (volume, kernel) = (volume.into_primitive(), kernel.into_primitive());
                tracked.finish(state, answer::<Flex>(volume, kernel, groups))
            }
            OpsKind::UnTracked(untracked) => {
                let (volume, kernel) = (volume.into_primitive(), kernel.into_primitive());
                untracked.finish(answer::<Flex>(volume, kernel, groups))
            }
        }
    }
}

/// The way back of a convolution.
#[derive(Debug)]
struct Convolved;

impl<B: Backend> Backward<B, 2> for Convolved {
    type State = (NodeId, NodeId, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [of_volume, of_kernel] = ops.parents;
        let slope = gradients.consume::<B>(&ops.node);
        let (volume, kernel, groups) = ops.state;
        let volume = checkpointer.retrieve_node_output::<FloatTensor<B>>(volume);
        let kernel = checkpointer.retrieve_node_output::<FloatTensor<B>>(kernel);
        if let Some(node) = of_kernel {
            let side = kernel.shape()[2];
            let gradient = kernel_gradient::<B>(volume, slope.clone(), side, groups);
            gradients.register::<B>(node.id, gradient);
        }
        if let Some(node) = of_volume {
            let turned = turned::<B>(kernel, groups);
            gradients.register::<B>(node.id, answer::<B>(slope, turned, groups));
        }
    }
}

/// The part of a tensor between two places of one axis.
fn part<B: Backend>(
    tensor: &FloatTensor<B>,
    axis: usize,
    from: usize,
    to: usize,
) -> FloatTensor<B> {
    let shape = tensor.shape();
    if (from, to) == (0, shape[axis]) {
        return tensor.clone();
    }
    let whole = (0..shape.num_dims()).map(|other| Slice::from(0..shape[other]));
    let mut slices: Vec<Slice> = whole.collect();
    slices[axis] = Slice::from(from..to);
    B::float_slice(tensor.clone(), &slices)
}

/// Tensors one after the other along an axis; of one, itself.
fn joined<B: Backend>(mut parts: Vec<FloatTensor<B>>, axis: usize) -> FloatTensor<B> {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            B::float_cat(parts, axis)
        }
        None => unreachable!("there is at least one sample, group and slab"),
    }
}

/// The convolution, sample by sample and group by group.
fn answer<B: Backend>(
    volume: FloatTensor<B>,
    kernel: FloatTensor<B>,
    groups: usize,
) -> FloatTensor<B> {
    let (samples, outputs) = (volume.shape()[0], kernel.shape()[0] / groups);
    let of_sample = |sample: usize| {
        let volume = part::<B>(&volume, 0, sample, sample + 1);
        let of_group = |group: usize| {
            let kernel = part::<B>(&kernel, 0, group * outputs, (group + 1) * outputs);
            let (matrix, side) = (matrix::<B>(kernel.clone()), kernel.shape()[2]);
            let slabs = Slabs::<B>::of(&volume, side, group, groups);
            let [depth, height, width] = slabs.extent;
            let products = slabs.map(|(columns, _)| B::float_matmul(matrix.clone(), columns));
            let flat = joined::<B>(products.collect(), 1);
            B::float_reshape(flat, [1, outputs, depth, height, width].into())
        };
        joined::<B>((0..groups).map(of_group).collect(), 1)
    };
    joined::<B>((0..samples).map(of_sample).collect(), 0)
}

/// The gradient of the kernel, `[k, c / groups, s, s, s]`, given that of the answer.
fn kernel_gradient<B: Backend>(
    volume: FloatTensor<B>,
    slope: FloatTensor<B>,
    side: usize,
    groups: usize,
) -> FloatTensor<B> {
    let [samples, channels] = [volume.shape()[0], volume.shape()[1] / groups];
    let outputs = slope.shape()[1] / groups;
    let of_group = |group: usize| {
        let mut sum: Option<FloatTensor<B>> = None;
        for sample in 0..samples {
            let volume = part::<B>(&volume, 0, sample, sample + 1);
            let slope = part::<B>(&slope, 0, sample, sample + 1);
            let slope = part::<B>(&slope, 1, group * outputs, (group + 1) * outputs);
            let voxels = slope.shape().num_elements() / outputs;
            let slope = B::float_reshape(slope, [outputs, voxels].into());
            for (columns, from) in Slabs::<B>::of(&volume, side, group, groups) {
                let to = from + columns.shape()[1];
                let columns = B::float_swap_dims(columns, 0, 1);
                let product = B::float_matmul(part::<B>(&slope, 1, from, to), columns);
                sum = Some(match sum {
                    Some(sum) => B::float_add(sum, product),
                    None => product,
                });
            }
        }
        let sum = sum.expect("there is at least one sample of at least one plane");
        let by_tap = B::float_reshape(sum, [outputs, side, side, side, channels].into());
        B::float_permute(by_tap, &[0, 4, 1, 2, 3])
    };
    joined::<B>((0..groups).map(of_group).collect(), 0)
}

/// `[k, c, s, s, s]` to `[k, s s s c]`.
fn matrix<B: Backend>(kernel: FloatTensor<B>) -> FloatTensor<B> {
    let shape = kernel.shape();
    let (outputs, rest) = (shape[0], shape.num_elements() / shape[0]);
    B::float_reshape(B::float_permute(kernel, &[0, 2, 3, 4, 1]), [outputs, rest].into())
}

/// The kernel that takes the gradient of the answer to that of the volume: inputs and outputs of
/// each group change places, and the axes their direction.
fn turned<B: Backend>(kernel: FloatTensor<B>, groups: usize) -> FloatTensor<B> {
    let outputs = kernel.shape()[0] / groups;
    let of_group = |group: usize| {
        let kernel = part::<B>(&kernel, 0, group * outputs, (group + 1) * outputs);
        B::float_swap_dims(kernel, 0, 1)
    };
    let swapped = joined::<B>((0..groups).map(of_group).collect(), 0);
    B::float_flip(swapped, &[2, 3, 4])
}

/// The columns of one sample and group, `[s s s c, voxels]`, a few planes of the answer at a time,
/// each with the place of its first voxel.
struct Slabs<B: Backend> {
    padded: FloatTensor<B>,
    extent: [usize; 3],
    side: usize,
    planes: usize,
    next: usize,
}

impl<B: Backend> Slabs<B> {
    fn of(volume: &FloatTensor<B>, side: usize, group: usize, groups: usize) -> Self {
        let shape = volume.shape();
        let channels = shape[1] / groups;
        let volume = part::<B>(volume, 1, group * channels, (group + 1) * channels);
        let (margin, extent) = (side / 2, [shape[2], shape[3], shape[4]]);
        let padded = match margin {
            0 => volume,
            _ => {
                let around = [0, 0, margin, margin, margin].map(|margin| (margin, margin));
                B::float_pad(volume, &around, PadMode::Constant(0.0))
            }
        };
        let in_plane = side.pow(3) * channels * extent[1] * extent[2];
        let planes = (TILE / in_plane).clamp(1, extent[0]);
        Self { padded, extent, side, planes, next: 0 }
    }
}

impl<B: Backend> Iterator for Slabs<B> {
    type Item = (FloatTensor<B>, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let [depth, height, width] = self.extent;
        let (from, to) = (self.next, (self.next + self.planes).min(depth));
        if from == to {
            return None;
        }
        self.next = to;
        let channels = self.padded.shape()[1];
        let side = self.side;
        let mut taps = Vec::with_capacity(side.pow(3));
        for z in 0..side {
            for y in 0..side {
                for x in 0..side {
                    let tap = [
                        Slice::from(0..1),
                        Slice::from(0..channels),
                        Slice::from(from + z..to + z),
                        Slice::from(y..y + height),
                        Slice::from(x..x + width),
                    ];
                    taps.push(B::float_slice(self.padded.clone(), &tap));
                }
            }
        }
        let rows = taps.len() * channels;
        let voxels = (to - from) * height * width;
        let columns = B::float_reshape(joined::<B>(taps, 1), [rows, voxels].into());
        Some((columns, from * height * width))
    }
}
