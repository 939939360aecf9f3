//! Batches onto the device: half-precision images and byte targets cross the bus, widening happens
//! on the other side; on this side where the device knows no such numbers.

use std::time::{Duration, Instant};

use burn::tensor::{AllocationProperty, Bytes, DType, Device, Int, Tensor, TensorData};
use metrics::Counter;

use crate::actor::feed::Feed;
use crate::base::error::Fault;
use crate::base::seed::SampleKey;
use crate::nets::precision::Precision;
use crate::pipeline::lent::Lent;
use crate::pipeline::sample::Batch;
use crate::telemetry::catalog;
use crate::train::loss::region_targets;
use crate::volume::case::{CaseId, Split};
use crate::volume::modality::Modality;
use crate::volume::region::Region;
use crate::volume::targets::{CERTAIN, Targets};

/// A batch whose voxels are on the device, or on their way there.
pub struct DeviceBatch {
    /// Place in the run.
    pub number: u64,
    /// Position in the plan of the sample after this batch.
    pub next_sample: u64,
    /// z-scores `[b, c, d, h, w]`, in the precision to compute in.
    pub images: Tensor<5>,
    /// What they are to become.
    pub truth: Truth,
    /// One per sample.
    pub keys: Vec<SampleKey>,
    /// One per sample.
    pub cases: Vec<CaseId>,
    /// How long the trainer waited for it without work.
    pub starved: Duration,
}

/// What the images of a batch are to become, as narrow as it crossed the bus.
pub enum Truth {
    /// Canonical labels `[b, d, h, w]`.
    Labels(Tensor<4, Int>),
    /// Region probabilities in 255ths `[b, 3, d, h, w]`.
    Shares(Tensor<5, Int>),
}

impl Truth {
    /// Region targets `[b, 3, d, h, w]`, 0 to 1.
    pub fn regions(self) -> Tensor<5> {
        match self {
            Self::Labels(labels) => region_targets(labels),
            Self::Shares(shares) => shares.float() / f32::from(CERTAIN),
        }
    }
}

/// Batches from the loader, put on the device one ahead; the trainer's only clock of hunger.
///
/// A thread of its own does that, for as long as this lives: CubeCL gives each thread a stream, so
/// on a GPU the copy of a batch runs beside the step before it. The trainer may use what another
/// thread made: a stream that is given a buffer of another one waits for an event in it first, and
/// the buffer is kept until it is done with it (cubecl-server 0.11.3, `stream/event.rs`,
/// `align_streams` and `pinned`); fusion gives it an alias on the new stream (burn-fusion 0.22.1,
/// `stream/multi.rs`). Bytes on their way are owned by the copy and dropped when it is done
/// (`command/base.rs`, `write_to_gpu`), and only then go back to the loader.
pub struct BatchFeed {
    batches: Feed<DeviceBatch>,
    starved: Duration,
    handed: Counter,
    delivered: Counter,
}

impl BatchFeed {
    /// From `batches` onto `device`, widened to `precision` there.
    ///
    /// # Errors
    /// If the system refuses the thread.
    pub fn new(batches: Feed<Batch>, device: Device, precision: Precision) -> Result<Self, Fault> {
        let split = Split::Train.name();
        let batches = batches.relayed("upload", move |batch| upload(batch, &device, precision))?;
        Ok(Self {
            batches,
            starved: Duration::ZERO,
            handed: catalog::LOADER_BATCHES.with([split]),
            delivered: catalog::delivered(split),
        })
    }

    /// Time spent waiting for batches so far.
    pub const fn starved(&self) -> Duration {
        self.starved
    }

    /// The next batch, or `None` when the loader has ended.
    pub fn take(&mut self) -> Option<DeviceBatch> {
        let asked = Instant::now();
        let batch = self.batches.take()?;
        let starved = asked.elapsed();
        self.starved += starved;
        self.handed.increment(1);
        self.delivered.increment(batch.keys.len() as u64);
        Some(DeviceBatch { starved, ..batch })
    }
}

/// Sends a batch to the device; nothing is waited for.
pub fn upload(batch: Batch, device: &Device, precision: Precision) -> DeviceBatch {
    let size = batch.keys.len();
    let [depth, height, width] = batch.dims.0;
    let known = |narrow, wide| if device.supports_dtype(narrow) { narrow } else { wide };
    let images_shape = [size, Modality::COUNT, depth, height, width];
    let images = TensorData::from_bytes(shared(batch.images), images_shape, DType::F16);
    let whole = (device, known(DType::U8, DType::I32));
    let truth = match batch.targets {
        Targets::Hard => {
            let shape = [size, depth, height, width];
            let labels = TensorData::from_bytes(shared(batch.labels), shape, DType::U8);
            Truth::Labels(Tensor::<4, Int>::from_data(labels, whole).cast(DType::I32))
        }
        Targets::Soft => {
            let shape = [size, depth, height, width, Region::COUNT];
            let shares = TensorData::from_bytes(shared(batch.labels), shape, DType::U8);
            let by_voxel = Tensor::<5, Int>::from_data(shares, whole);
            Truth::Shares(by_voxel.permute([0, 4, 1, 2, 3]).cast(DType::I32))
        }
    };
    DeviceBatch {
        number: batch.number,
        next_sample: batch.next_sample,
        images: Tensor::<5>::from_data(images, (device, known(DType::F16, DType::F32)))
            .cast(precision.dtype()),
        truth,
        keys: batch.keys,
        cases: batch.provenance.into_iter().map(|one| one.case).collect(),
        starved: Duration::ZERO,
    }
}

/// The batch's own memory, not copied; it goes back to the loader when the backend drops it.
fn shared<T>(values: Lent<T>) -> Bytes
where
    Lent<T>: AsRef<[u8]> + Send + 'static,
{
    Bytes::from_shared(bytes::Bytes::from_owner(values), AllocationProperty::Native)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::volume::grid::Dims;
    use crate::volume::targets::certain;

    const DIMS: Dims = Dims([1, 2, 3]);

    fn batch(labels: Vec<u8>, targets: Targets) -> Batch {
        let keys = vec![SampleKey { seed: 0, epoch: 0, index: 0 }; 2];
        Batch {
            number: 0,
            next_sample: 2,
            images: vec![f16::ZERO; 2 * Modality::COUNT * DIMS.voxels()].into(),
            labels: labels.into(),
            targets,
            dims: DIMS,
            keys,
            provenance: Vec::new(),
        }
    }

    fn regions(labels: Vec<u8>, targets: Targets) -> Vec<f32> {
        let batch = upload(batch(labels, targets), &Device::flex(), Precision::F32);
        let regions = batch.truth.regions();
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
        let shares = labels.iter().flat_map(|label| certain(*label)).collect();
        assert_eq!(regions(labels, Targets::Hard), regions(shares, Targets::Soft));
    }
}
