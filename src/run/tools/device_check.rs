//! Comparison of a device with the CPU: every operation that the networks are made of and every
//! network, forward and backward, on the same drawn numbers.
//!
//! What a GPU lacks or gets wrong shows here, at sizes that take seconds, before it shows in a run.

use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;
use serde_json::{Value, json};

use crate::base::{ConfigError, Domain, KeyedRng, SampleKey};
use crate::nets::{
    ARCHITECTURES, ArchitectureEntry, Blueprint, Norm, OptimiserConfig, Precision, convolve,
    leaky_relu, max_pool, mean_pool, transposed_convolution, upsample_trilinear,
};
use crate::run::tools::bench_step::draw_batch;
use crate::train::{DiceBceLoss, feed};
use crate::volume::{Dims, ModalitySet, RegionSet};

/// The largest difference of an operation, relative to the largest value: room for products in
/// TF32, which CUDA may use for convolutions in f32, and far less than any wrong kernel's.
const OPERATION_TOLERANCE: f64 = 2e-3;

/// The same for a network, whose differences add up.
const NETWORK_TOLERANCE: f64 = 2e-2;

/// The same in brain floats, against f32 on the CPU: each layer rounds to 8 bits.
const BF16_TOLERANCE: f64 = 0.15;

/// Comparison of a device with the CPU.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The operation or the network.
    pub name: String,
    /// The largest difference of the answer, relative to its largest value.
    pub forward: f64,
    /// The same over all gradients; a network's are compared by their norms and by the next loss.
    pub backward: f64,
    /// Largest difference allowed.
    pub tolerance: f64,
}

impl Comparison {
    /// True if both differences are within the tolerance; NaN is not.
    pub fn is_within_tolerance(&self) -> bool {
        self.forward <= self.tolerance && self.backward <= self.tolerance
    }
}

/// An operation on volumes and kernels: its name, their shapes in either size, and what it does.
type Operation = (&'static str, [&'static [[usize; 5]]; 2], fn(&[Tensor<5>]) -> Tensor<5>);

const DENSE: [&[[usize; 5]]; 2] =
    [&[[2, 4, 6, 8, 10], [6, 4, 3, 3, 3]], &[[2, 30, 6, 10, 12], [34, 30, 3, 3, 3]]];
const GROUPED: [&[[usize; 5]]; 2] =
    [&[[1, 8, 6, 8, 10], [16, 2, 3, 3, 3]], &[[1, 32, 6, 10, 12], [64, 8, 3, 3, 3]]];
const POINTWISE: [&[[usize; 5]]; 2] =
    [&[[2, 6, 6, 4, 8], [3, 6, 1, 1, 1]], &[[2, 60, 6, 10, 12], [34, 60, 1, 1, 1]]];
const TRANSPOSED: [&[[usize; 5]]; 2] =
    [&[[2, 3, 4, 6, 5], [3, 5, 2, 2, 2]], &[[2, 40, 4, 6, 5], [40, 36, 2, 2, 2]]];
const POOLED: [&[[usize; 5]]; 2] = [&[[2, 3, 4, 6, 8]], &[[2, 30, 8, 10, 12]]];
const UPSAMPLED: [&[[usize; 5]]; 2] = [&[[2, 3, 4, 6, 5]], &[[2, 30, 4, 6, 10]]];
const NORMED: [&[[usize; 5]]; 2] = [&[[2, 6, 4, 6, 8]], &[[2, 30, 8, 10, 12]]];
const ACTIVATED: [&[[usize; 5]]; 2] = [&[[1, 2, 4, 6, 8]], &[[1, 30, 8, 10, 12]]];
const ENCODED: [&[[usize; 5]]; 2] = [&[[1, 8, 2, 4, 6]], &[[1, 32, 8, 10, 12]]];
const JOINED: [&[[usize; 5]]; 2] =
    [&[[2, 3, 4, 2, 6], [2, 1, 4, 2, 6]], &[[2, 30, 8, 10, 12], [2, 34, 8, 10, 12]]];

