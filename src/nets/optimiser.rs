//! Optimisers as the papers have them, with PyTorch's conventions where Burn's differ.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdamConfig, LearningRate, ModuleOptimizer, Optimizer, RecordState, SgdConfig, StateSink,
    StateSource,
};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// How gradients become steps. The learning rate is the schedule's, not the optimiser's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimiserConfig {
    /// The rule of a step.
    #[serde(flatten)]
    pub rule: Rule,
    /// The longest gradient, as the L2 norm over all parameters; a longer one is shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Batches whose gradients are averaged for one step.
    #[serde(default = "one_batch")]
    pub accumulate: u64,
    /// Decay of the exponential moving average of the weights, which then is what predicts; absent,
    /// the weights themselves predict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
}

/// The rule by which a gradient moves the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// Adam (Kingma and Ba 2015); the weight decay is L2, added to the gradient.
    Adam {
        /// Decay of the mean of gradients.
        #[serde(default = "adam::beta1")]
        beta1: f64,
        /// Decay of the mean of squared gradients.
        #[serde(default = "adam::beta2")]
        beta2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "adam::epsilon")]
        epsilon: f64,
        /// Whether the second moment never falls (Reddi et al. 2018).
        #[serde(default)]
        amsgrad: bool,
        /// Weight of the L2 term.
        #[serde(default = "weight_decay")]
        weight_decay: f64,
    },
    /// Stochastic gradient descent with heavy-ball momentum, dampening 0.
    Sgd {
        /// Share of the last step that is kept.
        #[serde(default = "sgd::momentum")]
        momentum: f64,
        /// Weight of the L2 term.
        #[serde(default = "weight_decay")]
        weight_decay: f64,
    },
}

mod adam {
    pub(super) const fn beta1() -> f64 {
        0.9
    }
    pub(super) const fn beta2() -> f64 {
        0.999
    }
    pub(super) const fn epsilon() -> f64 {
        1e-8
    }
}

mod sgd {
    pub(super) const fn momentum() -> f64 {
        0.9
    }
}

const fn weight_decay() -> f64 {
    1e-5
}

const fn one_batch() -> u64 {
    1
}

impl Default for Rule {
    /// The U-Net's (Isensee et al. 2018): Adam with an L2 term of 1e-5.
    fn default() -> Self {
        Self::Adam {
            beta1: adam::beta1(),
            beta2: adam::beta2(),
            epsilon: adam::epsilon(),
            amsgrad: false,
            weight_decay: weight_decay(),
        }
    }
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Rule::default().into()
    }
}

impl From<Rule> for OptimiserConfig {
    /// A step for every batch, down the gradient as it is.
    fn from(rule: Rule) -> Self {
        Self { rule, clip_norm: None, accumulate: one_batch(), average: None }
    }
}

impl OptimiserConfig {
    /// What cannot be, or nothing.
    pub fn problem(&self) -> Option<String> {
        if let Some(longest) = self.clip_norm.filter(|longest| !(*longest > 0.0)) {
            return Some(format!("clip_norm = {longest} must be above 0; leave it out for none"));
        }
        if self.accumulate == 0 {
            return Some("accumulate = 0 never steps; write at least 1".into());
        }
        let decay = self.average.filter(|decay| !(0.0..1.0).contains(decay))?;
        Some(format!("average = {decay} is no decay below 1; leave it out for no average"))
    }
}

impl Rule {
    /// Burn's optimiser of these settings.
    pub fn init(&self) -> ModuleOptimizer {
        // Written down in f64, so that 0.9 reads 0.9; Burn computes with f32.
        let decay = |penalty: f64| (penalty > 0.0).then(|| WeightDecayConfig::new(penalty as f32));
        match *self {
            Self::Adam { beta1, beta2, epsilon, amsgrad, weight_decay } => {
                let config = AdamConfig::new()
                    .with_beta_1(beta1 as f32)
                    .with_beta_2(beta2 as f32)
                    .with_epsilon(epsilon as f32)
                    .with_amsgrad(amsgrad)
                    .with_weight_decay(decay(weight_decay));
                OnHost(config.build()).into()
            }
            Self::Sgd { momentum, weight_decay } => {
                let heavy_ball = MomentumConfig::new().with_momentum(momentum).with_dampening(0.0);
                let config = SgdConfig::new()
                    .with_momentum((momentum > 0.0).then_some(heavy_ball))
                    .with_weight_decay(decay(weight_decay));
                OnHost(config.build()).into()
            }
        }
    }
}

/// An optimiser whose state, when it is read back from a file, is made on the CPU.
///
/// Burn makes it on `Device::default()`, which is CUDA wherever CUDA is compiled in, GPU or none.
/// The next step moves the state to its parameter's device in either case.
#[derive(Clone)]
struct OnHost<O>(O);

impl<O: Optimizer> Optimizer for OnHost<O> {
    type State<const D: usize> = HostState<O::State<D>>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (stepped, next) = self.0.step(rate, tensor, gradient, state.map(|state| state.0));
        (stepped, next.map(HostState))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        HostState(O::to_device(state.0, device))
    }
}

#[derive(Clone)]
struct HostState<S>(S);

impl<S: RecordState> RecordState for HostState<S> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        self.0.state_flatten(prefix, out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, _default: &Device) -> Option<Self> {
        S::state_unflatten(prefix, source, &Device::flex()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state that remembers where it was made.
    struct Made(Device);

    impl RecordState for Made {
        fn state_flatten(&self, _prefix: &str, _out: &mut StateSink) {}

        fn state_unflatten(_: &str, _: &mut StateSource, device: &Device) -> Option<Self> {
            Some(Self(device.clone()))
        }
    }

    #[test]
    fn a_state_is_read_back_on_the_host_whatever_burns_default_is() {
        let default = Device::flex().autodiff();
        let mut source = StateSource::default();
        let plain = Made::state_unflatten("p", &mut source, &default).unwrap();
        assert!(plain.0.is_autodiff(), "the default can be told from the host");
        let state = HostState::<Made>::state_unflatten("p", &mut source, &default).unwrap();
        assert!(!state.0.0.is_autodiff());
        assert_eq!(state.0.0, Device::flex());
    }
}
