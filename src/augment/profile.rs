//! Recipes of augmentation that the settings begin from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::augment::mirroring::Mirroring;
use crate::augment::scaling::Scaling;
use crate::augment::{AugmentConfig, FilterConfig, GaussianNoise};

/// Recipe of augmentation that the settings begin from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AugmentProfile {
    /// Recipe of the paper: nnU-Net's of 2018 for BraTS.
    #[default]
    Paper,
    /// Recipe of nnU-Net 2.6, with all its filters.
    Nnunet,
    /// No augmentation.
    None,
}

impl AugmentProfile {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    pub(super) fn is_paper(&self) -> bool {
        *self == Self::Paper
    }

    /// Settings of the recipe.
    pub fn augment_config(self) -> AugmentConfig {
        let settings = match self {
            Self::Paper => AugmentConfig::default(),
            Self::Nnunet => AugmentConfig::nnunet_profile(),
            Self::None => AugmentConfig::none(),
        };
        AugmentConfig { profile: self, ..settings }
    }
}

impl AugmentConfig {
    /// nnU-Net's recipe for volumes: `nnUNetTrainer.get_training_transforms` of nnU-Net 2.6. Contrast,
    /// brightness and gamma are those of its filters, in the patch; noise comes ahead of them.
    pub fn nnunet_profile() -> Self {
        let mut config = Self::none();
        config.rotation.probability = 0.2;
        config.rotation.degrees = [-30.0, 30.0];
        config.scaling = Scaling::of_coordinates(0.2, [0.7, 1.4]);
        config.mirroring = Mirroring::default();
        config.noise = GaussianNoise::of_deviations(0.1, [0.0, 0.1]);
        config.filters = FilterConfig::nnunet_filters();
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::DrawnParams;
    use crate::base::SampleKey;

    /// Share of `all` that satisfies `has`.
    fn share<T>(all: &[T], has: impl Fn(&T) -> bool) -> f64 {
        all.iter().filter(|item| has(item)).count() as f64 / all.len() as f64
    }

    #[test]
    fn nnunets_recipe_draws_what_nnunet_draws() {
        let config = AugmentProfile::Nnunet.augment_config();
        assert_eq!(config.profile, AugmentProfile::Nnunet);
        assert_eq!(AugmentProfile::Paper.augment_config(), AugmentConfig::default());
        let all: Vec<DrawnParams> = (0..4000)
            .map(|index| config.draw_params(SampleKey { seed: 20181, epoch: 3, index }))
            .collect();
        // Factors on coordinates from 0.7 to 1.4, a third of them below 0.933.
        let scales: Vec<f32> =
            all.iter().filter_map(|drawn| drawn.scaling).map(f32::recip).collect();
        assert!((share(&all, |drawn| drawn.scaling.is_some()) - 0.2).abs() < 0.03);
        assert!(scales.iter().all(|scale| (0.7..=1.4001).contains(scale)));
        assert!((share(&scales, |scale| *scale < 0.933_33) - 1.0 / 3.0).abs() < 0.08);
        let noises: Vec<f32> =
            all.iter().filter_map(|drawn| drawn.noise).map(|n| n.deviation).collect();
        assert!(noises.iter().all(|deviation| (0.0..=0.1).contains(deviation)));
        assert!((share(&noises, |noise| *noise < 0.05) - 0.5).abs() < 0.12);
        let own = |drawn: &DrawnParams| (drawn.contrast, drawn.shift, drawn.gamma.is_some());
        assert!(all.iter().all(|drawn| own(drawn) == (None, None, false)));
    }
}
