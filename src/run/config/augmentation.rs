//! Defaults of the augmentation's settings, which are those of its profile.

use toml::Table;

use crate::augment::AugmentProfile;
use crate::run::Failure;
use crate::run::config::layers::ConfigLayers;

/// Takes the defaults of the augmentation from its profile; a profile that there is none of is left to the
/// checks.
pub(super) fn adopt_profile(layers: ConfigLayers) -> Result<ConfigLayers, Failure> {
    let named = layers.table.get("augment").and_then(|section| section.get("profile"));
    let profile = named.cloned().and_then(|name| name.try_into::<AugmentProfile>().ok());
    let Some(profile) = profile else { return Ok(layers) };
    let settings = Table::try_from(profile.augment_config());
    let settings = settings.map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(layers.with_section_defaults("augment", settings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::config;

    #[test]
    fn a_profile_is_what_the_settings_of_the_augmentation_begin_from() {
        let loaded = |assignments: &[&str]| {
            let assignments: Vec<String> = assignments.iter().map(ToString::to_string).collect();
            config::load(None, &assignments).unwrap().run.augment
        };
        assert_eq!(loaded(&[]).profile, AugmentProfile::Paper);
        let own = ["augment.filters.blur.deviation=[0.5, 2.0]", "augment.profile=nnunet"];
        let nnunet = loaded(&own);
        assert_eq!((nnunet.rotation.degrees, nnunet.gamma.probability), ([-30.0, 30.0], 0.0));
        assert_eq!(nnunet.filters.blur.deviation, [0.5, 2.0]);
        assert_eq!(nnunet.filters.blur.probability, 0.2);
        let none = loaded(&["augment.profile=none", "augment.noise.probability=0.3"]);
        assert_eq!((none.rotation.probability, none.noise.probability), (0.0, 0.3));
        let unknown = config::load(None, &["augment.profile=monai".to_string()]).err();
        assert!(unknown.is_some_and(|failure| failure.to_string().contains("monai")));
    }
}
