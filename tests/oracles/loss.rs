//! PyTorch's figures for each reading of the loss.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use gliaflow::internals::train::DiceBceLoss;
use serde::Deserialize;

use super::figures::{Array, fixture, worst};

#[derive(Deserialize)]
struct Figures {
    logits: Array,
    target: Array,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    total: f32,
    dice_loss: f32,
    bce: f32,
    dice_scores: serde_json::Value,
    gradient: Option<Array>,
}

fn reading(name: &str) -> DiceBceLoss {
    let paper = DiceBceLoss::default();
    match name {
        "batch_mean" => paper,
        "batch_regionsum" => DiceBceLoss { region_sum: true, ..paper },
        "sample_mean" => DiceBceLoss { per_sample: true, ..paper },
        "batch_mean_smooth" => {
            DiceBceLoss { numerator_epsilon: 1e-5, denominator_epsilon: 1e-5, ..paper }
        }
        other => panic!("the fixture has a reading `{other}` that is not tested"),
    }
}

/// Dice by region; the mean over samples where the oracle has them apart.
fn scores(figures: &serde_json::Value) -> Vec<f32> {
    if let Ok(by_region) = serde_json::from_value::<Vec<f32>>(figures.clone()) {
        return by_region;
    }
    let by_sample: Vec<[f32; 3]> = serde_json::from_value(figures.clone()).unwrap();
    let mean = |region| by_sample.iter().map(|s| s[region]).sum::<f32>() / by_sample.len() as f32;
    (0..3).map(mean).collect()
}

#[test]
fn every_reading_of_the_loss_has_torchs_figures() {
    let figures: Figures = fixture("loss");
    let device = Device::flex().autodiff();
    let tensor = |array: &Array| -> Tensor<5> {
        Tensor::from_data(TensorData::new(array.values.clone(), array.shape.clone()), &device)
    };
    assert_eq!(figures.cases.len(), 4);
    for (name, case) in &figures.cases {
        let logits = tensor(&figures.logits).require_grad();
        let parts = reading(name).region_loss(logits.clone(), tensor(&figures.target));
        let read = |value: &Tensor<1>| value.clone().into_scalar::<f32>();
        let ours = [read(&parts.total), read(&parts.dice), read(&parts.bce)];
        let difference = worst(&ours, &[case.total, case.dice_loss, case.bce]);
        assert!(difference < 1e-5, "{name}: {ours:?}");
        let regions: Vec<f32> = parts.regions.into_data().try_to_vec().unwrap();
        assert!(worst(&regions, &scores(&case.dice_scores)) < 1e-5, "{name}: {regions:?}");
        if let Some(expected) = &case.gradient {
            let gradient = logits.grad(&parts.total.backward()).unwrap();
            let ours: Vec<f32> = gradient.into_data().try_to_vec().unwrap();
            assert!(worst(&ours, &expected.values) < 1e-6, "{name} gradient");
        }
    }
    assert!(figures.cases["batch_mean"].gradient.is_some());
}
