//! Whole-number intensities of one volume where a file has left them.

use std::ops::Deref;

use crate::volume::{Box3, Dims, TissueScan};

/// Whole-number intensities in memory order `[d, h, w]`. A file is inflated at once, so that its header lies ahead of them in the same buffer:
/// leaving it there saves moving the volume.
#[derive(Debug, Clone)]
pub struct Intensities {
    buffer: Vec<i16>,
    skipped: usize,
    scan: Option<TissueScan>,
}

impl Intensities {
    /// Takes the values of `buffer` behind the first `skipped`.
    ///
    /// # Panics
    /// If the buffer has fewer.
    pub fn after_skipped(skipped: usize, buffer: Vec<i16>) -> Self {
        assert!(skipped <= buffer.len(), "{skipped} of {} values are skipped", buffer.len());
        Self { buffer, skipped, scan: None }
    }

    /// Keeps the scan of these very values, for [`Self::tissue_box`].
    #[must_use]
    pub fn with_scan(self, scan: TissueScan) -> Self {
        Self { scan: Some(scan), ..self }
    }

    /// The smallest box around every value other than 0 on a grid of `dims`, `None` if there is none.
    ///
    /// # Panics
    /// If the grid does not have as many voxels.
    pub fn tissue_box(&self, dims: Dims) -> Option<Box3> {
        assert_eq!(self.len(), dims.voxel_count(), "values of a grid of {dims}");
        match &self.scan {
            Some(scan) if scan.dims() == dims && scan.is_complete() => scan.bounding_box(),
            _ => {
                let mut scan = TissueScan::new(dims);
                scan.scan_values(self);
                scan.bounding_box()
            }
        }
    }

    /// Mutable values.
    pub fn as_mut_slice(&mut self) -> &mut [i16] {
        self.scan = None;
        &mut self.buffer[self.skipped..]
    }

    /// Returns the buffer with whatever lies ahead of the values, to be filled again.
    pub fn into_buffer(self) -> Vec<i16> {
        self.buffer
    }
}

impl From<Vec<i16>> for Intensities {
    fn from(buffer: Vec<i16>) -> Self {
        Self::after_skipped(0, buffer)
    }
}

impl Deref for Intensities {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.buffer[self.skipped..]
    }
}

impl PartialEq for Intensities {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_ahead_of_the_values_is_none_of_them() {
        let mut values = Intensities::after_skipped(2, vec![9, 9, 5, 6]);
        assert_eq!(*values, [5, 6]);
        assert_eq!(values, Intensities::from(vec![5, 6]));
        values.as_mut_slice()[1] = 7;
        assert_eq!((values[1], values.into_buffer()), (7, vec![9, 9, 5, 7]));
    }

    #[test]
    fn a_scan_counts_for_the_values_and_the_grid_that_it_has_seen() {
        let dims = Dims([1, 2, 3]);
        let box_of = |start, dims| Some(Box3 { start, dims: Dims(dims) });
        let scanned = |values: &[i16]| {
            let mut scan = TissueScan::new(dims);
            scan.scan_values(values);
            scan
        };
        let values = vec![0, 1, 0, 0, 0, 2];
        let mut kept = Intensities::from(values.clone()).with_scan(scanned(&values));
        assert_eq!(kept.tissue_box(dims), box_of([0, 0, 1], [1, 2, 2]));
        assert_eq!(kept.tissue_box(Dims([1, 1, 6])), box_of([0, 0, 1], [1, 1, 5]), "another grid");
        kept.as_mut_slice()[0] = 1;
        assert_eq!(kept.tissue_box(dims), box_of([0, 0, 0], [1, 2, 3]), "changed since");
        let half = Intensities::from(values.clone()).with_scan(scanned(&values[..3]));
        assert_eq!(half.tissue_box(dims), box_of([0, 0, 1], [1, 2, 2]), "half of it scanned");
    }
}