static OPERATIONS: &[Operation] = &[
    ("convolution 3x3x3", DENSE, |x| convolve_operands(x, 1, 1)),
    ("convolution 3x3x3, stride 2", DENSE, |x| convolve_operands(x, 2, 1)),
    ("convolution 3x3x3, 4 groups", GROUPED, |x| convolve_operands(x, 1, 4)),
    ("convolution 3x3x3, stride 2, 4 groups", GROUPED, |x| convolve_operands(x, 2, 4)),
    ("convolution 1x1x1", POINTWISE, |x| convolve_operands(x, 1, 1)),
    ("transposed convolution 2x2x2", TRANSPOSED, |x| {
        transposed_convolution(x[0].clone(), x[1].clone())
    }),
    ("maximum pooling", POOLED, |x| max_pool(x[0].clone())),
    ("mean pooling", POOLED, |x| mean_pool(x[0].clone())),
    ("trilinear up-sampling", UPSAMPLED, |x| upsample_trilinear(x[0].clone())),
    ("instance norm", NORMED, |x| {
        Norm::instance(x[0].dims()[1], 1e-5, &x[0].device()).forward(x[0].clone())
    }),
    ("group norm", NORMED, |x| {
        Norm::group(x[0].dims()[1], 2, 1e-5, &x[0].device()).forward(x[0].clone())
    }),
    ("instance norm and leaky ReLU", NORMED, |x| {
        Norm::instance(x[0].dims()[1], 1e-5, &x[0].device()).forward_leaky_relu(x[0].clone())
    }),
    ("group norm and ReLU", NORMED, |x| {
        Norm::group(x[0].dims()[1], 2, 1e-5, &x[0].device()).forward_relu(x[0].clone())
    }),
    ("ReLU", ACTIVATED, |x| relu(x[0].clone())),
    ("leaky ReLU", ACTIVATED, |x| leaky_relu(x[0].clone())),
    ("sigmoid", ACTIVATED, |x| sigmoid(x[0].clone())),
    ("maximum over encoders", ENCODED, |x| {
        let parts = x[0].clone().chunk(4, 1).into_iter();
        parts.reduce(Tensor::max_pair).expect("there are four")
    }),
    ("concatenation", JOINED, |x| Tensor::cat(x.to_vec(), 1)),
];

fn convolve_operands(x: &[Tensor<5>], stride: usize, groups: usize) -> Tensor<5> {
    convolve(x[0].clone(), x[1].clone(), None, stride, groups)
}

/// Size of a compared network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkSize {
    /// All of its depth, with few channels.
    Narrow,
    /// Few levels and two channels, for software that plays a GPU. Mesa's ends a kernel's loops
    /// after 65,535 turns in all, so that the gradient of a kernel over 32^3 voxels is wrong there.
    Tiny,
}

/// Size of the operands that operations are compared on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationSize {
    /// A few channels.
    Small = 0,
    /// Voxels and channels for more than one tile of a matrix product, and no multiple of one.
    Tiles = 1,
}

/// Compares the operations alone on `device` with the CPU, and calls `tell` with each comparison as it
/// is made.
///
/// # Panics
/// If the device fails.
pub fn compare_operations(
    device: &Device,
    size: OperationSize,
    mut tell: impl FnMut(&Comparison),
) -> Vec<Comparison> {
    let compare = |operation| {
        let compared = compare_operation(operation, size, device);
        tell(&compared);
        compared
    };
    OPERATIONS.iter().map(compare).collect()
}

/// Compares `device` with the CPU, operations and networks, and calls `tell` with each comparison as it
/// is made.
///
/// # Panics
/// If the device fails.
pub fn compare_with_cpu(
    device: &Device,
    size: NetworkSize,
    mut tell: impl FnMut(&Comparison),
) -> Vec<Comparison> {
    let mut all = compare_operations(device, OperationSize::Small, &mut tell);
    let mut keep = |compared: Comparison| {
        tell(&compared);
        all.push(compared);
    };
    let precisions = [Precision::F32, Precision::Bf16].into_iter();
    for precision in precisions.filter(|precision| device.supports_dtype(precision.dtype())) {
        for entry in ARCHITECTURES {
            let network =
                reduced_blueprint(entry, size).expect("a test builds every network in either size");
            keep(compare_network(network.as_ref(), device, precision));
        }
    }
    all
}

