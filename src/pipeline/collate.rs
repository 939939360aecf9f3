//! Sink `collate`: copies samples, in order, into contiguous half-precision batches.
//!
//! The copy is deliberate: a skipped sample would leave a hole in a batch written in place, and
//! samples out of order would need as many open batches as there are tickets. A batch's memory
//! returns when the trainer's backend drops it: fresh memory costs more than the copy.
//!
//! Batches are always full: a step on fewer samples would differ from the uninterrupted run's. When
//! the plan is drained, samples that fill no batch are dropped and logged, but not lost:
//! [`Batch::next_sample`] of the last batch is the first of them.

use half::f16;

use crate::actor::{Outcome, Sink, SkippedItem};
use crate::buffers::{BufferPool, PatchBufferPool, PooledBuffer};
use crate::pipeline::{Batch, Plan, Sample};
use crate::volume::{Dims, Targets};

/// Callback for every skipped sample, in order.
pub type OnSkip = Box<dyn FnMut(&SkippedItem) + Send>;

/// Batch buffers kept for reuse: more than a trainer returns at once.
const BATCHES_KEPT: usize = 8;

#[derive(Debug, Clone)]
struct BatchBufferPools {
    images: BufferPool<f16>,
    labels: BufferPool<u8>,
}

impl BatchBufferPools {
    /// Batch without memory, which it gets with its first sample: when the batch before has been
    /// delivered. Otherwise there would be one more batch than the memory budget counts.
    fn empty_batch(&self, number: u64, dims: Dims) -> Batch {
        Batch {
            number,
            next_sample: 0,
            images: PooledBuffer::empty(self.images.clone()),
            labels: PooledBuffer::empty(self.labels.clone()),
            targets: Targets::default(),
            dims,
            keys: Vec::new(),
            provenance: Vec::new(),
        }
    }
}

/// Sink that fills batches; the next sample takes a skipped one's place.
pub struct Collate {
    size: usize,
    dims: Dims,
    plan: Plan,
    recycler: PatchBufferPool,
    on_skip: OnSkip,
    shelves: BatchBufferPools,
    filling: Batch,
    next_number: u64,
}

impl Collate {
    /// Sink for batches of `size` patches of `dims`, numbered from `first_number`.
    pub fn new(
        size: usize,
        dims: Dims,
        plan: Plan,
        first_number: u64,
        recycler: PatchBufferPool,
        on_skip: OnSkip,
    ) -> Self {
        let shelves = BatchBufferPools {
            images: BufferPool::new(BATCHES_KEPT),
            labels: BufferPool::new(BATCHES_KEPT),
        };
        let filling = shelves.empty_batch(first_number, dims);
        Self {
            size,
            dims,
            plan,
            recycler,
            on_skip,
            shelves,
            filling,
            next_number: first_number + 1,
        }
    }

    fn add_sample(&mut self, sample: Sample) {
        let batch = &mut self.filling;
        if batch.keys.is_empty() {
            let BatchBufferPools { images, labels } = self.shelves.clone();
            batch.images = PooledBuffer::with_room(images, self.size * sample.patch.images.len());
            batch.labels = PooledBuffer::with_room(labels, self.size * sample.patch.labels.len());
            batch.targets = sample.patch.targets;
        }
        batch.images.extend_from_slice(&sample.patch.images);
        batch.labels.extend_from_slice(&sample.patch.labels);
        batch.next_sample = self.plan.position_of(sample.key) + 1;
        batch.keys.push(sample.key);
        batch.provenance.push(sample.provenance);
        self.recycler.give_back(sample.patch);
    }
}

impl Sink for Collate {
    const NAME: &'static str = "collate";
    type In = Sample;
    type Out = Batch;

    fn accept_outcome(&mut self, outcome: Outcome<Sample>) -> Option<Batch> {
        match outcome {
            Ok(sample) => self.add_sample(sample),
            Err(skip) => (self.on_skip)(&skip),
        }
        if self.filling.size() < self.size {
            return None;
        }
        let next = self.shelves.empty_batch(self.next_number, self.dims);
        self.next_number += 1;
        Some(std::mem::replace(&mut self.filling, next))
    }

