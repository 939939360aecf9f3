//! Building blocks that networks share: convolution, instance norm and leaky ReLU.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv3d, Conv3dConfig};
use burn::nn::{Initializer, PaddingConfig3d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

/// Slope of leaky ReLU below zero.
pub const LEAKY_SLOPE: f64 = 0.01;

/// A convolution that keeps the grid: cubic kernel of odd `size`, stride 1, zero padding.
///
/// Its values are zero until [`he_normal`](crate::nets::weights::he_normal) draws them.
pub fn convolution(channels: [usize; 2], size: usize, bias: bool, device: &Device) -> Conv3d {
    let pad = size / 2;
    Conv3dConfig::new(channels, [size; 3])
        .with_padding(PaddingConfig3d::Explicit(pad, pad, pad))
        .with_bias(bias)
        .with_initializer(Initializer::Zeros)
        .init(device)
}

/// Instance normalisation with a learned scale and shift per channel (Ulyanov et al. 2016).
///
/// Own code and not Burn's, because its parameters carry PyTorch's names and its scale is folded
/// into the division: one pass less over the volume in either direction.
#[derive(Module, Debug)]
pub struct InstanceNorm {
    /// Scale per channel, `[c]`.
    pub weight: Param<Tensor<1>>,
    /// Shift per channel, `[c]`.
    pub bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl InstanceNorm {
    /// Scale 1 and shift 0; `epsilon` is added to the variance.
    pub fn new(channels: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            epsilon,
        }
    }

    /// Normalises each channel of each sample over space, `[b, c, d, h, w]`.
    pub fn forward(&self, volume: Tensor<5>) -> Tensor<5> {
        let shape = volume.dims();
        let [b, c, ..] = shape;
        let flat: Tensor<3> = volume.reshape([b, c, shape[2] * shape[3] * shape[4]]);
        let centred = flat.clone() - flat.mean_dim(2); // [b, c, dhw]
        let variance = centred.clone().square().mean_dim(2); // [b, c, 1]
        let per_channel = |param: &Param<Tensor<1>>| param.val().reshape([1, c, 1]);
        let scale = per_channel(&self.weight) / (variance + self.epsilon).sqrt();
        (centred * scale + per_channel(&self.bias)).reshape(shape)
    }
}

/// Convolution 3x3x3, instance norm, leaky ReLU.
#[derive(Module, Debug)]
pub struct ConvUnit {
    /// The convolution.
    pub conv: Conv3d,
    /// The norm after it.
    pub norm: InstanceNorm,
}

impl ConvUnit {
    /// From `channels[0]` to `channels[1]`. A bias ahead of the norm has no effect and a gradient of
    /// exactly zero; it exists for weights that come from elsewhere.
    pub fn new(channels: [usize; 2], bias: bool, device: &Device) -> Self {
        Self {
            conv: convolution(channels, 3, bias, device),
            norm: InstanceNorm::new(channels[1], 1e-5, device),
        }
    }

    /// `[b, c0, d, h, w]` to `[b, c1, d, h, w]`.
    pub fn forward(&self, volume: Tensor<5>) -> Tensor<5> {
        leaky_relu(self.norm.forward(self.conv.forward(volume)))
    }
}

/// Leaky ReLU as a sum, whose gradient needs no mask of its own.
pub fn leaky_relu(volume: Tensor<5>) -> Tensor<5> {
    relu(volume.clone()) * (1.0 - LEAKY_SLOPE) + volume * LEAKY_SLOPE
}

#[cfg(test)]
mod tests {
    use burn::nn::InstanceNormConfig;
    use burn::tensor::{Distribution, activation};

    use super::*;

    fn worst(a: Tensor<5>, b: Tensor<5>) -> f32 {
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn norm_and_activation_are_the_textbooks() {
        let device = Device::flex().autodiff();
        let shape = [2, 3, 4, 5, 6];
        let volume = Tensor::random(shape, Distribution::Normal(3.0, 2.0), &device).require_grad();
        let weights = Tensor::random(shape, Distribution::Default, &device);
        let ours = InstanceNorm::new(3, 1e-5, &device);
        let theirs = InstanceNormConfig::new(3).init(&device);
        let gradient = |answer: Tensor<5>| {
            let gradients = (answer.clone() * weights.clone()).sum().backward();
            (answer.inner(), volume.grad(&gradients).unwrap())
        };
        let (value, slope) = gradient(leaky_relu(ours.forward(volume.clone())));
        let reference = activation::leaky_relu(theirs.forward(volume.clone()), LEAKY_SLOPE);
        let (expected, expected_slope) = gradient(reference);
        assert!(worst(value, expected) < 1e-5);
        assert!(worst(slope, expected_slope) < 1e-5);
    }
}
