//! PyTorch's optimisers: five steps on a quadratic, `loss = sum(a (w - b)^2) / 2`, and sixty steps on
//! which every setting matters. Then the rates of its schedules.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Device, Tensor};
use gliaflow::internals::nets::OptimiserConfig;
use gliaflow::internals::train::{Plateau, Schedule, SchedulePosition, TrainerConfig};
use serde_json::json;

use super::counters::uniform;
use super::figures::{fixture, worst};

/// Largest difference of a weight after sixty steps, in float32 against float64.
const TOLERANCE: f32 = 2e-6;

#[derive(Module, Debug)]
struct Quadratic {
    w: Param<Tensor<1>>,
}

fn check(name: &str, settings: serde_json::Value, rate: f64) {
    let oracle: BTreeMap<String, Vec<f32>> = fixture("optim");
    let device = Device::flex().autodiff();
    let tensor = |values: &[f32]| Tensor::<1>::from_data(values, &device);
    let mut module = Quadratic { w: Param::from_tensor(tensor(&oracle["w0"])) };
    let config: OptimiserConfig = serde_json::from_value(settings).unwrap();
    let mut optimiser = config.init_optimiser(&module, &device);
    let sound = Tensor::<1, Bool>::from_data([true], &device);
    for step in 1..=5 {
        let distance = module.w.val() - tensor(&oracle["b"]);
        let loss = (tensor(&oracle["a"]) * distance.square()).sum() * 0.5;
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        module = optimiser.step(rate, module, gradients, &sound);
        let ours: Vec<f32> = module.w.val().into_data().try_to_vec().unwrap();
        let difference = worst(&ours, &oracle[&format!("{name}_step{step}")]);
        assert!(difference < 1e-6, "{name} step {step}: {difference}");
    }
}

#[test]
fn adam_with_l2_takes_torchs_steps() {
    check("adam_l2", json!({"kind": "adam", "weight_decay": 1e-5}), 2e-4);
}

#[test]
fn amsgrad_takes_torchs_steps() {
    let settings = json!({"kind": "adam", "amsgrad": true, "weight_decay": 1e-6});
    check("adam_amsgrad", settings, 2e-5);
}

#[test]
fn sgd_takes_torchs_steps() {
    check("sgd", json!({"kind": "sgd", "momentum": 0.0, "weight_decay": 0.0}), 0.1);
}

#[test]
fn momentum_is_torchs_without_dampening() {
    check("sgd_mom_wd", json!({"kind": "sgd"}), 0.1);
}

/// Weights after some of sixty steps, by optimiser (`scripts/oracles/optimisers.py`).
#[derive(serde::Deserialize)]
struct Long {
    rate: f64,
    steps: u64,
    weights_after: BTreeMap<String, BTreeMap<u64, Vec<f32>>>,
}

/// Largest difference between the weights that these settings lead to and the oracle's.
fn off(oracle: &Long, name: &str, settings: &serde_json::Value) -> f32 {
    let device = Device::flex().autodiff();
    let tensor = |values: Vec<f32>| Tensor::<1>::from_data(values.as_slice(), &device);
    let mut module = Quadratic { w: Param::from_tensor(tensor(uniform(20, 64, -1.0, 1.0))) };
    let config: OptimiserConfig = serde_json::from_value(settings.clone()).unwrap();
    let mut optimiser = config.init_optimiser(&module, &device);
    let sound = Tensor::<1, Bool>::from_data([true], &device);
    let (mut worst_yet, mut compared) = (0.0f32, 0);
    for step in 1..=oracle.steps {
        let size = if step % 8 == 3 { 1.0 } else { 0.1 };
        let gradient = tensor(uniform(20, 6400 + step, -size, size));
        let loss = (module.w.val() * gradient).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        module = optimiser.step(oracle.rate, module, gradients, &sound);
        if let Some(expected) = oracle.weights_after[name].get(&step) {
            let ours: Vec<f32> = module.w.val().into_data().try_to_vec().unwrap();
            worst_yet = worst_yet.max(worst(&ours, expected));
            compared += 1;
        }
    }
    assert_eq!(compared, oracle.weights_after[name].len());
    worst_yet
}

