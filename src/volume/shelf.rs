//! Whole volumes go round: at 72 MB a case, fresh memory costs as much in page faults as inflating
//! the files does.
//!
//! What is taken holds the numbers of its last use. Whoever takes a buffer overwrites all of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::volume::case::Case;
use crate::volume::modality::Modality;
use crate::volume::voxels::Voxels;

/// Used buffers of one type. A clone is the same shelf.
#[derive(Debug)]
pub struct Shelf<T> {
    used: Arc<Mutex<Vec<Vec<T>>>>,
    places: usize,
}

impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Self { used: Arc::clone(&self.used), places: self.places }
    }
}

impl<T> Shelf<T> {
    /// An empty shelf for `places` buffers; more that are given are freed.
    pub fn new(places: usize) -> Self {
        Self { used: Arc::default(), places }
    }

    /// The buffer that was given back last, as it was, or an empty one.
    pub fn take(&self) -> Vec<T> {
        self.locked().pop().unwrap_or_default()
    }

    /// Puts a buffer back.
    pub fn give(&self, buffer: Vec<T>) {
        let mut used = self.locked();
        if used.len() < self.places {
            used.push(buffer);
        }
    }

    /// Buffers that wait.
    pub fn len(&self) -> usize {
        self.locked().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Vec<T>>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The buffers that a case passes through between its files and a patch. A clone is the same shelf,
/// so that one stage gives back what another has taken.
#[derive(Debug, Clone)]
pub struct CaseShelf {
    /// Whole files, stored voxels, labels.
    pub bytes: Shelf<u8>,
    /// Volumes.
    pub intensities: Shelf<i16>,
    /// Volumes of all modalities, interleaved.
    pub interleaved: Shelf<[i16; Modality::COUNT]>,
}

impl Default for CaseShelf {
    /// For two cases: one is read while another is prepared.
    fn default() -> Self {
        Self::for_cases(2)
    }
}

impl CaseShelf {
    /// For as many cases as are worked on at once; what is kept for a case of BraTS is 125 MB.
    pub fn for_cases(cases: usize) -> Self {
        Self {
            // A file, its stored voxels, the labels, the labels of the brain box.
            bytes: Shelf::new(4 * cases),
            intensities: Shelf::new(Modality::COUNT * cases),
            interleaved: Shelf::new(cases),
        }
    }

    /// Takes back what a case is made of. Floating-point volumes are rare and not kept.
    pub fn give_case(&self, case: Case) {
        for voxels in case.images {
            if let Voxels::I16(values) = voxels {
                self.intensities.give(values);
            }
        }
        if let Some(labels) = case.labels {
            self.bytes.give(labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_given_back_by_a_clone_is_the_next_one_taken() {
        let shelf = Shelf::new(2);
        shelf.clone().give(vec![7]);
        assert_eq!(shelf.len(), 1);
        assert_eq!(shelf.take(), [7]);
        assert!(shelf.is_empty() && shelf.take().is_empty());
    }

    #[test]
    fn a_full_shelf_keeps_no_more() {
        let shelf = Shelf::new(2);
        for value in 0..5 {
            shelf.give(vec![value]);
        }
        assert_eq!((shelf.len(), shelf.take()), (2, vec![1]));
    }
}
