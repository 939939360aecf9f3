//! Voxel grids. One memory order everywhere: the last axis, `w`, is NIfTI's first and fastest, so a
//! file's voxels and a tensor `[d, h, w]` are the same bytes.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Part of a voxel by which two grids of one shape may differ and still count as one.
pub const GRID_TOLERANCE_VOXELS: f64 = 0.1;

/// Extent of a grid, slowest axis first: `[d, h, w]`.
#[derive(derive_more::Display)]
#[display("{}x{}x{}", _0[2], _0[1], _0[0])]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Dims(pub [usize; 3]);

impl Dims {
    /// Grid of BraTS' files.
    pub const BRATS: Self = Self::from_nifti([240, 240, 155]);

    /// A cube.
    pub const fn cube(side: usize) -> Self {
        Self([side; 3])
    }

    /// Converts NIfTI's `dim[1..=3]`, fastest axis first.
    pub const fn from_nifti(shape: [usize; 3]) -> Self {
        Self([shape[2], shape[1], shape[0]])
    }

    /// Returns NIfTI's `dim[1..=3]`, fastest axis first.
    pub const fn to_nifti(self) -> [usize; 3] {
        [self.0[2], self.0[1], self.0[0]]
    }

    /// Number of voxels.
    pub const fn voxel_count(self) -> usize {
        self.0[0] * self.0[1] * self.0[2]
    }

    /// Memory offset of the voxel at `[z, y, x]`.
    pub const fn offset_from_zyx(self, at: [usize; 3]) -> usize {
        (at[0] * self.0[1] + at[1]) * self.0[2] + at[2]
    }

    /// Position `[z, y, x]` of the voxel at a memory offset.
    pub const fn zyx_from_offset(self, offset: usize) -> [usize; 3] {
        let row = offset / self.0[2];
        [row / self.0[1], row % self.0[1], offset % self.0[2]]
    }
}

/// Written as users know it from the file: `240x240x155`, fastest axis first.
impl std::str::FromStr for Dims {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
        let dims = match parts.as_deref() {
            Ok([side]) => Some(Self::cube(*side)),
            Ok([w, h, d]) => Some(Self::from_nifti([*w, *h, *d])),
            _ => None,
        };
        // A product that overflows is no number of voxels.
        let voxels = |dims: &Self| dims.0.iter().try_fold(1, |all: usize, n| all.checked_mul(*n));
        dims.filter(|dims| voxels(dims).is_some_and(|voxels| voxels > 0))
            .ok_or_else(|| format!("`{text}` is no shape; write 240x240x155 or 128"))
    }
}

/// A box inside a grid: first corner `[z, y, x]` and extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Box3 {
    /// The corner nearest the origin.
    pub start: [usize; 3],
    /// The extent.
    pub dims: Dims,
}

impl Box3 {
    /// The smallest box around the voxels for which `inside` holds; `None` when there are none.
    pub fn bounding_box(dims: Dims, inside: impl Fn(usize) -> bool) -> Option<Self> {
        let mut low = [usize::MAX; 3];
        let mut high = [0usize; 3];
        let row_length = dims.0[2];
        for row in 0..dims.0[0] * dims.0[1] {
            let places = row * row_length..(row + 1) * row_length;
            let Some(first) = places.clone().find(|&place| inside(place)) else { continue };
            let last = places.rev().find(|&place| inside(place)).unwrap_or(first);
            let from = dims.zyx_from_offset(first);
            let to = dims.zyx_from_offset(last);
            for axis in 0..3 {
                low[axis] = low[axis].min(from[axis]);
                high[axis] = high[axis].max(to[axis] + 1);
            }
        }
        (low[0] != usize::MAX).then(|| Self {
            start: low,
            dims: Dims(std::array::from_fn(|axis| high[axis] - low[axis])),
        })
    }

    /// The same, but one voxel where `inside` holds nowhere: empty masks need a grid as well.
    pub fn bounding_box_or_voxel(dims: Dims, inside: impl Fn(usize) -> bool) -> Self {
        Self::bounding_box(dims, inside).unwrap_or(Self { start: [0; 3], dims: Dims::cube(1) })
    }

