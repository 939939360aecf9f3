//! PyTorch's optimisers on a quadratic, `loss = sum(a (w - b)^2) / 2`, step by step.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Device, Tensor};
use gliaflow::nets::optimiser::OptimiserConfig;
use serde_json::json;

use super::figures::{fixture, worst};

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
    let mut optimiser = config.rule.init_optimiser(&module, &device);
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

#[test]
fn an_unknown_setting_is_refused_by_name() {
    let settings = json!({"kind": "adam", "momentun": 0.9});
    let error = serde_json::from_value::<OptimiserConfig>(settings).unwrap_err().to_string();
    assert!(error.contains("momentun"), "{error}");
}
