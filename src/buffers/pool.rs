//! Pool of vectors. A buffer that is taken holds the values of its last use; its user overwrites
//! all of it.

use std::sync::Arc;

use parking_lot::Mutex;

/// Pool of vectors of one type, shared by its clones.
#[derive(Debug)]
pub struct BufferPool<T> {
    used: Arc<Mutex<Vec<Vec<T>>>>,
    places: usize,
}

impl<T> Clone for BufferPool<T> {
    fn clone(&self) -> Self {
        Self { used: Arc::clone(&self.used), places: self.places }
    }
}

impl<T> BufferPool<T> {
    /// Creates an empty pool that keeps at most `places` buffers and frees the others.
    pub fn new(places: usize) -> Self {
        Self { used: Arc::default(), places }
    }

    /// Takes the buffer that was given back last, as it was, or an empty one.
    pub fn take(&self) -> Vec<T> {
        self.used.lock().pop().unwrap_or_default()
    }

    /// Returns a buffer to the pool.
    pub fn give_back(&self, buffer: Vec<T>) {
        let mut used = self.used.lock();
        if used.len() < self.places {
            used.push(buffer);
        }
    }

    /// Number of idle buffers.
    pub fn len(&self) -> usize {
        self.used.lock().len()
    }

    /// True if no buffer is idle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_given_back_by_a_clone_is_the_next_one_taken() {
        let pool = BufferPool::new(2);
        pool.clone().give_back(vec![7]);
        assert_eq!(pool.len(), 1);
        assert_eq!(pool.take(), [7]);
        assert!(pool.is_empty() && pool.take().is_empty());
    }

    #[test]
    fn a_full_pool_keeps_no_more() {
        let pool = BufferPool::new(2);
        for value in 0..5 {
            pool.give_back(vec![value]);
        }
        assert_eq!((pool.len(), pool.take()), (2, vec![1]));
    }
}
