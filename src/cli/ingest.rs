//! `ingest`: a dataset's files to case files in the cache.

use std::path::PathBuf;

use crate::brats::discover_described_cases;
use crate::cache::PreprocessConfig;
use crate::cli::{ActiveSession, CommandOutput, Console, SessionOptions, VerbResult};
use crate::pipeline::LoaderConfig;
use crate::pipeline::ingest::{
    ACTORS, IngestResources, IngestWorkers, max_resampled_voxels, max_voxels,
};
use crate::quality::{ForegroundRule, QualityPolicy};
use crate::resampling::{Interpolation, MAX_SPACING_MM, MIN_SPACING_MM, Resampling};
use crate::run::{Failure, prepare};
use crate::volume::LabelScheme;

/// Decode, check and cache every case of a dataset
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow ingest --data data/BraTS2020 --cache cache
  gliaflow ingest --data data/BraTS2020 --cache cache --verify
  gliaflow ingest --data s3://bucket/BraTS2020 --cache cache

Cases that are in the cache are not read again while size and time of their files stay. A bad case \
is listed and the others go on; the exit code is then 3.")]
pub(super) struct Ingest {
    /// A dataset's folder, or a prefix of object storage, in a layout that docs/datasets.md names
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// File that describes the dataset, in place of the dataset.toml beside it
    #[arg(long, value_name = "FILE")]
    description: Option<PathBuf>,

    /// The cache's root
    #[arg(long, value_name = "DIR", default_value = "cache")]
    cache: PathBuf,

    /// Meaning of label values, as docs/labels.md lists them [default: from file names]
    #[arg(long, value_name = "SCHEME")]
    labels: Option<LabelScheme>,
    /// Read cached cases as well: files that changed although size and time did not, and damaged case
    /// files, are built again
    #[arg(long)]
    verify: bool,

    /// Threads that decode; the other stages follow
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// Memory for the cases under way, in MiB, as loader.memory_mib of the runs to come. A case that it
    /// does not hold is refused
    #[arg(long, value_name = "MIB", default_value_t = LoaderConfig::default().memory_mib)]
    memory_mib: usize,

    /// Rule that tells tissue from background, as data.foreground of the runs to come: nonzero,
    /// threshold, or the ending of mask files, such as _mask for CASE_mask.nii.gz
    #[arg(long, value_name = "RULE", default_value = "nonzero")]
    foreground: ForegroundRule,

    /// Policy on images without information and on spikes, as data.quality of the runs to come: clip,
    /// warn or strict
    #[arg(long, value_name = "POLICY", default_value = "clip", value_parser = parse_policy)]
    quality: QualityPolicy,

    /// Voxel edges in mm that cases are resampled to, as data.spacing of the runs to come, such as 1,1,1
    #[arg(long, value_name = "X,Y,Z", value_parser = parse_spacing)]
    spacing: Option<[f64; 3]>,

    /// Interpolation of resampled images, as data.interpolation of the runs to come: linear or cubic
    #[arg(long, value_name = "HOW", default_value = "linear", requires = "spacing")]
    interpolation: Interpolation,

    #[command(flatten)]
    long: SessionOptions,
}

fn parse_spacing(text: &str) -> Result<[f64; 3], String> {
    let allowed = MIN_SPACING_MM..=MAX_SPACING_MM;
    let edges: Option<Vec<f64>> = text
        .split(',')
        .map(|edge| edge.trim().parse().ok().filter(|edge| allowed.contains(edge)))
        .collect();
    edges.and_then(|edges| edges.try_into().ok()).ok_or_else(|| {
        format!("write three edges of {MIN_SPACING_MM} to {MAX_SPACING_MM} mm, such as 1,1,1")
    })
}

fn parse_policy(text: &str) -> Result<QualityPolicy, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

impl Ingest {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let memory_bytes =
            LoaderConfig { memory_mib: self.memory_mib, ..Default::default() }.memory_bytes();
        let preprocess = PreprocessConfig {
            foreground: self.foreground,
            quality: self.quality,
            resampling: self.spacing.map(|spacing_mm| Resampling {
                spacing_mm,
                interpolation: self.interpolation,
                max_voxels: max_resampled_voxels(memory_bytes),
            }),
            ..PreprocessConfig::default()
        };
        preprocess.check_foreground().map_err(|error| Failure::Usage(format!("--{error}")))?;
        let mut workers = IngestWorkers::default();
        if let Some(decode) = self.workers {
            if decode == 0 {
                return Err(Failure::Usage("--workers 0: write at least 1".into()));
            }
            workers = IngestWorkers { decode, normalize: decode.div_ceil(2), publish: 1 };
        }
        let resources = IngestResources { workers, memory_bytes };
        let described = self.description.as_deref();
        let dataset = discover_described_cases(&self.data, described, self.labels)?
            .with_masks(&preprocess.foreground)
            .with_max_voxels(max_voxels(memory_bytes));
        let store = prepare::open_store(&self.cache, &preprocess)?;
        let live =
            ActiveSession::start(&self.long, "ingest", console)?.register_metrics(&[&ACTORS], &[]);
        let done = live.run_verb(|session| {
            let outdated = match self.verify {
                true => prepare::withdraw_outdated(&dataset.cases, &store, session)?,
                false => Vec::new(),
            };
            let done =
                prepare::ingest_cases(&dataset.cases, &store, &preprocess, &resources, session)?;
            Ok((outdated, done))
        });
        let (outdated, done) = done?;
        let problems: Vec<String> = dataset
            .problems
            .iter()
            .map(ToString::to_string)
            .chain(done.excluded.iter().map(|excluded| excluded.error.to_string()))
            .collect();
        let mut text = format!(
            "{} cases cached ({} new, {} unchanged), {:.1} MB written to {}, labels {}\n",
            done.current + done.published,
            done.published,
            done.current,
            done.bytes as f64 / 1e6,
            self.cache.display(),
            dataset.labels
        );
        for error in &outdated {
            text += &format!("  built again: {error}\n");
        }
        for problem in &problems {
            text += &format!("  problem: {problem}\n");
        }
        let result = serde_json::json!({
            "cache": self.cache,
            "published": done.published,
            "current": done.current,
            "bytes": done.bytes,
            "labels": dataset.labels,
            "outdated": outdated.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "problems": problems,
        });
        Ok(CommandOutput::new(&result, text).with_bad_data(!problems.is_empty()))
    }
}
