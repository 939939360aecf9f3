//! Rows whose voxels are interpolated.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::augment::kernel::avx2::interpolate::interpolate_groups;
use crate::augment::kernel::avx2::places::{GroupOffsets, locate_group};
use crate::augment::kernel::neighbours::{Neighbours, VoxelGroup, copy_targets_of};
use crate::augment::kernel::row::PatchRow;
use crate::augment::kernel::scalar::interpolate_voxel;
use crate::augment::kernel::{IntoTarget, PatchJob, Target};
use crate::augment::placement::{FRACTION_BITS, RowRay};
use crate::augment::tone::LANES;

/// Number of groups that are located before any of them is interpolated.
///
/// Locating is a chain of some fifty cycles. Of many groups it overlaps; of one right before it is
/// interpolated the processor waits for it, as it cannot look ahead further than half a group.
pub(super) const AHEAD: usize = 16;

/// Number of planes ahead of their use that voxels are prefetched: one is too late for memory, three have
/// left the second-level cache again before they are used.
pub(super) const PLANES_AHEAD: usize = 2;

/// Fills an interpolated row: in groups where all neighbours are inside the box, voxel by voxel at
/// its border.
#[target_feature(enable = "avx2")]
pub(super) fn gather_interpolated<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    walk: &RowRay,
    planes_ahead: isize,
    groups: &mut [VoxelGroup<LANES>; AHEAD],
    row: &mut PatchRow,
    targets: &mut [T],
) -> Range<usize> {
    let view = job.view;
    let brain = view.brain_dims();
    let interior = walk.interior_voxels(row.width(), brain);
    let reach = if interior.len() == row.width() {
        interior.clone() // As most rows are: nothing is left to ask.
    } else {
        walk.covered_voxels(row.width(), brain)
    };
    targets.fill(T::default());
    if reach.is_empty() {
        return 0..0;
    }
    let grouped = if interior.len() < LANES { reach.start..reach.start } else { interior };
    for x in (reach.start..grouped.start).chain(grouped.end..reach.end) {
        if x % (LANES / 2) == 0 {
            prefetch_cell(job, walk.place_of(x), planes_ahead);
        }
        interpolate_voxel(job, walk, x, row, targets);
    }
    let neighbours = Neighbours::of_box(view.images(), brain);
    let steps = GroupOffsets::new(walk, brain);
    let plane = brain.0[1] * brain.0[2];
    let labelled = match job.truth {
        Some(_) => walk.voxels_nearest_to(row.width(), view.labelled_box()),
        None => 0..0,
    };
    for x in grouped.clone().step_by(AHEAD * LANES) {
        let count = (grouped.end - x).div_ceil(LANES).min(AHEAD);
        // The last group begins earlier rather than ends later: some voxels are computed twice.
        let last = grouped.end - LANES;
        let first = |number: usize| (x + number * LANES).min(last);
        let groups = &mut groups[..count];
        let mut place = walk.place_of(x);
        for (number, group) in groups.iter_mut().enumerate() {
            if number + 1 == count {
                place = walk.place_of(first(number));
            }
            locate_group(place, &steps, group);
            prefetch_group(job, group, plane, planes_ahead);
            for (along, step) in place.iter_mut().zip(walk.step) {
                *along += step * LANES as i64;
            }
        }
        if let Some(truth) = job.truth {
            // Most rows meet no label, and reading them would be a ninth of the memory that is read.
            let from = (labelled.start.saturating_sub(x) / LANES).min(count);
            let to = labelled.end.saturating_sub(x).div_ceil(LANES).clamp(from, count);
            let labelled = &groups[from..to];
            prefetch_targets(truth, labelled, planes_ahead);
            copy_targets_of(truth, labelled, targets, |number| first(from + number));
        }
        interpolate_groups(&neighbours.of_groups(groups), row, x, last);
    }
    row.clear_group_edges(&reach)
}

/// Prefetches the voxels that a voxel at the box's border needs some planes on.
#[target_feature(enable = "avx2")]
fn prefetch_cell<S>(job: &PatchJob<'_, S>, place: [i64; 3], planes_ahead: isize) {
    let [_, height, width] = job.view.brain_dims().0;
    let [z, y, x] = place.map(|along| (along >> FRACTION_BITS) as isize);
    let (line, plane) = (width as isize, (height * width) as isize);
    let ahead = z * plane + y * line + x + planes_ahead;
    let images = job.view.images().as_ptr();
    for above in [0, plane] {
        _mm_prefetch::<_MM_HINT_T0>(images.wrapping_offset(ahead + above).cast());
    }
}

/// Prefetches the voxels that the same group needs some planes on.
///
/// A rotated patch crosses memory at an angle that the hardware prefetcher does not follow: without
/// this a third of the time goes into waiting for the third-level cache.
#[target_feature(enable = "avx2")]
fn prefetch_group<S>(
    job: &PatchJob<'_, S>,
    group: &VoxelGroup<LANES>,
    plane: usize,
    planes_ahead: isize,
) {
    let images = job.view.images().as_ptr();
    for above in [0, plane as isize] {
        for voxel in [0, LANES / 2] {
            let place = group.places[voxel] as isize + above;
            _mm_prefetch::<_MM_HINT_T0>(images.wrapping_offset(place + planes_ahead).cast());
        }
    }
}

/// Prefetches the targets that the same groups need some planes on.
#[target_feature(enable = "avx2")]
fn prefetch_targets<S>(truth: &[S], groups: &[VoxelGroup<LANES>], planes_ahead: isize) {
    for group in groups {
        let place = group.nearest[0] as isize;
        _mm_prefetch::<_MM_HINT_T0>(truth.as_ptr().wrapping_offset(place + planes_ahead).cast());
    }
}
