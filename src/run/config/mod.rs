//! The configuration of a training run: every module's own settings in one file, one section each.

mod augmentation;
pub mod case_table;
mod channels;
pub mod data;
mod deciding;
mod known_settings;
pub mod layers;
pub mod model;
pub mod patients;
pub mod pseudo;
mod registered;
mod resources;
pub mod splitting;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smart_default::SmartDefault;
use toml::Table;

use crate::augment::AugmentConfig;
use crate::base::{ConfigError, check_value, schema_of};
use crate::eval::SlidingConfig;
use crate::nets::{
    ArchitectureEntry, Blueprint, KernelChoice, OptimiserConfig, Precision, check_frozen_parts,
};
use crate::pipeline::ingest::IngestWorkers;
use crate::pipeline::{CropConfig, DrillConfig, Footprint, LoaderConfig, LoaderMemory, loader};
use crate::run::Failure;
use crate::run::config::data::DataConfig;
use crate::run::config::layers::{ConfigLayers, SettingOrigin};
use crate::run::config::model::ModelConfig;
use crate::run::device::DeviceChoice;
use crate::run_folder::CONFIG;
use crate::train::{LossConfig, TrainerConfig};
use crate::volume::{Dims, Targets};

/// The version of the file format.
const SCHEMA: u32 = 1;

/// All settings of one training run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Version of this format.
    #[schemars(range(min = SCHEMA, max = SCHEMA))]
    #[default(SCHEMA)]
    pub schema: u32,
    /// Seed of order, crops, augmentation, split and weights.
    #[schemars(range(max = i64::MAX))]
    #[default(20181)]
    pub seed: u64,
    /// Training device: `auto`, `gpu`, `cpu`, `cuda` or `wgpu`.
    #[schemars(extend("x-decides" = false))]
    pub device: DeviceChoice,
    /// Kernels of network, loss and optimiser on a CUDA GPU: `own`, `cubecl`, or `auto`, which times both for each
    /// pass of a convolution and keeps the faster in the user's cache folder.
    // Left out where it is the default: fingerprints of runs before it was there stay theirs.
    #[serde(skip_serializing_if = "is_default_kernels")]
    #[schemars(extend("default" = "own", "x-decides" = false))]
    pub kernels: KernelChoice,
    /// Precision of the network's arithmetic in training, `f32` or `bf16`; weights are always f32. `f32-strict` is
    /// slow: products on a CUDA GPU in f32 and not TF32, for checks.
    pub precision: Precision,
    /// Cases and cache.
    pub data: DataConfig,
    /// Network.
    pub model: ModelConfig,
    /// Patches.
    pub crop: CropConfig,
    /// Augmentation of patches.
    pub augment: AugmentConfig,
    /// Samples, batches, memory.
    pub loader: LoaderConfig,
    /// Threads of ingest.
    #[schemars(extend("x-decides" = false))]
    pub ingest: IngestWorkers,
    /// Optimiser.
    pub optimiser: OptimiserConfig,
    /// Length, learning rate.
    pub train: TrainerConfig,
    /// Loss.
    pub loss: LossConfig,
    /// Whole-case prediction.
    pub evaluation: SlidingConfig,
    /// Artificial delays, for drills.
    #[serde(skip_serializing_if = "DrillConfig::is_off")]
    #[schemars(extend("x-decides" = false))]
    pub drill: DrillConfig,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_default_kernels(kernels: &KernelChoice) -> bool {
    *kernels == KernelChoice::default()
}

/// Schema of all settings of a run.
pub fn run_schema() -> Value {
    schema_of::<RunConfig>()
}

/// A configuration that has been checked as far as it can be without data and device.
pub struct CheckedConfig {
    /// The settings, the network's own filled in.
    pub run: RunConfig,
    /// The network to build.
    pub blueprint: Box<dyn Blueprint>,
    layers: ConfigLayers,
}

/// Loads the defaults, a file over them, then assignments.
///
/// # Errors
/// On an unreadable file, an unknown field, a value out of range: with the field and the range.
pub fn load(file: Option<&Path>, assignments: &[String]) -> Result<CheckedConfig, Failure> {
    let mut layers = default_layers()?;
    if let Some(path) = file {
        layers.merge_file(path)?;
    }
    check_new_settings(layers, assignments)
}

