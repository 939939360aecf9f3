//! Options of the verbs that run a loader without a run's configuration: `drain` and `tune`.

#[cfg(feature = "train")]
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::augment::AugmentConfig;
use crate::cache::PreprocessConfig;
use crate::pipeline::{CropConfig, LoaderConfig, LoaderWorkers, WorkerPlan};
use crate::run::Failure;
#[cfg(feature = "train")]
use crate::run::config;
use crate::run::tools::drain::DrainConfig;
use crate::volume::{Dims, LabelScheme};

/// Augmentation of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DrainProfile {
    /// No augmentation
    None,
    /// Mirroring, contrast and shift
    Light,
    /// Light, and every sample rotated and scaled
    Full,
    /// Default of training, the paper's: each transform with its own probability
    #[value(alias = "paper")]
    Default,
    /// Recipe of nnU-Net 2.6, with all its filters
    Nnunet,
}

impl DrainProfile {
    pub(super) fn augment_config(self) -> AugmentConfig {
        match self {
            Self::None => AugmentConfig::none(),
            Self::Light => AugmentConfig::light_profile(),
            Self::Full => AugmentConfig::full_profile(),
            Self::Default => AugmentConfig::default(),
            Self::Nnunet => AugmentConfig::nnunet_profile(),
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct LoaderOptions {
    /// A dataset in one of the BraTS layouts
    #[arg(long, value_name = "DIR")]
    #[cfg_attr(feature = "train", arg(required_unless_present = "config"))]
    #[cfg_attr(not(feature = "train"), arg(required = true))]
    data: Option<PathBuf>,

    /// Data, cache, patches, batches, augmentation, memory and seed of this run's configuration
    #[cfg(feature = "train")]
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "labels", "profile", "mixing", "patch", "batch", "seed", "memory_mib", "fused"
        ]
    )]
    config: Option<PathBuf>,

    /// Meaning of label values, as docs/labels.md lists them [default: from file names]
    #[arg(long, value_name = "SCHEME")]
    labels: Option<LabelScheme>,

    /// The cache's root
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Augmentation of the samples
    #[arg(long, value_enum, default_value_t = DrainProfile::Full)]
    profile: DrainProfile,

    /// Share of samples that another case's tumour is put into, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    mixing: f64,

    /// Decode each sample's case from its files; read no cache and write none
    #[arg(long, visible_alias = "no-cache")]
    cold: bool,

    /// Side of the cubic patch, in voxels
    #[arg(long, value_name = "VOXELS", default_value_t = 128)]
    patch: usize,

    /// Samples in a batch
    #[arg(long, value_name = "N", default_value_t = 2)]
    batch: usize,

    /// Memory for samples and batches, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory_mib: usize,

    /// Run crop and augment as one actor
    #[arg(long)]
    fused: bool,

    /// Seed of the samples
    #[arg(long, value_name = "N", default_value_t = 20181)]
    seed: u64,

    /// Batches that are measured
    #[arg(long, value_name = "N", default_value_t = 60)]
    batches: u64,

    /// Batches before them that are not
    #[arg(long, value_name = "N", default_value_t = 10)]
    warm_up: u64,
}

impl LoaderOptions {
    /// Returns the drain's configuration, with `prefetch` batches waiting and these workers.
    ///
    /// # Errors
    /// If a number is out of range.
    pub(super) fn drain_config(
        &self,
        prefetch: usize,
        workers: WorkerPlan,
        step_ms: f64,
    ) -> Result<DrainConfig, Failure> {
        let step = Duration::try_from_secs_f64(step_ms / 1e3)
            .map_err(|_| Failure::Usage(format!("--step-ms {step_ms}: write 0 or more")))?;
        #[cfg(feature = "train")]
        if let Some(run) = self.run_config()? {
            return Ok(self.drain_config_of(run, prefetch, workers, step));
        }
        if !(1..=4096).contains(&self.patch) || !(1..=1024).contains(&self.batch) {
            return Err(Failure::Usage(format!(
                "--patch {} --batch {}: write 1 to 4096 and 1 to 1024",
                self.patch, self.batch
            )));
        }
        if !(0.0..=1.0).contains(&self.mixing) {
            return Err(Failure::Usage(format!("--mixing {}: write 0 to 1", self.mixing)));
        }
        let mut augment = self.profile.augment_config();
        augment.mixing.share = self.mixing;
        let loader = LoaderConfig {
            batch: self.batch,
            prefetch,
            memory_mib: self.memory_mib,
            cached: !self.cold,
            fused: self.fused,
            workers,
            ..LoaderConfig::default()
        };
        Ok(DrainConfig {
            data: self.data.clone().unwrap_or_default(),
            labels: self.labels,
            cache: self.cache.clone().unwrap_or_else(|| PathBuf::from("cache")),
            loader,
            crop: CropConfig { patch: Dims::cube(self.patch), ..CropConfig::default() },
            augment,
            preprocess: PreprocessConfig::default(),
            seed: self.seed,
            batches: self.batches.max(1),
            warm_up: self.warm_up,
            step,
        })
    }