fn compare_operation(
    (name, shapes, apply): &Operation,
    size: OperationSize,
    device: &Device,
) -> Comparison {
    let inputs = shapes[size as usize];
    let run = |device: &Device| {
        let device = device.clone().autodiff();
        let place = |(stream, shape): (usize, &[usize; 5])| {
            draw_tensor(stream as u64, *shape, &device).require_grad()
        };
        let inputs: Vec<Tensor<5>> = inputs.iter().enumerate().map(place).collect();
        let answer = apply(&inputs);
        let weights = draw_tensor(100, answer.dims(), &device);
        let gradients = (answer.clone() * weights).sum().backward();
        let slopes = inputs.iter().map(|input| {
            read_values(input.grad(&gradients).expect("the answer depends on every input"))
        });
        let slopes: Vec<Vec<f64>> = slopes.collect();
        (read_values(answer), slopes)
    };
    let (answer, slopes) = run(device);
    let (expected, expected_slopes) = run(&Device::flex());
    let backward = slopes.iter().zip(&expected_slopes).map(|(a, b)| max_relative_difference(a, b));
    Comparison {
        name: (*name).into(),
        forward: max_relative_difference(&answer, &expected),
        backward: backward.fold(0.0, f64::max),
        tolerance: OPERATION_TOLERANCE,
    }
}

/// The network narrow, and shallow if it must be.
fn reduced_blueprint(
    entry: &ArchitectureEntry,
    size: NetworkSize,
) -> Result<Box<dyn Blueprint>, ConfigError> {
    let defaults = entry.default_blueprint().settings();
    let mut settings = json!({});
    let mut reduce = |field: &str, value: Value| {
        if defaults.get(field).is_some() {
            settings[field] = value;
        }
    };
    let width = match size {
        NetworkSize::Narrow => 8,
        NetworkSize::Tiny => 2,
    };
    reduce("base_width", json!(width));
    reduce("groups", json!(width / 2));
    if size == NetworkSize::Tiny {
        reduce("levels", json!(3));
        reduce("encoder_units", json!([1, 1, 2]));
        reduce("loss_weights", json!([0.5, 0.3]));
    }
    // The smallest patch follows from the depth, and one setting from the smallest patch.
    let side = entry.parse_settings(&settings)?.smallest_patch();
    if defaults.get("patch").is_some() {
        settings["patch"] = json!([side, side, side]);
    }
    entry.parse_settings(&settings)
}

fn compare_network(blueprint: &dyn Blueprint, device: &Device, precision: Precision) -> Comparison {
    let side = blueprint.smallest_patch();
    let run = |device: &Device, precision: Precision| {
        let mut learner = blueprint.new_learner(&OptimiserConfig::default(), 3, device);
        let recording = learner.device().clone();
        let batch = draw_batch(4, 1, Dims::cube(side));
        let uploaded = feed::upload_batch(batch, &recording, ModalitySet::ALL, precision);
        let images = uploaded.images;
        let targets = uploaded.truth.into_regions(RegionSet::BRATS, false);
        let loss = |learner: &dyn crate::nets::Learner, step| {
            let output = learner.forward(images.clone(), step);
            let logits = output.logits.clone();
            (DiceBceLoss::default().total_loss(output, targets.clone()).total, logits)
        };
        let (total, logits) = loss(learner.as_ref(), 0);
        let norms = learner.gradient_norms(total);
        let norms: Vec<f64> = norms.into_iter().map(|gradient| f64::from(gradient.norm)).collect();
        let (total, _) = loss(learner.as_ref(), 0);
        learner.backward_and_step(total, 1e-3);
        let (after, _) = loss(learner.as_ref(), 1);
        (read_values(logits), norms, read_values(after))
    };
    let (logits, norms, after) = run(device, precision);
    let (expected, expected_norms, expected_after) = run(&Device::flex(), Precision::F32);
    Comparison {
        name: format!("{}, {}", blueprint.name(), precision.name()),
        forward: max_relative_difference(&logits, &expected),
        backward: max_relative_difference(&norms, &expected_norms)
            .max(max_relative_difference(&after, &expected_after)),
        tolerance: match precision {
            Precision::F32 | Precision::F32Strict => NETWORK_TOLERANCE,
            Precision::Bf16 => BF16_TOLERANCE,
        },
    }
}

