//! What the oracles of the networks share: inputs, weights, and how figures are compared.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use gliaflow::nets::weights;
use gliaflow::volume::grid::Dims;
use gliaflow::volume::region::LabelScheme;
use serde::Deserialize;

use super::counters::{uniform, units};
use super::figures::{tensors, worst};

/// What PyTorch computed for one network.
#[derive(Deserialize)]
pub(super) struct Figures {
    pub(super) params: usize,
    pub(super) param_order: Vec<(String, Vec<usize>)>,
    pub(super) losses: BTreeMap<String, f32>,
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
}

#[derive(Deserialize)]
struct Gradient {
    l2: f32,
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

/// Logits against their statistics and, where the whole tensor is at hand, voxel by voxel.
pub(super) fn check_logits(figures: &Figures, file: &str, name: &str, logits: &Tensor<5>) {
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
    let Some(oracle) = tensors(file) else { return };
    assert!(worst(&values, &oracle[name].values) < 2e-4, "{name}: somewhere in the volume");
}

/// The gradient of every parameter and of all together. `without` names those whose true gradient is
/// zero: the biases of convolutions ahead of an instance norm.
pub(super) fn check_gradients<M: Module>(
    figures: &Figures,
    module: &M,
    loss: &Tensor<1>,
    without: impl Fn(&str) -> bool,
) {
    let gradients = GradientsParams::from_grads(loss.backward(), module);
    let total = read(&weights::global_norm(module, &gradients).unwrap());
    assert!((total / figures.grad_norm - 1.0).abs() < 2e-3, "{total} for {}", figures.grad_norm);
    let norms = weights::gradient_norms(module, &gradients);
    assert_eq!(norms.len(), figures.param_order.len());
    for gradient in norms {
        let expected = figures.grad_stats[&gradient.name].l2;
        if without(&gradient.name) {
            assert!(gradient.norm < 1e-5, "{}: {}", gradient.name, gradient.norm);
            continue;
        }
        let relative = (gradient.norm / expected - 1.0).abs();
        assert!(relative < 2e-3, "{}: {} for {expected}", gradient.name, gradient.norm);
    }
}
