//! Patch buffers go round: a fresh 36 MB buffer costs more in page faults than the crop itself.

use std::sync::{Arc, Mutex, PoisonError};

use crate::volume::sample::PatchBuffer;

/// A shelf of used buffers. Holds at most as many as were ever out at once, which the tickets bound.
#[derive(Debug, Clone, Default)]
pub struct Recycler(Arc<Mutex<Vec<PatchBuffer>>>);

impl Recycler {
    /// A used buffer, or a new one when the shelf is empty.
    pub fn take(&self) -> PatchBuffer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Puts a buffer back.
    pub fn give(&self, buffer: PatchBuffer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_given_back_is_the_next_one_taken() {
        let recycler = Recycler::default();
        let mut buffer = recycler.take();
        buffer.labels.push(7);
        recycler.give(buffer);
        assert_eq!(recycler.take().labels, [7]);
        assert!(recycler.take().labels.is_empty());
    }
}
