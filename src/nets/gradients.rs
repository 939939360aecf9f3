//! Accumulation of gradients over the batches of a step, and clipping by the global norm.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Bool, Tensor};

#[cfg(feature = "cuda")]
use crate::nets::cuda;
use crate::nets::weights;

/// Gradients accumulated over the batches of one step.
#[derive(Default)]
pub(crate) struct AccumulatedGradients {
    sum: GradientsParams,
    losses: Option<Tensor<1>>,
    batches: u64,
}

/// Mean gradient of a step.
pub(crate) struct StepGradient {
    /// Sum over the batches by parameter.
    pub(crate) sums: GradientsParams,
    /// Factor that makes the clipped mean of the sums, `[1]`; absent where it is 1.
    pub(crate) factor: Option<Tensor<1>>,
    /// L2 norm of the mean before clipping, `[1]`.
    pub(crate) norm: Tensor<1>,
    /// The norm, or a number that is not finite if a loss is not, `[1]`.
    pub(crate) checked_norm: Tensor<1>,
}

impl StepGradient {
    /// Tells if all losses and gradients are finite, `[1]`.
    pub(crate) fn is_finite(&self) -> Tensor<1, Bool> {
        self.checked_norm.clone().is_finite()
    }

    /// Computes the clipped mean over the batches by parameter.
    pub(crate) fn clipped_mean<M: Module>(self, module: &M) -> GradientsParams {
        let mut gradients = self.sums;
        if let Some(factor) = self.factor {
            module.visit(&mut GradientRescaler { gradients: &mut gradients, factor });
        }
        gradients
    }
}

impl AccumulatedGradients {
    /// Adds one batch's gradients and loss.
    pub(crate) fn add_batch<M: Module>(
        &mut self,
        module: &M,
        fresh: GradientsParams,
        loss: Tensor<1>,
    ) {
        self.batches += 1;
        let loss = loss.without_autodiff();
        let Some(losses) = self.losses.take() else {
            (self.sum, self.losses) = (fresh, Some(loss));
            return;
        };
        let mut adding = GradientsAccumulator::new();
        adding.accumulate(module, std::mem::take(&mut self.sum));
        adding.accumulate(module, fresh);
        (self.sum, self.losses) = (adding.grads(), Some(losses + loss));
    }

    /// Takes the mean, clipped to an L2 norm of `longest`, and resets the sum; `None` without a
    /// batch. Nothing waits for the device: a gradient that is short enough is multiplied by 1.
    pub(crate) fn take_mean<M: Module>(
        &mut self,
        module: &M,
        longest: Option<f64>,
    ) -> Option<StepGradient> {
        let Self { sum: sums, losses, batches } = std::mem::take(self);
        let losses = losses?;
        let mean = 1.0 / batches as f64;
        #[cfg(feature = "cuda")]
        if cuda::computes(&losses) {
            let [norm, checked_norm, factor] =
                cuda::measure_gradients(module, &sums, losses, mean, longest);
            return Some(StepGradient { sums, factor: Some(factor), norm, checked_norm });
        }
        let norm = weights::global_norm(module, &sums)
            .expect("every architecture has parameters, and the loss depends on them");
        let norm = if batches == 1 { norm } else { norm * mean };
        // A loss that is not finite makes a NaN of its 0.
        let checked_norm = norm.clone() + losses * 0.0;
        let factor = match longest {
            Some(longest) => Some(((norm.clone() + 1e-6).recip() * longest).clamp_max(1.0) * mean),
            None if batches == 1 => None,
            None => Some(Tensor::from_data([mean as f32], &norm.device())),
        };
        Some(StepGradient { sums, factor, norm, checked_norm })
    }
}

struct GradientRescaler<'a> {
    gradients: &'a mut GradientsParams,
    factor: Tensor<1>,
}