/// The settings of each optimiser of the fixture that this crate has.
fn right_settings() -> [(&'static str, serde_json::Value); 9] {
    [
        ("adam", json!({"kind": "adam", "weight_decay": 0.1})),
        ("amsgrad", json!({"kind": "adam", "weight_decay": 0.1, "amsgrad": true})),
        (
            "amsgrad_beta2_0.9",
            json!({"kind": "adam", "weight_decay": 0.1, "amsgrad": true, "beta2": 0.9}),
        ),
        ("adam_beta2_0.99", json!({"kind": "adam", "weight_decay": 0.1, "beta2": 0.99})),
        ("sgd", json!({"kind": "sgd", "weight_decay": 0.1})),
        ("adam_without_decay", json!({"kind": "adam", "weight_decay": 0.0})),
        ("adamw", json!({"kind": "adamw", "weight_decay": 0.1})),
        (
            "adamw_amsgrad",
            json!({"kind": "adamw", "weight_decay": 0.1, "amsgrad": true, "beta1": 0.8, "beta2": 0.9}),
        ),
        (
            "nesterov",
            json!({"kind": "sgd", "weight_decay": 0.1, "momentum": 0.99, "nesterov": true}),
        ),
    ]
}

#[test]
fn sixty_steps_with_decay_and_changing_signs_are_torchs() {
    let oracle: Long = fixture("optim_long");
    assert_eq!(oracle.steps, 60);
    for (name, settings) in right_settings() {
        let off = off(&oracle, name, &settings);
        assert!(off < TOLERANCE, "{name}: {off}");
    }
}

#[test]
fn each_setting_that_is_wrong_leads_elsewhere() {
    let oracle: Long = fixture("optim_long");
    let right: BTreeMap<&str, serde_json::Value> = right_settings().into();
    for (name, setting, wrong) in [
        ("adam", "weight_decay", json!(0.0)),
        ("adam", "weight_decay", json!(0.099)),
        ("adam", "amsgrad", json!(true)),
        ("adam", "beta1", json!(0.89)),
        ("adam", "beta2", json!(0.99)),
        ("adam", "beta2", json!(0.998)),
        ("adam", "epsilon", json!(1e-4)),
        ("amsgrad", "amsgrad", json!(false)),
        ("amsgrad_beta2_0.9", "amsgrad", json!(false)),
        ("amsgrad_beta2_0.9", "beta2", json!(0.91)),
        ("adam_beta2_0.99", "beta2", json!(0.999)),
        ("sgd", "momentum", json!(0.89)),
        ("sgd", "weight_decay", json!(0.0)),
        ("sgd", "weight_decay", json!(0.099)),
        ("sgd", "nesterov", json!(true)),
        ("nesterov", "nesterov", json!(false)),
        ("nesterov", "momentum", json!(0.98)),
        ("adamw", "kind", json!("adam")),
        ("adamw", "weight_decay", json!(0.099)),
        ("adamw", "decay_kernels_only", json!(true)),
        ("adamw_amsgrad", "amsgrad", json!(false)),
        ("adamw_amsgrad", "beta1", json!(0.9)),
    ] {
        let mut settings = right[name].clone();
        settings[setting] = wrong;
        let off = off(&oracle, name, &settings);
        assert!(off > 10.0 * TOLERANCE, "{name} with {settings}: only {off}");
    }
}

#[test]
fn the_decay_is_part_of_the_gradient_and_not_decoupled_as_adamws() {
    let oracle: Long = fixture("optim_long");
    for (name, settings) in right_settings() {
        if settings["kind"] == "adam" {
            let off = off(&oracle, "adamw", &settings);
            assert!(off > 1e4 * TOLERANCE, "{name}: only {off}");
        }
    }
}

#[derive(Module, Debug)]
struct Layer {
    kernel: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// PyTorch would be given two groups of parameters, the second one without a decay.
#[test]
fn a_decay_of_kernels_leaves_biases_and_norms_alone() {
    let oracle: Long = fixture("optim_long");
    let device = Device::flex().autodiff();
    let tensor = |values: Vec<f32>| Tensor::<1>::from_data(values.as_slice(), &device);
    let start = tensor(uniform(20, 64, -1.0, 1.0));
    let mut module = Layer {
        kernel: Param::from_tensor(start.clone().reshape([4, 5])),
        bias: Param::from_tensor(start),
    };
    let settings = json!({"kind": "adam", "weight_decay": 0.1, "decay_kernels_only": true});
    let config: OptimiserConfig = serde_json::from_value(settings).unwrap();
    let mut optimiser = config.init_optimiser(&module, &device);
    let finite = Tensor::<1, Bool>::from_data([true], &device);
    for step in 1..=oracle.steps {
        let size = if step % 8 == 3 { 1.0 } else { 0.1 };
        let gradient = tensor(uniform(20, 6400 + step, -size, size));
        let both = module.bias.val() + module.kernel.val().reshape([20]);
        let loss = (both * gradient).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        module = optimiser.step(oracle.rate, module, gradients, &finite);
    }
    let kernel = module.kernel.val().reshape([20]).into_data().try_to_vec::<f32>().unwrap();
    let bias = module.bias.val().into_data().try_to_vec::<f32>().unwrap();
    for (found, expected) in [(kernel, "adam"), (bias, "adam_without_decay")] {
        let off = worst(&found, &oracle.weights_after[expected][&oracle.steps]);
        assert!(off < TOLERANCE, "{expected}: {off}");
    }
}

/// Rates of every step under PyTorch's schedules (`scripts/oracles/optimisers.py`).
#[derive(serde::Deserialize)]
struct Rates {
    rate: f64,
    steps: u64,
    warm_up: u64,
    minimum: f64,
    rates: BTreeMap<String, Vec<f64>>,
}

#[test]
fn the_rates_of_a_cosine_after_a_warm_up_and_of_poly_are_torchs() {
    let oracle: Rates = fixture("rates");
    let steps_per_epoch = 4;
    let warm_up_epochs = (oracle.warm_up / steps_per_epoch) as f64;
    let cosine = |minimum| Schedule::Cosine { minimum };
    let cases = [
        ("cosine", 0.0, cosine(0.0)),
        ("warm_up_cosine", warm_up_epochs, cosine(0.0)),
        ("warm_up_cosine_to_minimum", warm_up_epochs, cosine(oracle.minimum)),
        ("poly", 0.0, Schedule::Poly { power: 0.9 }),
    ];
    assert_eq!(cases.len(), oracle.rates.len());
    for (name, warm_up_epochs, schedule) in cases {
        let learning_rate = oracle.rate;
        let config =
            TrainerConfig { learning_rate, warm_up_epochs, schedule, ..Default::default() };
        for (step, expected) in (0..oracle.steps).zip(&oracle.rates[name]) {
            let moment = SchedulePosition { step, total: oracle.steps, steps_per_epoch };
            let rate = config.learning_rate_at(moment, &Plateau::default());
            assert!((rate / expected - 1.0).abs() < 1e-9, "{name} at {step}: {rate} {expected}");
        }
        assert_eq!(oracle.rates[name].len() as u64, oracle.steps);
    }
}

#[test]
fn an_unknown_setting_is_refused_by_name() {
    let settings = json!({"kind": "adam", "momentun": 0.9});
    let error = serde_json::from_value::<OptimiserConfig>(settings).unwrap_err().to_string();
    assert!(error.contains("momentun"), "{error}");
}
