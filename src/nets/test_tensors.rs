//! Keyed random tensors of tests, so that a test which fails fails again.

use std::cell::Cell;

use burn::tensor::{Device, Tensor};

use crate::nets::ModelRng;

/// Tensors of normally distributed values on one device; equal seeds draw equal ones.
pub(in crate::nets) struct TestTensors {
    rng: ModelRng,
    drawn: Cell<u64>,
    device: Device,
}

impl TestTensors {
    pub(in crate::nets) fn with_seed(seed: u64, device: &Device) -> Self {
        let rng = ModelRng { seed, step: 0 };
        Self { rng, drawn: Cell::new(0), device: device.clone() }
    }

    /// Draws from the standard normal distribution.
    pub(in crate::nets) fn draw_standard<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let place = self.drawn.replace(self.drawn.get() + 1);
        self.rng.sample_normal(place, shape, &self.device)
    }

    /// Draws from the normal distribution of that mean and deviation.
    pub(in crate::nets) fn draw_around<const D: usize>(
        &self,
        shape: [usize; D],
        mean: f32,
        deviation: f32,
    ) -> Tensor<D> {
        self.draw_standard(shape) * deviation + mean
    }
}
