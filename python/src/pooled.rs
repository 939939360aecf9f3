//! Vectors that return to their pool when they are dropped, whatever thread drops them.

use std::ops::{Deref, DerefMut};

use gliaflow::internals::buffers::BufferPool;

/// Vector that returns to its pool when it is dropped.
#[derive(Debug)]
pub(crate) struct PooledBuffer<T> {
    values: Vec<T>,
    pool: BufferPool<T>,
}

impl<T> PooledBuffer<T> {
    /// Takes an empty buffer with room for `count` values from `pool`.
    pub(crate) fn with_room(pool: BufferPool<T>, count: usize) -> Self {
        let mut values = pool.take();
        values.clear();
        values.reserve_exact(count);
        Self { values, pool }
    }
}

impl<T> Deref for PooledBuffer<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.values
    }
}

impl<T> DerefMut for PooledBuffer<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.values
    }
}

impl<T> Drop for PooledBuffer<T> {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.values));
    }
}