/// Loads the configuration of the run in `folder`, with assignments over it.
///
/// # Errors
/// If the folder holds no run; otherwise as [`load`].
pub fn load_run_config(folder: &Path, assignments: &[String]) -> Result<CheckedConfig, Failure> {
    let file = folder.join(CONFIG);
    if !file.is_file() {
        return Err(Failure::Usage(format!(
            "{}: holds no run; name a folder that `gliaflow train` made",
            folder.display()
        )));
    }
    let mut layers = default_layers()?;
    layers.merge_file(&file)?;
    // Runs of earlier versions have `held_out` beside another division, and the regions of BraTS.
    check_layers(layers, assignments, false)
}

/// Loads a configuration text that is part of the binary.
///
/// # Errors
/// As [`load`].
pub fn load_embedded(text: &str, assignments: &[String]) -> Result<CheckedConfig, Failure> {
    let table = toml::from_str(text).map_err(|error| Failure::Usage(error.to_string()))?;
    of_tables([table], Path::new("(built in)"), assignments)
}

/// Loads tables that have been read already from `origin`, one over the other.
///
/// # Errors
/// As [`load`].
pub fn of_tables(
    tables: impl IntoIterator<Item = Table>,
    origin: &Path,
    assignments: &[String],
) -> Result<CheckedConfig, Failure> {
    let mut layers = default_layers()?;
    for table in tables {
        layers.merge_table(table, &SettingOrigin::File(origin.to_path_buf()));
    }
    check_new_settings(layers, assignments)
}

/// Assignment of a path to a setting, for [`load`].
pub fn path_assignment(key: &str, path: &Path) -> String {
    format!("{key}={}", toml::Value::from(path.display().to_string()))
}

fn default_layers() -> Result<ConfigLayers, Failure> {
    let table = Table::try_from(RunConfig::default())
        .map_err(|error| Failure::Usage(format!("the defaults do not serialise: {error}")))?;
    Ok(ConfigLayers::of_defaults(table))
}

/// Checks the settings of a run that is not yet begun.
fn check_new_settings(
    layers: ConfigLayers,
    assignments: &[String],
) -> Result<CheckedConfig, Failure> {
    let mut checked = check_layers(layers, assignments, true)?;
    checked.run.complete_new_run().map_err(|error| settings_error(&error))?;
    checked.run.data.check_held_out().map_err(|error| settings_error(&error.in_section("data")))?;
    Ok(checked)
}

fn settings_error(error: &dyn std::fmt::Display) -> Failure {
    // The parser breaks its text into lines; an error here is one.
    let problem = error.to_string().trim_end().replace('\n', " ");
    let advice = known_settings::suggest_setting(&problem);
    Failure::Usage(format!("configuration: {problem}{advice}; see `gliaflow config show`"))
}

/// Merges the assignments over `layers`, and checks the result, of a run that is yet to begin if `is_new`.
fn check_layers(
    mut layers: ConfigLayers,
    assignments: &[String],
    is_new: bool,
) -> Result<CheckedConfig, Failure> {
    for assignment in assignments {
        layers.merge_assignment(assignment)?;
    }
    if is_new {
        layers = augmentation::adopt_profile(layers)?;
    }
    let table = toml::Value::Table(layers.table.clone());
    check_value(&run_schema(), &table, "").map_err(|error| settings_error(&error))?;
    let mut run: RunConfig =
        table.try_into().map_err(|error: toml::de::Error| settings_error(&error))?;
    run.complete_preprocess();
    let of_data = |error: ConfigError| settings_error(&error.in_section("data"));
    if is_new {
        run.data.adopt_description()?;
        run.data.name_default_regions().map_err(of_data)?;
    }
    run.data.complete_channels().map_err(of_data)?;
    run.augment.modality_dropout.modalities = run.data.channels.modalities;
    let settings =
        serde_json::to_value(&run.model.settings).map_err(|error| settings_error(&error))?;
    let entry =
        ArchitectureEntry::find_by_name(&run.model.name).map_err(|error| settings_error(&error))?;
    let blueprint = entry.parse_settings(&settings).map_err(|error| settings_error(&error))?;
    let blueprint = blueprint.with_channels(run.data.channels);
    run.model.settings =
        Table::try_from(blueprint.settings()).map_err(|error| settings_error(&error))?;
    run.check_combinations(blueprint.as_ref()).map_err(|error| settings_error(&error))?;
    run.data.fill_in_held_out();
    Ok(CheckedConfig { run, blueprint, layers })
}

