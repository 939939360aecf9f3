//! Trait of the filters, and the registry of those of programs that embed the crate.

use std::any::TypeId;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::augment::FilterBuffers;
use crate::base::{self, ConfigError, KeyedRng, Registry, RegistryEntry, schema_of};
use crate::volume::{Dims, Modality, Targets};

/// Transform of a rendered patch, whose settings are the fields of the implementing type.
///
/// It acts behind the pass that crops, rotates, scales and normalises, in single precision; the patch is
/// rounded to half precision afterwards. Drawing and applying are apart: what was drawn stands in the
/// record of a sample, and `gliaflow replay` makes the sample again.
///
/// [`register_patch_filter`] makes it known by its name; a configuration lists it under `augment.own`.
///
/// ```
/// use gliaflow::prelude::*;
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// /// Patches turned into their negative.
/// #[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
/// #[serde(default, deny_unknown_fields)]
/// struct Negative {
///     /// Share of samples, 0 to 1.
///     #[schemars(range(min = 0, max = 1))]
///     probability: f64,
/// }
///
/// impl PatchFilter for Negative {
///     const NAME: &'static str = "negative";
///     type Params = ();
///
///     fn draw_params(&self, rng: &mut KeyedRng) -> Option<()> {
///         rng.draw_bool(self.probability).then_some(())
///     }
///
///     fn filter_patch((): &(), patch: &mut RenderedPatch<'_>) {
///         patch.images.iter_mut().for_each(|value| *value = -*value);
///     }
/// }
///
/// register_patch_filter::<Negative>().expect("no other filter is called negative");
/// ```
pub trait PatchFilter:
    Serialize + DeserializeOwned + JsonSchema + Default + Clone + Send + Sync + 'static
{
    /// Name in configurations and in the record of a sample. The random numbers depend on it.
    const NAME: &'static str;

    /// Parameters drawn for one sample. Numbers are best `f32`, which text keeps exactly.
    type Params: Serialize + DeserializeOwned;

    /// Checks settings that depend on each other; ranges stand beside the fields
    /// (`#[schemars(range(min = 0))]`).
    ///
    /// # Errors
    /// Names the field, its value and the way out.
    fn check_settings(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Draws the parameters of one sample from `rng`, which is this filter's own and a function of the
    /// run's seed, the epoch and the sample's place in it; `None` leaves the sample as it is. No other
    /// source of randomness may be used.
    fn draw_params(&self, rng: &mut KeyedRng) -> Option<Self::Params>;

    /// Applies the filter to a patch: a pure function of parameters and patch.
    fn filter_patch(params: &Self::Params, patch: &mut RenderedPatch<'_>);
}

/// Patch of one sample between rendering and rounding.
///
/// ```
/// use gliaflow::embed::augmentation::FilterBuffers;
/// use gliaflow::embed::dataset::{Dims, Targets};
/// use gliaflow::prelude::*;
///
/// let dims = Dims([2, 2, 2]);
/// let mut patch = RenderedPatch {
///     images: &mut [1.0; 4 * 8],
///     labels: &mut [0; 8],
///     targets: Targets::Hard,
///     dims,
///     keeps_background: true,
///     dropped: &[],
///     buffers: &mut FilterBuffers::default(),
/// };
/// patch.channel_mut(Modality::T2).fill(3.0);
/// assert_eq!(patch.images[2 * 8..3 * 8], [3.0; 8]);
/// ```
#[derive(Debug)]
pub struct RenderedPatch<'a> {
    /// Intensities `[c, d, h, w]`, z-scores; a channel for each modality of [`Modality::ALL`].
    pub images: &'a mut [f32],
    /// Canonical labels `[d, h, w]`, or region probabilities in 255ths `[d, h, w, 3]`.
    pub labels: &'a mut [u8],
    /// Kind of `labels`.
    pub targets: Targets,
    /// Extent `[d, h, w]`.
    pub dims: Dims,
    /// True if voxels that are exactly 0, which have no tissue, are to stay so (`augment.background`).
    pub keeps_background: bool,
    /// Modalities left out of this sample: 0 everywhere, and again after each filter.
    pub dropped: &'a [Modality],
    /// Buffers that are kept from sample to sample.
    pub buffers: &'a mut FilterBuffers,
}

impl RenderedPatch<'_> {
    /// Intensities `[d, h, w]` of one modality.
    pub fn channel_mut(&mut self, modality: Modality) -> &mut [f32] {
        let voxels = self.dims.voxel_count();
        &mut self.images[modality.index() * voxels..][..voxels]
    }

    /// Sets the modalities that are left out to 0 again.
    pub(in crate::augment) fn clear_dropped(&mut self) {
        for modality in self.dropped {
            self.channel_mut(*modality).fill(0.0);
        }
    }
}

