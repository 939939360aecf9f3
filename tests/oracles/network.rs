//! What the oracles of the networks share: inputs, weights, and how figures are compared.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use gliaflow::internals::nets::weights;
use gliaflow::internals::volume::{Dims, LabelScheme};
use serde::Deserialize;

use super::counters::{off_projections, uniform, units};
use super::figures::{tensors, worst};

/// Seeds of the vectors that logits and gradients are projected on (`scripts/oracles/networks.py`).
const LOGITS_SEED: u64 = 800_000;
const GRADIENT_SEED: u64 = 900_000;

/// Largest difference of a gradient, of its norm as of its values, relative to its length.
pub(super) const GRADIENT_TOLERANCE: f64 = 2e-3;

/// [`GRADIENT_TOLERANCE`] of the residual U-Net without its autoencoder. One of its values lies 6.5e-8 from the kink of its
/// ReLU, where f32 may put it on either side: with that one on the other, the oracle's own gradients in f64 are off by up to
/// 1.06e-2, and that of the first convolution by 2.086e-3, as ours is.
pub(super) const TOLERANCE_AT_A_KINK: f64 = 1.2e-2;

/// What PyTorch computed for one network.
#[derive(Deserialize)]
pub(super) struct Figures {
    pub(super) params: usize,
    pub(super) param_order: Vec<(String, Vec<usize>)>,
    pub(super) losses: BTreeMap<String, f32>,
    stride: usize,
    pub(super) stats: BTreeMap<String, Spread>,
    grad_norm: f32,
    grad_stats: BTreeMap<String, Gradient>,
}

/// Statistics of a tensor.
#[derive(Deserialize)]
pub(super) struct Spread {
    mean: f64,
    std: f64,
    min: f32,
    max: f32,
    first8: Vec<f32>,
    projections: Vec<f32>,
}

/// A gradient: its norm, its products with two vectors, its values at evenly spread places.
#[derive(Deserialize)]
struct Gradient {
    l2: f32,
    projections: Vec<f32>,
    values: Vec<f32>,
}

/// The network with the oracle's weights, after its names and shapes have been checked.
pub(super) fn filled<M: Module>(module: M, seed: u64, figures: &Figures) -> M {
    let shapes = weights::parameter_shapes(&module);
    let names: Vec<_> = shapes.into_iter().map(|p| (p.name, p.shape)).collect();
    assert_eq!(names, figures.param_order);
    assert_eq!(module.num_params(), figures.params);
    weights::replace_parameters(module, &mut |place, name, shape| {
        let fan_in: usize = match *shape {
            // The only even kernels are those of transposed convolutions, `[in, out, 2, 2, 2]`.
            [input, _, 2, 2, 2] => input * 8,
            _ => shape.iter().skip(1).product(),
        };
        let bound = (6.0 / fan_in as f64).sqrt();
        let (low, high) = match (shape.len(), name.ends_with("weight")) {
            (1, true) => (0.8, 1.2),
            (1, false) => (-0.1, 0.1),
            _ => (-bound, bound),
        };
        Some(uniform(shape.iter().product(), 1000 * seed + place as u64, low, high))
    })
}

