//! Pool of whole batches' memory, which comes back from the trainer's backend, whatever thread drops it.

use std::ops;
use std::sync::Arc;

use derive_more::{Deref, DerefMut};
use metrics::Gauge;
use parking_lot::Mutex;

use crate::buffers::BufferPart;
use crate::telemetry::catalog;

/// Pool of buffers of one length, shared by its clones.
#[derive(Debug, Clone)]
pub(super) struct PartPool<T>(Arc<PartPoolState<T>>);

#[derive(Debug)]
struct PartPoolState<T> {
    idle: Mutex<IdleParts<T>>,
    count: usize,
    kept: usize,
    gauge: Gauge,
}

#[derive(Debug)]
struct IdleParts<T> {
    parts: Vec<BufferPart<T>>,
    /// Bytes of all buffers, those in use included.
    bytes: usize,
}

impl<T> PartPool<T> {
    /// Creates an empty pool of buffers of `count` values, which keeps at most `kept` idle ones.
    pub(super) fn new(count: usize, kept: usize) -> Self {
        let idle = Mutex::new(IdleParts { parts: Vec::new(), bytes: 0 });
        let gauge = catalog::LOADER_BUFFER_BYTES.with_labels([]);
        Self(Arc::new(PartPoolState { idle, count, kept, gauge }))
    }

    /// Takes an idle buffer, whose content is to be overwritten, or a new one.
    pub(super) fn take_part(&self) -> BufferPart<T> {
        let mut idle = self.0.idle.lock();
        if let Some(part) = idle.parts.pop() {
            return part;
        }
        let bytes = self.0.count * size_of::<T>();
        idle.bytes += bytes;
        drop(idle);
        self.0.gauge.increment(bytes as f64);
        BufferPart::new_zeroed(self.0.count)
    }

    fn give_back(&self, part: BufferPart<T>) {
        let mut idle = self.0.idle.lock();
        if idle.parts.len() < self.0.kept {
            return idle.parts.push(part);
        }
        idle.bytes -= part.byte_count();
        drop(idle);
        self.0.gauge.decrement(part.byte_count() as f64);
    }
}

impl<T> Drop for PartPoolState<T> {
    fn drop(&mut self) {
        self.gauge.decrement(self.idle.get_mut().bytes as f64);
    }
}

/// Values of a batch, which return to the loader's memory when they are dropped.
#[derive(Debug, Deref, DerefMut)]
pub struct BatchBuffer<T> {
    #[deref(forward)]
    #[deref_mut(forward)]
    values: BufferPart<T>,
    pool: Option<PartPool<T>>,
}

impl<T> BatchBuffer<T> {
    /// Whole buffer that was taken from `pool`.
    pub(super) const fn of_pool(values: BufferPart<T>, pool: PartPool<T>) -> Self {
        Self { values, pool: Some(pool) }
    }
}

/// Values of no loader: their memory is freed.
impl<T> From<BufferPart<T>> for BatchBuffer<T> {
    fn from(values: BufferPart<T>) -> Self {
        Self { values, pool: None }
    }
}

/// Copies into memory of no loader.
impl<T: Copy> From<Vec<T>> for BatchBuffer<T>
where
    BufferPart<T>: ops::DerefMut<Target = [T]>,
{
    fn from(values: Vec<T>) -> Self {
        BufferPart::from(values.as_slice()).into()
    }
}

/// Copies into memory of no loader.
impl<T> Clone for BatchBuffer<T> {
    fn clone(&self) -> Self {
        self.values.clone().into()
    }
}

impl<T> Drop for BatchBuffer<T> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give_back(std::mem::replace(&mut self.values, BufferPart::new_zeroed(0)));
        }
    }
}

impl<T> AsRef<[u8]> for BatchBuffer<T> {
    fn as_ref(&self) -> &[u8] {
        self.values.as_ref()
    }
}

/// Values are compared bit by bit.
impl<T> PartialEq for BatchBuffer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Recorder;

    fn shown(recorder: &Recorder) -> Option<usize> {
        let text = recorder.render();
        let line = text.lines().find(|line| line.starts_with("loader_buffer_bytes{"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
    }

    #[test]
    fn a_dropped_buffer_is_the_next_one_taken_and_a_full_pool_keeps_no_more() {
        let recorder = Recorder::new("pools");
        let pool = recorder.within(|| PartPool::<u8>::new(3, 1));
        let lend = || BatchBuffer::of_pool(pool.take_part(), pool.clone());
        let (mut first, second) = (lend(), lend());
        first[0] = 7;
        assert_eq!(shown(&recorder), Some(6));
        let copy = first.clone();
        drop(first);
        drop((second, copy));
        assert_eq!(shown(&recorder), Some(3), "one is kept, and a copy is no loader's");
        let again = lend();
        assert_eq!((again[0], shown(&recorder)), (7, Some(3)));
        drop(pool.clone());
        drop(again);
        drop(pool);
        assert_eq!(shown(&recorder), Some(0));
    }
}
