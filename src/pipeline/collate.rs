//! Sink `collate`: joins samples, in order, into contiguous half-precision batches.
//!
//! A sample was made in its place and is not moved, unless one in front of it was skipped meanwhile
//! (`buffers/batch_memory.rs`). A batch's memory returns when the trainer's backend drops it: fresh memory
//! costs more than a copy would.
//!
//! Batches are always full: a step on fewer samples would differ from the uninterrupted run's. When
//! the plan is drained, samples that fill no batch are dropped and logged, but not lost:
//! [`Batch::next_sample`] of the last batch is the first of them.

use crate::actor::{Outcome, Sink, SkippedItem};
use crate::base::SampleKey;
use crate::buffers::{BatchLayout, BatchMemory, PatchBuffer};
use crate::pipeline::{Batch, Plan, Provenance, Sample};

/// Callback for every skipped sample, in order.
pub type OnSkip = Box<dyn FnMut(&SkippedItem) + Send>;

/// Sink that fills batches; the next sample takes a skipped one's place.
pub struct Collate {
    layout: BatchLayout,
    memory: BatchMemory,
    plan: Plan,
    on_skip: OnSkip,
    filling: FillingBatch,
    next_number: u64,
}

/// Samples of a batch that is not full.
#[derive(Debug, Default)]
struct FillingBatch {
    voxels: PatchBuffer,
    keys: Vec<SampleKey>,
    provenance: Vec<Provenance>,
}

impl Collate {
    /// Sink for batches of `layout` in `memory`, numbered from `first_number`.
    pub fn new(
        layout: BatchLayout,
        memory: BatchMemory,
        plan: Plan,
        first_number: u64,
        on_skip: OnSkip,
    ) -> Self {
        let filling = FillingBatch::default();
        Self { layout, memory, plan, on_skip, filling, next_number: first_number }
    }

    fn add_sample(&mut self, sample: Sample) {
        let filling = &mut self.filling;
        self.memory.join_sample(&mut filling.voxels, sample.patch);
        filling.keys.push(sample.key);
        filling.provenance.push(sample.provenance);
    }

    /// Takes the batch out if it is full.
    fn take_full_batch(&mut self) -> Option<Batch> {
        if self.filling.keys.len() < self.layout.size {
            return None;
        }
        let FillingBatch { voxels, keys, provenance } = std::mem::take(&mut self.filling);
        let number = self.next_number;
        self.next_number += 1;
        let next_sample = self.plan.position_of(*keys.last()?) + 1;
        let BatchLayout { dims, targets, .. } = self.layout;
        let (images, labels) = self.memory.close_batch(voxels);
        Some(Batch { number, next_sample, images, labels, targets, dims, keys, provenance })
    }
}

impl Sink for Collate {
    const NAME: &'static str = "collate";
    type In = Sample;
    type Out = Batch;

    fn accept_outcome(&mut self, outcome: Outcome<Sample>) -> Option<Batch> {
        match outcome {
            Ok(sample) => self.add_sample(sample),
            Err(skip) => {
                self.memory.skip_sample();
                (self.on_skip)(&skip);
            }
        }
        self.take_full_batch()
    }

    fn finish(&mut self) -> Option<Batch> {
        let samples = self.filling.keys.len();
        if let Some(first) = self.filling.keys.first() {
            let from = self.plan.position_of(*first);
            tracing::info!(samples, from, "samples that fill no batch are left to the next run");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::base::{CaseError, Reason};
    use crate::pipeline::plan::tests::cohort;
    use crate::volume::{CaseId, Dims, Targets};
    use std::sync::{Arc, Mutex};

    const DIMS: Dims = Dims::cube(2);

    fn collate_pairs(on_skip: OnSkip) -> Collate {
        let layout = BatchLayout { size: 2, dims: DIMS, targets: Targets::Hard };
        let memory = BatchMemory::new(layout, 0, 2);
        Collate::new(layout, memory, Plan::new(cohort(4), 0, 1), 0, on_skip)
    }

    fn sample(index: u64, memory: &BatchMemory) -> Sample {
        let mut patch = memory.take_place(index);
        patch.images.fill(f16::from_f32(index as f32 + 0.5));
        patch.labels.fill(index as u8);
        let case = CaseId::new("c");
        let provenance = Provenance { case, corner: [0; 3], drawn: Default::default() };
        Sample { key: SampleKey { seed: 0, epoch: 0, index }, patch, provenance }
    }

    #[test]
    fn what_fills_no_batch_is_not_delivered_and_is_next_in_the_plan() {
        let mut collate = collate_pairs(Box::new(|_| {}));
        let memory = collate.memory.clone();
        let mut made = (0..3).map(|index| collate.accept_outcome(Ok(sample(index, &memory))));
        let last = made.by_ref().flatten().last().expect("one is full");
        assert_eq!((last.number, last.size(), last.next_sample), (0, 2, 2));
        assert_eq!(last.images.len(), 2 * 4 * 8);
        assert!(collate.finish().is_none());
    }

    #[test]
    fn a_skipped_sample_leaves_no_hole_in_the_batch() {
        let skipped = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&skipped);
        let mut collate = collate_pairs(Box::new(move |skip| {
            log.lock().expect("not poisoned").push(skip.ordinal);
        }));
        let memory = collate.memory.clone();
        let [first, last] = [0, 2].map(|index| sample(index, &memory));
        assert!(collate.accept_outcome(Ok(first)).is_none());
        let error = CaseError::new(Reason::Io, "x", "is gone", "bring it back");
        let skip = SkippedItem { ordinal: 1, item: "epoch 0 index 1".into(), error };
        assert!(collate.accept_outcome(Err(skip)).is_none());
        let batch = collate.accept_outcome(Ok(last)).expect("full");
        assert_eq!(batch.keys.iter().map(|key| key.index).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(batch.images.len(), 2 * 4 * 8);
        assert_eq!(batch.images[32], f16::from_f32(2.5));
        assert_eq!(batch.labels[8..], [2; 8]);
        assert_eq!((batch.number, batch.next_sample), (0, 3));
        assert_eq!(*skipped.lock().expect("not poisoned"), [1]);
    }
}
