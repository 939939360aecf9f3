//! Transfer of batches to the device: half-precision images and byte targets, widened on the
//! device, or on the host where the device lacks these types.

use std::time::{Duration, Instant};

use burn::tensor::{AllocationProperty, Bytes, DType, Device, Int, Tensor, TensorData};
use metrics::Counter;

use crate::actor::Feed;
use crate::base::{Fault, SampleKey};
use crate::buffers::BatchBuffer;
use crate::nets::{Precision, convert_images};
use crate::pipeline::{Annotations, Batch};
use crate::telemetry::catalog;
use crate::train::region_targets::targets_of_shares;
use crate::train::{RegionTargets, counted_voxels, region_targets};
use crate::volume::{CaseId, Modality, ModalitySet, Region, RegionSet, Split, Targets};

/// Batch on the device, or in transfer.
pub struct DeviceBatch {
    /// Number of the batch in the run.
    pub number: u64,
    /// Position in the plan of the sample after this batch.
    pub next_sample: u64,
    /// Images `[b, c, d, h, w]`, z-scores in the precision to compute in.
    pub images: Tensor<5>,
    /// Targets of the images.
    pub truth: BatchTargets,
    /// Keys of the samples.
    pub keys: Vec<SampleKey>,
    /// Cases of the samples.
    pub cases: Vec<CaseId>,
    /// Time that the trainer waited for the batch.
    pub starved: Duration,
}

/// Targets of a batch, in the narrow type they were transferred in.
pub enum BatchTargets {
    /// Canonical labels `[b, d, h, w]`.
    Labels(Tensor<4, Int>),
    /// Region probabilities in 255ths `[b, 3, d, h, w]`.
    Shares {
        /// Probabilities.
        shares: Tensor<5, Int>,
        /// Temperature of each sample, `[b, 1, 1, 1, 1]`; absent where all are 1.
        temperatures: Option<Box<Tensor<5>>>,
    },
}

impl BatchTargets {
    /// Converts to targets of the run's regions; with `has_ignored` the labels may say which voxels do
    /// not count.
    pub fn into_regions(self, regions: RegionSet, has_ignored: bool) -> RegionTargets {
        match self {
            Self::Labels(labels) => RegionTargets {
                counted: has_ignored.then(|| counted_voxels(labels.clone())),
                members: region_targets(regions, labels),
                softened: None,
            },
            Self::Shares { shares, temperatures } => {
                targets_of_shares(shares.float(), temperatures.map(|each| *each))
            }
        }
    }
}

/// Batches from the loader, transferred one ahead; measures the time that the trainer is starved.
///
/// A thread of its own does the transfer: CubeCL gives each thread a stream, so on a GPU the copy
/// of a batch runs beside the step before it. The trainer may use what another thread made: a
/// stream that is given a buffer of another one waits for an event in it first, and the buffer is
/// kept until it is done with it (cubecl-server 0.11.3, `stream/event.rs`, `align_streams` and
/// `pinned`); fusion gives it an alias on the new stream (burn-fusion 0.22.1, `stream/multi.rs`).
/// Bytes in transfer are owned by the copy and dropped when it is done (`command/base.rs`,
/// `write_to_gpu`), and only then go back to the loader.
pub struct BatchFeed {
    batches: Feed<DeviceBatch>,
    starved: Duration,
    handed: Counter,
    delivered: Counter,
}

impl BatchFeed {
    /// Starts the transfer of `batches` to `device`: the run's modalities, widened to `precision` there.
    /// `annotations` tell which samples have a teacher's labels, and at which temperature.
    ///
    /// # Errors
    /// If the system refuses the thread.
    pub fn new(
        batches: Feed<Batch>,
        device: Device,
        modalities: ModalitySet,
        precision: Precision,
        annotations: Option<Annotations>,
    ) -> Result<Self, Fault> {
        let split = Split::Train.name();
        let softening = annotations.filter(|own| !own.temperature().is_one());
        let batches = batches.map_on_thread("upload", move |batch| {
            let mut uploaded = upload_batch(batch, &device, modalities, precision);
            if let (BatchTargets::Shares { temperatures, .. }, Some(annotations)) =
                (&mut uploaded.truth, &softening)
            {
                let drawn = sample_temperatures(annotations, &uploaded.cases, &device);
                *temperatures = Some(Box::new(drawn));
            }
            uploaded
        })?;
        Ok(Self {
            batches,
            starved: Duration::ZERO,
            handed: catalog::LOADER_BATCHES.with_labels([split]),
            delivered: catalog::delivered_samples(split),
        })
    }

    /// Returns the time spent waiting for batches so far.
    pub const fn starved_time(&self) -> Duration {
        self.starved
    }

    /// Takes the next batch, or `None` when the loader has ended.
    pub fn next_batch(&mut self) -> Option<DeviceBatch> {
        let asked = Instant::now();
        let batch = self.batches.next_output()?;
        let starved = asked.elapsed();
        self.starved += starved;
        self.handed.increment(1);
        self.delivered.increment(batch.keys.len() as u64);
        Some(DeviceBatch { starved, ..batch })
    }
}

