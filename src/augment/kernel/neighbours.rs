//! Voxels at interior places, loaded without a check for each: the places of a batch of groups are checked
//! together instead.

use std::arch::x86_64::*;

use crate::augment::kernel::{IntoTarget, Target};
use crate::cache::RawVoxel;
use crate::volume::Dims;

/// `N` voxels of a row whose neighbours are all inside the box.
#[derive(Clone, Copy)]
pub(super) struct VoxelGroup<const N: usize> {
    /// Indices of the first of the eight neighbours: below on every axis.
    pub(super) places: [u32; N],
    /// Weights of the four pairs of neighbours along x: below on z and y, above on y, above on z,
    /// above on both.
    pub(super) weights: [[f32; N]; 4],
    /// Weight of the second neighbour within each pair.
    pub(super) weights_x: [f32; N],
    /// Indices of the nearest voxels, whose targets are taken.
    pub(super) nearest: [u32; N],
}

impl<const N: usize> VoxelGroup<N> {
    /// Group ahead of its location.
    pub(super) const EMPTY: Self =
        Self { places: [0; N], weights: [[0.0; N]; 4], weights_x: [0.0; N], nearest: [0; N] };
}

/// Voxels of a brain box, of which whole neighbourhoods are loaded.
#[derive(Clone, Copy)]
pub(super) struct Neighbours<'a> {
    images: &'a [RawVoxel],
    /// Distances of the four pairs of neighbours along x from a place: on it, above on y, above on z,
    /// above on both.
    lines: [usize; 4],
    /// First place whose neighbourhood is not inside the images.
    end: u32,
}

/// Groups whose neighbourhoods are inside the box.
#[derive(Clone, Copy)]
pub(super) struct GroupNeighbours<'a, const N: usize> {
    images: &'a [RawVoxel],
    lines: [usize; 4],
    groups: &'a [VoxelGroup<N>],
}

/// Group whose neighbourhoods are inside the box.
#[derive(Clone, Copy)]
pub(super) struct VoxelNeighbours<'a, const N: usize> {
    /// First voxel of the box, moved by each of the four lines.
    lines: [*const RawVoxel; 4],
    pub(super) group: &'a VoxelGroup<N>,
}

impl<'a> Neighbours<'a> {
    /// Takes the voxels of a box of `brain`.
    ///
    /// # Panics
    /// If the box has more voxels than u32 can number.
    pub(super) fn of_box(images: &'a [RawVoxel], brain: Dims) -> Self {
        let [_, height, width] = brain.0;
        let lines = [0, width, height * width, height * width + width];
        let end = images.len().saturating_sub(lines[3] + 1);
        let end = u32::try_from(end).expect("places in a box are stored as u32");
        Self { images, lines, end }
    }

    /// Takes the neighbourhoods of the voxels of `groups`.
    ///
    /// # Panics
    /// If one is not inside the box.
    #[inline(always)]
    pub(super) fn of_groups<const N: usize>(
        &self,
        groups: &'a [VoxelGroup<N>],
    ) -> GroupNeighbours<'a, N> {
        let last = highest(groups, |group| &group.places);
        assert!(last < self.end, "neighbours of an interior place are inside the box");
        GroupNeighbours { images: self.images, lines: self.lines, groups }
    }
}

impl<'a, const N: usize> GroupNeighbours<'a, N> {
    /// Each group, in order.
    #[inline(always)]
    pub(super) fn iter(&self) -> impl Iterator<Item = VoxelNeighbours<'a, N>> + use<'a, N> {
        let first = self.images.as_ptr();
        let lines = self.lines.map(|line| first.wrapping_add(line));
        self.groups.iter().map(move |group| VoxelNeighbours { lines, group })
    }
}

impl<const N: usize> VoxelNeighbours<'_, N> {
    /// Loads the pair of neighbours along x that lies on line `LINE` of voxel `VOXEL`.
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(super) fn load_pair<const LINE: usize, const VOXEL: usize>(&self) -> __m128i {
        let first = self.lines[LINE].wrapping_add(self.group.places[VOXEL] as usize);
        // SAFETY: a pair is two voxels of eight bytes, at a place and the one behind it. `of_groups`, through
        // which alone this is made, has asserted that every place is below `len - lines[3] - 1`, and no
        // line is further than the last: both are voxels of the slice, which is borrowed as long as the
        // groups are. The read is unaligned and of integers, and SSE2 is part of x86-64.
        unsafe { _mm_loadu_si128(first.cast()) }
    }
}

/// Copies the targets of the nearest voxels of `groups`, which are checked together; `first` tells a group's
/// first voxel in the row.
///
/// # Panics
/// If a nearest voxel lies outside the case, or a group outside the row.
#[allow(unsafe_code)]
#[inline(always)]
pub(super) fn copy_targets_of<S: IntoTarget<T>, T: Target, const N: usize>(
    truth: &[S],
    groups: &[VoxelGroup<N>],
    targets: &mut [T],
    first: impl Fn(usize) -> usize,
) {
    let last = highest(groups, |group| &group.nearest);
    assert!((last as usize) < truth.len(), "the nearest voxel of an interior place is in the box");
    for (number, group) in groups.iter().enumerate() {
        for (target, place) in targets[first(number)..][..N].iter_mut().zip(&group.nearest) {
            // SAFETY: no place is above `last`, which has been asserted to be inside.
            *target = unsafe { *truth.get_unchecked(*place as usize) }.into_target();
        }
    }
}

/// Highest place of all groups, lane by lane, so that no comparison is a branch.
#[inline(always)]
fn highest<const N: usize>(
    groups: &[VoxelGroup<N>],
    places: impl Fn(&VoxelGroup<N>) -> &[u32; N],
) -> u32 {
    let mut lanes = [0; N];
    for group in groups {
        for (lane, place) in lanes.iter_mut().zip(places(group)) {
            *lane = (*lane).max(*place);
        }
    }
    lanes.into_iter().fold(0, u32::max)
}
