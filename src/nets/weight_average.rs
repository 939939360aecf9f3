//! Exponential moving average of the weights (Polyak and Juditsky 1992; as in Tarvainen and Valpola
//! 2017), which predicts better than the weights of a single step.
//!
//! It starts at the first step's weights, not at the initial ones: like Adam's means it is
//! bias-corrected.

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};

use crate::nets::update_rules::BiasCorrection;
use crate::nets::weights;

/// Averaged weights and their bias correction.
#[derive(Module, Debug)]
pub(crate) struct WeightAverage<M: Module> {
    weights: M,
    seen: BiasCorrection,
}

impl<M: Module> WeightAverage<M> {
    /// Starts with the module's weights, before any step.
    pub(crate) fn starting_from(module: &M, device: &Device) -> Self {
        Self { weights: module.valid(), seen: BiasCorrection::without_data(0, device) }
    }

    /// Adds the weights after a step, if `is_finite`, `[1]`. Stays on the device.
    pub(crate) fn add_weights(&mut self, module: &M, decay: f64, is_finite: &Tensor<1, Bool>) {
        self.seen.count_value(decay, is_finite);
        let share = self.seen.value().recip() * (1.0 - decay);
        self.weights = weights::blend_towards(self.weights.clone(), module, &share, is_finite);
    }

    pub(crate) const fn averaged_weights(&self) -> &M {
        &self.weights
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;

    use super::*;

    #[derive(Module, Debug)]
    struct One {
        w: Param<Tensor<1>>,
    }

    #[test]
    fn it_is_the_weighted_mean_of_the_sound_steps_alone() {
        let device = Device::flex().autodiff();
        let mut module = One { w: Param::from_tensor(Tensor::from_data([100.0f32], &device)) };
        let mut average = WeightAverage::starting_from(&module, &device);
        for (weights, sound) in [(1.0f32, true), (f32::NAN, false), (2.0, true), (4.0, true)] {
            module.w = module.w.map(|_| Tensor::from_data([weights], &device).require_grad());
            let sound = Tensor::<1, Bool>::from_data([sound], &device.clone().inner());
            average.add_weights(&module, 0.5, &sound);
        }
        let expected = (0.125 * 1.0 + 0.25 * 2.0 + 0.5 * 4.0) / 0.875;
        let found: f32 = average.averaged_weights().w.val().into_scalar();
        assert!((found - expected).abs() < 1e-5, "{found}");
        assert!(!average.averaged_weights().w.val().is_autodiff());
    }
}
