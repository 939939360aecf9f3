//! Vectors that return to their pool when they are dropped, whatever thread drops them.

use std::ops::{Deref, DerefMut};

use half::f16;
use half::slice::HalfFloatSliceExt;
use zerocopy::IntoBytes;

use crate::buffers::pool::Shelf;

/// Vector that returns to its pool when it is dropped.
#[derive(Debug)]
pub struct Lent<T> {
    values: Vec<T>,
    pool: Shelf<T>,
}

impl<T> Lent<T> {
    /// Creates an empty buffer of `pool` without memory.
    pub const fn empty(pool: Shelf<T>) -> Self {
        Self { values: Vec::new(), pool }
    }

    /// Takes an empty buffer with room for `count` values from `pool`.
    pub fn with_room(pool: Shelf<T>, count: usize) -> Self {
        let mut values = pool.take();
        values.clear();
        values.reserve_exact(count);
        Self { values, pool }
    }
}

/// A vector of no pool: its memory is freed.
impl<T> From<Vec<T>> for Lent<T> {
    fn from(values: Vec<T>) -> Self {
        Self { values, pool: Shelf::new(0) }
    }
}

/// Copies into a buffer of the same pool.
impl<T: Clone> Clone for Lent<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::with_room(self.pool.clone(), self.values.len());
        copy.values.extend_from_slice(&self.values);
        copy
    }
}

impl<T> Deref for Lent<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.values
    }
}

impl<T> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.values
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if values.capacity() > 0 {
            self.pool.give(values);
        }
    }
}

impl AsRef<[u8]> for Lent<u8> {
    fn as_ref(&self) -> &[u8] {
        &self.values
    }
}

impl AsRef<[u8]> for Lent<f16> {
    fn as_ref(&self) -> &[u8] {
        self.values.reinterpret_cast().as_bytes()
    }
}

impl<T: PartialEq> PartialEq for Lent<T> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_returns_to_its_pool() {
        let pool = Shelf::new(2);
        drop(Lent::<u8>::empty(pool.clone()));
        assert!(pool.is_empty(), "no memory, nothing to give back");
        let mut buffer = Lent::with_room(pool.clone(), 3);
        buffer.extend_from_slice(&[1, 2, 3]);
        let place = buffer.as_ptr();
        assert!(pool.is_empty());
        drop(buffer);
        assert_eq!(pool.len(), 1);
        let again = Lent::with_room(pool.clone(), 2);
        assert_eq!((again.len(), again.as_ptr()), (0, place));
    }
}
