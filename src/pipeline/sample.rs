//! Items of the loader: drawn samples, rendered samples, batches.

use half::f16;
use serde::{Deserialize, Serialize};

use crate::augment::{DrawnParams, Window};
use crate::base::SampleKey;
use crate::buffers::{BatchBuffer, PatchBuffer, PlacedPatch};
use crate::pipeline::{CaseHandle, PlannedSample};
use crate::volume::{CaseId, Dims, Targets};

/// Origin of a sample, enough to make it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Case of the sample.
    pub case: CaseId,
    /// First corner of the patch in the case's brain box, `[z, y, x]`; may be negative (padding).
    pub corner: [isize; 3],
    /// Drawn parameters of each transform.
    pub drawn: DrawnParams,
}

/// Sample whose window and augmentation are drawn, but not rendered.
#[derive(Debug, Clone)]
pub struct DrawnSample {
    /// Key of the sample.
    pub key: SampleKey,
    /// Case of the sample.
    pub case: CaseHandle,
    /// Case whose tumour is put into it, where `drawn` has a mixing.
    pub donor: Option<CaseHandle>,
    /// Window in the brain box.
    pub window: Window,
    /// Drawn parameters of each transform.
    pub drawn: DrawnParams,
    /// Sample as it was planned, by which a lost case is fetched again.
    pub planned: Option<PlannedSample>,
}

/// Rendered sample: one patch of a batch.
#[derive(Debug)]
pub struct Sample {
    /// Key of the sample.
    pub key: SampleKey,
    /// Voxels of the patch.
    pub patch: PlacedPatch,
    /// Origin of the sample.
    pub provenance: Provenance,
}

/// Batch for the device: half-precision images and byte labels, a quarter of f32's traffic.
///
/// ```
/// # fn main() -> Result<(), gliaflow::prelude::Failure> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let data = folder.path().join("data");
/// use gliaflow::prelude::*;
///
/// write_phantom_cases(&data, 3, [32, 32, 32])?;
/// let builder = Loader::builder(&data).cache(folder.path().join("cache"));
/// let batch: Batch = builder.patch([16, 16, 16]).batch(2).start()?.next().expect("an endless loader")?;
/// // T1 of the first sample is the first [d, h, w] of images [b, c, d, h, w].
/// let t1 = &batch.images[..batch.dims.voxel_count()];
/// let mean = t1.iter().map(|value| value.to_f32()).sum::<f32>() / t1.len() as f32;
/// assert!(mean.is_finite() && batch.labels.len() == batch.size() * t1.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Number of the batch in the run, from 0.
    pub number: u64,
    /// Position in the plan of the sample behind this batch, as checkpoints store it.
    pub next_sample: u64,
    /// Normalised, augmented intensities `[b, c, d, h, w]`.
    pub images: BatchBuffer<f16>,
    /// Canonical labels `[b, d, h, w]`, or region probabilities in 255ths `[b, d, h, w, 3]`.
    pub labels: BatchBuffer<u8>,
    /// Kind of `labels`.
    pub targets: Targets,
    /// Extent of a patch.
    pub dims: Dims,
    /// Keys, one per sample.
    pub keys: Vec<SampleKey>,
    /// Origins, one per sample.
    pub provenance: Vec<Provenance>,
}

impl Batch {
    /// Number of samples.
    pub const fn size(&self) -> usize {
        self.keys.len()
    }

    /// Bytes of the voxels in a batch of `size` patches.
    pub fn voxel_bytes(size: usize, dims: Dims, targets: Targets) -> usize {
        size * PatchBuffer::bytes_for(dims, targets)
    }
}
