//! Group norm, and instance norm as its case of one channel a group.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::relu;
use burn::tensor::{DType, Device, Tensor};

use crate::nets::onnx::{GraphNorm, GraphValue, OnnxGraph};
use crate::nets::operations::{self, NormSettings};
use crate::nets::{LEAKY_SLOPE, cast, leaky_relu};

/// Group normalisation (Wu and He 2018) with a learned scale and shift per channel.
///
/// Own code and not Burn's, because its parameters carry PyTorch's names and its scale is folded
/// into the division: one pass less over the volume in either direction.
#[derive(Module, Debug)]
pub struct Norm {
    /// Scale per channel, `[c]`.
    pub weight: Param<Tensor<1>>,
    /// Shift per channel, `[c]`.
    pub bias: Param<Tensor<1>>,
    groups: usize,
    epsilon: f64,
}

impl Norm {
    /// Creates a group norm with scale 1 and shift 0; `epsilon` is added to the variance.
    ///
    /// # Panics
    /// If `groups` does not divide `channels`.
    pub fn group(channels: usize, groups: usize, epsilon: f64, device: &Device) -> Self {
        assert!(channels.is_multiple_of(groups), "{channels} channels in {groups} groups");
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            groups,
            epsilon,
        }
    }

    /// Creates an instance norm (Ulyanov et al. 2016).
    pub fn instance(channels: usize, epsilon: f64, device: &Device) -> Self {
        Self::group(channels, channels, epsilon, device)
    }

    /// Tells if each channel is a group of its own, so that a constant in a channel has no effect.
    pub fn is_instance(&self) -> bool {
        self.weight.lazy_shape()[0] == self.groups
    }

    /// Normalises each group of each sample, `[b, c, d, h, w]`; in f32, and back to the input's type.
    pub fn forward(&self, volume: Tensor<5>) -> Tensor<5> {
        self.forward_activated(volume, 1.0, |normalised| normalised)
    }

    /// [`Self::forward`] and ReLU.
    pub fn forward_relu(&self, volume: Tensor<5>) -> Tensor<5> {
        self.forward_activated(volume, 0.0, relu)
    }

    /// [`Self::forward`] and leaky ReLU.
    pub fn forward_leaky_relu(&self, volume: Tensor<5>) -> Tensor<5> {
        self.forward_activated(volume, LEAKY_SLOPE, leaky_relu)
    }

    /// Normalises, and applies an activation that is linear on either side of zero, with `slope` below.
    fn forward_activated(
        &self,
        volume: Tensor<5>,
        slope: f64,
        activation: impl Fn(Tensor<5>) -> Tensor<5>,
    ) -> Tensor<5> {
        if operations::normalise_by_passes(&volume) {
            let (epsilon, slope) = (self.epsilon as f32, slope as f32);
            let settings = NormSettings { groups: self.groups, epsilon, slope };
            return operations::normalise(volume, self.weight.val(), self.bias.val(), settings);
        }
        activation(self.normalise(volume))
    }

    /// Adds [`Self::forward`] to a graph, as the layer `name`.
    #[doc(hidden)]
    pub fn add_to_graph(
        &self,
        graph: &mut OnnxGraph,
        name: &str,
        volume: &GraphValue,
    ) -> GraphValue {
        let norm = GraphNorm {
            weight: graph.add_parameter(format!("{name}.weight"), &self.weight),
            bias: graph.add_parameter(format!("{name}.bias"), &self.bias),
            groups: self.groups,
            epsilon: self.epsilon,
            is_instance: self.is_instance(),
        };
        graph.normalise(name, volume, &norm)
    }

    /// [`Self::forward`] composed of operations of every backend.
    pub(super) fn normalise(&self, volume: Tensor<5>) -> Tensor<5> {
        let shape @ [b, c, d, h, w] = volume.dims();
        let dtype = volume.dtype();
        let g = self.groups;
        let members = c / g;
        let flat: Tensor<3> = cast(volume, DType::F32).reshape([b, g, members * d * h * w]);
        let centred = flat.clone() - flat.mean_dim(2);
        let variance = centred.clone().square().mean_dim(2); // [b, g, 1]
        let deviation = (variance + self.epsilon).sqrt().reshape([b, g, 1, 1]);
        let scale = self.weight.val().reshape([1, g, members, 1]) / deviation;
        let by_channel = centred.reshape([b, c, d * h * w]);
        let shift = self.bias.val().reshape([1, c, 1]);
        cast((by_channel * scale.reshape([b, c, 1]) + shift).reshape(shape), dtype)
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{GroupNormConfig, InstanceNormConfig};

    use super::*;
    use crate::nets::test_tensors::TestTensors;

    /// The largest differences in value and in the gradient of the input.
    fn worst(
        channels: usize,
        ours: impl Fn(Tensor<5>) -> Tensor<5>,
        theirs: impl Fn(Tensor<5>) -> Tensor<5>,
    ) -> [f32; 2] {
        let device = Device::flex().autodiff();
        let shape = [2, channels, 4, 5, 6];
        let drawn = TestTensors::with_seed(1, &device);
        let volume = drawn.draw_around(shape, 3.0, 2.0).require_grad();
        let weights = drawn.draw_standard(shape);
        let both = |answer: Tensor<5>| {
            let gradients = (answer.clone() * weights.clone()).sum().backward();
            (answer.inner(), volume.grad(&gradients).unwrap())
        };
        let (value, slope) = both(ours(volume.clone()));
        let (expected, expected_slope) = both(theirs(volume.clone()));
        let difference = |a: Tensor<5>, b: Tensor<5>| (a - b).abs().max().into_scalar();
        [difference(value, expected), difference(slope, expected_slope)]
    }

    #[test]
    fn instance_and_group_norm_are_the_textbooks() {
        let device = Device::flex().autodiff();
        let ours = Norm::instance(3, 1e-3, &device);
        let theirs = InstanceNormConfig::new(3).with_epsilon(1e-3).init(&device);
        let found = worst(3, |v| ours.forward(v), |v| theirs.forward(v));
        assert!(found.iter().all(|&difference| difference < 1e-5), "{found:?}");

        let ours = Norm::group(6, 2, 1e-5, &device);
        let theirs = GroupNormConfig::new(2, 6).init(&device);
        let found = worst(6, |v| ours.forward(v), |v| theirs.forward(v));
        assert!(found.iter().all(|&difference| difference < 1e-5), "{found:?}");
    }
}
