//! List of the transforms, with the settings and parameters that follow from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::augment::contrast::Contrast;
use crate::augment::filters::complete_own_filters;
use crate::augment::mirroring::Mirroring;
use crate::augment::rotation::Rotation;
use crate::augment::scaling::Scaling;
use crate::augment::shift::Shift;
use crate::augment::{
    AugmentProfile, ComposedTransform, DrawnFilters, DrawnMixing, DrawnOwnFilter, FilterConfig,
    Gamma, GaussianNoise, MixingConfig, ModalityDropout, OwnFilter, PatchFilter, RenderedPatch,
    Transform,
};
use crate::base::{ConfigError, Domain, KeyedRng, SampleKey};
use crate::volume::Modality;

/// Treatment of voxels without tissue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Background {
    /// Keeps them exactly 0.
    #[default]
    Zero,
    /// Augments them as tissue of z-score 0.
    Augmented,
}

/// Defines the structs with one field per transform, and their methods.
macro_rules! transforms {
    ($($(#[$doc:meta])+ $name:ident: $settings:ty,)+) => {
        /// Transforms and their streams, in the order in which they act.
        #[cfg(test)]
        const STREAMS: &[(&str, u64)] = &[$((stringify!($name), <$settings>::STREAM)),+];

        /// Settings of the augmentation, a section per transform.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct AugmentConfig {
            /// Recipe that the settings below begin from: `paper`, `nnunet` or `none`.
            // Left out where it is the paper's, as below.
            #[serde(skip_serializing_if = "AugmentProfile::is_paper")]
            pub profile: AugmentProfile,
            /// Treatment of voxels without tissue: `zero` or `augmented`.
            pub background: Background,
            $($(#[$doc])+ pub $name: $settings,)+
            /// Filters of the rendered patch.
            // Left out where they are off, as below.
            #[serde(skip_serializing_if = "FilterConfig::is_off")]
            pub filters: FilterConfig,
            /// Filters of the program that embeds the crate (`register_patch_filter`), in the order in which
            /// they act, behind the others, such as `[{ name = "bias_field", settings = { probability = 0.3 } }]`.
            // Left out where there are none, as above.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            #[schemars(extend("default" = []))]
            pub own: Vec<OwnFilter>,
            /// Modalities left out at random.
            // Left out where it is off: fingerprints of runs before it was there stay theirs.
            #[serde(skip_serializing_if = "ModalityDropout::is_off")]
            pub modality_dropout: ModalityDropout,
            /// Tumours of other cases put into a sample's case.
            // Left out where it is off, as above.
            #[serde(skip_serializing_if = "MixingConfig::is_off")]
            pub mixing: MixingConfig,
        }

        /// Parameters drawn for one sample. With case and window they determine what the network
        /// saw. The default is no augmentation.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct DrawnParams {
            $($(#[$doc])+ pub $name: <$settings as Transform>::Params,)+
            /// Filters of the rendered patch.
            #[serde(default, skip_serializing_if = "DrawnFilters::is_empty")]
            pub filters: DrawnFilters,
            /// Filters of the embedding program that were drawn.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub own: Vec<DrawnOwnFilter>,
            /// Modalities that are left out.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub dropped: Vec<Modality>,
            /// Case whose tumour is put into the sample's case.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub mixing: Option<DrawnMixing>,
        }

        impl AugmentConfig {
            /// Augmentation switched off.
            pub fn none() -> Self {
                let mut config = Self::default();
                $(config.$name.probability = 0.0;)+
                config
            }

            /// Draws the parameters of the sample of `key`, each transform from its own stream.
            pub fn draw_params(&self, key: SampleKey) -> DrawnParams {
                let rng = KeyedRng::new(key, Domain::Augment);
                DrawnParams {
                    $($name: self.$name.draw_params(&mut rng.clone().with_stream(<$settings>::STREAM)),)+
                    filters: self.filters.draw_params(&mut rng.clone()).unwrap_or_default(),
                    own: self.own.iter().filter_map(|filter| filter.draw_params(&rng)).collect(),
                    dropped: self.modality_dropout.draw_dropped(
                        &mut rng.clone().with_stream(ModalityDropout::STREAM),
                    ),
                    // Which samples are mixed, and with whom, is the plan's to say.
                    mixing: None,
                }
            }
        }

        impl DrawnParams {
            /// Composes all drawn transforms.
            pub fn compose_all(&self) -> ComposedTransform {
                let mut composition = ComposedTransform::IDENTITY;
                $(<$settings as Transform>::compose_onto(&self.$name, &mut composition);)+
                self.filters.compose_onto(&mut composition);
                for modality in &self.dropped {
                    composition.is_dropped[modality.index()] = true;
                }
                composition
            }
        }
    };
}

transforms! {
    /// Rotation about three axes.
    rotation: Rotation,
    /// Isotropic scaling.
    scaling: Scaling,
    /// Mirroring of each axis.
    mirroring: Mirroring,
    /// Factor on each modality.
    contrast: Contrast,
    /// Constant added to each modality.
    shift: Shift,
    /// Gamma curve of each modality between its extremes.
    gamma: Gamma,
    /// Gaussian noise.
    noise: GaussianNoise,
}

impl DrawnParams {
    /// True if the rendered patch is not the sample yet.
    pub fn is_filtered(&self) -> bool {
        let changes = |modality: &Modality| {
            !self.dropped.contains(modality) && !self.filters.channel_filters(*modality).is_empty()
        };
        !self.own.is_empty() || Modality::ALL.iter().any(changes)
    }

    /// Applies the drawn filters to the rendered patch.
    ///
    /// # Panics
    /// If a filter of an embedding program is not registered.
    pub fn filter_patch(&self, patch: &mut RenderedPatch<'_>) {
        FilterConfig::filter_patch(&self.filters, patch);
        for filter in &self.own {
            filter.filter_patch(patch);
        }
    }
}

impl AugmentConfig {
    /// Checks the embedding program's filters, and fills in their settings that have their default.
    ///
    /// # Errors
    /// If one is not registered, is listed twice, or refuses its settings.
    pub fn complete_own_filters(&mut self) -> Result<(), ConfigError> {
        complete_own_filters(&mut self.own)
    }

    /// Checks that mixed samples have a cache to take their donors from.
    ///
    /// # Errors
    /// If they have none.
    pub fn check_mixing(&self, is_cached: bool) -> Result<(), ConfigError> {
        if self.mixing.is_off() || is_cached {
            return Ok(());
        }
        let problem = "impossible without a cache: a sample decodes one case, not two";
        let way_out = "set loader.cached = true, or leave the mixing out";
        Err(ConfigError::new("augment.mixing.share", self.mixing.share, problem, way_out))
    }

    /// Benchmark profile: mirroring, contrast and shift on every sample.
    pub fn light_profile() -> Self {
        let Self { mirroring, contrast, shift, .. } = Self::default();
        Self { mirroring, contrast, shift, ..Self::none() }
    }

    /// Benchmark profile: [`Self::light_profile`], and every sample rotated and scaled.
    pub fn full_profile() -> Self {
        let mut config = Self::light_profile();
        config.rotation.probability = 1.0;
        config.scaling.probability = 1.0;
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::check_ranges;

    fn key(index: u64) -> SampleKey {
        SampleKey { seed: 20181, epoch: 3, index }
    }

    /// As often as the configured share, within five standard deviations.
    fn is_share(found: usize, of: usize, share: f64) -> bool {
        let (n, found) = (of as f64, found as f64);
        (found - n * share).abs() <= 5.0 * (n * share * (1.0 - share)).sqrt()
    }

    #[test]
    fn streams_are_pinned_and_shared_by_no_two() {
        // A changed number makes every sample of every old run another one.
        let wanted = [
            ("rotation", 2),
            ("scaling", 3),
            ("mirroring", 1),
            ("contrast", 4),
            ("shift", 5),
            ("gamma", 6),
            ("noise", 7),
        ];
        assert_eq!(STREAMS, wanted);
    }

    #[test]
    fn a_key_draws_the_same_for_ever() {
        let mut always = AugmentConfig::default();
        always.rotation.probability = 1.0;
        always.scaling.probability = 1.0;
        always.gamma.probability = 1.0;
        always.noise.probability = 1.0;
        let drawn = always.draw_params(key(5));
        let text = serde_json::to_string(&drawn).unwrap();
        assert_eq!(text, PINNED);
        assert_eq!(serde_json::from_str::<DrawnParams>(&text).unwrap(), drawn);
    }

    /// A changed digit makes every sample of every old run another one.
    const PINNED: &str = concat!(
        r#"{"rotation":[12.547002,-14.387662,-7.013858],"scaling":1.1435698,"#,
        r#""mirroring":[false,false,true],"#,
        r#""contrast":[1.0054817,1.0984462,0.95548326,0.9652625],"#,
        r#""shift":[0.011526561,-0.07636023,0.068533145,-0.017270256],"#,
        r#""gamma":{"exponents":[1.2416089,0.71513313,1.072461,0.71113783],"retain_stats":true},"#,
        r#""noise":{"deviation":0.2524339,"key":[2715924767,428794158]}}"#,
    );

    #[test]
    fn draws_survive_text_to_the_last_bit() {
        for index in 0..500 {
            let drawn = AugmentConfig::default().draw_params(key(index));
            let text = serde_json::to_string(&drawn).unwrap();
            assert_eq!(serde_json::from_str::<DrawnParams>(&text).unwrap(), drawn, "{text}");
        }
    }

    #[test]
    fn switching_one_transform_off_leaves_the_others_draws_alone() {
        let every = AugmentConfig {
            gamma: Gamma { probability: 1.0, ..Gamma::default() },
            ..AugmentConfig::full_profile()
        };
        let without = AugmentConfig {
            rotation: AugmentConfig::none().rotation,
            contrast: AugmentConfig::none().contrast,
            ..every.clone()
        };
        for index in 0..50 {
            let (all, fewer) = (every.draw_params(key(index)), without.draw_params(key(index)));
            assert_eq!((fewer.rotation, fewer.contrast), (None, None));
            assert!(all.rotation.is_some() && all.contrast.is_some());
            let kept = DrawnParams { rotation: all.rotation, contrast: all.contrast, ..fewer };
            assert_eq!(kept, all);
        }
    }

    #[test]
    fn shares_and_ranges_are_those_of_the_configuration() {
        const SAMPLES: usize = 4000;
        let config = AugmentConfig::default();
        let all: Vec<DrawnParams> =
            (0..SAMPLES as u64).map(|index| config.draw_params(key(index))).collect();
        let count =
            |has: &dyn Fn(&DrawnParams) -> bool| all.iter().filter(|drawn| has(drawn)).count();
        assert!(is_share(count(&|drawn| drawn.rotation.is_some()), SAMPLES, 0.2));
        assert!(is_share(count(&|drawn| drawn.scaling.is_some()), SAMPLES, 0.2));
        assert!(is_share(count(&|drawn| drawn.gamma.is_some()), SAMPLES, 0.3));
        assert!(is_share(count(&|drawn| drawn.noise.is_some()), SAMPLES, 0.1));
        for axis in 0..3 {
            assert!(is_share(count(&|drawn| drawn.mirroring[axis]), SAMPLES, 0.5));
        }
        let within = |values: Vec<f32>, low: f32, high: f32| {
            let reach = 0.02 * (high - low);
            let inside = values.iter().all(|value| (low..=high).contains(value));
            inside
                && values.iter().any(|value| *value < low + reach)
                && values.iter().any(|value| *value > high - reach)
        };
        let flat =
            |of: &dyn Fn(&DrawnParams) -> Vec<f32>| all.iter().flat_map(of).collect::<Vec<f32>>();
        let numbers = |given: &Option<[f32; 4]>| given.iter().flatten().copied().collect();
        let exponents = |drawn: &DrawnParams| numbers(&drawn.gamma.as_ref().map(|g| g.exponents));
        assert!(within(flat(&|d| d.rotation.iter().flatten().copied().collect()), -15.0, 15.0));
        assert!(within(flat(&|d| d.scaling.into_iter().collect()), 0.85, 1.25));
        assert!(within(flat(&|d| numbers(&d.contrast)), 0.9, 1.1));
        assert!(within(flat(&|d| numbers(&d.shift)), -0.1, 0.1));
        assert!(within(flat(&exponents), 0.7, 1.5));
    }

    #[test]
    fn profiles_do_what_they_are_called_after() {
        assert_eq!(AugmentConfig::none().draw_params(key(0)), DrawnParams::default());
        assert_eq!(DrawnParams::default().compose_all(), ComposedTransform::IDENTITY);
        for index in 0..20 {
            let light = AugmentConfig::light_profile().draw_params(key(index));
            assert!(light.contrast.is_some() && light.shift.is_some());
            let full = AugmentConfig::full_profile().draw_params(key(index));
            assert!(full.rotation.is_some() && full.scaling.is_some());
            assert_eq!(DrawnParams { rotation: None, scaling: None, ..full }, light);
        }
    }

    #[test]
    fn a_problem_names_the_field_and_the_range() {
        let mut config = AugmentConfig::default();
        assert_eq!(check_ranges(&config), Ok(()));
        config.scaling.factor = [0.0, 1.0];
        let text = check_ranges(&config).unwrap_err().to_string();
        assert_eq!(
            text,
            "scaling.factor = [0, 1] is no range within 0.1 to 10; write the lower end first"
        );
        let unknown = "{\"rotation\": {\"degres\": [0, 1]}}";
        assert!(serde_json::from_str::<AugmentConfig>(unknown).is_err());
        let partial = "{\"background\": \"augmented\", \"noise\": {\"probability\": 1.0}}";
        let partial: AugmentConfig = serde_json::from_str(partial).unwrap();
        assert_eq!(partial.background, Background::Augmented);
        assert_eq!(partial.noise.variance, GaussianNoise::default().variance);
    }
}
