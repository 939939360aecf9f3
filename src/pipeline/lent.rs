//! Memory that finds its way home: a batch's numbers, whoever has them last.

use std::ops::{Deref, DerefMut};

use half::f16;
use half::slice::HalfFloatSliceExt;
use zerocopy::IntoBytes;

use crate::volume::shelf::Shelf;

/// A buffer that goes back to its shelf when it is dropped.
#[derive(Debug)]
pub struct Lent<T> {
    values: Vec<T>,
    shelf: Shelf<T>,
}

impl<T> Lent<T> {
    /// An empty buffer without memory, that will go to `shelf`.
    pub const fn empty(shelf: Shelf<T>) -> Self {
        Self { values: Vec::new(), shelf }
    }

    /// An empty buffer with room for `count` values: a used one, or a new one.
    pub fn with_room(shelf: Shelf<T>, count: usize) -> Self {
        let mut values = shelf.take();
        values.clear();
        values.reserve_exact(count);
        Self { values, shelf }
    }
}

/// Nobody waits for it: its memory is freed.
impl<T> From<Vec<T>> for Lent<T> {
    fn from(values: Vec<T>) -> Self {
        Self { values, shelf: Shelf::new(0) }
    }
}

/// The copy goes to the same shelf, and comes from there where it can.
impl<T: Clone> Clone for Lent<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::with_room(self.shelf.clone(), self.values.len());
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
            self.shelf.give(values);
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
    fn a_buffer_is_home_as_soon_as_nobody_has_it() {
        let shelf = Shelf::new(2);
        drop(Lent::<u8>::empty(shelf.clone()));
        assert!(shelf.is_empty(), "no memory, nothing to give back");
        let mut lent = Lent::with_room(shelf.clone(), 3);
        lent.extend_from_slice(&[1, 2, 3]);
        let place = lent.as_ptr();
        assert!(shelf.is_empty());
        drop(lent);
        assert_eq!(shelf.len(), 1);
        let again = Lent::with_room(shelf.clone(), 2);
        assert_eq!((again.len(), again.as_ptr()), (0, place));
    }
}
