//! Seconds of single convolutions on a device: forward, and each of the two gradients on its own.
//!
//! A network's step is nearly all convolutions, and a device's kernels for the three passes of one
//! shape can be ten times apart. The figures are those of the kernels that the device's tuner picks.

use std::str::FromStr;
use std::time::Instant;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use serde::Serialize;

use crate::nets::Precision;
use crate::nets::convolution::{ConvConfig, Convolution};
use crate::run::Failure;
use crate::run::device::ChosenDevice;

/// A convolution over a cube, zero-padded by half its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ConvolutionShape {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Side of the input volume, in voxels.
    pub side: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Number of channel groups.
    pub groups: usize,
}

impl FromStr for ConvolutionShape {
    type Err = String;

    /// `IN:OUT:SIDE`, and after it, as far as they are not 3, 1 and 1, `:KERNEL:STRIDE:GROUPS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| {
            format!(
                "`{text}` {problem}; write IN:OUT:SIDE[:KERNEL[:STRIDE[:GROUPS]]], 30:60:64 say"
            )
        };
        let numbers: Result<Vec<usize>, _> = text.split(':').map(str::parse).collect();
        let numbers = numbers.map_err(|_| wrong("holds something else than numbers"))?;
        let (&[inputs, outputs, side], rest) =
            numbers.split_first_chunk::<3>().ok_or_else(|| wrong("has too few numbers"))?;
        let at = |place: usize, default| rest.get(place).copied().unwrap_or(default);
        let shape =
            Self { inputs, outputs, side, kernel: at(0, 3), stride: at(1, 1), groups: at(2, 1) };
        if rest.len() > 3 || numbers.contains(&0) {
            return Err(wrong("has a number too many, or a 0"));
        }
        let divided = inputs.is_multiple_of(shape.groups) && outputs.is_multiple_of(shape.groups);
        if !divided || shape.kernel.is_multiple_of(2) {
            return Err(wrong("needs an odd kernel, and channels that its groups divide"));
        }
        Ok(shape)
    }
}

/// Measured times of one convolution.
#[derive(Debug, Clone, Serialize)]
pub struct ConvolutionCost {
    /// The convolution.
    #[serde(flatten)]
    pub shape: ConvolutionShape,
    /// Samples in a batch.
    pub batch: usize,
    /// Number format of the volume and the kernel.
    pub precision: Precision,
    /// Wall seconds of a forward pass, waited for: the median.
    pub forward_seconds: f64,
    /// The same of the gradient by the volume, a forward pass less.
    pub data_gradient_seconds: f64,
    /// The same of the gradient by the kernel.
    pub weight_gradient_seconds: f64,
    /// Wall seconds until all three had run once, with tuning.
    pub first_seconds: f64,
}

/// Options of a measurement: batch, precision, repeats.
#[derive(Debug, Clone, Copy)]
pub struct BenchOptions {
    /// Samples in a batch.
    pub batch: usize,
    /// Number format of the volumes and the kernels.
    pub precision: Precision,
    /// Passes under the clock, of which the median counts.
    pub repeats: usize,
}

/// Measures the shapes one after another; `on_cost` is called with each as soon as it is
/// measured.
///
/// # Errors
/// If the device does not compute in the precision, or fails.
pub fn bench_convolutions(
    chosen: &ChosenDevice,
    shapes: &[ConvolutionShape],
    options: BenchOptions,
    mut on_cost: impl FnMut(&ConvolutionCost),
) -> Result<Vec<ConvolutionCost>, Failure> {
    chosen.check_precision(options.precision)?;
    let mut costs = Vec::with_capacity(shapes.len());
    for &shape in shapes {
        let cost = measure_convolution(&chosen.device, shape, options)?;
        on_cost(&cost);
        costs.push(cost);
    }
    Ok(costs)
}

