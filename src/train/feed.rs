//! Batches onto the device: half-precision images and byte labels cross the bus, widening happens
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
use crate::volume::case::{CaseId, Split};
use crate::volume::modality::Modality;

/// A batch whose voxels are on the device, or on their way there.
pub struct DeviceBatch {
    /// Place in the run.
    pub number: u64,
    /// Position in the plan of the sample after this batch.
    pub next_sample: u64,
    /// z-scores `[b, c, d, h, w]`, in the precision to compute in.
    pub images: Tensor<5>,
    /// Canonical labels `[b, d, h, w]`.
    pub labels: Tensor<4, Int>,
    /// One per sample.
    pub keys: Vec<SampleKey>,
    /// One per sample.
    pub cases: Vec<CaseId>,
    /// How long the trainer waited for it without work.
    pub starved: Duration,
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
    let labels_shape = [size, depth, height, width];
    let labels = TensorData::from_bytes(shared(batch.labels), labels_shape, DType::U8);
    DeviceBatch {
        number: batch.number,
        next_sample: batch.next_sample,
        images: Tensor::<5>::from_data(images, (device, known(DType::F16, DType::F32)))
            .cast(precision.dtype()),
        labels: Tensor::<4, Int>::from_data(labels, (device, known(DType::U8, DType::I32)))
            .cast(DType::I32),
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
