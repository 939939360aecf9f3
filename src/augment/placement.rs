//! Affine from voxels of the patch to positions in the brain box, evaluated row by row in fixed
//! point.
//!
//! Positions count voxels along `[z, y, x]`; a voxel's centre is at a whole number. Along a row
//! they are integer sums in steps of 2^-40 voxel, so every kernel computes the same to the last
//! bit; single precision would be off by 1e-5 voxel at the far end of a brain.

use std::ops::Range;

use crate::augment::Matrix3;
use crate::volume::{Box3, Dims};

/// Fraction bits of fixed-point positions.
pub(super) const FRACTION_BITS: u32 = 40;

/// Length of a voxel in fixed point.
const ONE: i64 = 1 << FRACTION_BITS;

/// Largest distance of a patch from the box in voxels, so that positions fit 64 bits.
const FARTHEST: f64 = (1 << 20) as f64;

/// Window of a patch in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First corner in the brain box, `[z, y, x]`; negative where the patch extends beyond it.
    pub corner: [isize; 3],
    /// Extent of the patch.
    pub dims: Dims,
}

/// Affine placement of a patch in a brain box.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    pub(super) window: Window,
    pub(super) brain: Dims,
    /// Step in the box, `[z, y, x]`, per step along each axis of the patch (columns).
    pub(super) step: Matrix3,
    /// Position of the patch's first voxel in the box.
    pub(super) origin: [f64; 3],
}

/// Positions of a patch's row in the box: the first voxel's and the step to the next, in units of
/// 2^-40 voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowRay {
    pub(super) start: [i64; 3],
    pub(super) step: [i64; 3],
}

/// Row of a patch that is only translated and mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AlignedRow {
    /// Place of the row in the brain box, `[z, y]`.
    pub(super) line: [usize; 2],
    /// Voxels of the brain box.
    pub(super) source: Range<usize>,
    /// First voxel of the patch's row that they fill.
    pub(super) first: usize,
    /// Runs against the source if true.
    pub(super) reversed: bool,
}

impl Placement {
    /// Places `window` in a box of `brain` with voxel edges `spacing_mm`; `linear` maps positions
    /// in the patch to positions in the case, in mm about the window's centre. All axes `[z, y,
    /// x]`.
    ///
    /// # Panics
    /// If a corner of the patch lands more than a million voxels from the box.
    pub fn new(window: Window, brain: Dims, spacing_mm: [f64; 3], linear: &Matrix3) -> Self {
        let in_voxels = |to: usize, from: usize| match linear[to][from] {
            // Neither rounding nor an undefined spacing may touch an axis that does not change.
            entry if entry == 0.0 || to == from => entry,
            entry => entry * (spacing_mm[from] / spacing_mm[to]),
        };
        let step: Matrix3 =
            std::array::from_fn(|to| std::array::from_fn(|from| in_voxels(to, from)));
        let half = window.dims.0.map(|side| (side as f64 - 1.0) / 2.0);
        let origin = std::array::from_fn(|axis| {
            let centre = window.corner[axis] as f64 + half[axis];
            centre - (0..3).map(|from| step[axis][from] * half[from]).sum::<f64>()
        });
        let placed = Self { window, brain, step, origin };
        let last = window.dims.0.map(|side| side as f64);
        for corner in 0..8 {
            let at =
                std::array::from_fn(|axis| if corner >> axis & 1 == 1 { last[axis] } else { 0.0 });
            let place = placed.box_from_patch(at);
            let near = place.into_iter().all(|along| along.abs() <= FARTHEST);
            assert!(near, "the patch reaches to {place:?}, too far from the brain");
        }
        placed
    }

    /// Extent of the patch.
    pub const fn patch_dims(&self) -> Dims {
        self.window.dims
    }

    /// Extent of the brain box.
    pub const fn brain_dims(&self) -> Dims {
        self.brain
    }

