//! The convolution that all networks share.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

use crate::nets::precision::cast;

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

/// A convolution that computes in the type of its input; its parameters are f32 and carry PyTorch's
/// names and shapes.
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
        let dtype = volume.dtype();
        let weight = cast(self.weight.val(), dtype);
        let bias = self.bias.as_ref().map(|bias| cast(bias.val(), dtype));
        let pad = weight.dims()[2] / 2;
        let options = ConvOptions::new([self.stride; 3], [pad; 3], [1; 3], self.groups);
        conv3d(volume, weight, bias, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stride_two_halves_and_groups_share_the_kernel() {
        let device = Device::flex();
        let conv = Kernel { stride: 2, groups: 4, ..Kernel::CUBE }.init([8, 16], &device);
        assert_eq!(conv.weight.val().dims(), [16, 2, 3, 3, 3]);
        let answer = conv.forward(Tensor::zeros([1, 8, 8, 6, 4], &device));
        assert_eq!(answer.dims(), [1, 16, 4, 3, 2]);
    }
}
