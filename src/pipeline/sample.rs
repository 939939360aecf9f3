//! What goes through the loader: samples, first drawn, then made, and the batches that it delivers.

use half::f16;
use serde::{Deserialize, Serialize};

use crate::base::seed::SampleKey;
use crate::pipeline::augment::config::Drawn;
use crate::pipeline::augment::placement::Window;
use crate::pipeline::handle::CaseHandle;
use crate::pipeline::lent::Lent;
use crate::volume::case::CaseId;
use crate::volume::grid::Dims;
use crate::volume::modality::Modality;
use crate::volume::targets::Targets;

/// Voxels of one patch, recycled from sample to sample.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct PatchBuffer {
    /// Normalised, augmented intensities `[c, d, h, w]`.
    pub images: Vec<f16>,
    /// Canonical labels `[d, h, w]`, or region probabilities in 255ths `[d, h, w, 3]`.
    pub labels: Vec<u8>,
    /// Which of the two.
    pub targets: Targets,
}

impl PatchBuffer {
    /// Makes room for a patch of `dims`; old content is left to be overwritten.
    pub fn shape_for(&mut self, dims: Dims, targets: Targets) {
        self.images.resize(Modality::COUNT * dims.voxels(), f16::ZERO);
        self.labels.resize(targets.bytes() * dims.voxels(), 0);
        self.targets = targets;
    }

    /// Bytes held.
    pub fn bytes(dims: Dims, targets: Targets) -> usize {
        dims.voxels() * (Modality::COUNT * size_of::<f16>() + targets.bytes())
    }
}

/// Where a sample came from and what was done to it: enough to make it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The case.
    pub case: CaseId,
    /// First corner of the patch in the case's brain box, `[z, y, x]`; may be negative (padding).
    pub corner: [isize; 3],
    /// What each transform drew.
    pub drawn: Drawn,
}

/// A sample whose voxels are known, but not yet made.
#[derive(Debug, Clone)]
pub struct DrawnSample {
    /// Which sample.
    pub key: SampleKey,
    /// Its case.
    pub case: CaseHandle,
    /// Where in the brain box.
    pub window: Window,
    /// What is to be done to it.
    pub drawn: Drawn,
}

/// One patch, ready for a batch.
#[derive(Debug)]
pub struct Sample {
    /// Which one.
    pub key: SampleKey,
    /// Its voxels.
    pub patch: PatchBuffer,
    /// Where it came from.
    pub provenance: Provenance,
}

/// What crosses to the device: half-precision images and byte labels, a quarter of f32's traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Place in the run, from 0.
    pub number: u64,
    /// Position in the plan of the sample that follows this batch: what a checkpoint stores.
    pub next_sample: u64,
    /// Normalised, augmented intensities `[b, c, d, h, w]`.
    pub images: Lent<f16>,
    /// Canonical labels `[b, d, h, w]`, or region probabilities in 255ths `[b, d, h, w, 3]`.
    pub labels: Lent<u8>,
    /// Which of the two.
    pub targets: Targets,
    /// Patch extent.
    pub dims: Dims,
    /// One per sample.
    pub keys: Vec<SampleKey>,
    /// One per sample.
    pub provenance: Vec<Provenance>,
}

impl Batch {
    /// Number of samples.
    pub const fn size(&self) -> usize {
        self.keys.len()
    }

    /// Bytes of voxels in a batch of `size` patches.
    pub fn bytes(size: usize, dims: Dims, targets: Targets) -> usize {
        size * PatchBuffer::bytes(dims, targets)
    }
}