/// Registered filter, its type erased.
pub struct FilterEntry {
    /// Name in configurations.
    pub name: &'static str,
    /// Makes the schema of its settings.
    pub schema: fn() -> Value,
    complete: fn(&Value) -> Result<Value, ConfigError>,
    draw: fn(&Value, &mut KeyedRng) -> Option<Value>,
    apply: fn(&Value, &mut RenderedPatch<'_>),
    implementor: TypeId,
}

static REGISTRY: Registry<FilterEntry> = Registry::new("patch filter", "augment.own", &[]);

impl RegistryEntry for FilterEntry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn implementor(&self) -> TypeId {
        self.implementor
    }
}

/// Adds a filter of an embedding program, for the rest of the process. Adding it again changes nothing.
/// [`LoaderBuilder::patch_filter`](crate::embed::LoaderBuilder::patch_filter) does it by itself; configurations
/// that name the filter need it first.
///
/// ```
/// use gliaflow::prelude::*;
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// /// Intensities at half their contrast.
/// #[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
/// struct HalfContrast {}
///
/// impl PatchFilter for HalfContrast {
///     const NAME: &'static str = "half_contrast";
///     type Params = f32;
///
///     fn draw_params(&self, _rng: &mut KeyedRng) -> Option<f32> {
///         Some(0.5)
///     }
///
///     fn filter_patch(contrast: &f32, patch: &mut RenderedPatch<'_>) {
///         patch.images.iter_mut().for_each(|value| *value *= contrast);
///     }
/// }
///
/// register_patch_filter::<HalfContrast>()?;
/// let file = "[[own]]\nname = \"half_contrast\"";
/// let config: gliaflow::embed::augmentation::AugmentConfig = toml::from_str(file).expect("as in a run's file");
/// assert_eq!(config.own.len(), 1);
/// # Ok::<(), gliaflow::embed::errors::ConfigError>(())
/// ```
///
/// # Errors
/// If another filter has its name.
pub fn register_patch_filter<F: PatchFilter>() -> Result<(), ConfigError> {
    REGISTRY.add_entry(FilterEntry {
        name: F::NAME,
        schema: schema_of::<F>,
        complete: complete_settings::<F>,
        draw: draw_erased::<F>,
        apply: apply_erased::<F>,
        implementor: TypeId::of::<F>(),
    })
}

/// Lists the filters that embedding programs have registered.
pub fn list_patch_filters() -> Vec<&'static FilterEntry> {
    REGISTRY.list_entries()
}

impl FilterEntry {
    /// Finds a filter by name.
    ///
    /// # Errors
    /// If there is none; lists those that there are.
    pub(super) fn find_by_name(name: &str) -> Result<&'static Self, ConfigError> {
        REGISTRY.find_entry(name)
    }

    /// Checks settings, and fills in those that have their default.
    pub(super) fn complete_settings(&self, settings: &Value) -> Result<Value, ConfigError> {
        (self.complete)(settings)
    }

    /// Draws the parameters of a sample with settings that were checked.
    pub(super) fn draw_params(&self, settings: &Value, rng: &mut KeyedRng) -> Option<Value> {
        (self.draw)(settings, rng)
    }

    /// Applies the filter with parameters that it drew.
    pub(super) fn apply_params(&self, params: &Value, patch: &mut RenderedPatch<'_>) {
        (self.apply)(params, patch);
    }
}

fn complete_settings<F: PatchFilter>(settings: &Value) -> Result<Value, ConfigError> {
    let way_out = || format!("write the settings that {} has", F::NAME);
    let filter: F = base::parse_settings(settings, way_out)?;
    filter.check_settings()?;
    Ok(serde_json::to_value(&filter).expect("settings are plain data"))
}

fn draw_erased<F: PatchFilter>(settings: &Value, rng: &mut KeyedRng) -> Option<Value> {
    let filter: F = serde_json::from_value(settings.clone()).expect("settings were checked");
    let params = filter.draw_params(rng)?;
    Some(serde_json::to_value(params).expect("parameters are plain data"))
}

fn apply_erased<F: PatchFilter>(params: &Value, patch: &mut RenderedPatch<'_>) {
    let params: F::Params =
        serde_json::from_value(params.clone()).expect("the filter drew these parameters");
    F::filter_patch(&params, patch);
}