/// The images of `batch` samples, `side` voxels an axis.
pub(super) fn images(batch: usize, side: usize, device: &Device) -> Tensor<5> {
    let shape = [batch, 4, side, side, side];
    let values = uniform(shape.iter().product(), 11, -2.0, 2.0);
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Nested balls per sample, in the label values of BraTS 2018.
pub(super) fn labels(batch: usize, side: usize, device: &Device) -> Tensor<4, Int> {
    let extent = side as f64;
    let mut values = Vec::with_capacity(batch * side.pow(3));
    for sample in 0..batch as u64 {
        let centre: Vec<f64> =
            units(3, 7 + sample).iter().map(|unit| extent * (0.4 + 0.2 * unit)).collect();
        for place in 0..side.pow(3) {
            let at = Dims::cube(side).zyx_from_offset(place);
            let squares = at.iter().zip(&centre).map(|(&i, c)| (i as f64 - c).powi(2));
            let share = squares.sum::<f64>().sqrt() / extent;
            let in_file = match share {
                near if near < 0.14 => 1,
                near if near < 0.24 => 4,
                near if near < 0.33 => 2,
                _ => 0,
            };
            values.push(LabelScheme::Brats2018.to_canonical(in_file).unwrap());
        }
    }
    let data = TensorData::new(values, [batch, side, side, side]);
    Tensor::from_data(data, (device, DType::U8))
}

/// The one value of a tensor.
pub(super) fn read(value: &Tensor<1>) -> f32 {
    value.clone().into_scalar()
}

/// Every figure of `losses` is one of ours, and the other way round.
pub(super) fn check_losses(figures: &Figures, ours: &[(&str, f32)]) {
    assert_eq!(ours.len(), figures.losses.len());
    for (name, value) in ours {
        let expected = figures.losses[*name];
        assert!((value - expected).abs() < 1e-5, "{name}: {value} for {expected}");
    }
}

/// Logits of a network against their statistics, every `stride`-th against the oracle's voxel, and
/// all of them by their products with two vectors.
pub(super) fn check_logits(figures: &Figures, network: &str, name: &str, logits: &Tensor<5>) {
    let expected = &figures.stats[name];
    let values: Vec<f32> = logits.clone().into_data().try_to_vec().unwrap();
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let square = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    assert!((mean - expected.mean).abs() < 2e-4, "{name}: mean {mean}");
    let deviations = [square / count, square / (count - 1.0)].map(f64::sqrt);
    assert!(deviations.iter().any(|sd| (sd - expected.std).abs() < 2e-4), "{deviations:?}");
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    assert!(worst(&[low, high], &[expected.min, expected.max]) < 2e-4, "{name}: {low} to {high}");
    assert!(worst(&values[..8], &expected.first8) < 2e-4, "{name}: {:?}", &values[..8]);
    let oracle = &tensors("logits")[&format!("{network}.{name}")];
    let sampled: Vec<f32> = values.iter().copied().step_by(figures.stride).collect();
    assert!(sampled.len() > 100, "{name}: {} voxels", sampled.len());
    assert!(worst(&sampled, &oracle.values) < 2e-4, "{name}: somewhere in the volume");
    let off = off_projections(&values, &expected.projections, LOGITS_SEED);
    assert!(off < 2e-4, "{name}: {off} off the oracle's projections");
}

/// The gradient of one parameter.
pub(super) struct Found {
    /// Place of the parameter among all, those without a gradient included.
    pub(super) place: usize,
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

struct Gradients<'a> {
    path: Vec<String>,
    gradients: &'a GradientsParams,
    visited: usize,
    found: Vec<Found>,
}

impl ModuleVisitor for Gradients<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let place = self.visited;
        self.visited += 1;
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        let shape = gradient.dims().to_vec();
        let values = gradient.into_data().try_to_vec().unwrap();
        self.found.push(Found { place, name: self.path.join("."), shape, values });
    }
}

/// The gradient of every parameter that has one, in their order.
pub(super) fn gradients<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<Found> {
    let mut visitor = Gradients { path: Vec::new(), gradients, visited: 0, found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

/// Difference of the values of the gradient of parameter `place` from the oracle's: of its
/// projections relative to its norm, of single values relative to their root mean square.
pub(super) fn off_gradient(figures: &Figures, place: usize, name: &str, values: &[f32]) -> f64 {
    let expected = &figures.grad_stats[name];
    let seed = GRADIENT_SEED + 2 * place as u64;
    let rms = f64::from(expected.l2) / (values.len() as f64).sqrt();
    let off = off_projections(values, &expected.projections, seed) / rms;
    let last = expected.values.len() - 1;
    let places = (0..=last).map(|step| step * (values.len() - 1) / last);
    let single = places
        .zip(&expected.values)
        .map(|(place, expected)| (f64::from(values[place]) - f64::from(*expected)).abs() / rms);
    single.fold(off, f64::max)
}

/// The gradient of every parameter by norm and by value, and of all together. `without` names those
/// whose true gradient is zero, and is left out: the biases of convolutions ahead of an instance norm.
pub(super) fn check_gradients<M: Module>(
    figures: &Figures,
    module: &M,
    loss: &Tensor<1>,
    without: impl Fn(&str) -> bool,
    tolerance: f64,
) {
    let by_parameter = GradientsParams::from_grads(loss.backward(), module);
    let total = read(&weights::global_norm(module, &by_parameter).unwrap());
    assert!((total / figures.grad_norm - 1.0).abs() < 2e-3, "{total} for {}", figures.grad_norm);
    let norms = weights::gradient_norms(module, &by_parameter);
    let names: Vec<&String> = norms.iter().map(|gradient| &gradient.name).collect();
    let expected = figures.param_order.iter().map(|(name, _)| name);
    let expected = expected.filter(|name| !without(name));
    assert_eq!(names, expected.collect::<Vec<_>>());
    for gradient in norms {
        let expected = figures.grad_stats[&gradient.name].l2;
        let relative = f64::from(gradient.norm / expected - 1.0).abs();
        assert!(relative < tolerance, "{}: {} for {expected}", gradient.name, gradient.norm);
    }
    for found in gradients(module, &by_parameter) {
        let off = off_gradient(figures, found.place, &found.name, &found.values);
        assert!(off < tolerance, "{}: {off}", found.name);
    }
}
