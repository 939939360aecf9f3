//! Builder of a [`Loader`].

use std::collections::BTreeSet;
use std::path::PathBuf;

use tokio::runtime::Handle;

use crate::actor::{SkippedItem, StopLatch};
use crate::augment::{AugmentConfig, OwnFilter, PatchFilter};
use crate::base::{ConfigError, check_ranges};
use crate::brats::{Dataset, discover_described_cases};
use crate::cache::PreprocessConfig;
use crate::embed::{Loader, LoaderPosition, StopHandle};
use crate::pipeline::collate::OnSkip;
use crate::pipeline::loader::{LoaderParts, start_loader};
use crate::pipeline::{CropConfig, LoaderConfig, Plan, WorkerPlan};
use crate::run::{Failure, LifecycleRuntime, Session, prepare_loader_cases};
use crate::volume::{Dims, LabelScheme};

/// Builder of a [`Loader`]; settings are those of a run's configuration (`docs/settings.md`), with the
/// same defaults.
///
/// ```no_run
/// # fn main() -> Result<(), gliaflow::prelude::Failure> {
/// use gliaflow::embed::augmentation::AugmentProfile;
/// use gliaflow::prelude::*;
///
/// let loader = Loader::builder("data/BraTS2020")
///     .patch([128, 128, 128])
///     .batch(2)
///     .augment(AugmentProfile::Nnunet.augment_config())
///     .memory_mib(1024)
///     .seed(7)
///     .start()?;
/// println!("{} samples an epoch", loader.samples_per_epoch());
/// # Ok(())
/// # }
/// ```
pub struct LoaderBuilder {
    folder: PathBuf,
    description: Option<PathBuf>,
    labels: Option<LabelScheme>,
    cases: Option<BTreeSet<String>>,
    cache: PathBuf,
    loader: LoaderConfig,
    crop: CropConfig,
    augment: AugmentConfig,
    own_filters: Vec<OwnFilter>,
    refused: Option<ConfigError>,
    preprocess: PreprocessConfig,
    seed: u64,
    start: LoaderPosition,
    on_skip: Option<OnSkip>,
    runtime: Option<Handle>,
    stop: StopLatch,
}

