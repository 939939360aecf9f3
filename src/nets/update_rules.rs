//! Update rules of the optimisers, by PyTorch's conventions: momentum without dampening, a weight
//! decay that is added to the gradient but AdamW's, Adam's epsilon outside of the corrected root.
//!
//! Every step takes a flag `is_finite`, `[1]`, on the device: where it is false, weights and
//! optimiser state stay as they are, and no loss is waited for. Burn's own optimisers
//! have no such flag and count such a step; they also write their state in a random order and read
//! it back on `Device::default()`. Here the state is modules like the network, so the same training
//! leaves the same file.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Device, Tensor};

#[cfg(feature = "cuda")]
use crate::nets::cuda;
use crate::nets::gradients::StepGradient;
use crate::nets::{OptimiserConfig, UpdateRule, weights};

/// Optimiser of one module.
pub struct Optimiser<M: Module> {
    settings: OptimiserConfig,
    memory: OptimiserState<M>,
}

/// Optimiser state: the moments, and their bias corrections.
#[derive(Module, Debug)]
pub(crate) struct OptimiserState<M: Module> {
    /// Modules of the network's shape, by the network's ids. Adam: mean gradient, mean square,
    /// under AMSGrad the largest mean square. SGD: the velocity.
    moments: Vec<M>,
    seen: Vec<BiasCorrection>,
}

/// Bias correction of an exponential mean: the mean of ones, `1 - decay^n` after `n` values,
/// without a count on the host and without the cancellation.
#[derive(Module, Debug)]
pub(crate) struct BiasCorrection {
    value: Param<Tensor<1>>,
}

impl BiasCorrection {
    /// Starts without values. `number` makes the id, so that files are the same from run to run.
    pub(crate) fn without_data(number: u64, device: &Device) -> Self {
        let value = Tensor::zeros([1], &device.clone().inner());
        Self { value: Param::initialized(ParamId::from(u64::MAX - number), value) }
    }

    /// Counts a value, if `is_finite`.
    pub(crate) fn count_value(&mut self, decay: f64, is_finite: &Tensor<1, Bool>) {
        let old = self.value();
        let new = old.clone() * decay + (1.0 - decay);
        self.value = Param::initialized(self.value.id, old.mask_where(is_finite.clone(), new));
    }

    /// Current correction, `[1]`.
    pub(crate) fn value(&self) -> Tensor<1> {
        self.value.val()
    }
}

impl OptimiserConfig {
    /// Creates the optimiser of `module` with empty state.
    pub fn init_optimiser<M: Module>(&self, module: &M, device: &Device) -> Optimiser<M> {
        let (moments, means) = match self.rule {
            UpdateRule::Adam { amsgrad, .. } | UpdateRule::AdamW { amsgrad, .. } => {
                (if amsgrad { 3 } else { 2 }, 2)
            }
            UpdateRule::Sgd { momentum, .. } => (usize::from(momentum > 0.0), 0),
        };
        let memory = OptimiserState {
            moments: (0..moments).map(|_| weights::zero_parameters(module.valid())).collect(),
            seen: (0..means).map(|number| BiasCorrection::without_data(number, device)).collect(),
        };
        Optimiser { settings: self.clone(), memory }
    }
}

#[cfg(feature = "cuda")]
impl OptimiserConfig {
    fn cuda_settings(&self, rate: f64, moments: usize) -> cuda::UpdateSettings {
        let (rule, betas, epsilon, is_nesterov) = match self.rule {
            UpdateRule::Adam { beta1, beta2, epsilon, .. } => {
                (cuda::RuleKind::Adam, [beta1, beta2], epsilon, false)
            }
            UpdateRule::AdamW { beta1, beta2, epsilon, .. } => {
                (cuda::RuleKind::AdamW, [beta1, beta2], epsilon, false)
            }
            UpdateRule::Sgd { momentum, nesterov, .. } => {
                (cuda::RuleKind::Sgd, [momentum, 0.0], 0.0, nesterov)
            }
        };
        cuda::UpdateSettings {
            rule,
            moments,
            rate,
            betas,
            epsilon,
            is_nesterov,
            decays: Vec::new(),
        }
    }
}

impl<M: Module> Optimiser<M> {
    /// Returns the state that checkpoints hold.
    pub(crate) const fn state(&self) -> &OptimiserState<M> {
        &self.memory
    }

    /// Same optimiser with another state.
    pub(crate) fn with_state(&self, memory: OptimiserState<M>) -> Self {
        Self { settings: self.settings.clone(), memory }
    }

    /// Updates `module` by one step of `rate` down the clipped mean of a step's gradients, if that is finite.
    pub(crate) fn step_along(&mut self, rate: f64, module: M, gradient: StepGradient) -> M {
        #[cfg(feature = "cuda")]
        if let (true, Some(factor)) = (cuda::computes(&gradient.norm), &gradient.factor) {
            let figures = [gradient.checked_norm, factor.clone()];
            return self.step_on_cuda(rate, module, gradient.sums, figures);
        }
        let is_finite = gradient.is_finite();
        let gradients = gradient.clipped_mean(&module);
        self.step(rate, module, gradients, &is_finite)
    }

