//! PyTorch's trilinear up-sampling by two, forward and backward.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use gliaflow::internals::nets::upsample_trilinear;
use serde::Deserialize;

use super::figures::{Array, fixture, worst};

#[derive(Deserialize)]
struct Case {
    input: Array,
    output: Array,
    output_gradient: Array,
    input_gradient: Array,
}

fn tensor(array: &Array, device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(array.values.clone(), array.shape.clone()), device)
}

fn values(tensor: Tensor<5>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn check(name: &str, case: &Case) {
    let device = Device::flex().autodiff();
    let input = tensor(&case.input, &device).require_grad();
    let output = upsample_trilinear(input.clone());
    assert_eq!(output.dims().to_vec(), case.output.shape, "{name}");
    assert!(worst(&values(output.clone()), &case.output.values) < 1e-6, "{name} forward");
    let loss = (output * tensor(&case.output_gradient, &device)).sum();
    let gradient = input.grad(&loss.backward()).unwrap();
    assert!(worst(&values(gradient), &case.input_gradient.values) < 1e-5, "{name} backward");
}

#[test]
fn upsampling_is_torchs_with_half_pixel_centres() {
    let cases: BTreeMap<String, Case> = fixture("trilinear");
    for (name, case) in &cases {
        check(name, case);
    }
}

#[test]
fn upsampling_is_torchs_on_unequal_axes() {
    let cases: BTreeMap<String, Case> = fixture("trilinear");
    assert_eq!(cases["box"].input.shape, [2, 3, 4, 3, 2]);
    check("box", &cases["box"]);
}
