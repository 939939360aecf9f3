//! Registry of architectures: from a name and settings to a network, without a `match`.
//!
//! `Module` is not object-safe, so the type is erased one level up: [`registry_entry`] fills an
//! [`ArchitectureEntry`] with functions monomorphised for one [`Architecture`], and
//! [`ArchitectureEntry::parse_settings`] parses settings once, into an object that can only make
//! legal networks.

use std::any::TypeId;
use std::path::Path;

use burn::tensor::Device;
use serde_json::Value;

use crate::base::{self, ConfigError, Fault, Registry, RegistryEntry, schema_of};
use crate::nets::exchange::{self, ImportedWeights, Weight, WeightTarget};
use crate::nets::exported_network::{ExportedNetwork, load_exported};
use crate::nets::learner::{Learner, TrainableModel, load_module, load_network};
use crate::nets::weights::{self, ParameterShape};
use crate::nets::{ARCHITECTURES, Architecture, Network, OptimiserConfig};
use crate::volume::{Dims, RunChannels};

/// Registered architecture, its type erased.
pub struct ArchitectureEntry {
    /// The name in configurations and tables.
    pub name: &'static str,
    /// Makes the schema of its settings.
    pub schema: fn() -> Value,
    parse: fn(&Value) -> Result<Box<dyn Blueprint>, ConfigError>,
    module: TypeId,
}

/// Every network: [`ARCHITECTURES`], and those of programs that embed the crate.
static REGISTRY: Registry<ArchitectureEntry> =
    Registry::new("network", "model.name", ARCHITECTURES);

impl RegistryEntry for ArchitectureEntry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn implementor(&self) -> TypeId {
        self.module
    }
}

/// Lists every network: [`ARCHITECTURES`], then those of [`register_architecture`].
pub fn list_architectures() -> Vec<&'static ArchitectureEntry> {
    REGISTRY.list_entries()
}

/// Adds a network of an embedding program, for the rest of the process: configurations name it, runs
/// train it, and checkpoints of it are read like those of any other. Adding it again changes nothing.
/// [`Architecture`] has an example.
///
/// # Errors
/// If another network has its name.
pub fn register_architecture<A: Architecture>() -> Result<(), ConfigError> {
    REGISTRY.add_entry(registry_entry::<A>())
}

impl ArchitectureEntry {
    /// Finds an architecture by name.
    ///
    /// # Errors
    /// If there is none; lists those that there are.
    pub fn find_by_name(name: &str) -> Result<&'static Self, ConfigError> {
        REGISTRY.find_entry(name)
    }

    /// Checks settings (an object; missing fields take their defaults) without a device.
    ///
    /// # Errors
    /// On an unknown field, a value of the wrong type, or a combination that makes no network.
    pub fn parse_settings(&self, settings: &Value) -> Result<Box<dyn Blueprint>, ConfigError> {
        (self.parse)(settings)
    }

    /// The blueprint of the default settings.
    pub fn default_blueprint(&self) -> Box<dyn Blueprint> {
        self.parse_settings(&Value::Object(serde_json::Map::new()))
            .expect("a test builds every architecture from its defaults")
    }
}

/// Architecture with checked settings, ready to be built.
pub trait Blueprint: Send + Sync {
    /// The architecture's name.
    fn name(&self) -> &'static str;

    /// The settings in full, defaults filled in.
    fn settings(&self) -> Value;

    /// Same network with other channels at both ends.
    fn with_channels(self: Box<Self>, channels: RunChannels) -> Box<dyn Blueprint>;

    /// Channels at both ends of the network.
    fn run_channels(&self) -> RunChannels;

    /// Divisor of every patch axis.
    fn patch_divisor(&self) -> usize;

    /// Smallest patch axis that can be trained.
    fn smallest_patch(&self) -> usize;

    /// Checks that patches of that size can be trained.
    ///
    /// # Errors
    /// Names the sizes that can be.
    fn fits_patch(&self, patch: Dims) -> Result<(), ConfigError>;

    /// Name and shape of every parameter, in a fixed order; allocates none of them.
    fn parameter_shapes(&self) -> Vec<ParameterShape>;

    /// Number of trainable parameters.
    fn parameter_count(&self) -> usize {
        self.parameter_shapes().iter().map(ParameterShape::value_count).sum()
    }

    /// The network as files of weights are read for it.
    fn weight_target(&self) -> WeightTarget;

    /// Creates a network with weights drawn from `seed`, and its optimiser, on `device`.
    fn new_learner(
        &self,
        optimiser: &OptimiserConfig,
        seed: u64,
        device: &Device,
    ) -> Box<dyn Learner>;

    /// Loads the network that [`Learner::save`] left in `folder`, for inference on `device`.
    ///
    /// # Errors
    /// If the weights are missing, damaged, or those of another network.
    fn load_network(&self, folder: &Path, device: &Device) -> Result<Box<dyn Network>, Fault>;

    /// Loads the weights of that network by name.
    ///
    /// # Errors
    /// Same as [`load_network`](Self::load_network).
    fn load_weights(&self, folder: &Path) -> Result<Vec<Weight>, Fault>;

    /// Loads that network as other programs get it.
    ///
    /// # Errors
    /// Same as [`load_network`](Self::load_network).
    fn load_for_export(&self, folder: &Path) -> Result<Box<dyn ExportedNetwork>, Fault>;

