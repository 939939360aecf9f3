//! The convolution that all networks share.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

#[cfg(feature = "cuda")]
use crate::nets::cuda;
use crate::nets::onnx::{GraphKernel, GraphValue, OnnxGraph};
use crate::nets::{Norm, cast, operations};

mod correlate;
mod correlation;
mod flex;
mod geometry;
mod kernel_gradient;
mod lanes;
mod operation;
mod packing;
mod pair_correlation;
mod pair_gradient;
mod products;
mod window;
mod winograd;

/// Settings of a convolution: a cubic kernel of odd size, zero-padded, so that stride 1 keeps the
/// grid and stride 2 halves an even one.
#[derive(Debug, Clone, Copy)]
pub struct ConvConfig {
    /// Size of the kernel.
    pub size: usize,
    /// Stride.
    pub stride: usize,
    /// Number of channel groups.
    pub groups: usize,
    /// Bias after the convolution.
    pub bias: bool,
}

impl ConvConfig {
    /// 3x3x3, without a bias.
    pub const CUBE: Self = Self { size: 3, stride: 1, groups: 1, bias: false };

    /// 1x1x1, without a bias.
    pub const POINT: Self = Self { size: 1, ..Self::CUBE };

    /// Creates the convolution from `channels[0]` to `channels[1]`; its values are zero until they
    /// are drawn ([`weights`](crate::nets::weights)).
    ///
    /// # Panics
    /// If the groups do not divide the channels.
    pub fn init(self, channels: [usize; 2], device: &Device) -> Convolution {
        let Self { size, stride, groups, bias } = self;
        let [from, to] = channels;
        let divided = from.is_multiple_of(groups) && to.is_multiple_of(groups);
        assert!(divided, "{from} to {to} channels in {groups} groups");
        let zeros = |shape: [usize; 5]| Initializer::Zeros.init(shape, device);
        Convolution {
            weight: zeros([to, from / groups, size, size, size]),
            bias: bias.then(|| Initializer::Zeros.init([to], device)),
            stride,
            groups,
        }
    }
}

/// Convolution in the type of its input; its parameters are f32 and carry PyTorch's names and
/// shapes.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[out, in / groups, k, k, k]`.
    pub weight: Param<Tensor<5>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
    groups: usize,
}

impl Convolution {
    /// `[b, in, d, h, w]` to `[b, out, d / stride, h / stride, w / stride]`.
    pub fn forward(&self, volume: Tensor<5>) -> Tensor<5> {
        let bias = self.bias.as_ref().map(Param::val);
        convolve(volume, self.weight.val(), bias, self.stride, self.groups)
    }

    /// [`Self::forward`] ahead of a norm. An instance norm takes any bias away again, so it is left out where the passes
    /// are our own: it gets no gradient, which is zero, and stays as it is.
    pub fn forward_ahead_of(&self, norm: &Norm, volume: Tensor<5>) -> Tensor<5> {
        if norm.is_instance() && operations::have_passes(&volume) {
            return convolve(volume, self.weight.val(), None, self.stride, self.groups);
        }
        self.forward(volume)
    }

    /// Number of channel groups.
    pub(crate) const fn group_count(&self) -> usize {
        self.groups
    }

    /// Adds [`Self::forward`] to a graph, as the layer `name`.
    #[doc(hidden)]
    pub fn add_to_graph(
        &self,
        graph: &mut OnnxGraph,
        name: &str,
        volume: &GraphValue,
    ) -> GraphValue {
        let weight = graph.add_parameter(format!("{name}.weight"), &self.weight);
        let bias = self.bias.as_ref();
        let bias = bias.map(|bias| graph.add_parameter(format!("{name}.bias"), bias));
        let size = self.weight.lazy_shape()[2];
        let (stride, groups) = (self.stride, self.groups);
        graph.convolve(name, volume, &GraphKernel { weight, bias, size, stride, groups })
    }
}

/// Convolves `[b, c, d, h, w]` with a zero-padded kernel `[k, c/groups, s, s, s]` of odd size and adds a bias
/// `[k]`, both f32, to `[b, k, d', h', w']`, `d' = ceil(d / stride)`: by passes of our own on the CPU in f32 and
/// on CUDA GPUs, by Burn's elsewhere.
pub fn convolve(
    volume: Tensor<5>,
    kernel: Tensor<5>,
    bias: Option<Tensor<1>>,
    stride: usize,
    groups: usize,
) -> Tensor<5> {
    #[cfg(feature = "cuda")]
    if let (Some(bias), true) = (&bias, cuda::convolves_biased(&volume, &kernel)) {
        return cuda::convolve_biased(volume, kernel, bias.clone(), stride, groups);
    }
    let dtype = volume.dtype();
    let bias = bias.map(|bias| cast(bias, dtype));
    if operations::have_passes(&volume) {
        let answer = operation::convolve(volume, kernel, stride, groups);
        let Some(bias) = bias else { return answer };
        return answer + bias.reshape([1, -1, 1, 1, 1]);
    }
    let pad = kernel.dims()[2] / 2;
    let options = ConvOptions::new([stride; 3], [pad; 3], [1; 3], groups);
    conv3d(volume, cast(kernel, dtype), bias, options)
}