    /// Position in the box of position `at` in the patch.
    pub fn box_from_patch(&self, at: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| {
            let step = self.step[axis];
            self.origin[axis] + step[0] * at[0] + step[1] * at[1] + step[2] * at[2]
        })
    }

    /// Returns true if the patch is only translated and mirrored: no interpolation.
    pub fn is_aligned(&self) -> bool {
        let pure = |row: usize, column: usize| match self.step[row][column] {
            entry if row == column => entry.abs() == 1.0,
            entry => entry == 0.0,
        };
        (0..9).all(|entry| pure(entry / 3, entry % 3))
    }

    /// Positions of row `(z, y)`.
    pub(super) fn row_ray(&self, z: usize, y: usize) -> RowRay {
        let start = self.box_from_patch([z as f64, y as f64, 0.0]);
        let fixed = |value: f64| (value * ONE as f64) as i64;
        RowRay { start: start.map(fixed), step: self.step.map(|row| fixed(row[2])) }
    }

    /// Approximate distance in the box, in voxels, from a voxel of the patch to the same one `planes` planes
    /// on.
    pub(super) fn plane_stride(&self, planes: usize) -> isize {
        self.axis_stride(0, planes)
    }

    /// Approximate distance to the same voxel in the next row.
    pub(super) fn row_stride(&self) -> isize {
        self.axis_stride(1, 1)
    }

    fn axis_stride(&self, axis: usize, steps: usize) -> isize {
        let along = |to: usize| (self.step[to][axis] * steps as f64).round() as isize;
        let [_, height, width] = self.brain.0.map(|side| side as isize);
        (along(0) * height + along(1)) * width + along(2)
    }

    /// Voxels of the box in row `(z, y)` of an aligned patch, if any.
    pub(super) fn aligned_row(&self, z: usize, y: usize) -> Option<AlignedRow> {
        let Window { corner, dims } = self.window;
        let reversed = [0, 1, 2].map(|axis| self.step[axis][axis] < 0.0);
        let index = |axis: usize, at: usize| {
            let within = if reversed[axis] { dims.0[axis] - 1 - at } else { at };
            let place = corner[axis] + within as isize;
            usize::try_from(place).ok().filter(|place| *place < self.brain.0[axis])
        };
        let from_z = index(0, z)?;
        let from_y = index(1, y)?;
        let low = corner[2].max(0);
        let high = (corner[2] + dims.0[2] as isize).min(self.brain.0[2] as isize);
        if low >= high {
            return None;
        }
        let left = (low - corner[2]) as usize;
        let length = (high - low) as usize;
        let first = if reversed[2] { dims.0[2] - left - length } else { left };
        let start = self.brain.offset_from_zyx([from_z, from_y, low as usize]);
        let source = start..start + length;
        Some(AlignedRow { line: [from_z, from_y], source, first, reversed: reversed[2] })
    }
}

impl RowRay {
    /// Position of voxel `x`.
    pub(super) fn place_of(&self, x: usize) -> [i64; 3] {
        std::array::from_fn(|axis| self.start[axis] + self.step[axis] * x as i64)
    }

    /// Voxels below `width` with at least one of their eight neighbours inside a box of `brain`.
    pub(super) fn covered_voxels(&self, width: usize, brain: Dims) -> Range<usize> {
        self.voxels_between(width, |axis| (-ONE, brain.0[axis] as i64 * ONE))
    }

    /// Voxels below `width` whose eight neighbours are all inside.
    pub(super) fn interior_voxels(&self, width: usize, brain: Dims) -> Range<usize> {
        self.voxels_between(width, |axis| (0, (brain.0[axis] as i64 - 1) * ONE))
    }

    /// Voxels below `width` whose nearest voxel lies in `part` of a box.
    pub(super) fn voxels_nearest_to(&self, width: usize, part: Box3) -> Range<usize> {
        if part.dims.0[0] == 0 {
            return 0..0;
        }
        self.voxels_between(width, |axis| {
            let start = part.start[axis] as i64 * ONE - ONE / 2;
            (start, start + part.dims.0[axis] as i64 * ONE)
        })
    }

    /// Voxels whose position is in `low..high` on every axis.
    fn voxels_between(&self, width: usize, bounds: impl Fn(usize) -> (i64, i64)) -> Range<usize> {
        let mut from = 0;
        let mut to = width as i64;
        for axis in 0..3 {
            let (low, high) = bounds(axis);
            let start = self.start[axis];
            let step = self.step[axis];
            let last = start + step * (width as i64 - 1);
            if start.min(last) >= low && start.max(last) < high {
                continue; // Most rows of most patches: no division.
            }
            // A division for each end that is outside, not for both.
            let width = width as i64;
            let (first, end) = match step {
                0 => (0, 0),
                1.. => (
                    if start >= low { 0 } else { ceil_div(low - start, step) },
                    if last < high { width } else { ceil_div(high - start, step) },
                ),
                _ => (
                    if start < high { 0 } else { floor_div(high - start, step) + 1 },
                    if last >= low { width } else { floor_div(low - start, step) + 1 },
                ),
            };
            from = from.max(first);
            to = to.min(end);
        }
        let to = to.max(0);
        from.clamp(0, to) as usize..to as usize
    }
}

