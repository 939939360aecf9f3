//! Memory of batches that are being made: each sample is written into its place, and nothing is copied.
//!
//! Samples are numbered in the order of the plan, and a skipped one leaves no hole: the next one takes its
//! place. A sample's number less the skips that the sink has seen when its memory is taken is therefore
//! its place, unless a skip becomes known meanwhile. Then the sample is copied into the place that it has at its
//! turn: content never depends on where a sample was made.
//!
//! That place is free at its turn. Skips only become more, so memory is never taken in front of where its
//! sample belongs, and later samples belong behind it. Where a place is taken because a sample that was
//! numbered before the skip has it, the sample gets memory of its own: one sample a skip.

use std::collections::VecDeque;
use std::sync::Arc;

use derive_more::{Deref, DerefMut};
use half::f16;
use parking_lot::Mutex;

use crate::buffers::part_pool::PartPool;
use crate::buffers::{BatchBuffer, PatchBuffer};
use crate::volume::{Dims, Targets};

/// Shape of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLayout {
    /// Number of samples.
    pub size: usize,
    /// Extent of a patch.
    pub dims: Dims,
    /// Kind of targets.
    pub targets: Targets,
}

/// Memory of a loader's batches, shared by its clones.
#[derive(Debug, Clone)]
pub struct BatchMemory(Arc<SharedMemory>);

#[derive(Debug)]
struct SharedMemory {
    layout: BatchLayout,
    first: u64,
    images: PartPool<f16>,
    labels: PartPool<u8>,
    open: Mutex<OpenBatches>,
}

/// Batches from the one that is being filled on, as far as memory has been taken.
#[derive(Debug, Default)]
struct OpenBatches {
    /// Places of each batch; `None` where a sample has the memory, or has brought it back filled.
    batches: VecDeque<Vec<Option<PatchBuffer>>>,
    /// Number of samples joined, over all batches.
    joined: u64,
    skipped: u64,
}

impl BatchMemory {
    /// Creates memory for batches of `layout`, the first of which begins with sample `first`. Of what the
    /// consumer returns at most `kept` batches stay for reuse.
    ///
    /// # Panics
    /// If a batch has no sample: ranges of settings exclude it.
    pub fn new(layout: BatchLayout, first: u64, kept: usize) -> Self {
        assert!(layout.size > 0, "a batch has samples");
        let [images, labels] = PatchBuffer::value_counts(layout.dims, layout.targets);
        let images = PartPool::new(layout.size * images, kept);
        let labels = PartPool::new(layout.size * labels, kept);
        Self(Arc::new(SharedMemory { layout, first, images, labels, open: Mutex::default() }))
    }

    /// Takes memory for sample `number` of the plan. Its content is to be overwritten.
    pub fn take_place(&self, number: u64) -> PlacedPatch {
        let mut open = self.0.open.lock();
        let place = (number - self.0.first).saturating_sub(open.skipped);
        let taken = self.take_free(&mut open, place);
        drop(open);
        if let Some(buffer) = taken {
            return PlacedPatch { buffer, home: Some(PatchHome { memory: self.clone(), place }) };
        }
        let BatchLayout { dims, targets, .. } = self.0.layout;
        let mut own = PatchBuffer::default();
        own.shape_for(dims, targets);
        own.into()
    }

    /// Appends the next sample to the batch that is being filled. `joined` has the samples before, or
    /// nothing.
    ///
    /// # Panics
    /// If the sample is of another shape.
    pub fn join_sample(&self, joined: &mut PatchBuffer, patch: PlacedPatch) {
        let turn = self.0.open.lock().joined;
        let is_there = patch.home.as_ref().is_some_and(|home| home.place == turn);
        let filled = if is_there { patch.into_buffer() } else { self.copy_to_place(patch, turn) };
        joined.join_patch(filled);
        let mut open = self.0.open.lock();
        open.joined += 1;
        if open.joined.is_multiple_of(self.0.layout.size as u64) {
            open.batches.pop_front();
        }
    }

    /// Copies a sample that was made elsewhere into its place in the batch that is being filled.
    fn copy_to_place(&self, patch: PlacedPatch, turn: u64) -> PatchBuffer {
        let free = self.take_free(&mut self.0.open.lock(), turn);
        let mut filled = free.expect("no later sample has a place in front of its own");
        filled.images.copy_from_slice(&patch.images);
        filled.labels.copy_from_slice(&patch.labels);
        drop(patch);
        filled
    }

    /// Counts the next sample as skipped: those behind it move up.
    pub fn skip_sample(&self) {
        self.0.open.lock().skipped += 1;
    }

    /// Buffers of a full batch, which return here when they are dropped.
    pub fn close_batch(&self, joined: PatchBuffer) -> (BatchBuffer<f16>, BatchBuffer<u8>) {
        let SharedMemory { images, labels, .. } = &*self.0;
        let images = BatchBuffer::of_pool(joined.images, images.clone());
        (images, BatchBuffer::of_pool(joined.labels, labels.clone()))
    }

    /// Takes a place, opening batches up to its own, unless it is in use or its batch is full.
    fn take_free(&self, open: &mut OpenBatches, place: u64) -> Option<PatchBuffer> {
        let size = self.0.layout.size as u64;
        let ahead = (place / size).checked_sub(open.joined / size)? as usize;
        while open.batches.len() <= ahead {
            open.batches.push_back(self.open_batch());
        }
        open.batches[ahead][(place % size) as usize].take()
    }

    fn open_batch(&self) -> Vec<Option<PatchBuffer>> {
        let BatchLayout { size, dims, targets } = self.0.layout;
        let [of_images, of_labels] = PatchBuffer::value_counts(dims, targets);
        let mut other_images = self.0.images.take_part();
        let mut other_labels = self.0.labels.take_part();
        let mut split_place = || PatchBuffer {
            images: other_images.split_front(of_images),
            labels: other_labels.split_front(of_labels),
            targets,
        };
        (0..size).map(|_| Some(split_place())).collect()
    }

    fn return_place(&self, place: u64, buffer: PatchBuffer) {
        let size = self.0.layout.size as u64;
        let mut open = self.0.open.lock();
        let ahead = (place / size).checked_sub(open.joined / size);
        if let Some(batch) = ahead.and_then(|ahead| open.batches.get_mut(ahead as usize)) {
            batch[(place % size) as usize] = Some(buffer);
        }
    }
}

/// Patch in its place in a batch's memory, which is free again if the patch is dropped; or in memory of its
/// own.
#[derive(Debug, Deref, DerefMut)]
pub struct PlacedPatch {
    #[deref]
    #[deref_mut]
    buffer: PatchBuffer,
    home: Option<PatchHome>,
}

/// Place of a patch, over all batches.
#[derive(Debug)]
struct PatchHome {
    memory: BatchMemory,
    place: u64,
}

impl PlacedPatch {
    /// Returns the patch for good.
    pub fn into_buffer(mut self) -> PatchBuffer {
        self.home = None;
        std::mem::take(&mut self.buffer)
    }
}

/// A patch in memory of its own.
impl From<PatchBuffer> for PlacedPatch {
    fn from(buffer: PatchBuffer) -> Self {
        Self { buffer, home: None }
    }
}

impl Drop for PlacedPatch {
    fn drop(&mut self) {
        if let Some(PatchHome { memory, place }) = self.home.take() {
            memory.return_place(place, std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
#[path = "batch_memory_tests.rs"]
mod tests;