#[cfg(test)]
mod tests {
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::nets::test_tensors::TestTensors;

    #[test]
    fn answers_and_gradients_are_burns_own() {
        let device = Device::flex().autodiff();
        let drawn = TestTensors::with_seed(1, &device);
        let draw = |shape: [usize; 5]| drawn.draw_standard(shape).require_grad();
        for (volume, kernel, stride, groups) in [
            ([2, 3, 4, 6, 5], [5, 3, 3, 3, 3], 1, 1),
            ([1, 8, 5, 4, 6], [16, 2, 3, 3, 3], 1, 4),
            ([2, 6, 3, 4, 5], [3, 6, 1, 1, 1], 1, 1),
            ([1, 2, 1, 1, 1], [9, 2, 3, 3, 3], 1, 1),
            // Wide enough for several slabs, the last one thinner, and more than one block.
            ([1, 4, 7, 48, 48], [10, 4, 3, 3, 3], 1, 1),
            ([2, 3, 8, 6, 10], [9, 3, 3, 3, 3], 2, 1),
            ([1, 8, 5, 7, 9], [4, 2, 3, 3, 3], 2, 4),
            ([1, 3, 6, 5, 4], [3, 3, 1, 1, 1], 2, 1),
            ([1, 2, 7, 8, 9], [3, 2, 5, 5, 5], 2, 1),
            // Groups of pairs of planes, the last one smaller, over memory that others have used.
            ([1, 30, 16, 16, 16], [17, 30, 3, 3, 3], 1, 1),
            ([1, 33, 13, 16, 16], [9, 33, 3, 3, 3], 1, 1),
            ([2, 20, 9, 21, 32], [8, 20, 3, 3, 3], 1, 1),
        ] {
            let (volume, kernel) = (draw(volume), draw(kernel));
            let pad = kernel.dims()[2] / 2;
            let options = || ConvOptions::new([stride; 3], [pad; 3], [1; 3], groups);
            let ours = operation::convolve(volume.clone(), kernel.clone(), stride, groups);
            let theirs = conv3d(volume.clone(), kernel.clone(), None, options());
            assert_eq!(ours.dims(), theirs.dims());
            let weights = draw(ours.dims());
            let all = |answer: Tensor<5>| {
                let gradients = (answer.clone() * weights.clone()).sum().backward();
                let of = |tensor: &Tensor<5>| tensor.grad(&gradients).unwrap();
                [answer.inner(), of(&volume), of(&kernel)]
            };
            for (ours, theirs) in all(ours).into_iter().zip(all(theirs)) {
                let largest: f32 = theirs.clone().abs().max().into_scalar();
                let worst: f32 = (ours - theirs).abs().max().into_scalar();
                assert!(worst < 1e-5 * largest, "{worst} of {largest}");
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let device = Device::flex().autodiff();
        let drawn = TestTensors::with_seed(2, &device);
        for (stride, groups) in [(1, 1), (2, 1), (1, 3)] {
            let (volume, kernel) = (
                drawn.draw_standard([2, 6, 9, 40, 40]),
                drawn.draw_standard([9, 6 / groups, 3, 3, 3]),
            );
            let all = |threads: usize| {
                let (volume, kernel) = (volume.clone(), kernel.clone());
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(move || {
                    let (volume, kernel) = (volume.require_grad(), kernel.require_grad());
                    let ours = operation::convolve(volume.clone(), kernel.clone(), stride, groups);
                    let gradients = ours.clone().powi_scalar(2).mean().backward();
                    let of = |tensor: &Tensor<5>| tensor.grad(&gradients).unwrap();
                    [ours.inner(), of(&volume), of(&kernel)].map(Tensor::into_data)
                })
            };
            let alone = all(1);
            assert_eq!(alone, all(2));
            assert_eq!(alone, all(7));
        }
    }

    #[test]
    fn a_volume_without_a_gradient_gets_none_and_its_kernel_does() {
        let device = Device::flex().autodiff();
        let volume = Tensor::<5>::ones([1, 1, 4, 4, 4], &device);
        let kernel = Tensor::<5>::ones([1, 1, 3, 3, 3], &device).require_grad();
        let answer = operation::convolve(volume.clone(), kernel.clone(), 1, 1);
        let gradients = answer.sum().backward();
        assert!(volume.grad(&gradients).is_none());
        let gradient = kernel.grad(&gradients).unwrap();
        let middle: f32 = gradient.clone().slice([0..1, 0..1, 1..2, 1..2, 1..2]).into_scalar();
        let corner: f32 = gradient.slice([0..1, 0..1, 0..1, 0..1, 0..1]).into_scalar();
        assert_eq!((middle, corner), (64.0, 27.0));
    }

    #[test]
    fn stride_two_halves_and_groups_share_the_kernel() {
        let device = Device::flex();
        let conv = ConvConfig { stride: 2, groups: 4, ..ConvConfig::CUBE }.init([8, 16], &device);
        assert_eq!(conv.weight.val().dims(), [16, 2, 3, 3, 3]);
        let answer = conv.forward(Tensor::zeros([1, 8, 8, 6, 4], &device));
        assert_eq!(answer.dims(), [1, 16, 4, 3, 2]);
    }
}