    fn finish(&mut self) -> Option<Batch> {
        let samples = self.filling.size();
        if let Some(first) = self.filling.keys.first() {
            let from = self.plan.position_of(*first);
            tracing::info!(samples, from, "samples that fill no batch are left to the next run");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{CaseError, Reason, SampleKey};
    use crate::buffers::PatchBuffer;
    use crate::pipeline::Provenance;
    use crate::pipeline::plan::tests::cohort;
    use crate::volume::CaseId;
    use std::sync::{Arc, Mutex};

    fn sample(index: u64, dims: Dims) -> Sample {
        let mut patch = PatchBuffer::default();
        patch.shape_for(dims, Targets::Hard);
        patch.images.fill(f16::from_f32(index as f32 + 0.5));
        patch.labels.fill(index as u8);
        let case = CaseId::new("c");
        let provenance = Provenance { case, corner: [0; 3], drawn: Default::default() };
        Sample { key: SampleKey { seed: 0, epoch: 0, index }, patch, provenance }
    }

    #[test]
    fn a_batch_has_no_memory_before_its_first_sample_and_no_more_than_it_needs_after() {
        let dims = Dims::cube(2);
        let plan = Plan::new(cohort(4), 0, 1);
        let mut collate =
            Collate::new(2, dims, plan, 0, PatchBufferPool::default(), Box::new(|_| {}));
        let bytes = |batch: &Batch| 2 * batch.images.capacity() + batch.labels.capacity();
        assert_eq!(bytes(&collate.filling), 0);
        assert!(collate.accept_outcome(Ok(sample(0, dims))).is_none());
        assert_eq!(bytes(&collate.filling), Batch::voxel_bytes(2, dims, Targets::Hard));
        let full = collate.accept_outcome(Ok(sample(1, dims))).expect("full");
        assert_eq!(bytes(&full), Batch::voxel_bytes(2, dims, Targets::Hard));
        assert_eq!(bytes(&collate.filling), 0);
    }

    #[test]
    fn what_fills_no_batch_is_not_delivered_and_is_next_in_the_plan() {
        let dims = Dims::cube(2);
        let plan = Plan::new(cohort(4), 0, 1);
        let mut collate =
            Collate::new(2, dims, plan, 0, PatchBufferPool::default(), Box::new(|_| {}));
        let mut made = (0..3).map(|index| collate.accept_outcome(Ok(sample(index, dims))));
        let last = made.by_ref().flatten().last().expect("one is full");
        assert_eq!((last.size(), last.next_sample), (2, 2));
        assert!(collate.finish().is_none());
    }

    #[test]
    fn a_skipped_sample_leaves_no_hole_in_the_batch() {
        let dims = Dims::cube(2);
        let skipped = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&skipped);
        let on_skip: OnSkip = Box::new(move |skip| {
            log.lock().expect("not poisoned").push(skip.ordinal);
        });
        let plan = Plan::new(cohort(4), 0, 1);
        let recycler = PatchBufferPool::default();
        let mut collate = Collate::new(2, dims, plan, 0, recycler.clone(), on_skip);
        assert!(collate.accept_outcome(Ok(sample(0, dims))).is_none());
        let error = CaseError::new(Reason::Io, "x", "is gone", "bring it back");
        let skip = SkippedItem { ordinal: 1, item: "epoch 0 index 1".into(), error };
        assert!(collate.accept_outcome(Err(skip)).is_none());
        let batch = collate.accept_outcome(Ok(sample(2, dims))).expect("full");
        assert_eq!(batch.keys.iter().map(|key| key.index).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(batch.images.len(), 2 * 4 * 8);
        assert_eq!(batch.images[32], f16::from_f32(2.5));
        assert_eq!(batch.labels[8..], [2; 8]);
        assert_eq!((batch.number, batch.next_sample), (0, 3));
        assert_eq!(*skipped.lock().expect("not poisoned"), [1]);
        assert_eq!(recycler.take(dims, Targets::Hard).labels, [2; 8], "the buffers came back");
    }
}
