//! The U-Net of base 4 at 32^3: logits, losses and the gradient of every parameter.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use gliaflow::nets::unet::{UNet, UNetConfig};
use gliaflow::nets::{Architecture, weights};
use gliaflow::train::loss::{LossConfig, region_targets};
use gliaflow::volume::grid::Dims;
use gliaflow::volume::region::LabelScheme;
use serde::Deserialize;

use super::counters::{uniform, units};
use super::figures::{fixture, tensors, worst};

const SIDE: usize = 32;
const BATCH: usize = 2;
const NET_SEED: u64 = 1;

#[derive(Deserialize)]
struct Figures {
    params: usize,
    param_order: Vec<(String, Vec<usize>)>,
    losses: BTreeMap<String, f32>,
    stats: Stats,
    grad_stats: BTreeMap<String, Gradient>,
}

#[derive(Deserialize)]
struct Stats {
    logits: Logits,
}

#[derive(Deserialize)]
struct Logits {
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

fn network(device: &Device) -> UNet {
    let config = UNetConfig { base_width: 4, ..UNetConfig::default() };
    weights::replace(UNet::init(&config, device), &mut |place, name, shape| {
        let seed = 1000 * NET_SEED + place as u64;
        let fan_in: usize = shape.iter().skip(1).product();
        let bound = (6.0 / fan_in as f64).sqrt();
        let (low, high) = match (shape.len(), name.ends_with("norm.weight")) {
            (1, true) => (0.8, 1.2),
            (1, false) => (-0.1, 0.1),
            _ => (-bound, bound),
        };
        Some(uniform(shape.iter().product(), seed, low, high))
    })
}

fn images(device: &Device) -> Tensor<5> {
    let shape = [BATCH, 4, SIDE, SIDE, SIDE];
    let values = uniform(shape.iter().product(), 11, -2.0, 2.0);
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Nested balls per sample, in the label values of BraTS 2018.
fn labels(device: &Device) -> Tensor<4, Int> {
    let side = SIDE as f64;
    let mut values = Vec::with_capacity(BATCH * SIDE.pow(3));
    for sample in 0..BATCH as u64 {
        let centre: Vec<f64> =
            units(3, 7 + sample).iter().map(|unit| side * (0.4 + 0.2 * unit)).collect();
        for place in 0..SIDE.pow(3) {
            let at = Dims::cube(SIDE).position(place);
            let squares = at.iter().zip(&centre).map(|(&i, c)| (i as f64 - c).powi(2));
            let share = squares.sum::<f64>().sqrt() / side;
            let in_file = match share {
                near if near < 0.14 => 1,
                near if near < 0.24 => 4,
                near if near < 0.33 => 2,
                _ => 0,
            };
            values.push(LabelScheme::Brats2018.to_canonical(in_file).unwrap());
        }
    }
    let data = TensorData::new(values, [BATCH, SIDE, SIDE, SIDE]);
    Tensor::from_data(data, (device, DType::U8))
}

#[test]
fn the_unet_has_torchs_logits_losses_and_gradients() {
    let figures: Figures = fixture("unet");
    let device = Device::flex().autodiff();
    let net = network(&device);

    let shapes = weights::shapes(&net);
    let names: Vec<_> = shapes.into_iter().map(|p| (p.name, p.shape)).collect();
    assert_eq!(names, figures.param_order);
    assert_eq!(net.num_params(), figures.params);

    let logits = net.forward(images(&device)).logits;
    let values: Vec<f32> = logits.clone().into_data().try_to_vec().unwrap();
    check_logits(&values, &figures.stats.logits);

    let targets = region_targets(labels(&device));
    let loss = |config: LossConfig| config.of_regions(logits.clone(), targets.clone());
    let paper = loss(LossConfig::default());
    let read = |value: &Tensor<1>| value.clone().into_scalar::<f32>();
    let ours = [
        ("total", read(&paper.total)),
        ("dice_batch", read(&paper.dice)),
        ("bce_mean", read(&paper.bce)),
        ("bce_region_sum", read(&loss(LossConfig { region_sum: true, ..Default::default() }).bce)),
        (
            "dice_per_sample",
            read(&loss(LossConfig { per_sample: true, ..Default::default() }).dice),
        ),
    ];
    assert_eq!(ours.len(), figures.losses.len());
    for (name, value) in ours {
        assert!((value - figures.losses[name]).abs() < 1e-5, "{name}: {value}");
    }

    let gradients = GradientsParams::from_grads(paper.total.backward(), &net);
    let mut compared = 0;
    for gradient in weights::gradient_norms(&net, &gradients) {
        let expected = figures.grad_stats[&gradient.name].l2;
        // The bias of a convolution ahead of a norm has no gradient but rounding.
        if gradient.name.ends_with("conv.bias") {
            assert!(gradient.norm < 1e-5, "{}: {}", gradient.name, gradient.norm);
            continue;
        }
        let relative = (gradient.norm / expected - 1.0).abs();
        assert!(relative < 2e-3, "{}: {} for {expected}", gradient.name, gradient.norm);
        compared += 1;
    }
    assert_eq!(compared, figures.param_order.len() - 18);
}

fn check_logits(values: &[f32], expected: &Logits) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let square = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    assert!((mean - expected.mean).abs() < 2e-4, "mean {mean}");
    let deviations = [square / count, square / (count - 1.0)].map(f64::sqrt);
    assert!(deviations.iter().any(|sd| (sd - expected.std).abs() < 2e-4), "{deviations:?}");
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    assert!(worst(&[low, high], &[expected.min, expected.max]) < 2e-4, "{low} to {high}");
    assert!(worst(&values[..8], &expected.first8) < 2e-4, "{:?}", &values[..8]);
    let Some(oracle) = tensors("unet_isensee_b4_32") else { return };
    assert!(worst(values, &oracle["logits"].values) < 2e-4, "somewhere in the volume");
}
