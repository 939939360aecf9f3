//! Passes of a convolution on the CPU, where both tensors are f32.

use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;

use crate::nets::convolution::correlate::correlate_volume;
use crate::nets::convolution::geometry;
use crate::nets::convolution::kernel_gradient::KernelGradientInput;
use crate::nets::convolution::operation::Convolve;
use crate::nets::convolution::packing::{Channels, PackedKernel};

impl Convolve for Flex {
    fn convolve(
        volume: FlexTensor,
        kernel: FlexTensor,
        stride: usize,
        groups: usize,
    ) -> FlexTensor {
        let shape = ConvShape::of_kernel(extent_of(&volume), &volume, &kernel, stride, groups);
        shape.compute_output(&volume, &kernel)
    }

    fn volume_gradient(
        slopes: FlexTensor,
        kernel: FlexTensor,
        extent: [usize; 3],
        stride: usize,
        groups: usize,
    ) -> FlexTensor {
        let shape = ConvShape::of_kernel(extent, &slopes, &kernel, stride, groups);
        shape.volume_gradient(&slopes, &kernel)
    }

    fn kernel_gradient(
        volume: FlexTensor,
        slopes: FlexTensor,
        side: usize,
        stride: usize,
        groups: usize,
    ) -> FlexTensor {
        let [samples, inputs] = [volume.shape()[0], volume.shape()[1] / groups];
        let outputs = slopes.shape()[1] / groups;
        let extent = extent_of(&volume);
        ConvShape { samples, groups, inputs, outputs, extent, side, stride }
            .kernel_gradient(&volume, &slopes)
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
    /// Shape of the convolution of a volume of that extent; `samples` is its batch or its output's.
    fn of_kernel(
        extent: [usize; 3],
        samples: &FlexTensor,
        kernel: &FlexTensor,
        stride: usize,
        groups: usize,
    ) -> Self {
        let kernel = kernel.shape();
        Self {
            samples: samples.shape()[0],
            groups,
            inputs: kernel[1],
            outputs: kernel[0] / groups,
            extent,
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
        let taps = side.pow(3);
        let taps_of = |to: usize, from: usize| &kernel[(to * inputs + from) * taps..][..taps];
        let lattice = geometry::of_convolution(self.extent, side, self.stride);
        let target = lattice.map(|axis| axis.outputs);
        let pass = PackedKernel::new(lattice, channels, side, taps_of);
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
        let taps = side.pow(3);
        let taps_of = |to: usize, from: usize| {
            let output = to / inputs * outputs + from;
            &kernel[(output * inputs + to % inputs) * taps..][..taps]
        };
        let lattices = geometry::of_transpose(self.extent, side, self.stride).into_iter();
        let passes: Vec<PackedKernel> =
            lattices.map(|lattice| PackedKernel::new(lattice, channels, side, taps_of)).collect();
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

/// The extent `[d, h, w]` of `[b, c, d, h, w]`.
fn extent_of(volume: &FlexTensor) -> [usize; 3] {
    let shape = volume.shape();
    [shape[2], shape[3], shape[4]]
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
