//! Keyed random tensors of tests, so that a test which fails fails again.

use std::cell::RefCell;

use burn::tensor::{Device, Tensor, TensorData};

use crate::base::{Domain, KeyedRng, SampleKey};

/// Tensors of normally distributed values on one device; equal seeds draw equal ones.
pub(in crate::nets) struct TestTensors {
    rng: RefCell<KeyedRng>,
    device: Device,
}

impl TestTensors {
    pub(in crate::nets) fn with_seed(seed: u64, device: &Device) -> Self {
        let key = SampleKey { seed, epoch: 0, index: 0 };
        let rng = RefCell::new(KeyedRng::new(key, Domain::Phantom));
        Self { rng, device: device.clone() }
    }

    /// Draws from the standard normal distribution.
    pub(in crate::nets) fn draw_standard<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        self.draw_around(shape, 0.0, 1.0)
    }

    /// Draws from the normal distribution of that mean and deviation.
    pub(in crate::nets) fn draw_around<const D: usize>(
        &self,
        shape: [usize; D],
        mean: f64,
        deviation: f64,
    ) -> Tensor<D> {
        let mut rng = self.rng.borrow_mut();
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| (mean + deviation * rng.standard_normal()) as f32)
            .collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}
