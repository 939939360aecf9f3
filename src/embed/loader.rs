//! Iterator of batches, with the topology that makes them.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::actor::{Feed, RunningTopology, StopLatch, TicketCounts};
use crate::brats::CaseFiles;
use crate::embed::LoaderBuilder;
use crate::pipeline::Batch;
use crate::run::{Failure, LifecycleRuntime};
use crate::run_folder::ExcludedCase;

/// Place in the sequence of batches, to go on from ([`LoaderBuilder::resume_at`]).
///
/// ```
/// use gliaflow::prelude::LoaderPosition;
///
/// let position = LoaderPosition { next_sample: 12, next_batch: 6 };
/// let kept = serde_json::to_string(&position).expect("it is plain data");
/// assert_eq!(serde_json::from_str::<LoaderPosition>(&kept).expect("as it was"), position);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderPosition {
    /// Position of the next batch's first sample in the order of the samples, from 0.
    pub next_sample: u64,
    /// Number of the next batch, from 0.
    pub next_batch: u64,
}

/// Endless iterator of batches: epoch after epoch, in an order that the seed alone decides.
///
/// Batches are made ahead by threads, within the memory of [`LoaderBuilder::memory_mib`]; their
/// buffers go back to the loader when a batch is dropped. An error is the last item. Dropping the
/// loader ends its threads.
///
/// ```
/// # fn main() -> Result<(), gliaflow::prelude::Failure> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let data = folder.path().join("data");
/// use gliaflow::prelude::*;
///
/// write_phantom_cases(&data, 3, [32, 32, 32])?;
/// let mut loader = Loader::builder(&data).cache(folder.path().join("cache")).patch([16, 16, 16]).start()?;
/// let batch = loader.next().expect("a loader has no end")?;
/// assert_eq!(batch.images.len(), 2 * 4 * 16 * 16 * 16);
/// # Ok(())
/// # }
/// ```
pub struct Loader {
    pub(super) feed: Option<Feed<Batch>>,
    pub(super) running: Option<RunningTopology>,
    pub(super) stop: StopLatch,
    pub(super) position: LoaderPosition,
    pub(super) cohort: Arc<[CaseFiles]>,
    pub(super) samples_per_epoch: u64,
    pub(super) excluded: Vec<ExcludedCase>,
    /// Runtime of the topology, unless the caller has one.
    pub(super) runtime: Option<LifecycleRuntime>,
}

impl Loader {
    /// Builder of a loader over the dataset in `folder`, in any layout that `gliaflow inspect` finds.
    pub fn builder(folder: impl Into<PathBuf>) -> LoaderBuilder {
        LoaderBuilder::new(folder.into())
    }

    /// Place behind the last batch that was taken.
    pub const fn next_position(&self) -> LoaderPosition {
        self.position
    }

    /// Number of samples in an epoch. Batches go on over the end of an epoch.
    pub const fn samples_per_epoch(&self) -> u64 {
        self.samples_per_epoch
    }

    /// Cases that samples are drawn from, sorted by id.
    pub fn cases(&self) -> &[CaseFiles] {
        &self.cohort
    }

    /// Cases that were left out, with the reason.
    pub fn excluded_cases(&self) -> &[ExcludedCase] {
        &self.excluded
    }

    /// Ends the loader and waits for its threads. Batches under way are dropped.
    ///
    /// # Errors
    /// The fault that ended the loader before.
    pub fn stop_and_join(mut self) -> Result<TicketCounts, Failure> {
        self.stop.drain();
        while self.next_batch().is_some() {}
        self.join_threads()
    }

    fn next_batch(&mut self) -> Option<Batch> {
        self.feed.as_mut().and_then(Feed::next_output)
    }

    fn join_threads(&mut self) -> Result<TicketCounts, Failure> {
        // The feed ends the topology's wait for a consumer.
        self.feed = None;
        let counts = self.running.take().map(RunningTopology::join_blocking);
        self.runtime = None;
        Ok(counts.transpose()?.unwrap_or_default())
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(batch) = self.next_batch() else { return self.join_threads().err().map(Err) };
        let Batch { next_sample, number, .. } = batch;
        self.position = LoaderPosition { next_sample, next_batch: number + 1 };
        Some(Ok(batch))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // A fault was an item, or comes too late to be told.
        let _ = self.join_threads();
    }
}
