//! Vectors that return to their pool when they are dropped, whatever thread drops them.

use derive_more::{Deref, DerefMut};
use half::f16;
use half::slice::HalfFloatSliceExt;
use zerocopy::IntoBytes;

use crate::buffers::BufferPool;

/// Vector that returns to its pool when it is dropped.
#[derive(Debug, Deref, DerefMut)]
pub struct PooledBuffer<T> {
    #[deref]
    #[deref_mut]
    values: Vec<T>,
    pool: BufferPool<T>,
}

impl<T> PooledBuffer<T> {
    /// Creates an empty buffer of `pool` without memory.
    pub const fn empty(pool: BufferPool<T>) -> Self {
        Self { values: Vec::new(), pool }
    }

    /// Takes an empty buffer with room for `count` values from `pool`.
    pub fn with_room(pool: BufferPool<T>, count: usize) -> Self {
        let mut values = pool.take();
        values.clear();
        values.reserve_exact(count);
        Self { values, pool }
    }
}

/// A vector of no pool: its memory is freed.
impl<T> From<Vec<T>> for PooledBuffer<T> {
    fn from(values: Vec<T>) -> Self {
        Self { values, pool: BufferPool::new(0) }
    }
}

/// Copies into a buffer of the same pool.
impl<T: Clone> Clone for PooledBuffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::with_room(self.pool.clone(), self.values.len());
        copy.values.extend_from_slice(&self.values);
        copy
    }
}

impl<T> Drop for PooledBuffer<T> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if values.capacity() > 0 {
            self.pool.give_back(values);
        }
    }
}

impl AsRef<[u8]> for PooledBuffer<u8> {
    fn as_ref(&self) -> &[u8] {
        &self.values
    }
}

impl AsRef<[u8]> for PooledBuffer<f16> {
    fn as_ref(&self) -> &[u8] {
        self.values.reinterpret_cast().as_bytes()
    }
}

impl<T: PartialEq> PartialEq for PooledBuffer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_returns_to_its_pool() {
        let pool = BufferPool::new(2);
        drop(PooledBuffer::<u8>::empty(pool.clone()));
        assert!(pool.is_empty(), "no memory, nothing to give back");
        let mut buffer = PooledBuffer::with_room(pool.clone(), 3);
        buffer.extend_from_slice(&[1, 2, 3]);
        let place = buffer.as_ptr();
        assert!(pool.is_empty());
        drop(buffer);
        assert_eq!(pool.len(), 1);
        let again = PooledBuffer::with_room(pool.clone(), 2);
        assert_eq!((again.len(), again.as_ptr()), (0, place));
    }
}
