//! Gradients on their way from the loss to the optimiser: gathered over batches, kept to a length.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use crate::nets::weights;

/// The gradients of batches that have not led to a step yet.
#[derive(Default)]
pub(crate) struct Gathered {
    sum: GradientsParams,
    batches: u64,
}

impl Gathered {
    /// Of `batches` batches, their sum lying where `module` has its weights.
    pub(crate) fn read<M: Module>(module: &M, batches: u64) -> Self {
        Self { sum: weights::values(module), batches }
    }

    /// `module` with the sum in place of its weights: the way into a file.
    pub(crate) fn written<M: Module>(&self, module: M) -> M {
        weights::with_values(module, &self.sum)
    }

    /// Adds one batch's.
    pub(crate) fn add<M: Module>(&mut self, module: &M, fresh: GradientsParams) {
        self.batches += 1;
        if self.batches == 1 {
            self.sum = fresh;
            return;
        }
        let mut adding = GradientsAccumulator::new();
        adding.accumulate(module, std::mem::take(&mut self.sum));
        adding.accumulate(module, fresh);
        self.sum = adding.grads();
    }

    /// How many batches' there are.
    pub(crate) const fn batches(&self) -> u64 {
        self.batches
    }

    /// L2 norm of their mean, `[1]`; stays on the device.
    pub(crate) fn norm<M: Module>(&self, module: &M) -> Tensor<1> {
        let norm = weights::global_norm(module, &self.sum)
            .expect("every architecture has parameters, and the loss depends on them");
        if self.batches == 1 { norm } else { norm / self.batches as f64 }
    }

    /// Their mean, whose norm is `norm`, shortened to a length of `longest` if it is longer; none are
    /// left. Nothing waits for the device: a gradient that is short enough is multiplied by 1.
    pub(crate) fn take<M: Module>(
        &mut self,
        module: &M,
        norm: &Tensor<1>,
        longest: Option<f64>,
    ) -> GradientsParams {
        let Self { mut sum, batches } = std::mem::take(self);
        let mean = 1.0 / batches as f64;
        let factor = match longest {
            Some(longest) => ((norm.clone() + 1e-6).recip() * longest).clamp_max(1.0) * mean,
            None if batches == 1 => return sum,
            None => Tensor::from_data([mean as f32], &norm.device()),
        };
        module.visit(&mut Scale { gradients: &mut sum, factor });
        sum
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: Tensor<1>,
}

impl ModuleVisitor for Scale<'_> {
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

    fn taken(module: &Pair, gathered: &mut Gathered, longest: Option<f64>) -> (f32, Vec<f32>) {
        let norm = gathered.norm(module);
        let gradients = gathered.take(module, &norm, longest);
        assert_eq!(gathered.batches(), 0);
        let a: Vec<f32> =
            gradients.get::<1>(module.a.id).unwrap().into_data().try_to_vec().unwrap();
        let b: f32 = gradients.get::<2>(module.b.id).unwrap().into_scalar();
        (norm.into_scalar(), vec![a[0], a[1], b])
    }

    fn near(found: &[f32], expected: &[f32]) -> bool {
        found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5)
    }

    #[test]
    fn a_long_gradient_is_shortened_as_a_whole_and_a_short_one_left() {
        let module = pair();
        for (scale, expected) in [(2.0, [0.6, 0.0, 0.8]), (0.1, [0.3, 0.0, 0.4])] {
            let mut gathered = Gathered::default();
            gathered.add(&module, gradients(&module, scale));
            let (norm, found) = taken(&module, &mut gathered, Some(1.0));
            assert!((norm - 5.0 * scale as f32).abs() < 1e-5, "{norm}: before it is shortened");
            assert!(near(&found, &expected), "{found:?}");
        }
    }

    #[test]
    fn gathered_gradients_are_averaged_before_they_are_measured() {
        let module = pair();
        let gather = |longest| {
            let mut gathered = Gathered::default();
            gathered.add(&module, gradients(&module, 1.0));
            gathered.add(&module, gradients(&module, 3.0));
            taken(&module, &mut gathered, longest)
        };
        let (norm, found) = gather(None);
        assert!((norm - 10.0).abs() < 1e-5 && near(&found, &[6.0, 0.0, 8.0]), "{norm} {found:?}");
        let (norm, found) = gather(Some(1.0));
        assert!((norm - 10.0).abs() < 1e-5 && near(&found, &[0.6, 0.0, 0.8]), "{norm} {found:?}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let module = pair();
        let mut gathered = Gathered::default();
        gathered.add(&module, gradients(&module, 1.0));
        let mut again = Gathered::read(&gathered.written(pair_like(&module)), 1);
        assert!(near(&taken(&module, &mut again, None).1, &[3.0, 0.0, 4.0]));
    }

    /// The same parameters with other values.
    fn pair_like(module: &Pair) -> Pair {
        let mut other = pair();
        other.a.id = module.a.id;
        other.b.id = module.b.id;
        other
    }
}