impl ModuleVisitor for GradientRescaler<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient * self.factor.clone().reshape([1; D]));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[derive(Module, Debug)]
    struct Pair {
        a: Param<Tensor<1>>,
        b: Param<Tensor<2>>,
    }

    fn pair() -> Pair {
        let device = Device::flex().autodiff();
        Pair {
            a: Param::from_tensor(Tensor::from_data([1.0f32, 2.0], &device)),
            b: Param::from_tensor(Tensor::from_data([[3.0f32]], &device)),
        }
    }

    /// Gradients `[3 s, 0]` and `[[4 s]]`, of norm `5 s`.
    fn gradients(module: &Pair, scale: f64) -> GradientsParams {
        let a = module.a.val().narrow(0, 0, 1) * (3.0 * scale);
        let loss = a + module.b.val().reshape([1]) * (4.0 * scale);
        GradientsParams::from_grads(loss.backward(), module)
    }

    fn taken(
        module: &Pair,
        accumulated: &mut AccumulatedGradients,
        longest: Option<f64>,
    ) -> (f32, Vec<f32>) {
        let gradient = accumulated.take_mean(module, longest).unwrap();
        assert!(accumulated.take_mean(module, longest).is_none(), "nothing is left");
        assert!(gradient.is_finite().into_scalar::<bool>());
        let norm = gradient.norm.clone().into_scalar();
        let values = gradient.clipped_mean(module);
        let a: Vec<f32> = values.get::<1>(module.a.id).unwrap().into_data().try_to_vec().unwrap();
        let b: f32 = values.get::<2>(module.b.id).unwrap().into_scalar();
        (norm, vec![a[0], a[1], b])
    }

    fn loss(value: f32) -> Tensor<1> {
        Tensor::from_data([value], &Device::flex())
    }

    fn near(found: &[f32], expected: &[f32]) -> bool {
        found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5)
    }

    #[test]
    fn a_long_gradient_is_shortened_as_a_whole_and_a_short_one_left() {
        let module = pair();
        for (scale, expected) in [(2.0, [0.6, 0.0, 0.8]), (0.1, [0.3, 0.0, 0.4])] {
            let mut accumulated = AccumulatedGradients::default();
            accumulated.add_batch(&module, gradients(&module, scale), loss(1.0));
            let (norm, found) = taken(&module, &mut accumulated, Some(1.0));
            assert!((norm - 5.0 * scale as f32).abs() < 1e-5, "{norm}: before it is shortened");
            assert!(near(&found, &expected), "{found:?}");
        }
    }

    #[test]
    fn gathered_gradients_are_averaged_before_they_are_measured() {
        let module = pair();
        let gather = |longest| {
            let mut accumulated = AccumulatedGradients::default();
            accumulated.add_batch(&module, gradients(&module, 1.0), loss(1.0));
            accumulated.add_batch(&module, gradients(&module, 3.0), loss(1.0));
            taken(&module, &mut accumulated, longest)
        };
        let (norm, found) = gather(None);
        assert!((norm - 10.0).abs() < 1e-5 && near(&found, &[6.0, 0.0, 8.0]), "{norm} {found:?}");
        let (norm, found) = gather(Some(1.0));
        assert!((norm - 10.0).abs() < 1e-5 && near(&found, &[0.6, 0.0, 0.8]), "{norm} {found:?}");
    }

    #[test]
    fn one_batch_that_is_not_finite_makes_the_step_unsound() {
        let module = pair();
        let sound = |batches: [(f64, f32); 2]| {
            let mut accumulated = AccumulatedGradients::default();
            for (scale, value) in batches {
                accumulated.add_batch(&module, gradients(&module, scale), loss(value));
            }
            accumulated.take_mean(&module, Some(1.0)).unwrap().is_finite().into_scalar::<bool>()
        };
        assert!(sound([(1.0, 2.0), (3.0, -1.0)]));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!sound([(1.0, bad), (3.0, -1.0)]), "a loss of {bad}");
            assert!(!sound([(1.0, 2.0), (f64::from(bad), 2.0)]), "a gradient of {bad}");
        }
    }
}
