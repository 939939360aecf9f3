//! Building blocks that networks share: convolutions and the two units made of them.

use burn::module::Module;
use burn::nn::conv::{Conv3d, Conv3dConfig};
use burn::nn::{Initializer, PaddingConfig3d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::nets::norm::Norm;

/// Slope of leaky ReLU below zero.
pub const LEAKY_SLOPE: f64 = 0.01;

/// The form of a convolution: a cubic kernel of odd size, zero-padded, so that stride 1 keeps the
/// grid and stride 2 halves an even one.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// Side of the kernel.
    pub size: usize,
    /// Step over the grid.
    pub stride: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl Kernel {
    /// 3x3x3, without a bias.
    pub const CUBE: Self = Self { size: 3, stride: 1, groups: 1, bias: false };

    /// 1x1x1, without a bias.
    pub const POINT: Self = Self { size: 1, ..Self::CUBE };

    /// The convolution from `channels[0]` to `channels[1]`; its values are zero until they are
    /// drawn ([`weights`](crate::nets::weights)).
    pub fn init(self, channels: [usize; 2], device: &Device) -> Conv3d {
        let pad = self.size / 2;
        Conv3dConfig::new(channels, [self.size; 3])
            .with_stride([self.stride; 3])
            .with_groups(self.groups)
            .with_padding(PaddingConfig3d::Explicit(pad, pad, pad))
            .with_bias(self.bias)
            .with_initializer(Initializer::Zeros)
            .init(device)
    }
}

/// Convolution 3x3x3, instance norm, leaky ReLU.
#[derive(Module, Debug)]
pub struct ConvUnit {
    /// The convolution.
    pub conv: Conv3d,
    /// The norm after it.
    pub norm: Norm,
}

impl ConvUnit {
    /// From `channels[0]` to `channels[1]`. A bias ahead of the norm has no effect and a gradient of
    /// exactly zero; it exists for weights that come from elsewhere.
    pub fn new(channels: [usize; 2], bias: bool, device: &Device) -> Self {
        Self {
            conv: Kernel { bias, ..Kernel::CUBE }.init(channels, device),
            norm: Norm::instance(channels[1], 1e-5, device),
        }
    }

    /// `[b, c0, d, h, w]` to `[b, c1, d, h, w]`.
    pub fn forward(&self, volume: Tensor<5>) -> Tensor<5> {
        leaky_relu(self.norm.forward(self.conv.forward(volume)))
    }
}

/// The pre-activation residual unit (He et al. 2016): twice norm, ReLU, convolution, added to what
/// came in.
#[derive(Module, Debug)]
pub struct ResidualUnit {
    /// The norm ahead of the first convolution.
    pub norm1: Norm,
    /// The first convolution.
    pub conv1: Conv3d,
    /// The norm ahead of the second convolution.
    pub norm2: Norm,
    /// The second convolution.
    pub conv2: Conv3d,
}

impl ResidualUnit {
    /// From as many channels to as many; `norm` makes both norms, `kernel` both convolutions.
    pub fn new(channels: usize, norm: impl Fn() -> Norm, kernel: Kernel, device: &Device) -> Self {
        Self {
            norm1: norm(),
            conv1: kernel.init([channels; 2], device),
            norm2: norm(),
            conv2: kernel.init([channels; 2], device),
        }
    }

    /// `[b, c, d, h, w]` to the same shape.
    pub fn forward(&self, volume: Tensor<5>) -> Tensor<5> {
        let between = self.conv1.forward(relu(self.norm1.forward(volume.clone())));
        volume + self.conv2.forward(relu(self.norm2.forward(between)))
    }
}

/// Leaky ReLU as a sum, whose gradient needs no mask of its own.
pub fn leaky_relu(volume: Tensor<5>) -> Tensor<5> {
    relu(volume.clone()) * (1.0 - LEAKY_SLOPE) + volume * LEAKY_SLOPE
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, activation};

    use super::*;

    #[test]
    fn leaky_relu_is_the_textbooks() {
        let device = Device::flex().autodiff();
        let volume = Tensor::<5>::random([1, 2, 3, 3, 3], Distribution::Normal(0.0, 1.0), &device)
            .require_grad();
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

    #[test]
    fn stride_two_halves_and_groups_share_the_kernel() {
        let device = Device::flex();
        let conv = Kernel { stride: 2, groups: 4, ..Kernel::CUBE }.init([8, 16], &device);
        assert_eq!(conv.weight.val().dims(), [16, 2, 3, 3, 3]);
        let answer = conv.forward(Tensor::zeros([1, 8, 8, 6, 4], &device));
        assert_eq!(answer.dims(), [1, 16, 4, 3, 2]);
    }
}
