//! Buffer of one row between gathering and storing: raw values and masses, planar, a few kB.

use std::ops::Range;

use crate::augment::tone::LANES;
use crate::volume::Modality;

/// Raw values and masses of one row, per modality, in whole groups of [`LANES`].
pub(super) struct PatchRow {
    raw: [Vec<f32>; Modality::COUNT],
    mass: [Vec<f32>; Modality::COUNT],
    width: usize,
}

impl PatchRow {
    /// Buffer for `width` voxels, all background.
    pub(super) fn new(width: usize) -> Self {
        let zeros = [(); Modality::COUNT].map(|()| vec![0.0; width.next_multiple_of(LANES)]);
        Self { raw: zeros.clone(), mass: zeros, width }
    }

    /// Number of voxels in a row of the patch.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// Returns the whole groups around `touched` and clears the rest of them.
    pub(super) fn clear_group_edges(&mut self, touched: &Range<usize>) -> Range<usize> {
        if touched.is_empty() {
            return 0..0;
        }
        let groups = touched.start / LANES * LANES..touched.end.next_multiple_of(LANES);
        self.clear_voxels(groups.start..touched.start);
        self.clear_voxels(touched.end..groups.end);
        groups
    }

    /// Clears everything around `kept` and returns the whole row.
    pub(super) fn clear_around(&mut self, kept: &Range<usize>) -> Range<usize> {
        let whole = 0..self.raw[0].len();
        self.clear_voxels(0..kept.start);
        self.clear_voxels(kept.end..whole.end);
        whole
    }

    fn clear_voxels(&mut self, voxels: Range<usize>) {
        for plane in self.raw.iter_mut().chain(&mut self.mass) {
            plane[voxels.clone()].fill(0.0);
        }
    }

    pub(super) fn set_voxel(&mut self, x: usize, raw: [f32; 4], mass: [f32; 4]) {
        for channel in 0..Modality::COUNT {
            self.raw[channel][x] = raw[channel];
            self.mass[channel][x] = mass[channel];
        }
    }

    /// Stores the raw values and masses of `N` voxels from voxel `x` on.
    ///
    /// # Panics
    /// If they reach beyond the row.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(super) fn store_group<const N: usize>(
        &mut self,
        x: usize,
        raw: &[[f32; N]; 4],
        mass: &[[f32; N]; 4],
    ) {
        assert!(x < self.width && N <= self.width - x, "a group lies within its row");
        for channel in 0..Modality::COUNT {
            for (plane, values) in
                [(&mut self.raw[channel], &raw[channel]), (&mut self.mass[channel], &mass[channel])]
            {
                // SAFETY: every plane has `width` values at least, from `new` on and for good, and those from
                // `x` to `x + N` have been asserted to be among them. Values and plane do not overlap: the
                // plane is borrowed mutably.
                unsafe { plane.as_mut_ptr().add(x).cast::<[f32; N]>().write_unaligned(*values) };
            }
        }
    }

    /// Mutable raw values, and masses, of a range of voxels of one modality.
    pub(super) fn modality_plane(
        &mut self,
        channel: usize,
        voxels: &Range<usize>,
    ) -> (&mut [f32], &[f32]) {
        (&mut self.raw[channel][voxels.clone()], &self.mass[channel][voxels.clone()])
    }
}
