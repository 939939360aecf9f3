//! Values in memory that is split into parts, which different threads write, and joined again.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytes::BytesMut;
use half::f16;
use half::slice::HalfBitsSliceExt;
use zerocopy::FromBytes;

/// Bytes of a cache line: memory begins on one, so that parts of whole lines share none.
const LINE: usize = 64;

/// Part of a buffer: values of its own, in memory that may go on before and behind them. Splitting
/// and joining move no value.
#[derive(Debug, Default, PartialEq)]
pub struct BufferPart<T> {
    bytes: BytesMut,
    values: PhantomData<T>,
}

impl<T> BufferPart<T> {
    /// Creates memory for `count` values, all zero.
    pub fn new_zeroed(count: usize) -> Self {
        let needed = count * size_of::<T>();
        if needed == 0 {
            return Self { bytes: BytesMut::new(), values: PhantomData };
        }
        // Zeroed by the system as it is touched, and not here.
        let mut memory = BytesMut::zeroed(needed + LINE);
        let before = memory.as_ptr().align_offset(LINE).min(LINE);
        let mut bytes = memory.split_off(before);
        bytes.truncate(needed);
        Self { bytes, values: PhantomData }
    }

    /// Splits off the first `count` values and keeps the others.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn split_front(&mut self, count: usize) -> Self {
        Self { bytes: self.bytes.split_to(count * size_of::<T>()), values: PhantomData }
    }

    /// Joins `next`, which was split from behind these values; other values would be copied.
    pub fn join_part(&mut self, next: Self) {
        self.bytes.unsplit(next.bytes);
    }

    /// Changes the number of values; new memory, all zero, takes the place of memory of another length.
    pub fn resize_to(&mut self, count: usize) {
        if self.byte_count() != count * size_of::<T>() {
            *self = Self::new_zeroed(count);
        }
    }

    /// Number of bytes of the values.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }
}

impl Deref for BufferPart<u8> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for BufferPart<u8> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Deref for BufferPart<f16> {
    type Target = [f16];

    fn deref(&self) -> &[f16] {
        if self.bytes.is_empty() {
            return &[]; // Without memory there is no line to begin on.
        }
        let bits = <[u16]>::ref_from_bytes(&self.bytes).expect("begins on a line, in whole values");
        bits.reinterpret_cast()
    }
}

impl DerefMut for BufferPart<f16> {
    fn deref_mut(&mut self) -> &mut [f16] {
        if self.bytes.is_empty() {
            return &mut [];
        }
        let bits =
            <[u16]>::mut_from_bytes(&mut self.bytes).expect("begins on a line, in whole values");
        bits.reinterpret_cast_mut()
    }
}

impl<T> AsRef<[u8]> for BufferPart<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Copies into memory of its own.
impl<T> Clone for BufferPart<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::new_zeroed(self.byte_count() / size_of::<T>());
        copy.bytes.copy_from_slice(&self.bytes);
        copy
    }
}

/// Copies into memory of its own.
impl<T: Copy> From<&[T]> for BufferPart<T>
where
    Self: DerefMut<Target = [T]>,
{
    fn from(values: &[T]) -> Self {
        let mut copy = Self::new_zeroed(values.len());
        copy.copy_from_slice(values);
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_buffer_are_written_by_other_threads_and_joined_where_they_were() {
        let mut rest = BufferPart::<f16>::new_zeroed(6);
        assert_eq!(rest.as_ptr().align_offset(LINE), 0);
        let place = rest.as_ptr();
        for _ in 0..2 {
            let mut parts = [2, 3, 1].map(|count| rest.split_front(count));
            assert!(rest.is_empty());
            std::thread::scope(|scope| {
                for (number, part) in (1u8..).zip(&mut parts) {
                    scope.spawn(move || part.fill(f16::from(number)));
                }
            });
            let [mut joined, second, third] = parts;
            joined.join_part(second);
            joined.join_part(third);
            assert_eq!(*joined, [1u8, 1, 2, 2, 2, 3].map(f16::from));
            assert_eq!(joined.as_ptr(), place, "no value has moved");
            rest = joined;
        }
    }

    #[test]
    fn no_memory_has_no_values() {
        let mut none = BufferPart::<f16>::default();
        assert!(none.is_empty());
        none.fill(f16::ONE);
        none.join_part(BufferPart::from([f16::ONE].as_slice()));
        assert_eq!(*none, [f16::ONE]);
    }

    #[test]
    fn what_was_not_split_from_behind_is_copied() {
        let mut first = BufferPart::from([1u8, 2].as_slice());
        first.join_part(BufferPart::from([3u8].as_slice()));
        assert_eq!(*first, [1, 2, 3]);
        let mut copy = first.clone();
        copy[0] = 7;
        assert_eq!((first[0], copy.len(), first == copy), (1, 3, false));
        copy.resize_to(3);
        assert_eq!(*copy, [7, 2, 3], "of the length that it has");
        copy.resize_to(2);
        assert_eq!(*copy, [0, 0]);
    }
}