    /// The smallest box around both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let end = |own: &Self, axis: usize| own.start[axis] + own.dims.0[axis];
        let start = std::array::from_fn(|axis| self.start[axis].min(other.start[axis]));
        let far = |axis: usize| end(&self, axis).max(end(&other, axis)) - start[axis];
        Self { start, dims: Dims(std::array::from_fn(far)) }
    }

    /// True if the voxel at `[z, y, x]` lies in the box.
    pub fn contains_voxel(&self, at: [usize; 3]) -> bool {
        (0..3).all(|axis| {
            (self.start[axis]..self.start[axis] + self.dims.0[axis]).contains(&at[axis])
        })
    }

    /// True if the line of voxels at `[z, y]` runs through the box.
    pub fn has_line(&self, at: [usize; 2]) -> bool {
        (0..2).all(|axis| at[axis].wrapping_sub(self.start[axis]) < self.dims.0[axis])
    }

    /// Memory ranges of the box's rows in a grid of `dims`, in the box's order.
    pub fn row_ranges(&self, dims: Dims) -> impl Iterator<Item = Range<usize>> {
        let Self { start: [from_z, from_y, from_x], dims: Dims([depth, height, width]) } = *self;
        (from_z..from_z + depth).flat_map(move |z| {
            (from_y..from_y + height).map(move |y| {
                let from = dims.offset_from_zyx([z, y, from_x]);
                from..from + width
            })
        })
    }

    /// Copies the box out of a grid of `dims`.
    ///
    /// # Panics
    /// If the box does not lie inside `dims`.
    pub fn crop_from<T: Copy>(&self, source: &[T], dims: Dims) -> Vec<T> {
        let mut out = Vec::with_capacity(self.dims.voxel_count());
        for row in self.row_ranges(dims) {
            out.extend_from_slice(&source[row]);
        }
        out
    }

    /// Puts the box's content back into a grid of `dims` filled with `background`.
    ///
    /// # Panics
    /// If the box does not lie inside `dims`.
    pub fn paste_into<T: Copy>(&self, content: &[T], dims: Dims, background: T) -> Vec<T> {
        let mut out = vec![background; dims.voxel_count()];
        for (row, values) in content.chunks_exact(self.dims.0[2]).enumerate() {
            let z = self.start[0] + row / self.dims.0[1];
            let y = self.start[1] + row % self.dims.0[1];
            let to = dims.offset_from_zyx([z, y, self.start[2]]);
            out[to..to + values.len()].copy_from_slice(values);
        }
        out
    }
}

/// World-from-voxel transform: voxel `(i, j, k)` (fastest axis first, as in NIfTI) to millimetres
/// in RAS+ world space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Affine(pub [[f64; 4]; 4]);

impl Affine {
    /// Voxel edge lengths in mm, fastest axis first.
    pub fn spacing_mm(&self) -> [f64; 3] {
        std::array::from_fn(|column| {
            (0..3).map(|row| self.0[row][column].powi(2)).sum::<f64>().sqrt()
        })
    }