fn measure_convolution(
    device: &Device,
    shape: ConvolutionShape,
    options: BenchOptions,
) -> Result<ConvolutionCost, Failure> {
    let ConvolutionShape { inputs, outputs, side, kernel, stride, groups } = shape;
    let recording = device.clone().autodiff();
    let form = ConvConfig { size: kernel, stride, groups, bias: false };
    let mut trained = form.init([inputs, outputs], &recording);
    trained.weight = Param::from_tensor(wave(trained.weight.dims(), &recording).require_grad());
    let fixed = trained.clone().no_grad();
    let volume =
        wave([options.batch, inputs, side, side, side], &recording).cast(options.precision.dtype());
    let followed = volume.clone().require_grad();

    let clock = Instant::now();
    let forward = || seconds(device, || drop(fixed.forward(volume.clone())));
    let data = || backward(device, &fixed, &followed);
    let weight = || backward(device, &trained, &volume);
    for pass in [&forward as &dyn Fn() -> Result<f64, Failure>, &data, &weight] {
        pass()?;
    }
    let first_seconds = clock.elapsed().as_secs_f64();
    Ok(ConvolutionCost {
        shape,
        batch: options.batch,
        precision: options.precision,
        forward_seconds: median(options.repeats, forward)?,
        data_gradient_seconds: median(options.repeats, data)?,
        weight_gradient_seconds: median(options.repeats, weight)?,
        first_seconds,
    })
}

/// Seconds of the way back alone.
fn backward(
    device: &Device,
    convolution: &Convolution,
    volume: &Tensor<5>,
) -> Result<f64, Failure> {
    let answer = convolution.forward(volume.clone());
    wait(device)?;
    seconds(device, || drop(answer.backward()))
}

fn median(repeats: usize, pass: impl Fn() -> Result<f64, Failure>) -> Result<f64, Failure> {
    let mut all: Vec<f64> = (0..repeats.max(1)).map(|_| pass()).collect::<Result<_, _>>()?;
    all.sort_by(f64::total_cmp);
    Ok(all[all.len() / 2])
}

fn seconds(device: &Device, work: impl FnOnce()) -> Result<f64, Failure> {
    let clock = Instant::now();
    work();
    wait(device)?;
    Ok(clock.elapsed().as_secs_f64())
}

fn wait(device: &Device) -> Result<(), Failure> {
    device.sync().map_err(|error| {
        Failure::Device(format!(
            "the device failed: {error}; less memory is used with a smaller --batch or side"
        ))
    })
}

/// Values between -1 and 1, made on the device: what a GPU draws in power depends on them.
fn wave<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as i64;
    Tensor::<1, Int>::arange(0..count, device).float().sin().reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::device::{self, DeviceChoice};

    #[test]
    fn a_shape_is_read_with_what_it_leaves_out() {
        let plain =
            ConvolutionShape { inputs: 4, outputs: 30, side: 128, kernel: 3, stride: 1, groups: 1 };
        assert_eq!("4:30:128".parse(), Ok(plain));
        let whole =
            ConvolutionShape { inputs: 8, outputs: 16, side: 64, kernel: 1, stride: 2, groups: 4 };
        assert_eq!("8:16:64:1:2:4".parse(), Ok(whole));
        for wrong in ["", "4:30", "4:x:8", "4:30:0", "4:30:8:2", "4:30:8:3:1:4", "4:4:8:3:1:1:1"] {
            let problem = wrong.parse::<ConvolutionShape>().unwrap_err();
            assert!(problem.contains("; write IN:OUT:SIDE"), "{problem}");
        }
    }

    #[test]
    fn every_pass_of_every_shape_is_timed() {
        let chosen = device::choose_device(DeviceChoice::Cpu).unwrap();
        let shapes = ["2:4:8", "4:4:8:3:2:2"].map(|shape| shape.parse().unwrap());
        for precision in [Precision::F32, Precision::Bf16] {
            let options = BenchOptions { batch: 2, precision, repeats: 3 };
            let mut told = 0;
            let costs = bench_convolutions(&chosen, &shapes, options, |_| told += 1).unwrap();
            assert_eq!((costs.len(), told), (2, 2));
            for cost in costs {
                let seconds = [
                    cost.forward_seconds,
                    cost.data_gradient_seconds,
                    cost.weight_gradient_seconds,
                ];
                assert!(seconds.iter().all(|&one| one > 0.0), "{cost:?}");
            }
        }
    }
}
