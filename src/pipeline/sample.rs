//! Items of the loader: drawn samples, rendered samples, batches.

use half::f16;
use serde::{Deserialize, Serialize};

use crate::augment::{DrawnParams, Window};
use crate::base::SampleKey;
use crate::buffers::{PatchBuffer, PooledBuffer};
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
    pub patch: PatchBuffer,
    /// Origin of the sample.
    pub provenance: Provenance,
}

/// Batch for the device: half-precision images and byte labels, a quarter of f32's traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Number of the batch in the run, from 0.
    pub number: u64,
    /// Position in the plan of the sample behind this batch, as checkpoints store it.
    pub next_sample: u64,
    /// Normalised, augmented intensities `[b, c, d, h, w]`.
    pub images: PooledBuffer<f16>,
    /// Canonical labels `[b, d, h, w]`, or region probabilities in 255ths `[b, d, h, w, 3]`.
    pub labels: PooledBuffer<u8>,
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