impl LoaderBuilder {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            description: None,
            labels: None,
            cases: None,
            cache: "cache".into(),
            loader: LoaderConfig::default(),
            crop: CropConfig::default(),
            augment: AugmentConfig::default(),
            own_filters: Vec::new(),
            refused: None,
            preprocess: PreprocessConfig::default(),
            seed: 0,
            start: LoaderPosition::default(),
            on_skip: None,
            runtime: None,
            stop: StopLatch::new(),
        }
    }

    /// Describes the dataset by this file (`docs/datasets.md`) and not by the one beside the data.
    #[must_use]
    pub fn description(mut self, file: impl Into<PathBuf>) -> Self {
        self.description = Some(file.into());
        self
    }

    /// Sets the meaning of the label values, where neither names nor a description tell it.
    #[must_use]
    pub const fn labels(mut self, scheme: LabelScheme) -> Self {
        self.labels = Some(scheme);
        self
    }

    /// Draws samples from the cases of these names only, such as those of a fold.
    #[must_use]
    pub fn cases(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.cases = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Folder of the case files; `cache` without it.
    #[must_use]
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = folder.into();
        self.loader.cached = true;
        self
    }

    /// Keeps no case files: each sample decodes its case anew.
    #[must_use]
    pub const fn without_cache(mut self) -> Self {
        self.loader.cached = false;
        self
    }

    /// Extent of a patch in voxels, `[d, h, w]`.
    #[must_use]
    pub const fn patch(mut self, extent: [usize; 3]) -> Self {
        self.crop.patch = Dims(extent);
        self
    }

    /// Share of the patches that are centred on tumour, 0 to 1.
    #[must_use]
    pub const fn foreground_share(mut self, share: f64) -> Self {
        self.crop.foreground_share = share;
        self
    }

    /// Samples in a batch.
    #[must_use]
    pub const fn batch(mut self, samples: usize) -> Self {
        self.loader.batch = samples;
        self
    }

    /// Finished batches that may wait to be taken.
    #[must_use]
    pub const fn prefetch(mut self, batches: usize) -> Self {
        self.loader.prefetch = batches;
        self
    }

    /// Memory for samples, batches, and cases on their way into the cache, in MiB.
    #[must_use]
    pub const fn memory_mib(mut self, mib: usize) -> Self {
        self.loader.memory_mib = mib;
        self
    }

    /// Patches drawn from each case in an epoch.
    #[must_use]
    pub const fn patches_per_case(mut self, patches: u64) -> Self {
        self.loader.patches_per_case = patches;
        self
    }

    /// Threads of each stage; batches do not depend on them.
    #[must_use]
    pub fn workers(mut self, workers: WorkerPlan) -> Self {
        self.loader.workers = workers;
        self
    }

    /// Augmentation of the patches.
    #[must_use]
    pub fn augment(mut self, config: AugmentConfig) -> Self {
        self.augment = config;
        self
    }

    /// Adds a filter of the caller's to the augmentation, behind the others ([`PatchFilter`]).
    #[must_use]
    pub fn patch_filter<F: PatchFilter>(mut self, filter: F) -> Self {
        match OwnFilter::of_filter(&filter) {
            Ok(own) => self.own_filters.push(own),
            Err(error) => self.refused = Some(error),
        }
        self
    }

    /// Preprocessing of the cases.
    #[must_use]
    pub fn preprocess(mut self, config: PreprocessConfig) -> Self {
        self.preprocess = config;
        self
    }

    /// Seed of order, windows and augmentation.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Goes on from a place in the sequence, as [`Loader::next_position`] told it of a loader with the same
    /// settings and cases.
    #[must_use]
    pub const fn resume_at(mut self, position: LoaderPosition) -> Self {
        self.start = position;
        self
    }

    /// Calls `callback` for each sample that could not be made; a warning is logged without it.
    #[must_use]
    pub fn on_skip(mut self, callback: impl FnMut(&SkippedItem) + Send + 'static) -> Self {
        self.on_skip = Some(Box::new(callback));
        self
    }

    /// Uses a runtime of the caller, which must have time enabled and be driven while the loader
    /// lives. Without it the loader has one on a thread of its own.
    #[must_use]
    pub fn runtime(mut self, handle: Handle) -> Self {
        self.runtime = Some(handle);
        self
    }

    /// Handle that stops the loader, and the ingest ahead of it.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.stop.clone())
    }

    /// Finds the cases, ingests those that are not in the cache yet, and starts the threads.
    ///
    /// # Errors
    /// If a setting is out of its range, no case is usable, a name is none of the dataset's, the
    /// memory does not hold two batches, or ingest fails.
    pub fn start(mut self) -> Result<Loader, Failure> {
        if let Some(refused) = self.refused {
            return Err(refused.into());
        }
        self.augment.own.append(&mut self.own_filters);
        self.augment.complete_own_filters()?;
        check_ranges(&self.loader)?;
        check_ranges(&self.crop)?;
        check_ranges(&self.augment)?;
        check_ranges(&self.preprocess)?;
        let (runtime, own) = match self.runtime.clone() {
            Some(handle) => (handle, None),
            None => {
                let own = LifecycleRuntime::start()?;
                (own.tokio_handle().clone(), Some(own))
            }
        };
        let session = Session { stop: self.stop.clone(), ..Session::new_unattended(runtime) };
        let found = self.find_cases()?;
        let cache = self.loader.cached.then_some(self.cache.as_path());
        let memory = self.loader.memory_bytes();
        let cases = prepare_loader_cases(found, cache, &self.preprocess, memory, &session)?;
        let patches = self.loader.patches_per_case;
        let plan = Plan::new(cases.cohort.clone(), self.seed, patches)
            .with_donors(cases.cohort.len(), self.augment.mixing.share);
        let samples_per_epoch = plan.epoch_len();
        let mut parts = LoaderParts {
            loader: self.loader,
            crop: self.crop,
            augment: self.augment,
            first_sample: self.start.next_sample,
            first_batch: self.start.next_batch,
            preprocess: self.preprocess,
            ..LoaderParts::new(plan, cases.case_source())
        };
        if let Some(callback) = self.on_skip {
            parts.on_skip = callback;
        }
        let (feed, running) = start_loader(parts, &session.stop, &session.runtime)?;
        Ok(Loader {
            feed: Some(feed),
            running: Some(running),
            stop: session.stop,
            position: self.start,
            cohort: cases.cohort,
            samples_per_epoch,
            excluded: cases.excluded,
            runtime: own,
        })
    }

    /// Finds the dataset's cases, and keeps those that were named.
    fn find_cases(&self) -> Result<Dataset, Failure> {
        let mut found =
            discover_described_cases(&self.folder, self.description.as_deref(), self.labels)?;
        let Some(named) = &self.cases else { return Ok(found) };
        let is_found = |name: &&String| found.cases.iter().any(|case| case.id.as_str() == **name);
        if let Some(unknown) = named.iter().find(|name| !is_found(name)) {
            return Err(Failure::Usage(format!(
                "{}: has no case {unknown:?}; `gliaflow inspect` lists its cases",
                self.folder.display()
            )));
        }
        found.cases.retain(|case| named.contains(case.id.as_str()));
        Ok(found)
    }
}
