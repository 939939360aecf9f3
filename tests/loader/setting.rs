//! A cohort of tiny phantoms on disk, and a loader over it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gliaflow::internals::actor::{Feed, RunningTopology, SkippedItem, StopLatch};
use gliaflow::internals::augment::AugmentConfig;
use gliaflow::internals::base::{Fingerprint, Fingerprinter};
use gliaflow::internals::brats::phantom::{PhantomCase, PhantomConfig, cohort, generate_phantom};
use gliaflow::internals::brats::{CaseFiles, discover_cases};
use gliaflow::internals::cache::{CaseStore, PreprocessConfig};
use gliaflow::internals::pipeline::loader::{CaseSource, LoaderParts, start_loader};
use gliaflow::internals::pipeline::{
    Batch, CropConfig, Fetch, Footprint, LoaderConfig, LoaderWorkers, Plan, WorkerPlan,
};
use gliaflow::internals::volume::{CaseId, Dims};

use crate::deadline::Watch;
use crate::numbers::runtime;

const SEED: u64 = 11;

/// What the phantoms are made from.
pub(super) const PHANTOMS: PhantomConfig =
    PhantomConfig { dims: Dims::from_nifti([32, 32, 24]), seed: SEED };

/// A cohort on disk and the configuration of a loader over it.
pub(super) struct Setting {
    folder: tempfile::TempDir,
    pub(super) loader: LoaderConfig,
    pub(super) crop: CropConfig,
    pub(super) augment: AugmentConfig,
    skips: Arc<Mutex<Vec<SkippedItem>>>,
}

impl Setting {
    /// Patches of 16³, two from each case in an epoch, in batches of two.
    pub(super) fn of_cases(cases: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..cases {
            cohort::write_case(&folder.path().join("data"), &PHANTOMS, index).unwrap();
        }
        let loader = LoaderConfig {
            batch: 2,
            prefetch: 2,
            memory_mib: 8,
            patches_per_case: 2,
            workers: fixed(1, 1),
            ..LoaderConfig::default()
        };
        let crop = CropConfig { patch: Dims::cube(16), ..CropConfig::default() };
        Self { folder, loader, crop, augment: mirroring(0.5), skips: Arc::default() }
    }

    pub(super) fn cohort(&self) -> Arc<[CaseFiles]> {
        discover_cases(&self.folder.path().join("data"), None).unwrap().cases.into()
    }

    pub(super) fn plan(&self) -> Plan {
        let cohort = self.cohort();
        let donors = cohort.len();
        Plan::new(cohort, SEED, self.loader.patches_per_case)
            .with_donors(donors, self.augment.mixing.share)
    }

    pub(super) fn tickets(&self) -> u64 {
        let memory = self.loader.plan_memory(self.crop.patch, self.footprint());
        memory.unwrap().tickets as u64
    }

    fn footprint(&self) -> Footprint {
        if self.loader.cached { Footprint::Mapped } else { Footprint::InMemory(PHANTOMS.dims) }
    }