    /// Largest absolute difference between two affines' entries, in mm.
    pub fn distance_mm(&self, other: &Self) -> f64 {
        let entries = self.0.as_flattened().iter().zip(other.0.as_flattened());
        entries.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// Largest distance between the places that two affines give one voxel of a grid of `dims`, in
    /// edges of the smaller voxel. Infinite where an affine is flat or not finite.
    pub fn largest_shift_voxels(&self, other: &Self, dims: Dims) -> f64 {
        let edges = self.spacing_mm().into_iter().chain(other.spacing_mm());
        let smallest = edges.fold(f64::INFINITY, f64::min);
        let shift = self.largest_shift_mm(other, dims) / smallest;
        if shift.is_finite() { shift } else { f64::INFINITY }
    }

    /// Largest distance between the places that two affines give one voxel of a grid of `dims`, in mm.
    /// Affines are linear, so a corner of the grid has it. Infinite where an affine is not finite.
    pub fn largest_shift_mm(&self, other: &Self, dims: Dims) -> f64 {
        let last = dims.to_nifti().map(|extent| extent.saturating_sub(1) as f64);
        let mut largest = 0.0f64;
        for corner in 0..8u8 {
            let at = [0, 1, 2].map(|axis| if corner >> axis & 1 == 1 { last[axis] } else { 0.0 });
            let squares = (0..3).map(|row| {
                let column = |axis: usize| self.0[row][axis] - other.0[row][axis];
                (column(0) * at[0] + column(1) * at[1] + column(2) * at[2] + column(3)).powi(2)
            });
            let shift = squares.sum::<f64>().sqrt();
            if !shift.is_finite() {
                return f64::INFINITY;
            }
            largest = largest.max(shift);
        }
        largest
    }

    /// True if voxel indices are millimetres: the affine of a file that was written without one.
    pub fn is_identity(&self) -> bool {
        let entry = |row: usize, column: usize| if row == column { 1.0 } else { 0.0 };
        (0..4).all(|row| (0..4).all(|column| self.0[row][column] == entry(row, column)))
    }

    /// Determinant of the 3x3 part, in mm³: 0 when the grid is flat.
    pub fn determinant(&self) -> f64 {
        let m = &self.0;
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_union_of_two_boxes_holds_both_and_no_more() {
        let first = Box3 { start: [1, 5, 2], dims: Dims([3, 1, 4]) };
        let second = Box3 { start: [2, 0, 4], dims: Dims([1, 2, 9]) };
        let both = Box3 { start: [1, 0, 2], dims: Dims([3, 6, 11]) };
        assert_eq!((first.union(second), second.union(first)), (both, both));
        assert_eq!(first.union(first), first);
    }

    #[test]
    fn memory_order_is_niftis() {
        let dims = Dims::from_nifti([4, 3, 2]);
        assert_eq!(dims.0, [2, 3, 4]);
        assert_eq!(dims.offset_from_zyx([1, 2, 3]), 23);
        assert_eq!(dims.zyx_from_offset(23), [1, 2, 3]);
        assert_eq!(dims.to_string().parse::<Dims>().unwrap(), dims);
    }

    #[test]
    fn a_shape_that_is_none_is_refused_with_an_example() {
        for text in ["", "4x4", "0x4x4", "axbxc"] {
            assert!(text.parse::<Dims>().unwrap_err().contains("240x240x155"), "{text}");
        }
    }

    #[test]
    fn the_shift_between_two_affines_is_that_of_the_worst_corner_in_voxels() {
        let dims = Dims::from_nifti([11, 21, 31]);
        let with = |row: usize, column: usize, value: f64| {
            let mut affine = Affine([
                [-2.0, 0.0, 0.0, 90.0],
                [0.0, -2.0, 0.0, 126.0],
                [0.0, 0.0, 4.0, -72.0],
                [0.0, 0.0, 0.0, 1.0],
            ]);
            affine.0[row][column] += value;
            affine
        };
        let own = with(0, 0, 0.0);
        let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-12, "{found}");
        near(own.largest_shift_voxels(&own, dims), 0.0);
        near(own.largest_shift_voxels(&with(2, 3, 1.0), dims), 0.5);
        // A step that differs by 0.01 mm adds up to 0.3 mm at the end of an axis of 31 voxels.
        near(own.largest_shift_voxels(&with(2, 2, -0.01), dims), 0.15);
        near(own.largest_shift_voxels(&with(0, 2, 0.01), dims), 0.15);
        assert_eq!(own.largest_shift_voxels(&with(1, 3, f64::NAN), dims), f64::INFINITY);
        assert_eq!(own.largest_shift_voxels(&Affine([[0.0; 4]; 4]), dims), f64::INFINITY);
    }

    #[test]
    fn only_the_identity_is_the_identity() {
        let mut identity = Affine([[0.0; 4]; 4]);
        (0..4).for_each(|place| identity.0[place][place] = 1.0);
        assert!(identity.is_identity());
        for (row, column) in [(0, 0), (1, 3), (2, 1)] {
            let mut other = identity;
            other.0[row][column] = -1.0;
            assert!(!other.is_identity());
        }
    }

    #[test]
    fn cut_and_paste_are_inverse_inside_the_box() {
        let dims = Dims([4, 5, 6]);
        let mut grid = vec![0u8; dims.voxel_count()];
        for at in [[1, 2, 3], [2, 2, 4], [2, 3, 1]] {
            grid[dims.offset_from_zyx(at)] = 9;
        }
        let found = Box3::bounding_box(dims, |place| grid[place] != 0).unwrap();
        assert_eq!(found, Box3 { start: [1, 2, 1], dims: Dims([2, 2, 4]) });
        assert_eq!(found.paste_into(&found.crop_from(&grid, dims), dims, 0), grid);
        assert_eq!(Box3::bounding_box(dims, |_| false), None);
    }
}
