//! What a run's settings let its ingest take: threads, memory, and the largest volume.

use std::path::Path;

use crate::base::{CaseError, ConfigError};
use crate::brats::{Dataset, discover_described_cases};
use crate::pipeline::ingest::{self, IngestResources, max_resampled_voxels};
use crate::pipeline::{Footprint, LoaderMemory};
use crate::resampling::Resampling;
use crate::run::Failure;
use crate::run::config::RunConfig;
use crate::volume::Dims;

impl RunConfig {
    /// Finds the cases of `folder`, the run's own or where it lies now, with the run's description,
    /// meaning of labels, mask files and limit of voxels.
    ///
    /// # Errors
    /// As [`discover_described_cases`], and if the description is not that of the run.
    pub fn discover_in(&self, folder: &Path) -> Result<Dataset, CaseError> {
        let data = &self.data;
        let most = self.most_voxels();
        let found = discover_described_cases(folder, data.description.as_deref(), data.labels)?;
        data.check_described(&found)?;
        let found = found.with_channels(data.channels, data.missing);
        Ok(found.with_masks(&data.foreground).with_max_voxels(most))
    }

    /// Voxels of the largest volume that is read.
    pub(in crate::run) fn most_voxels(&self) -> usize {
        let of_memory = || ingest::max_voxels(self.loader.memory_bytes());
        self.data.max_voxels.unwrap_or_else(of_memory)
    }

    /// Carries the settings of foreground, quality and voxel size into those of preprocessing, which
    /// decide the cache's folder.
    pub(in crate::run) fn complete_preprocess(&mut self) {
        let memory_bytes = self.loader.memory_bytes();
        let data = &mut self.data;
        data.preprocess.foreground = data.foreground.clone();
        data.preprocess.quality = data.quality;
        data.preprocess.resampling = data.spacing.map(|spacing_mm| Resampling {
            spacing_mm,
            interpolation: data.interpolation.unwrap_or_default(),
            max_voxels: data.max_voxels.unwrap_or_else(|| max_resampled_voxels(memory_bytes)),
        });
    }

    /// Memory of the loader, for cases of at most this grid.
    ///
    /// # Errors
    /// If that does not fit its budget.
    pub fn loader_memory(&self, largest: Dims) -> Result<LoaderMemory, Failure> {
        let footprint = match self.loader.cached {
            true => Footprint::Mapped,
            false => Footprint::of_case(largest, &self.data.preprocess),
        };
        Ok(self.plan_memory(footprint)?)
    }

    /// Plans the loader's memory for cases that a sample holds so much of.
    pub(super) fn plan_memory(&self, footprint: Footprint) -> Result<LoaderMemory, ConfigError> {
        let patch = self.crop.patch;
        self.loader.plan_memory_for(self.targets(), patch, footprint, &self.augment)
    }

    /// Threads and memory of an ingest that runs alone.
    pub fn ingest_resources(&self) -> IngestResources {
        let memory_bytes = self.loader.memory_bytes();
        IngestResources { workers: self.ingest.clone(), memory_bytes }
    }

    /// Threads and memory of an ingest beside the loader, whose share of the budget is not free, for
    /// cases of at most this grid.
    pub fn ingest_resources_beside_loader(
        &self,
        largest: Dims,
    ) -> Result<IngestResources, Failure> {
        let own = self.ingest_resources();
        let memory_bytes = own.memory_bytes.saturating_sub(self.loader_memory(largest)?.bytes);
        Ok(IngestResources { memory_bytes, ..own })
    }
}