    /// Patch, and samples in a batch, without a configuration.
    #[cfg(feature = "train")]
    pub(super) const fn patch_and_batch(&self) -> (Dims, usize) {
        (Dims::cube(self.patch), self.batch)
    }

    /// File of that configuration.
    #[cfg(feature = "train")]
    pub(super) fn config_file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Configuration of the run that the loader is for, if one is named.
    #[cfg(feature = "train")]
    pub(super) fn run_config(&self) -> Result<Option<config::RunConfig>, Failure> {
        let checked =
            self.config.as_deref().map(|file| config::load(Some(file), &[])).transpose()?;
        Ok(checked.map(|checked| checked.run))
    }

    /// Returns the drain of a run's samples: whatever decides them is the run's.
    #[cfg(feature = "train")]
    fn drain_config_of(
        &self,
        run: config::RunConfig,
        prefetch: usize,
        workers: WorkerPlan,
        step: Duration,
    ) -> DrainConfig {
        let cached = run.loader.cached && !self.cold;
        DrainConfig {
            data: self.data.clone().unwrap_or(run.data.folder),
            labels: run.data.labels,
            cache: self.cache.clone().unwrap_or(run.data.cache),
            loader: LoaderConfig { prefetch, workers, cached, ..run.loader },
            crop: run.crop,
            augment: run.augment,
            preprocess: run.data.preprocess,
            seed: run.seed,
            batches: self.batches.max(1),
            warm_up: self.warm_up,
            step,
        }
    }

    /// Description of the loader of `config` in reports.
    pub(super) fn describe(&self, config: &DrainConfig) -> String {
        let path = if config.loader.cached { "warm" } else { "cold" };
        let profile = self.profile.to_possible_value().expect("no profile is hidden");
        let mut augmentation = profile.get_name().to_owned();
        if !config.augment.mixing.is_off() {
            augmentation.push_str(&format!(", {} mixed", config.augment.mixing.share));
        }
        #[cfg(feature = "train")]
        let augmentation =
            self.config_file().map_or(augmentation, |file| format!("as {}", file.display()));
        let [depth, height, width] = config.crop.patch.0;
        let patch = match depth == height && height == width {
            true => format!("{depth}^3"),
            false => config.crop.patch.to_string(),
        };
        format!("{path}, {augmentation}, patch {patch}, batch {}", config.loader.batch)
    }
}

/// Parses `auto`, a number for the stages that compute, or `stage=number,…` for some of them.
pub(super) fn parse_workers(text: &str) -> Result<WorkerPlan, String> {
    if text == "auto" {
        return Ok(WorkerPlan::Auto);
    }
    let mut counts = LoaderWorkers::default();
    if let Ok(all) = text.parse() {
        counts = LoaderWorkers { decode: all, augment: all, ..counts };
        return Ok(WorkerPlan::Fixed(counts));
    }
    for part in text.split(',') {
        let expected = || format!("\"{part}\": write auto, a number, or stage=number,…");
        let (stage, number) = part.split_once('=').ok_or_else(expected)?;
        let number = number.parse().map_err(|_| expected())?;
        let count = counts.of_stage(stage).ok_or_else(|| {
            format!("\"{stage}\" is no stage; name fetch, decode, normalize, crop or augment")
        })?;
        *count = number;
    }
    Ok(WorkerPlan::Fixed(counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_word_a_number_or_a_list() {
        assert_eq!(parse_workers("auto"), Ok(WorkerPlan::Auto));
        let usual = LoaderWorkers::default();
        let both = LoaderWorkers { decode: 7, augment: 7, ..usual.clone() };
        assert_eq!(parse_workers("7"), Ok(WorkerPlan::Fixed(both)));
        let some = LoaderWorkers { fetch: 3, crop: 2, ..usual };
        assert_eq!(parse_workers("fetch=3,crop=2"), Ok(WorkerPlan::Fixed(some)));
        assert!(parse_workers("corp=2").unwrap_err().contains("corp"));
        assert!(parse_workers("crop:2").unwrap_err().contains("crop:2"));
    }
}
