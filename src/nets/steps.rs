//! Steps down a gradient, by PyTorch's conventions: momentum without dampening, a weight decay that
//! is added to the gradient, Adam's epsilon outside of the corrected root.
//!
//! Every step is given a verdict, `[1]`, on the device: where it is false, weights and memory stay
//! what they were, as if the batch had never been. Nobody has to wait for a loss to know whether it
//! was finite. Burn's own optimisers cannot be told, and count such a step; they also write their
//! memory in an order drawn at random and read it back on `Device::default()`. Here the memory is
//! modules like the network, so the same training leaves the same file.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Device, Tensor};

use crate::nets::optimiser::Rule;
use crate::nets::weights;

/// The optimiser of one module.
pub struct Optimiser<M: Module> {
    rule: Rule,
    memory: Memory<M>,
}

/// What an optimiser remembers besides its rule: what a checkpoint holds of it.
#[derive(Module, Debug)]
pub(crate) struct Memory<M: Module> {
    /// Modules of the network's shape, by the network's ids. Adam: mean gradient, mean square, under
    /// AMSGrad the largest mean square. SGD: the velocity.
    moments: Vec<M>,
    seen: Vec<Seen>,
}

/// How much of an exponential mean is data: what it would be, had all values been 1. That is
/// `1 - decay^n` after `n` values, without a count on the host and without the cancellation.
#[derive(Module, Debug)]
pub(crate) struct Seen {
    value: Param<Tensor<1>>,
}

impl Seen {
    /// Nothing yet. The number makes the id, so that files are the same from run to run.
    pub(crate) fn nothing(number: u64, device: &Device) -> Self {
        let value = Tensor::zeros([1], &device.clone().inner());
        Self { value: Param::initialized(ParamId::from(u64::MAX - number), value) }
    }

    /// One more value, if `sound`.
    pub(crate) fn see(&mut self, decay: f64, sound: &Tensor<1, Bool>) {
        let old = self.value();
        let new = old.clone() * decay + (1.0 - decay);
        self.value = Param::initialized(self.value.id, old.mask_where(sound.clone(), new));
    }

    /// `[1]`.
    pub(crate) fn value(&self) -> Tensor<1> {
        self.value.val()
    }
}

impl Rule {
    /// The optimiser of `module`, with nothing to remember yet.
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
    /// What it remembers.
    pub(crate) const fn memory(&self) -> &Memory<M> {
        &self.memory
    }

    /// The same optimiser with another's memory.
    pub(crate) fn remembering(&self, memory: Memory<M>) -> Self {
        Self { rule: self.rule.clone(), memory }
    }

    /// `module` after one step of `rate` down `gradients`, or as it was if not `sound`, `[1]`. A
    /// parameter without a gradient stays as well.
    pub fn step(
        &mut self,
        rate: f64,
        module: M,
        gradients: GradientsParams,
        sound: &Tensor<1, Bool>,
    ) -> M {
        let memory = &mut self.memory;
        if let Rule::Adam { beta1, beta2, .. } = self.rule {
            for (seen, decay) in memory.seen.iter_mut().zip([beta1, beta2]) {
                seen.see(decay, sound);
            }
        }
        let mut walk = Walk {
            rule: &self.rule,
            rate,
            sound,
            gradients,
            moments: memory.moments.iter().map(weights::values).collect(),
            seen: memory.seen.iter().map(Seen::value).collect(),
        };
        let stepped = module.map(&mut walk);
        for (moment, values) in memory.moments.iter_mut().zip(&walk.moments) {
            *moment = weights::with_values(moment.clone(), values);
        }
        stepped
    }
}

/// From parameter to parameter.
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

    /// Replaces a moment of a parameter by what `next` makes of it, if the step is sound; what
    /// `next` makes of it.
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

/// The gradient of the loss and its L2 term.
fn decayed<const D: usize>(gradient: Tensor<D>, weights: &Tensor<D>, decay: f64) -> Tensor<D> {
    if decay == 0.0 { gradient } else { gradient + weights.clone() * decay }
}