impl RunConfig {
    /// Checks settings that depend on each other; ranges are checked already.
    fn check_combinations(&self, blueprint: &dyn Blueprint) -> Result<(), ConfigError> {
        self.drill.check_stage(&loader::ACTORS).map_err(|error| error.in_section("drill"))?;
        self.data.check_division().map_err(|error| error.in_section("data"))?;
        self.optimiser.check_momentum().map_err(|error| error.in_section("optimiser"))?;
        self.data.preprocess.check_foreground().map_err(|error| error.in_section("data"))?;
        self.data.check_spacing().map_err(|error| error.in_section("data"))?;
        self.data.check_sample_shares().map_err(|error| error.in_section("data"))?;
        self.train.check_patience().map_err(|error| error.in_section("train"))?;
        if !self.train.freeze.is_empty() {
            check_frozen_parts(&self.train.freeze, &blueprint.parameter_shapes())?;
        }
        blueprint.fits_patch(self.crop.patch)?;
        self.check_pseudo()?;
        self.augment.check_mixing(self.loader.cached)?;
        // What a case in memory takes is known when the cases are.
        self.plan_memory(Footprint::Mapped).map(drop)
    }

    /// Targets of training: hard labels or probabilities.
    pub fn targets(&self) -> Targets {
        self.data.pseudo.as_ref().map_or(Targets::Hard, |pseudo| pseudo.targets)
    }
}

impl CheckedConfig {
    /// Memory of the loader, for cases in the grid of BraTS.
    ///
    /// # Errors
    /// If that does not fit its budget.
    pub fn loader_memory(&self) -> Result<LoaderMemory, Failure> {
        self.run.loader_memory(Dims::BRATS)
    }

    /// All settings as TOML, each with its origin.
    ///
    /// # Errors
    /// If a setting has no form in TOML.
    pub fn to_annotated_toml(&self) -> Result<String, Failure> {
        let table = Table::try_from(&self.run);
        let table = table.map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(self.layers.to_annotated_toml(&table))
    }

    /// All settings as TOML, to be read again.
    ///
    /// # Errors
    /// If a setting has no form in TOML.
    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(&self.run).map_err(|error| Failure::Usage(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(assignment: &str) -> String {
        let failure = load(None, &[assignment.to_string()]).err().expect("refused");
        assert_eq!(failure.exit_code(), 2);
        failure.to_string()
    }

    #[test]
    fn the_defaults_are_legal_and_survive_a_round_trip() {
        let checked = load(None, &[]).unwrap();
        let again: RunConfig = toml::from_str(&checked.to_toml().unwrap()).unwrap();
        assert_eq!(toml::to_string(&again).unwrap(), checked.to_toml().unwrap());
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        assert!(refusal("loader.batsh=3").contains("batsh"));
        assert!(refusal("crop.patch=[100, 128, 128]").contains("multiple of 16"));
        assert!(refusal("augment.noise.probability=2.0").contains("augment.noise.probability"));
        assert!(refusal("crop.mirror=0.5").contains("mirror"));
        assert!(refusal("model.name=vnet").contains("vnet"));
        assert!(refusal("model.settings.wdith=8").contains("wdith"));
        assert!(refusal("loader.memory_mib=10").contains("memory_mib"));
        assert!(refusal("data.held_out=1.0").contains("data.held_out = 1"));
        assert!(refusal("evaluation.overlap=nan").contains("evaluation.overlap"));
        assert!(refusal("ingest.decode=0").contains("write 1 to"));
        assert!(refusal("schema=2").contains("schema = 2"));
    }

    #[test]
    fn a_slip_of_the_keyboard_is_refused_and_nothing_overflows() {
        let most = i64::MAX;
        for field in ["loader.batch", "loader.prefetch", "loader.memory_mib", "train.epochs"] {
            assert!(refusal(&format!("{field}={most}")).contains(field));
        }
        assert!(refusal(&format!("crop.patch=[{most}, {most}, 16]")).contains("crop.patch"));
        let refused = refusal("loader.workers.crop=-1");
        assert!(refused.contains("loader.workers.crop") && !refused.contains('\n'), "{refused}");
    }
}
