//! Blocks that networks share: convolution unit, residual unit and their activation.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::nets::Norm;
use crate::nets::convolution::{ConvConfig, Convolution};
use crate::nets::onnx::{GraphValue, OnnxGraph};

/// Slope of leaky ReLU below zero.
pub const LEAKY_SLOPE: f64 = 0.01;

/// Convolution 3x3x3, instance norm, leaky ReLU.
#[derive(Module, Debug)]
pub struct ConvUnit {
    /// The convolution.
    pub conv: Convolution,
    /// The norm after it.
    pub norm: Norm,
}

impl ConvUnit {
    /// Creates a unit from `channels[0]` to `channels[1]` channels. A bias ahead of the norm has no
    /// effect and a gradient of exactly zero; it exists for weights of other programs.
    pub fn new(channels: [usize; 2], bias: bool, device: &Device) -> Self {
        Self {
            conv: ConvConfig { bias, ..ConvConfig::CUBE }.init(channels, device),
            norm: Norm::instance(channels[1], 1e-5, device),
        }
    }

    /// `[b, c0, d, h, w]` to `[b, c1, d, h, w]`.
    pub fn forward(&self, volume: Tensor<5>) -> Tensor<5> {
        self.norm.forward_leaky_relu(self.conv.forward_ahead_of(&self.norm, volume))
    }

    /// Adds [`Self::forward`] to a graph, as the unit `name`.
    #[doc(hidden)]
    pub fn add_to_graph(
        &self,
        graph: &mut OnnxGraph,
        name: &str,
        volume: &GraphValue,
    ) -> GraphValue {
        let convolved = self.conv.add_to_graph(graph, &format!("{name}.conv"), volume);
        let normalised = self.norm.add_to_graph(graph, &format!("{name}.norm"), &convolved);
        graph.leaky_relu(name, &normalised)
    }
}

/// Pre-activation residual unit (He et al. 2016): twice norm, ReLU and convolution, then the skip.
#[derive(Module, Debug)]
pub struct ResidualUnit {
    /// The norm ahead of the first convolution.
    pub norm1: Norm,
    /// The first convolution.
    pub conv1: Convolution,
    /// The norm ahead of the second convolution.
    pub norm2: Norm,
    /// The second convolution.
    pub conv2: Convolution,
}

impl ResidualUnit {
    /// Creates a unit of `channels` channels; `norm` makes both norms, `kernel` both convolutions.
    pub fn new(
        channels: usize,
        norm: impl Fn() -> Norm,
        kernel: ConvConfig,
        device: &Device,
    ) -> Self {
        Self {
            norm1: norm(),
            conv1: kernel.init([channels; 2], device),
            norm2: norm(),
            conv2: kernel.init([channels; 2], device),
        }
    }

    /// `[b, c, d, h, w]` to the same shape.
    pub fn forward(&self, volume: Tensor<5>) -> Tensor<5> {
        let activated = self.norm1.forward_relu(volume.clone());
        let between = self.conv1.forward_ahead_of(&self.norm2, activated);
        volume + self.conv2.forward(self.norm2.forward_relu(between))
    }

    /// Adds [`Self::forward`] to a graph, as the unit `name`.
    #[doc(hidden)]
    pub fn add_to_graph(
        &self,
        graph: &mut OnnxGraph,
        name: &str,
        volume: &GraphValue,
    ) -> GraphValue {
        let part = |end: &str| format!("{name}.{end}");
        let normalised = self.norm1.add_to_graph(graph, &part("norm1"), volume);
        let activated = graph.relu(&part("relu1"), &normalised);
        let between = self.conv1.add_to_graph(graph, &part("conv1"), &activated);
        let normalised = self.norm2.add_to_graph(graph, &part("norm2"), &between);
        let activated = graph.relu(&part("relu2"), &normalised);
        let correction = self.conv2.add_to_graph(graph, &part("conv2"), &activated);
        graph.sum(name, volume, &correction)
    }
}

/// Leaky ReLU as a sum, whose gradient needs no mask of its own.
pub fn leaky_relu(volume: Tensor<5>) -> Tensor<5> {
    relu(volume.clone()) * (1.0 - LEAKY_SLOPE) + volume * LEAKY_SLOPE
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation;

    use super::*;
    use crate::nets::test_tensors::TestTensors;

    #[test]
    fn leaky_relu_is_the_textbooks() {
        let device = Device::flex().autodiff();
        let volume =
            TestTensors::with_seed(1, &device).draw_standard([1, 2, 3, 3, 3]).require_grad();
        let both = |answer: Tensor<5>| {
            let gradients = answer.clone().square().sum().backward();
            (answer.inner(), volume.grad(&gradients).unwrap())
        };
        let (value, slope) = both(leaky_relu(volume.clone()));
        let (expected, expected_slope) = both(activation::leaky_relu(volume.clone(), LEAKY_SLOPE));
        let worst = |a: Tensor<5>, b: Tensor<5>| -> f32 { (a - b).abs().max().into_scalar() };
        assert!(worst(value, expected) < 1e-6);
        assert!(worst(slope, expected_slope) < 1e-6);
    }
}
