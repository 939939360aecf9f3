//! Optimiser settings; the arithmetic is in [`update_rules`](crate::nets::update_rules).

use std::ops::Not;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::ConfigError;

/// Optimiser settings. The learning rate is the schedule's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OptimiserConfig {
    /// Update rule.
    #[serde(flatten)]
    pub rule: UpdateRule,
    /// Maximal L2 norm of the gradient over all parameters; a longer one is clipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(max = 1e9), extend("exclusiveMinimum" = 0))]
    pub clip_norm: Option<f64>,
    /// Decay of the exponential moving average of the weights, which is then used for inference;
    /// absent, the weights themselves are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0), extend("exclusiveMaximum" = 1))]
    pub average: Option<f64>,
    /// Weight decay of kernels alone (Myronenko 2018, section 2.3); else of every parameter, biases
    /// and norms with them, as PyTorch's optimisers do.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub decay_kernels_only: bool,
}

/// Update rule of the optimiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum UpdateRule {
    /// Adam (Kingma and Ba 2015); the weight decay is L2, added to the gradient.
    Adam {
        /// Decay of the mean of gradients.
        #[serde(default = "adam_beta1")]
        #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
        beta1: f64,
        /// Decay of the mean of squared gradients.
        #[serde(default = "adam_beta2")]
        #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
        beta2: f64,
        /// Added to the root of the second moment, which is 0 where a weight has had no gradient.
        #[serde(default = "adam_epsilon")]
        #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0))]
        epsilon: f64,
        /// AMSGrad: the second moment never falls (Reddi et al. 2018).
        #[serde(default)]
        amsgrad: bool,
        /// Weight of the L2 term; 1e-5 as Isensee et al. 2018.
        #[serde(default = "weight_decay")]
        #[schemars(range(min = 0, max = 1e9))]
        weight_decay: f64,
    },
    /// AdamW (Loshchilov and Hutter 2019): Adam with a decay that is decoupled from the gradient.
    #[serde(rename = "adamw")]
    AdamW {
        /// Decay of the mean of gradients.
        #[serde(default = "adam_beta1")]
        #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
        beta1: f64,
        /// Decay of the mean of squared gradients.
        #[serde(default = "adam_beta2")]
        #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
        beta2: f64,
        /// Added to the root of the second moment, which is 0 where a weight has had no gradient.
        #[serde(default = "adam_epsilon")]
        #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0))]
        epsilon: f64,
        /// AMSGrad: the second moment never falls (Reddi et al. 2018).
        #[serde(default)]
        amsgrad: bool,
        /// Share of a weight that a step takes away at a learning rate of 1; 0.01 as PyTorch.
        #[serde(default = "decoupled_weight_decay")]
        #[schemars(range(min = 0, max = 1e9))]
        weight_decay: f64,
    },
    /// Stochastic gradient descent with momentum, dampening 0.
    Sgd {
        /// Momentum: the share of the last step that is kept.
        #[serde(default = "sgd_momentum")]
        #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
        momentum: f64,
        /// Nesterov's momentum, as PyTorch computes it; nnU-Net's, with a momentum of 0.99.
        #[serde(default, skip_serializing_if = "Not::not")]
        nesterov: bool,
        /// Weight of the L2 term.
        #[serde(default = "weight_decay")]
        #[schemars(range(min = 0, max = 1e9))]
        weight_decay: f64,
    },
}

const fn adam_beta1() -> f64 {
    0.9
}

const fn adam_beta2() -> f64 {
    0.999
}

const fn adam_epsilon() -> f64 {
    1e-8
}

const fn sgd_momentum() -> f64 {
    0.9
}

const fn weight_decay() -> f64 {
    1e-5
}

const fn decoupled_weight_decay() -> f64 {
    1e-2
}

#[cfg(feature = "cuda")]
impl UpdateRule {
    /// Weight decay: an L2 term, or AdamW's decoupled one.
    pub(super) const fn weight_decay(&self) -> f64 {
        match *self {
            Self::Adam { weight_decay, .. }
            | Self::AdamW { weight_decay, .. }
            | Self::Sgd { weight_decay, .. } => weight_decay,
        }
    }
}

impl Default for UpdateRule {
    /// The U-Net's (Isensee et al. 2018): Adam with an L2 term of 1e-5.
    fn default() -> Self {
        Self::Adam {
            beta1: adam_beta1(),
            beta2: adam_beta2(),
            epsilon: adam_epsilon(),
            amsgrad: false,
            weight_decay: weight_decay(),
        }
    }
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        UpdateRule::default().into()
    }
}

impl From<UpdateRule> for OptimiserConfig {
    /// Settings without clipping and without a weight average; every parameter decays.
    fn from(rule: UpdateRule) -> Self {
        Self { rule, clip_norm: None, average: None, decay_kernels_only: false }
    }
}

impl OptimiserConfig {
    /// Checks settings that depend on each other.
    ///
    /// # Errors
    /// Nesterov's momentum without a momentum, as PyTorch.
    pub fn check_momentum(&self) -> Result<(), ConfigError> {
        match self.rule {
            UpdateRule::Sgd { nesterov: true, momentum: 0.0, .. } => {
                let way_out = "set momentum, as to 0.99";
                Err(ConfigError::new("nesterov", true, "without a momentum", way_out))
            }
            _ => Ok(()),
        }
    }

    /// Number of values kept per weight: optimiser state and weight average.
    pub const fn memory_per_weight(&self) -> u64 {
        let remembered = match self.rule {
            UpdateRule::Adam { amsgrad: true, .. } | UpdateRule::AdamW { amsgrad: true, .. } => 3,
            UpdateRule::Adam { .. } | UpdateRule::AdamW { .. } => 2,
            UpdateRule::Sgd { .. } => 1,
        };
        remembered + self.average.is_some() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::check_ranges;

    #[test]
    fn nesterov_without_a_momentum_is_refused() {
        let sgd = |momentum| {
            OptimiserConfig::from(UpdateRule::Sgd { momentum, nesterov: true, weight_decay: 0.0 })
        };
        assert_eq!(sgd(0.99).check_momentum(), Ok(()));
        let told = sgd(0.0).check_momentum().unwrap_err().to_string();
        assert!(told.starts_with("nesterov = true") && told.contains("momentum"), "{told}");
    }

    #[test]
    fn what_cannot_be_is_named_with_its_value() {
        let sound =
            OptimiserConfig { clip_norm: Some(1.0), average: Some(0.0), ..Default::default() };
        assert_eq!(check_ranges(&sound), Ok(()));
        for clip_norm in [0.0, -1.0, f64::NAN] {
            let config = OptimiserConfig { clip_norm: Some(clip_norm), ..Default::default() };
            assert!(
                check_ranges(&config)
                    .unwrap_err()
                    .to_string()
                    .starts_with(&format!("clip_norm = {clip_norm}"))
            );
        }
        for average in [1.0, -0.1, f64::NAN] {
            let config = OptimiserConfig { average: Some(average), ..Default::default() };
            assert!(
                check_ranges(&config)
                    .unwrap_err()
                    .to_string()
                    .starts_with(&format!("average = {average}"))
            );
        }
    }
}
