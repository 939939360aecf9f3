//! Options of the verbs that run a loader without a run's configuration: `drain` and `tune`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::augment::AugmentConfig;
use crate::cache::PreprocessConfig;
use crate::pipeline::{CropConfig, LoaderConfig, LoaderWorkers, WorkerPlan};
use crate::run::Failure;
use crate::run::tools::drain::DrainConfig;
use crate::volume::{Dims, LabelScheme};

/// Augmentation of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AugmentProfile {
    /// No augmentation
    None,
    /// Mirroring, contrast and shift
    Light,
    /// Light, and every sample rotated and scaled
    Full,
    /// Default of training: each transform with its own probability
    Default,
}

impl AugmentProfile {
    pub(super) fn augment_config(self) -> AugmentConfig {
        match self {
            Self::None => AugmentConfig::none(),
            Self::Light => AugmentConfig::light_profile(),
            Self::Full => AugmentConfig::full_profile(),
            Self::Default => AugmentConfig::default(),
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct LoaderOptions {
    /// A dataset in one of the BraTS layouts
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Meaning of label values, as docs/labels.md lists them [default: from file names]
    #[arg(long, value_name = "SCHEME")]
    labels: Option<LabelScheme>,

    /// The cache's root
    #[arg(long, value_name = "DIR", default_value = "cache")]
    cache: PathBuf,

    /// Augmentation of the samples
    #[arg(long, value_enum, default_value_t = AugmentProfile::Full)]
    profile: AugmentProfile,

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
        if !(1..=4096).contains(&self.patch) || !(1..=1024).contains(&self.batch) {
            return Err(Failure::Usage(format!(
                "--patch {} --batch {}: write 1 to 4096 and 1 to 1024",
                self.patch, self.batch
            )));
        }
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
            data: self.data.clone(),
            labels: self.labels,
            cache: self.cache.clone(),
            loader,
            crop: CropConfig { patch: Dims::cube(self.patch), ..CropConfig::default() },
            augment: self.profile.augment_config(),
            preprocess: PreprocessConfig::default(),
            seed: self.seed,
            batches: self.batches.max(1),
            warm_up: self.warm_up,
            step,
        })
    }

    /// Side of the patch, and samples in a batch.
    #[cfg(feature = "train")]
    pub(super) const fn patch_and_batch(&self) -> [usize; 2] {
        [self.patch, self.batch]
    }

    /// Description of the loader in reports.
    pub(super) fn describe(&self) -> String {
        let path = if self.cold { "cold" } else { "warm" };
        let profile = self.profile.to_possible_value().expect("no profile is hidden");
        format!("{path}, {}, patch {}^3, batch {}", profile.get_name(), self.patch, self.batch)
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