    /// A folder for case files, new or as left by an earlier run.
    pub(super) fn cache(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A store that has mapped nothing yet.
    pub(super) fn store(&self, cache: &str) -> Arc<CaseStore> {
        let preprocess = PreprocessConfig::default().fingerprint();
        Arc::new(CaseStore::open(&self.cache(cache), preprocess).unwrap())
    }

    pub(super) fn fetch(&self, cache: &str, stop: &StopLatch) -> Fetch {
        Fetch::new(self.store(cache), PreprocessConfig::default(), stop.clone())
    }

    /// A loader that starts at position `first` of the plan.
    pub(super) fn parts(&self, cache: &str, first: u64) -> LoaderParts {
        let skips = Arc::clone(&self.skips);
        let cases = match self.loader.cached {
            true => CaseSource::from_store(self.store(cache)),
            false => CaseSource::Files { largest: PHANTOMS.dims },
        };
        LoaderParts {
            loader: self.loader.clone(),
            crop: self.crop.clone(),
            augment: self.augment.clone(),
            first_sample: first,
            first_batch: first / self.loader.batch as u64,
            on_skip: Box::new(move |skip| skips.lock().unwrap().push(skip.clone())),
            ..LoaderParts::new(self.plan(), cases)
        }
    }

    pub(super) fn start(
        &self,
        watch: &Watch,
        cache: &str,
        first: u64,
        stop: &StopLatch,
    ) -> (Feed<Batch>, RunningTopology) {
        let started = start_loader(self.parts(cache, first), stop, &runtime()).unwrap();
        watch.on(&started.1);
        started
    }

    /// The first `count` batches of a loader that starts at `first`.
    pub(super) fn take(&self, watch: &Watch, cache: &str, first: u64, count: usize) -> Vec<Batch> {
        let (mut feed, running) = self.start(watch, cache, first, &StopLatch::new());
        let batches = (0..count).map(|_| feed.next_output().unwrap()).collect();
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
        batches
    }

    /// What `on_skip` was told so far, by all loaders of this setting.
    pub(super) fn skips(&self) -> Vec<SkippedItem> {
        self.skips.lock().unwrap().clone()
    }
}

/// So many workers for good: those that bring cases, and those that make voxels.
pub(super) fn fixed(bring: usize, augment: usize) -> WorkerPlan {
    let (fetch, decode) = (bring, bring);
    WorkerPlan::Fixed(LoaderWorkers { fetch, decode, normalize: 1, crop: 1, augment })
}

/// Mirroring with this probability, and nothing else: what the slow reference can do.
pub(super) fn mirroring(probability: f64) -> AugmentConfig {
    let mut config = AugmentConfig::none();
    config.mirroring.probability = probability;
    config
}

/// All that there is, on every sample.
pub(super) fn every_transform() -> AugmentConfig {
    let mut config = AugmentConfig::full_profile();
    config.gamma.probability = 1.0;
    config.noise.probability = 1.0;
    config
}

/// The phantom that was written as case `id`.
pub(super) fn phantom(id: &CaseId) -> PhantomCase {
    let number = id.as_str().rsplit('_').next().unwrap();
    let made = generate_phantom(&PHANTOMS, number.parse::<u64>().unwrap() - 1);
    assert_eq!(made.id, *id);
    made
}

/// Everything that a batch holds.
pub(super) fn hash(batch: &Batch) -> Fingerprint {
    let mut hasher = Fingerprinter::default();
    let Batch { number, next_sample, dims, keys, provenance, .. } = batch;
    hasher.update(format!("{number} {next_sample} {dims} {keys:?} {provenance:?}").as_bytes());
    samples(batch).iter().for_each(|sample| hasher.update(&sample.0));
    hasher.finish()
}

/// Everything that each sample of a batch holds.
pub(super) fn samples(batch: &Batch) -> Vec<Fingerprint> {
    let images = batch.images.chunks_exact(4 * batch.dims.voxel_count());
    let labels = batch.labels.chunks_exact(batch.dims.voxel_count());
    assert!(images.len() == batch.size() && labels.len() == batch.size());
    let named = batch.keys.iter().zip(&batch.provenance);
    images
        .zip(labels)
        .zip(named)
        .map(|((images, labels), (key, provenance))| {
            let mut hasher = Fingerprinter::default();
            images.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
            hasher.update(labels);
            hasher.update(format!("{key:?} {provenance:?}").as_bytes());
            hasher.finish()
        })
        .collect()
}

/// Puts other bytes in a file's place. The file that was there keeps its bytes: that is the promise
/// under which a case file may be mapped.
pub(super) fn replace(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Changes a file in place of its content, under the same length and time.
pub(super) fn replace_in_secret(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let time = path.metadata().unwrap().modified().unwrap();
    replace(path, change);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Cuts a file in half.
pub(super) fn truncate(path: &Path) {
    replace(path, |bytes| bytes.truncate(bytes.len() / 2));
}

/// The file of the modality that is read last.
pub(super) fn flair(files: &CaseFiles) -> &Path {
    files.images.last().unwrap()
}