/// The largest difference, relative to the largest value expected; NaN where one is not finite.
fn max_relative_difference(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() || found.iter().any(|value| !value.is_finite()) {
        return f64::NAN;
    }
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max) / largest
}

fn read_values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn draw_tensor(stream: u64, shape: [usize; 5], device: &Device) -> Tensor<5> {
    let key = SampleKey { seed: 4, epoch: 0, index: stream };
    let mut rng = KeyedRng::new(key, Domain::Phantom);
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| rng.standard_normal() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself_to_the_bit_and_in_bf16_nearly() {
        let mut told = 0;
        let all = compare_with_cpu(&Device::flex(), NetworkSize::Tiny, |_| told += 1);
        assert_eq!((all.len(), told), (OPERATIONS.len() + 2 * ARCHITECTURES.len(), all.len()));
        for compared in &all {
            let is_rounded = compared.name.ends_with("bf16");
            assert_eq!(compared.forward > 0.0, is_rounded, "{compared:?}");
            assert_eq!(compared.backward > 0.0, is_rounded, "{compared:?}");
            assert!(compared.is_within_tolerance(), "{compared:?}");
        }
    }

    #[test]
    fn operands_of_tiles_fill_more_than_one_and_agree_on_the_cpu() {
        for shapes in [DENSE, GROUPED, POINTWISE, TRANSPOSED] {
            let [input, kernel] = shapes[OperationSize::Tiles as usize] else { panic!("two each") };
            let voxels: usize = input[0] * input[2..].iter().product::<usize>();
            assert!(voxels > 128 && !voxels.is_multiple_of(128), "{input:?}");
            assert!(kernel[0] > 32 && input[1] >= 30, "{input:?} {kernel:?}");
        }
        for compared in compare_operations(&Device::flex(), OperationSize::Tiles, |_| {}) {
            assert_eq!((compared.forward, compared.backward), (0.0, 0.0), "{compared:?}");
        }
    }

    #[test]
    fn every_network_can_be_reduced() {
        for entry in ARCHITECTURES {
            let [narrow, tiny] =
                [NetworkSize::Narrow, NetworkSize::Tiny].map(|size| reduced_blueprint(entry, size));
            let (narrow, tiny) = (narrow.unwrap(), tiny.unwrap());
            assert!(tiny.parameter_count() < narrow.parameter_count(), "{}", entry.name);
            assert!(tiny.smallest_patch() <= 16, "{}", entry.name);
        }
    }

    #[test]
    fn what_differs_or_is_no_number_does_not_agree() {
        assert_eq!(max_relative_difference(&[1.0, 2.0], &[1.0, 4.0]), 0.5);
        let compared = |forward, backward| Comparison {
            name: String::new(),
            forward,
            backward,
            tolerance: 1e-3,
        };
        assert!(compared(1e-3, 0.0).is_within_tolerance());
        assert!(
            !compared(2e-3, 0.0).is_within_tolerance()
                && !compared(0.0, 2e-3).is_within_tolerance()
        );
        assert!(!compared(max_relative_difference(&[f64::NAN], &[1.0]), 0.0).is_within_tolerance());
        assert!(!compared(0.0, max_relative_difference(&[], &[1.0])).is_within_tolerance());
    }
}