/// Sends a batch to the device without waiting; of the lanes of its voxels the modalities are kept.
pub fn upload_batch(
    batch: Batch,
    device: &Device,
    modalities: ModalitySet,
    precision: Precision,
) -> DeviceBatch {
    let size = batch.keys.len();
    let [depth, height, width] = batch.dims.0;
    let known = |narrow, wide| if device.supports_dtype(narrow) { narrow } else { wide };
    let images_shape = [size, Modality::COUNT, depth, height, width];
    let mut images = TensorData::from_bytes(share_memory(batch.images), images_shape, DType::F16);
    let shape = match batch.targets {
        Targets::Hard => vec![size, depth, height, width],
        Targets::Soft => vec![size, depth, height, width, Region::BRATS.len()],
    };
    let mut labels = TensorData::from_bytes(share_memory(batch.labels), shape, DType::U8);
    // Into pinned memory by this thread: a GPU's own thread, which launches the kernels, would copy them otherwise.
    device.staging([&mut images, &mut labels].into_iter());
    let whole = (device, known(DType::U8, DType::I32));
    let truth = match batch.targets {
        Targets::Hard => {
            BatchTargets::Labels(Tensor::<4, Int>::from_data(labels, whole).cast(DType::I32))
        }
        Targets::Soft => {
            let by_voxel = Tensor::<5, Int>::from_data(labels, whole);
            let shares = by_voxel.permute([0, 4, 1, 2, 3]).cast(DType::I32);
            BatchTargets::Shares { shares, temperatures: None }
        }
    };
    DeviceBatch {
        number: batch.number,
        next_sample: batch.next_sample,
        images: convert_images(
            select_modalities(
                Tensor::<5>::from_data(images, (device, known(DType::F16, DType::F32))),
                modalities,
            ),
            precision.dtype(),
        ),
        truth,
        keys: batch.keys,
        cases: batch.provenance.into_iter().map(|one| one.case).collect(),
        starved: Duration::ZERO,
    }
}

/// Temperature of each sample, `[b, 1, 1, 1, 1]`: the teacher's, or 1 of a case's own labels.
fn sample_temperatures(annotations: &Annotations, cases: &[CaseId], device: &Device) -> Tensor<5> {
    let of_case = |case: &CaseId| match annotations.is_annotated(case) {
        true => annotations.temperature().value() as f32,
        false => 1.0,
    };
    let values: Vec<f32> = cases.iter().map(of_case).collect();
    Tensor::from_data(TensorData::new(values, [cases.len(), 1, 1, 1, 1]), device)
}

/// Channels `[b, c, d, h, w]` of some modalities out of those of all.
fn select_modalities(images: Tensor<5>, modalities: ModalitySet) -> Tensor<5> {
    if modalities.is_all() {
        return images;
    }
    let channels = modalities.iter().map(|modality| images.clone().narrow(1, modality.index(), 1));
    Tensor::cat(channels.collect(), 1)
}

/// Wraps the batch's buffer without a copy; it goes back to the loader when the backend drops it.
fn share_memory<T: Send + 'static>(values: BatchBuffer<T>) -> Bytes {
    Bytes::from_shared(bytes::Bytes::from_owner(values), AllocationProperty::Native)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::volume::{Dims, probabilities_of_label};

    const DIMS: Dims = Dims([1, 2, 3]);

    fn batch(labels: Vec<u8>, targets: Targets) -> Batch {
        let keys = vec![SampleKey { seed: 0, epoch: 0, index: 0 }; 2];
        Batch {
            number: 0,
            next_sample: 2,
            images: vec![f16::ZERO; 2 * Modality::COUNT * DIMS.voxel_count()].into(),
            labels: labels.into(),
            targets,
            dims: DIMS,
            keys,
            provenance: Vec::new(),
        }
    }

    fn regions(labels: Vec<u8>, targets: Targets) -> Vec<f32> {
        let batch =
            upload_batch(batch(labels, targets), &Device::flex(), ModalitySet::ALL, Precision::F32);
        let regions = batch.truth.into_regions(RegionSet::BRATS, false).members;
        assert_eq!(regions.dims(), [2, 3, 1, 2, 3]);
        regions.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn probabilities_by_voxel_become_targets_by_region() {
        let shares: Vec<u8> = (0..2 * 3 * 6u8).map(|value| 7 * value).collect();
        let found = regions(shares.clone(), Targets::Soft);
        for sample in 0..2 {
            for region in 0..3 {
                for voxel in 0..6 {
                    let expected = f32::from(shares[(sample * 6 + voxel) * 3 + region]) / 255.0;
                    let place = (sample * 3 + region) * 6 + voxel;
                    assert!((found[place] - expected).abs() < 1e-7, "{sample} {region} {voxel}");
                }
            }
        }
    }

    #[test]
    fn labels_and_the_same_as_certain_probabilities_are_the_same_targets() {
        let labels: Vec<u8> = (0..12).map(|place| place % 4).collect();
        let shares = labels.iter().flat_map(|label| probabilities_of_label(*label)).collect();
        assert_eq!(regions(labels, Targets::Hard), regions(shares, Targets::Soft));
    }
}