    /// Reads this network's weights from a safetensors file.
    ///
    /// # Errors
    /// If the file cannot be read or does not fit; names the tensors.
    fn import_weights(&self, file: &Path) -> Result<ImportedWeights, Fault>;
}

/// Makes the registry entry of an architecture.
pub const fn registry_entry<A: Architecture>() -> ArchitectureEntry {
    ArchitectureEntry {
        name: A::NAME,
        schema: schema_of::<A::Config>,
        parse: parse_config::<A>,
        module: TypeId::of::<A>(),
    }
}

fn parse_config<A: Architecture>(settings: &Value) -> Result<Box<dyn Blueprint>, ConfigError> {
    let way_out = || "see `gliaflow config show` for its settings".to_owned();
    let config = base::parse_settings::<A::Config>(settings, way_out)
        .and_then(|config| A::check_config(&config).map(|()| config))
        .map_err(|error| error.of_network(A::NAME))?;
    Ok(Box::new(ConfiguredArchitecture::<A> { config, channels: RunChannels::default() }))
}

fn parameter_shapes_of<A: Architecture>(
    config: &A::Config,
    channels: RunChannels,
) -> Vec<ParameterShape> {
    weights::parameter_shapes(&A::init(config, channels, &Device::flex()))
}

struct ConfiguredArchitecture<A: Architecture> {
    config: A::Config,
    channels: RunChannels,
}

impl<A: Architecture> Blueprint for ConfiguredArchitecture<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn settings(&self) -> Value {
        serde_json::to_value(&self.config).expect("settings are plain data")
    }

    fn with_channels(self: Box<Self>, channels: RunChannels) -> Box<dyn Blueprint> {
        Box::new(Self { channels, ..*self })
    }

    fn run_channels(&self) -> RunChannels {
        self.channels
    }

    fn patch_divisor(&self) -> usize {
        A::patch_divisor(&self.config)
    }

    fn smallest_patch(&self) -> usize {
        A::smallest_patch(&self.config)
    }

    fn fits_patch(&self, patch: Dims) -> Result<(), ConfigError> {
        let Dims(sides) = patch;
        let (divisor, smallest) = (self.patch_divisor(), self.smallest_patch());
        if sides.iter().any(|&side| !side.is_multiple_of(divisor) || side < smallest) {
            let way_out =
                format!("choose each side a multiple of {divisor} and at least {smallest}");
            let problem = format!("no patch to train {} on", A::NAME);
            return Err(ConfigError::new("crop.patch", format!("{sides:?}"), problem, way_out));
        }
        match A::trained_patch(&self.config) {
            Some(Dims(expected)) if expected != sides => Err(ConfigError::new(
                "model.settings.patch",
                format!("{expected:?}"),
                format!("another size: crop.patch is {sides:?}"),
                format!("set model.settings.patch = {sides:?}"),
            )),
            _ => Ok(()),
        }
    }

    fn parameter_shapes(&self) -> Vec<ParameterShape> {
        parameter_shapes_of::<A>(&self.config, self.channels)
    }

    fn weight_target(&self) -> WeightTarget {
        let shapes = |channels| parameter_shapes_of::<A>(&self.config, channels);
        WeightTarget::new(self.channels, shapes)
    }

    fn new_learner(
        &self,
        optimiser: &OptimiserConfig,
        seed: u64,
        device: &Device,
    ) -> Box<dyn Learner> {
        Box::new(TrainableModel::<A>::new((&self.config, self.channels), optimiser, seed, device))
    }

    fn load_network(&self, folder: &Path, device: &Device) -> Result<Box<dyn Network>, Fault> {
        load_network::<A>((&self.config, self.channels), folder, device)
    }

    fn load_weights(&self, folder: &Path) -> Result<Vec<Weight>, Fault> {
        Ok(exchange::weights_of(&load_module::<A>(
            (&self.config, self.channels),
            folder,
            &Device::flex(),
        )?))
    }

    fn load_for_export(&self, folder: &Path) -> Result<Box<dyn ExportedNetwork>, Fault> {
        load_exported::<A>((&self.config, self.channels), folder)
    }

    fn import_weights(&self, file: &Path) -> Result<ImportedWeights, Fault> {
        exchange::read_safetensors(file, &self.weight_target(), A::DIALECT)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (place, entry) in ARCHITECTURES.iter().enumerate() {
            let first = ARCHITECTURES.iter().position(|other| other.name == entry.name);
            assert_eq!(first, Some(place));
            assert_eq!(ArchitectureEntry::find_by_name(entry.name).unwrap().name, entry.name);
        }
        let unknown = ArchitectureEntry::find_by_name("vnet").err().unwrap().to_string();
        assert!(unknown.contains("vnet") && unknown.contains("unet"), "{unknown}");
    }

    #[test]
    fn defaults_are_legal_and_settings_round_trip() {
        for entry in ARCHITECTURES {
            let blueprint = entry.default_blueprint();
            let again = entry.parse_settings(&blueprint.settings()).unwrap();
            assert_eq!(again.settings(), blueprint.settings());
            assert_eq!(blueprint.smallest_patch() % blueprint.patch_divisor(), 0);
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        for entry in ARCHITECTURES {
            let error = entry.parse_settings(&json!({"wdith": 3})).err().unwrap().to_string();
            assert!(error.contains("wdith") && error.contains(entry.name), "{error}");
        }
    }
}
