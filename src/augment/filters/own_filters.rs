//! Filters of embedding programs in the settings of a run and in the record of a sample.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use crate::augment::filters::patch_filter::FilterEntry;
use crate::augment::{PatchFilter, RenderedPatch, register_patch_filter};
use crate::base::{ConfigError, Fingerprint, KeyedRng};

/// Filter of the embedding program, by its name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnFilter {
    /// Name that it is registered by.
    pub name: String,
    /// Settings of the filter; what is left out takes its default.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub settings: Table,
}

/// Drawn parameters of such a filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnOwnFilter {
    /// Name that the filter is registered by.
    pub name: String,
    /// Parameters that it drew.
    pub params: Value,
}

/// Bit of a stream's number that no stream of the crate has.
const OWN_STREAMS: u64 = 1 << 63;

impl OwnFilter {
    /// Registers a filter, and makes the entry of it with its settings.
    ///
    /// # Errors
    /// If another filter has its name, or the settings have no form in TOML.
    pub fn of_filter<F: PatchFilter>(filter: &F) -> Result<Self, ConfigError> {
        register_patch_filter::<F>()?;
        let settings = Table::try_from(filter).map_err(|error| {
            let way_out = "make it a struct of numbers, texts and lists";
            ConfigError::new("augment.own", F::NAME, error.to_string(), way_out)
        })?;
        Ok(Self { name: F::NAME.to_owned(), settings })
    }

    /// Draws the filter's parameters for one sample, from a stream that its name alone decides: a filter
    /// that is added or moved shifts nobody's draws.
    pub(in crate::augment) fn draw_params(&self, rng: &KeyedRng) -> Option<DrawnOwnFilter> {
        let entry = FilterEntry::find_by_name(&self.name).expect("filters were checked");
        let mut own = rng.clone().with_stream(stream_of(&self.name));
        let params = entry.draw_params(&self.settings_value(), &mut own)?;
        Some(DrawnOwnFilter { name: self.name.clone(), params })
    }

    fn settings_value(&self) -> Value {
        serde_json::to_value(&self.settings).expect("settings are plain data")
    }
}

impl DrawnOwnFilter {
    /// Applies the filter to the patch.
    ///
    /// # Panics
    /// If the filter is not registered.
    pub fn filter_patch(&self, patch: &mut RenderedPatch<'_>) {
        let entry = FilterEntry::find_by_name(&self.name).expect("filters were checked");
        entry.apply_params(&self.params, patch);
        patch.clear_dropped();
    }
}

/// Checks filters and fills in the settings that have their default, so that a run's record has them all.
///
/// # Errors
/// If one is not registered, stands there twice, or refuses its settings.
pub(in crate::augment) fn complete_own_filters(
    filters: &mut [OwnFilter],
) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for (place, filter) in filters.iter_mut().enumerate() {
        let section = format!("augment.own[{place}].settings");
        let entry = FilterEntry::find_by_name(&filter.name)?;
        if !seen.insert(filter.name.clone()) {
            let problem = "a filter that stands there already";
            return Err(ConfigError::new("augment.own", &filter.name, problem, "list it once"));
        }
        let complete = entry.complete_settings(&filter.settings_value());
        let complete = complete.map_err(|error| error.in_section(&section))?;
        filter.settings = Table::try_from(&complete).map_err(|error| {
            let way_out = "leave settings without a value out of what is serialised";
            ConfigError::new(section, &complete, error.to_string(), way_out)
        })?;
    }
    Ok(())
}

fn stream_of(name: &str) -> u64 {
    let digits = Fingerprint::of_bytes(name.as_bytes()).short_hex(16);
    u64::from_str_radix(&digits, 16).unwrap_or_default() | OWN_STREAMS
}
