//! Update rules of the optimisers, by PyTorch's conventions: momentum without dampening, a weight
//! decay that is added to the gradient, Adam's epsilon outside of the corrected root.
//!
//! Every step takes a flag `is_finite`, `[1]`, on the device: where it is false, weights and
//! optimiser state stay as they are, and nobody waits for a loss to know. Burn's own optimisers
//! have no such flag and count such a step; they also write their state in a random order and read
//! it back on `Device::default()`. Here the state is modules like the network, so the same training
//! leaves the same file.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Device, Tensor};

use crate::nets::optimiser::Rule;
use crate::nets::weights;

/// Optimiser of one module.
pub struct Optimiser<M: Module> {
    rule: Rule,
    memory: Memory<M>,
}

/// Optimiser state: the moments, and their bias corrections.
#[derive(Module, Debug)]
pub(crate) struct Memory<M: Module> {
    /// Modules of the network's shape, by the network's ids. Adam: mean gradient, mean square,
    /// under AMSGrad the largest mean square. SGD: the velocity.
    moments: Vec<M>,
    seen: Vec<Seen>,
}

/// Bias correction of an exponential mean: the mean of ones, `1 - decay^n` after `n` values,
/// without a count on the host and without the cancellation.
#[derive(Module, Debug)]
pub(crate) struct Seen {
    value: Param<Tensor<1>>,
}

impl Seen {
    /// Starts without values. `number` makes the id, so that files are the same from run to run.
    pub(crate) fn nothing(number: u64, device: &Device) -> Self {
        let value = Tensor::zeros([1], &device.clone().inner());
        Self { value: Param::initialized(ParamId::from(u64::MAX - number), value) }
    }

    /// Counts a value, if `is_finite`.
    pub(crate) fn see(&mut self, decay: f64, is_finite: &Tensor<1, Bool>) {
        let old = self.value();
        let new = old.clone() * decay + (1.0 - decay);
        self.value = Param::initialized(self.value.id, old.mask_where(is_finite.clone(), new));
    }

    /// Current correction, `[1]`.
    pub(crate) fn value(&self) -> Tensor<1> {
        self.value.val()
    }
}

impl Rule {
    /// Creates the optimiser of `module` with empty state.
    pub fn optimiser<M: Module>(&self, module: &M, device: &Device) -> Optimiser<M> {
        let (moments, means) = match *self {
            Self::Adam { amsgrad, .. } => (if amsgrad { 3 } else { 2 }, 2),
            Self::Sgd { momentum, .. } => (usize::from(momentum > 0.0), 0),
        };
        let memory = Memory {
            moments: (0..moments).map(|_| weights::zeros(module.valid())).collect(),
            seen: (0..means).map(|number| Seen::nothing(number, device)).collect(),
        };
        Optimiser { rule: self.clone(), memory }
    }
}

impl<M: Module> Optimiser<M> {
    /// Returns the state that checkpoints hold.
    pub(crate) const fn memory(&self) -> &Memory<M> {
        &self.memory
    }

    /// Same optimiser with another state.
    pub(crate) fn remembering(&self, memory: Memory<M>) -> Self {
        Self { rule: self.rule.clone(), memory }
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
        if let Rule::Adam { beta1, beta2, .. } = self.rule {
            for (seen, decay) in memory.seen.iter_mut().zip([beta1, beta2]) {
                seen.see(decay, is_finite);
            }
        }
        let mut update = Walk {
            rule: &self.rule,
            rate,
            sound: is_finite,
            gradients,
            moments: memory.moments.iter().map(weights::values).collect(),
            seen: memory.seen.iter().map(Seen::value).collect(),
        };
        let stepped = module.map(&mut update);
        for (moment, values) in memory.moments.iter_mut().zip(&update.moments) {
            *moment = weights::with_values(moment.clone(), values);
        }
        stepped
    }
}

/// Visitor that updates each parameter and its moments.
struct Walk<'a> {
    rule: &'a Rule,
    rate: f64,
    sound: &'a Tensor<1, Bool>,
    gradients: GradientsParams,
    moments: Vec<GradientsParams>,
    seen: Vec<Tensor<1>>,
}

impl ModuleMapper for Walk<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let Some(gradient) = self.gradients.remove::<D>(id) else { return param };
        param.map(|tensor| {
            let weights = tensor.clone().without_autodiff();
            let delta = match *self.rule {
                Rule::Adam { .. } => self.adam(id, &weights, gradient),
                Rule::Sgd { .. } => self.sgd(id, &weights, gradient),
            };
            let stepped = weights.clone() - delta * self.rate;
            weights::in_place_of(&tensor, self.unless_unsound(weights, stepped))
        })
    }
}

impl Walk<'_> {
    fn adam<const D: usize>(
        &mut self,
        id: ParamId,
        weights: &Tensor<D>,
        gradient: Tensor<D>,
    ) -> Tensor<D> {
        let Rule::Adam { beta1, beta2, epsilon, weight_decay, .. } = *self.rule else {
            return gradient;
        };
        let gradient = decayed(gradient, weights, weight_decay);
        let square = gradient.clone().square();
        let mean = self.remember(0, id, |old| old * beta1 + gradient * (1.0 - beta1));
        let mut square = self.remember(1, id, |old| old * beta2 + square * (1.0 - beta2));
        if self.moments.len() > 2 {
            square = self.remember(2, id, |old| old.max_pair(square));
        }
        let [mean_seen, square_seen] = [0, 1].map(|n: usize| self.seen[n].clone().reshape([1; D]));
        mean / mean_seen / ((square / square_seen).sqrt() + epsilon)
    }

    fn sgd<const D: usize>(
        &mut self,
        id: ParamId,
        weights: &Tensor<D>,
        gradient: Tensor<D>,
    ) -> Tensor<D> {
        let Rule::Sgd { momentum, weight_decay } = *self.rule else { return gradient };
        let gradient = decayed(gradient, weights, weight_decay);
        if self.moments.is_empty() {
            return gradient;
        }
        self.remember(0, id, |old| old * momentum + gradient)
    }

    /// Replaces a moment of a parameter by `next` of it, if the step is finite; returns the new
    /// value in any case.
    fn remember<const D: usize>(
        &mut self,
        moment: usize,
        id: ParamId,
        next: impl FnOnce(Tensor<D>) -> Tensor<D>,
    ) -> Tensor<D> {
        let old = self.moments[moment].remove::<D>(id);
        let old = old.expect("the memory was made of this module");
        let new = next(old.clone());
        let kept = self.unless_unsound(old, new.clone());
        self.moments[moment].register(id, kept);
        new
    }

    fn unless_unsound<const D: usize>(&self, old: Tensor<D>, new: Tensor<D>) -> Tensor<D> {
        weights::chosen(self.sound, new, old)
    }
}

/// Adds the L2 term's gradient.
fn decayed<const D: usize>(gradient: Tensor<D>, weights: &Tensor<D>, decay: f64) -> Tensor<D> {
    if decay == 0.0 { gradient } else { gradient + weights.clone() * decay }
}
