//! Bounding box of a volume's tissue, found as its values go by.

use crate::volume::{Box3, Dims};

/// Search for the smallest box around every value other than 0, in memory order and in pieces of any length: who has a piece in the
/// cache for another reason shows it here.
///
/// The same as [`Box3::bounding_box`], by rows: each is ORed into one row of columns, which costs less than to ask which of
/// its voxels could widen the box.
#[derive(Debug, Clone)]
pub struct TissueScan {
    dims: Dims,
    columns: Vec<i16>,
    low: [usize; 2],
    high: [usize; 2],
    seen: usize,
}

impl TissueScan {
    /// Begins with the first voxel of a grid of `dims`.
    pub fn new(dims: Dims) -> Self {
        let columns = vec![0; dims.0[2]];
        Self { dims, columns, low: [usize::MAX; 2], high: [0; 2], seen: 0 }
    }

    /// Scans the values that follow.
    pub fn scan_values(&mut self, mut values: &[i16]) {
        let [_, height, width] = self.dims.0;
        while !values.is_empty() {
            let (row, x) = (self.seen / width, self.seen % width);
            let (piece, rest) = values.split_at((width - x).min(values.len()));
            if or_into(&mut self.columns[x..x + piece.len()], piece) != 0 {
                for (axis, at) in [row / height, row % height].into_iter().enumerate() {
                    self.low[axis] = self.low[axis].min(at);
                    self.high[axis] = self.high[axis].max(at + 1);
                }
            }
            self.seen += piece.len();
            values = rest;
        }
    }

    /// Box around the tissue of what has been scanned; `None` if there is none.
    pub fn bounding_box(&self) -> Option<Box3> {
        let left = self.columns.iter().position(|bits| *bits != 0)?;
        let right = self.columns.iter().rposition(|bits| *bits != 0)? + 1;
        let [depth, height] = [0, 1].map(|axis: usize| self.high[axis] - self.low[axis]);
        let start = [self.low[0], self.low[1], left];
        Some(Box3 { start, dims: Dims([depth, height, right - left]) })
    }

    /// Extent of the grid.
    pub const fn dims(&self) -> Dims {
        self.dims
    }

    /// True once every voxel of the grid has been scanned.
    pub fn is_complete(&self) -> bool {
        self.seen == self.dims.voxel_count()
    }
}

/// ORs a piece of a row into `columns`; returns the bits of all its values. A function of its own, so that the compiler knows the two
/// apart and makes vectors of them.
#[inline(never)]
fn or_into(columns: &mut [i16], piece: &[i16]) -> i16 {
    columns.iter_mut().zip(piece).fold(0, |seen, (bits, value)| {
        *bits |= value;
        seen | value
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_box_by_pieces_is_the_box_by_voxels(
            extent in [1usize..5, 1usize..5, 1usize..7],
            marks in prop::collection::vec(0usize..150, 0..6),
            piece in 1usize..40,
        ) {
            let dims = Dims(extent);
            let mut values = vec![0i16; dims.voxel_count()];
            for place in marks {
                values[place % dims.voxel_count()] = -1;
            }
            let mut scan = TissueScan::new(dims);
            for piece in values.chunks(piece) {
                prop_assert!(!scan.is_complete());
                scan.scan_values(piece);
            }
            prop_assert!(scan.is_complete());
            prop_assert_eq!(scan.bounding_box(), Box3::bounding_box(dims, |place| values[place] != 0));
        }
    }
}
