//! The configuration of a training run: every module's own settings in one file, one section each.

mod bounds;
pub mod data;
mod fingerprint;
pub mod layers;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::augment::config::AugmentConfig;
use crate::eval::sliding::SlidingConfig;
use crate::nets::optimiser::OptimiserConfig;
use crate::nets::precision::Precision;
use crate::nets::{ArchitectureEntry, Blueprint};
use crate::pipeline::budget::{Footprint, LoaderConfig, LoaderMemory};
use crate::pipeline::crop::CropConfig;
use crate::pipeline::drill::DrillConfig;
use crate::pipeline::ingest::IngestWorkers;
use crate::run::config::data::DataConfig;
use crate::run::config::layers::{ConfigLayers, SettingOrigin};
use crate::run::device::DeviceChoice;
use crate::run::failure::Failure;
use crate::train::loss::LossConfig;
use crate::train::settings::TrainerConfig;
use crate::volume::grid::Dims;
use crate::volume::targets::Targets;

/// The resolved configuration in a run's folder.
pub const RUN_FILE: &str = "config.toml";

/// The version of the file format.
const SCHEMA: u32 = 1;

/// All settings of one training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Version of this format.
    pub schema: u32,
    /// Seed of order, crops, augmentation, split and weights.
    pub seed: u64,
    /// Training device: `auto`, `cpu`, `cuda` or `wgpu`.
    pub device: DeviceChoice,
    /// Precision of the network's arithmetic in training, `f32` or `bf16`; weights are always f32.
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
    pub drill: DrillConfig,
}

/// Name and settings of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// A name of the registry.
    pub name: String,
    /// A safetensors file of weights to start from; without one they are drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// The architecture's settings; what is left out takes its default.
    pub settings: Table,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            seed: 20181,
            device: DeviceChoice::Auto,
            precision: Precision::F32,
            data: DataConfig::default(),
            model: ModelConfig::default(),
            crop: CropConfig::default(),
            augment: AugmentConfig::default(),
            loader: LoaderConfig::default(),
            ingest: IngestWorkers::default(),
            optimiser: OptimiserConfig::default(),
            train: TrainerConfig::default(),
            loss: LossConfig::default(),
            evaluation: SlidingConfig::default(),
            drill: DrillConfig::default(),
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { name: "unet".into(), init: None, settings: Table::new() }
    }
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
    check_layers(layers, assignments)
}

/// Loads the configuration of the run in `folder`, with assignments over it.
///
/// # Errors
/// If the folder holds no run; otherwise as [`load`].
pub fn load_run_config(folder: &Path, assignments: &[String]) -> Result<CheckedConfig, Failure> {
    let file = folder.join(RUN_FILE);
    if !file.is_file() {
        return Err(Failure::Usage(format!(
            "{}: holds no run; name a folder that `gliaflow train` made",
            folder.display()
        )));
    }
    load(Some(&file), assignments)
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
    check_layers(layers, assignments)
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

/// Merges the assignments over `layers`, and checks the result.
fn check_layers(
    mut layers: ConfigLayers,
    assignments: &[String],
) -> Result<CheckedConfig, Failure> {
    for assignment in assignments {
        layers.merge_assignment(assignment)?;
    }
    let usage = |error: &dyn std::fmt::Display| {
        // The parser breaks its text into lines; an error here is one.
        let problem = error.to_string().trim_end().replace('\n', " ");
        Failure::Usage(format!("configuration: {problem}; see `gliaflow config show`"))
    };
    let mut run: RunConfig =
        layers.table.clone().try_into().map_err(|error: toml::de::Error| usage(&error))?;
    if run.schema != SCHEMA {
        return Err(usage(&format!("schema = {}, this program reads {SCHEMA}", run.schema)));
    }
    let settings = serde_json::to_value(&run.model.settings).map_err(|error| usage(&error))?;
    let entry = ArchitectureEntry::find_by_name(&run.model.name).map_err(|error| usage(&error))?;
    let blueprint = entry.parse_settings(&settings).map_err(|error| usage(&error))?;
    run.model.settings = Table::try_from(blueprint.settings()).map_err(|error| usage(&error))?;
    if let Some(problem) = first_invalid_setting(&run, blueprint.as_ref()) {
        return Err(usage(&problem));
    }
    Ok(CheckedConfig { run, blueprint, layers })
}

/// Returns the first invalid setting.
fn first_invalid_setting(run: &RunConfig, blueprint: &dyn Blueprint) -> Option<String> {
    if let Some(problem) = bounds::first_out_of_bounds(run) {
        return Some(problem);
    }
    let sections = [
        ("data", run.data.first_invalid_setting()),
        ("crop", run.crop.first_invalid_setting()),
        ("augment", run.augment.first_invalid_setting()),
        ("train", run.train.first_invalid_setting()),
        ("optimiser", run.optimiser.first_invalid_setting()),
    ];
    if let Some((section, problem)) = sections.into_iter().find_map(|(s, p)| Some((s, p?))) {
        return Some(format!("{section}.{problem}"));
    }
    if let Err(refused) = blueprint.fits_patch(run.crop.patch) {
        return Some(refused.to_string());
    }
    if run.data.pseudo.is_some() && !run.loader.cached {
        return Some("data.pseudo lies in the cache; set loader.cached = true".into());
    }
    // What a case in memory takes is known when the cases are.
    run.loader.plan_memory_for(run.targets(), run.crop.patch, Footprint::Mapped).err()
}

impl RunConfig {
    /// Memory of the loader, for cases of at most this grid.
    ///
    /// # Errors
    /// If that does not fit its budget.
    pub fn loader_memory(&self, largest: Dims) -> Result<LoaderMemory, Failure> {
        let footprint =
            if self.loader.cached { Footprint::Mapped } else { Footprint::InMemory(largest) };
        let memory = self.loader.plan_memory_for(self.targets(), self.crop.patch, footprint);
        memory.map_err(Failure::Usage)
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
        Ok(self.layers.to_annotated_toml(&self.to_table()?))
    }

    /// All settings as TOML, to be read again.
    ///
    /// # Errors
    /// If a setting has no form in TOML.
    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(&self.run).map_err(|error| Failure::Usage(error.to_string()))
    }

    fn to_table(&self) -> Result<Table, Failure> {
        Table::try_from(&self.run).map_err(|error| Failure::Usage(error.to_string()))
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
