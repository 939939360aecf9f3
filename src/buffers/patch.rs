//! Pool of patch buffers: a new 36 MB buffer costs more in page faults than the crop itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::f16;
use metrics::Gauge;
use parking_lot::Mutex;
use smart_default::SmartDefault;

use crate::telemetry::catalog;
use crate::volume::{Dims, Modality, Targets};

/// Voxels and targets of one patch, used again from sample to sample.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct PatchBuffer {
    /// Normalised, augmented intensities `[c, d, h, w]`.
    pub images: Vec<f16>,
    /// Canonical labels `[d, h, w]`, or region probabilities in 255ths `[d, h, w, 3]`.
    pub labels: Vec<u8>,
    /// Kind of `labels`.
    pub targets: Targets,
}

impl PatchBuffer {
    /// Resizes for a patch of `dims`; old content is left to be overwritten.
    pub fn shape_for(&mut self, dims: Dims, targets: Targets) {
        self.images.resize(Modality::COUNT * dims.voxel_count(), f16::ZERO);
        self.labels.resize(targets.bytes_per_voxel() * dims.voxel_count(), 0);
        self.targets = targets;
    }

    /// Bytes of a patch of `dims`.
    pub fn bytes_for(dims: Dims, targets: Targets) -> usize {
        dims.voxel_count() * (Modality::COUNT * size_of::<f16>() + targets.bytes_per_voxel())
    }
}

/// Pool of patch buffers, shared by its clones.
///
/// It never makes more buffers than were out at once. In the loader a buffer is out only under its
/// sample's ticket, from the crop until collate has copied it, so that is the number of tickets.
#[derive(Debug, Clone, Default)]
pub struct PatchBufferPool(Arc<PatchPoolState>);

#[derive(Debug, SmartDefault)]
struct PatchPoolState {
    buffers: Mutex<Vec<PatchBuffer>>,
    made: AtomicUsize,
    bytes: AtomicUsize,
    #[default(catalog::LOADER_BUFFER_BYTES.with_labels([]))]
    gauge: Gauge,
}

impl Drop for PatchPoolState {
    fn drop(&mut self) {
        self.gauge.decrement(*self.bytes.get_mut() as f64);
    }
}

impl PatchBufferPool {
    /// Takes an idle buffer, or a new one if there is none, resized for a patch of `dims`. Its
    /// content is to be overwritten.
    pub fn take(&self, dims: Dims, targets: Targets) -> PatchBuffer {
        let used = self.0.buffers.lock().pop();
        let mut buffer = used.unwrap_or_else(|| {
            self.0.made.fetch_add(1, Ordering::Relaxed);
            PatchBuffer::default()
        });
        let before = allocated_bytes(&buffer);
        buffer.shape_for(dims, targets);
        let grown = allocated_bytes(&buffer) - before;
        if grown > 0 {
            self.0.bytes.fetch_add(grown, Ordering::Relaxed);
            self.0.gauge.increment(grown as f64);
        }
        buffer
    }

    /// Returns a buffer to the pool.
    pub fn give_back(&self, buffer: PatchBuffer) {
        self.0.buffers.lock().push(buffer);
    }

    /// Number of buffers made so far, with those that an abort or a panic dropped.
    pub fn buffers_made(&self) -> usize {
        self.0.made.load(Ordering::Relaxed)
    }

    /// Number of buffers in the pool now.
    pub fn idle_buffers(&self) -> usize {
        self.0.buffers.lock().len()
    }

    /// Bytes of the buffers made so far.
    pub fn bytes_made(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

fn allocated_bytes(buffer: &PatchBuffer) -> usize {
    let PatchBuffer { images, labels, .. } = buffer;
    images.capacity() * size_of::<f16>() + labels.capacity()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Recorder;

    const DIMS: Dims = Dims::cube(2);
    const HARD: Targets = Targets::Hard;

    #[test]
    fn a_buffer_given_back_is_the_next_one_taken() {
        let pool = PatchBufferPool::default();
        let mut buffer = pool.take(DIMS, HARD);
        buffer.labels[0] = 7;
        pool.give_back(buffer);
        assert_eq!((pool.buffers_made(), pool.idle_buffers()), (1, 1));
        assert_eq!(pool.take(DIMS, HARD).labels[0], 7);
        assert_eq!(pool.take(DIMS, HARD).labels, [0; 8]);
        assert_eq!((pool.buffers_made(), pool.idle_buffers()), (2, 0));
        pool.give_back(pool.take(DIMS, Targets::Soft));
        let soft = pool.take(DIMS, HARD);
        assert_eq!((soft.labels.len(), soft.targets), (8, HARD), "shaped for its next use");
    }

    #[test]
    fn the_gauge_shows_the_bytes_of_all_pools_until_they_are_gone() {
        let recorder = Recorder::new("pools");
        let shown = || {
            let text = recorder.render();
            let line = text.lines().find(|line| line.starts_with("loader_buffer_bytes{"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
        };
        recorder.within(|| {
            let (first, second) = (PatchBufferPool::default(), PatchBufferPool::default());
            first.give_back(first.take(DIMS, HARD));
            first.give_back(first.take(DIMS, HARD));
            drop(second.take(DIMS, HARD));
            assert_eq!(
                first.bytes_made(),
                PatchBuffer::bytes_for(DIMS, HARD),
                "recycled, so counted once"
            );
            assert_eq!(shown(), Some(2 * PatchBuffer::bytes_for(DIMS, HARD)));
            drop(second);
            assert_eq!(shown(), Some(PatchBuffer::bytes_for(DIMS, HARD)));
        });
        assert_eq!(shown(), Some(0));
    }
}
