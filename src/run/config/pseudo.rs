//! Settings of training on a teacher's labels, and what they ask of the others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{ConfigError, Fingerprint};
use crate::run::config::RunConfig;
use crate::volume::{Targets, Temperature};

/// Pseudo-labels of the unlabelled cases in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PseudoConfig {
    /// The teacher's fingerprint, as `gliaflow label` prints it.
    #[schemars(with = "String")]
    pub teacher: Fingerprint,
    /// Hard labels, or probabilities.
    #[serde(default)]
    pub targets: Targets,
    /// Temperature that the teacher softened its probabilities with. In the loss of pseudo-labelled samples it
    /// divides the student's logits as well, and the cross-entropy counts its square times (Hinton et al. 2015).
    // Left out at 1: fingerprints of runs before there were temperatures stay theirs.
    #[serde(default, skip_serializing_if = "Temperature::is_one")]
    #[schemars(with = "f64", range(min = 1, max = Temperature::MAX), extend("default" = 1.0))]
    pub temperature: Temperature,
    /// Share of samples from pseudo-labelled cases; if absent, cases are drawn alike (Lachinov et
    /// al.).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub share: Option<f64>,
}

impl RunConfig {
    /// Checks pseudo-labels against cache, regions and loss.
    pub(super) fn check_pseudo(&self) -> Result<(), ConfigError> {
        let Some(pseudo) = &self.data.pseudo else { return Ok(()) };
        if !self.loader.cached {
            let problem = "impossible with data.pseudo, which lies in the cache";
            let way_out = "set loader.cached = true";
            return Err(ConfigError::new("loader.cached", false, problem, way_out));
        }
        if pseudo.targets == Targets::Soft && !self.data.channels.regions.is_brats() {
            let way_out = "label with hard targets, or train on ET, TC and WT";
            let problem = "probabilities of regions other than ET, TC and WT, which are not kept";
            return Err(ConfigError::new("data.pseudo.targets", "soft", problem, way_out));
        }
        if pseudo.temperature.is_one() {
            return Ok(());
        }
        if pseudo.targets == Targets::Hard {
            let problem = "labels, which have no temperature";
            let way_out = "set it to soft, or leave data.pseudo.temperature out";
            return Err(ConfigError::new("data.pseudo.targets", "hard", problem, way_out));
        }
        if !self.loss.is_shipped() {
            let problem = "unknown to every loss but dice_bce";
            let way_out = "leave loss.name out, or train at temperature 1";
            let field = "data.pseudo.temperature";
            return Err(ConfigError::new(field, pseudo.temperature, problem, way_out));
        }
        Ok(())
    }
}