/// `dividend / divisor`, rounded down, for either sign of either.
fn floor_div(dividend: i64, divisor: i64) -> i64 {
    let quotient = dividend / divisor;
    let exact = dividend % divisor == 0;
    quotient - i64::from(!exact && (dividend < 0) != (divisor < 0))
}

/// `dividend / divisor`, rounded up.
fn ceil_div(dividend: i64, divisor: i64) -> i64 {
    -floor_div(-dividend, divisor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::augment::IDENTITY;

    fn window(corner: [isize; 3], dims: [usize; 3]) -> Window {
        Window { corner, dims: Dims(dims) }
    }

    #[test]
    fn without_a_map_the_patch_begins_at_its_corner_whatever_the_spacing() {
        let window = window([3, -2, 5], [4, 5, 6]);
        let placed = Placement::new(window, Dims([9, 9, 9]), [0.0, f64::NAN, 2.5], &IDENTITY);
        assert!(placed.is_aligned());
        assert_eq!(placed.box_from_patch([0.0, 1.0, 2.0]), [3.0, -1.0, 7.0]);
        assert_eq!(placed.row_ray(0, 1).place_of(2), [3, -1, 7].map(|place| place * ONE));
    }

    #[test]
    fn a_turn_in_mm_takes_longer_steps_along_finer_axes() {
        // z in steps of 3 mm: a step along x is a third of a voxel along z.
        let quarter = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]];
        let window = window([0; 3], [3, 3, 3]);
        let placed = Placement::new(window, Dims([9, 9, 9]), [3.0, 1.0, 1.0], &quarter);
        let step: f64 =
            placed.box_from_patch([0.0, 0.0, 1.0])[0] - placed.box_from_patch([0.0; 3])[0];
        assert!((step - 1.0 / 3.0).abs() < 1e-12);
        assert!(!placed.is_aligned());
        assert_eq!(placed.box_from_patch([1.0; 3]), [1.0; 3], "the centre stays");
    }

    #[test]
    fn a_row_that_hangs_over_the_edge_keeps_its_place_mirrored_or_not() {
        let brain = Dims([1, 1, 4]);
        let run = |sign: f64| {
            let mut linear = IDENTITY;
            linear[2][2] = sign;
            Placement::new(window([0, 0, -1], [1, 1, 4]), brain, [1.0; 3], &linear)
                .aligned_row(0, 0)
        };
        // Patch places 1, 2, 3 show brain places 0, 1, 2; mirrored, they are places 2, 1, 0.
        let line = [0, 0];
        assert_eq!(run(1.0), Some(AlignedRow { line, source: 0..3, first: 1, reversed: false }));
        assert_eq!(run(-1.0), Some(AlignedRow { line, source: 0..3, first: 0, reversed: true }));
    }

    #[test]
    fn rows_beside_the_box_show_nothing() {
        let placed =
            Placement::new(window([3, 0, 0], [2, 2, 2]), Dims([4, 2, 2]), [1.0; 3], &IDENTITY);
        assert!(placed.aligned_row(0, 0).is_some());
        assert!(placed.aligned_row(1, 0).is_none());
    }

    proptest! {
        #[test]
        fn intervals_hold_exactly_the_voxels_that_satisfy_them(
            start in prop::array::uniform3(-6 * ONE..12 * ONE),
            step in prop::array::uniform3(prop_oneof![Just(0), Just(ONE), -2 * ONE..2 * ONE]),
            brain in prop::array::uniform3(1usize..7),
            width in 1usize..20,
        ) {
            let (walk, brain) = (RowRay { start, step }, Dims(brain));
            let part = Box3 { start: brain.0.map(|side| side / 2), dims: Dims([1, 2, brain.0[0]]) };
            let labelled = walk.voxels_nearest_to(width, part);
            let (reach, interior) = (walk.covered_voxels(width, brain), walk.interior_voxels(width, brain));
            for x in 0..width {
                let cells = walk.place_of(x).map(|place| place >> FRACTION_BITS);
                let all = |low: i64, beyond: i64| (0..3).all(|axis| {
                    (low..brain.0[axis] as i64 + beyond).contains(&cells[axis])
                });
                let nearest = walk.place_of(x).map(|place| (place + ONE / 2) >> FRACTION_BITS);
                let within = (0..3).all(|axis| {
                    let from = part.start[axis] as i64;
                    (from..from + part.dims.0[axis] as i64).contains(&nearest[axis])
                });
                prop_assert_eq!(labelled.contains(&x), within, "{} {:?}", x, nearest);
                prop_assert_eq!(reach.contains(&x), all(-1, 0), "{} {:?}", x, cells);
                prop_assert_eq!(interior.contains(&x), all(0, -1), "{} {:?}", x, cells);
            }
        }
    }
}