    /// Updates by the kernels of `nets/cuda`, with their figures of the gradients: the norm that tells if the step
    /// is finite, and the factor to the clipped mean.
    #[cfg(feature = "cuda")]
    fn step_on_cuda(
        &mut self,
        rate: f64,
        module: M,
        sums: GradientsParams,
        figures: [Tensor<1>; 2],
    ) -> M {
        let memory = &mut self.memory;
        let mut moments: Vec<GradientsParams> =
            memory.moments.iter().map(weights::parameter_values).collect();
        let mut seen: Vec<Tensor<1>> = memory.seen.iter().map(BiasCorrection::value).collect();
        let settings = self.settings.cuda_settings(rate, moments.len());
        let weight_decay = self.settings.rule.weight_decay();
        let decays_kernels_only = self.settings.decay_kernels_only;
        let decay_of =
            |rank: usize| if rank > 1 || !decays_kernels_only { weight_decay } else { 0.0 };
        let stepped = cuda::update_parameters(
            module,
            sums,
            &mut moments,
            &mut seen,
            figures,
            decay_of,
            settings,
        );
        for (correction, value) in memory.seen.iter_mut().zip(seen) {
            correction.value = Param::initialized(correction.value.id, value);
        }
        for (moment, values) in memory.moments.iter_mut().zip(&moments) {
            *moment = weights::with_values(moment.clone(), values);
        }
        stepped
    }

    /// Updates `module` by one step of `rate` down `gradients`, if `is_finite`, `[1]`. A parameter
    /// without a gradient stays as it is.
    pub fn step(
        &mut self,
        rate: f64,
        module: M,
        gradients: GradientsParams,
        is_finite: &Tensor<1, Bool>,
    ) -> M {
        let memory = &mut self.memory;
        if let UpdateRule::Adam { beta1, beta2, .. } | UpdateRule::AdamW { beta1, beta2, .. } =
            self.settings.rule
        {
            for (seen, decay) in memory.seen.iter_mut().zip([beta1, beta2]) {
                seen.count_value(decay, is_finite);
            }
        }
        let mut update = ParamUpdate {
            settings: &self.settings,
            rate,
            is_finite,
            gradients,
            moments: memory.moments.iter().map(weights::parameter_values).collect(),
            seen: memory.seen.iter().map(BiasCorrection::value).collect(),
        };
        let stepped = module.map(&mut update);
        for (moment, values) in memory.moments.iter_mut().zip(&update.moments) {
            *moment = weights::with_values(moment.clone(), values);
        }
        stepped
    }
}

/// Visitor that updates each parameter and its moments.
struct ParamUpdate<'a> {
    settings: &'a OptimiserConfig,
    rate: f64,
    is_finite: &'a Tensor<1, Bool>,
    gradients: GradientsParams,
    moments: Vec<GradientsParams>,
    seen: Vec<Tensor<1>>,
}

impl ModuleMapper for ParamUpdate<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let Some(gradient) = self.gradients.remove::<D>(id) else { return param };
        param.map(|tensor| {
            let weights = tensor.clone().without_autodiff();
            let direction = self.descent_direction(id, &weights, gradient);
            let stepped = weights.clone() - direction * self.rate;
            weights::with_gradients_of(&tensor, self.select_if_finite(weights, stepped))
        })
    }
}

impl ParamUpdate<'_> {
    /// Computes the direction that a step of rate 1 would go against.
    fn descent_direction<const D: usize>(
        &mut self,
        id: ParamId,
        weights: &Tensor<D>,
        gradient: Tensor<D>,
    ) -> Tensor<D> {
        let decays = D > 1 || !self.settings.decay_kernels_only;
        let decayed = |tensor: Tensor<D>, decay: f64| {
            if decays && decay > 0.0 { tensor + weights.clone() * decay } else { tensor }
        };
        match self.settings.rule {
            UpdateRule::Adam { beta1, beta2, epsilon, weight_decay, .. } => {
                let gradient = decayed(gradient, weight_decay);
                self.adam_direction(id, gradient, [beta1, beta2], epsilon)
            }
            UpdateRule::AdamW { beta1, beta2, epsilon, weight_decay, .. } => {
                let direction = self.adam_direction(id, gradient, [beta1, beta2], epsilon);
                decayed(direction, weight_decay)
            }
            UpdateRule::Sgd { momentum, nesterov, weight_decay } => {
                let gradient = decayed(gradient, weight_decay);
                if self.moments.is_empty() {
                    return gradient;
                }
                let velocity = self.update_moment(0, id, |old| old * momentum + gradient.clone());
                if nesterov { gradient + velocity * momentum } else { velocity }
            }
        }
    }

    fn adam_direction<const D: usize>(
        &mut self,
        id: ParamId,
        gradient: Tensor<D>,
        [beta1, beta2]: [f64; 2],
        epsilon: f64,
    ) -> Tensor<D> {
        let square = gradient.clone().square();
        let mean = self.update_moment(0, id, |old| old * beta1 + gradient * (1.0 - beta1));
        let mut square = self.update_moment(1, id, |old| old * beta2 + square * (1.0 - beta2));
        if self.moments.len() > 2 {
            square = self.update_moment(2, id, |old| old.max_pair(square));
        }
        let [mean_seen, square_seen] = [0, 1].map(|n: usize| self.seen[n].clone().reshape([1; D]));
        mean / mean_seen / ((square / square_seen).sqrt() + epsilon)
    }

    /// Replaces a moment of a parameter by `next` of it, if the step is finite; returns the new
    /// value in any case.
    fn update_moment<const D: usize>(
        &mut self,
        moment: usize,
        id: ParamId,
        next: impl FnOnce(Tensor<D>) -> Tensor<D>,
    ) -> Tensor<D> {
        let old = self.moments[moment].remove::<D>(id);
        let old = old.expect("the memory was made of this module");
        let new = next(old.clone());
        let kept = self.select_if_finite(old, new.clone());
        self.moments[moment].register(id, kept);
        new
    }

    fn select_if_finite<const D: usize>(&self, old: Tensor<D>, new: Tensor<D>) -> Tensor<D> {
        weights::select_if(self.is_finite, new, old)
    }
}
