//! Portable kernel: for machines without AVX2, for the box's border everywhere, and as the
//! reference to read.

use std::ops::Range;

use crate::augment::CaseView;
use crate::augment::kernel::row::PatchRow;
use crate::augment::kernel::{IntoTarget, PatchImages, PatchJob, Target, render_rows, store};
use crate::augment::placement::{AlignedRow, FRACTION_BITS, RowRay};
use crate::cache::RawVoxel;
use crate::volume::Modality;

/// Fraction bits of a position that count: as many as single precision holds exactly.
pub(super) const WEIGHT_BITS: u32 = 24;

/// Weight of the lowest such bit.
pub(super) const WEIGHT_STEP: f32 = 1.0 / (1u32 << WEIGHT_BITS) as f32;

pub(super) fn render_patch<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    images: PatchImages<'_>,
    targets: &mut [T],
) {
    let placement = job.render_plan.placement();
    let aligned = placement.is_aligned();
    let gather = |z, y, row: &mut PatchRow, targets: &mut [T]| {
        if aligned {
            return gather_aligned(job, placement.aligned_row(z, y), row, targets);
        }
        gather_interpolated(job, &placement.row_ray(z, y), row, targets)
    };
    render_rows(job, images, targets, gather, store::finish_row);
}

/// Fills an interpolated row.
fn gather_interpolated<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    walk: &RowRay,
    row: &mut PatchRow,
    targets: &mut [T],
) -> Range<usize> {
    let reach = walk.covered_voxels(row.width(), job.view.brain_dims());
    targets.fill(T::default());
    for x in reach.clone() {
        interpolate_voxel(job, walk, x, row, targets);
    }
    row.clear_group_edges(&reach)
}

/// Fills an aligned row, whose voxels are copied.
fn gather_aligned<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    run: Option<AlignedRow>,
    row: &mut PatchRow,
    targets: &mut [T],
) -> Range<usize> {
    copy_targets(job, run.as_ref(), targets);
    let Some(run) = run else { return 0..0 };
    let touched = run.first..run.first + run.source.len();
    for (step, voxel) in job.view.images()[run.source.clone()].iter().enumerate() {
        let x = if run.reversed { touched.end - 1 - step } else { touched.start + step };
        copy_voxel(voxel, x, row);
    }
    row.clear_group_edges(&touched)
}

pub(super) fn copy_voxel(voxel: &RawVoxel, x: usize, row: &mut PatchRow) {
    let mass = voxel.map(|raw| if raw == 0 { 0.0 } else { 1.0 });
    row.set_voxel(x, voxel.map(f32::from), mass);
}

/// Copies the targets of an aligned row.
pub(super) fn copy_targets<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    run: Option<&AlignedRow>,
    targets: &mut [T],
) {
    let labelled = |run: &&AlignedRow| job.view.labelled_box().has_line(run.line);
    let (Some(run), Some(truth)) = (run.filter(labelled), job.truth) else {
        targets.fill(T::default());
        return;
    };
    let end = run.first + run.source.len();
    targets[..run.first].fill(T::default());
    targets[end..].fill(T::default());
    let shown = &mut targets[run.first..end];
    for (target, stored) in shown.iter_mut().zip(&truth[run.source.clone()]) {
        *target = (*stored).into_target();
    }
    if run.reversed {
        shown.reverse();
    }
}

/// Interpolates voxel `x` of a row between its eight neighbours, each of which may lie outside the
/// box, and takes the target of the nearest.
pub(super) fn interpolate_voxel<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    walk: &RowRay,
    x: usize,
    row: &mut PatchRow,
    targets: &mut [T],
) {
    let view = job.view;
    let place = walk.place_of(x);
    let cell = place.map(|along| along >> FRACTION_BITS);
    let steps =
        place.map(|along| along >> (FRACTION_BITS - WEIGHT_BITS) & ((1 << WEIGHT_BITS) - 1));
    let [fz, fy, fx] = steps.map(|steps| steps as f32 * WEIGHT_STEP);
    let [gz, gy] = [1.0 - fz, 1.0 - fy];
    let weights = [gz * gy, gz * fy, fz * gy, fz * fy];
    let neighbours = neighbour_pairs(view, cell);
    let [mut raw_low, mut raw_high, mut mass_low, mut mass_high] = [[0.0; 4]; 4];
    // Much of the box's border is air, where all sums stay 0.
    if neighbours.as_flattened().as_flattened().iter().any(|code| *code != 0) {
        for ([low, high], weight) in neighbours.into_iter().zip(weights) {
            for channel in 0..Modality::COUNT {
                raw_low[channel] += weight * f32::from(low[channel]);
                raw_high[channel] += weight * f32::from(high[channel]);
                mass_low[channel] += if low[channel] == 0 { 0.0 } else { weight };
                mass_high[channel] += if high[channel] == 0 { 0.0 } else { weight };
            }
        }
    }
    let between = |low: f32, high: f32| low + fx * (high - low);
    let raw = std::array::from_fn(|channel| between(raw_low[channel], raw_high[channel]));
    let mass = std::array::from_fn(|channel| between(mass_low[channel], mass_high[channel]));
    row.set_voxel(x, raw, mass);
    let half = 1 << (WEIGHT_BITS - 1);
    let nearest = [0, 1, 2].map(|axis| cell[axis] + i64::from(steps[axis] >= half));
    if let (Some(truth), Some(place)) = (job.truth, place_inside(view, nearest)) {
        targets[x] = truth[place].into_target();
    }
}

/// Raw voxels of the eight neighbours: pairs along x, below on z and y, above on y, above on z, above on
/// both; background outside the box.
fn neighbour_pairs(view: &CaseView<'_>, cell: [i64; 3]) -> [[RawVoxel; 2]; 4] {
    let [_, height, width] = view.brain_dims().0;
    let sides = view.brain_dims().0;
    let index = |axis: usize, step: i64| {
        let at = cell[axis] + step;
        (0..sides[axis] as i64).contains(&at).then_some(at as usize)
    };
    let columns = [index(2, 0), index(2, 1)];
    let mut pairs = [[[0; 4]; 2]; 4];
    for (number, pair) in pairs.iter_mut().enumerate() {
        let [above_z, above_y] = [number / 2, number % 2].map(|step| step as i64);
        let (Some(z), Some(y)) = (index(0, above_z), index(1, above_y)) else { continue };
        let line = &view.images()[(z * height + y) * width..][..width];
        for (voxel, x) in pair.iter_mut().zip(columns) {
            if let Some(x) = x {
                *voxel = line[x];
            }
        }
    }
    pairs
}

fn place_inside(view: &CaseView<'_>, cell: [i64; 3]) -> Option<usize> {
    let dims = view.brain_dims();
    let within = (0..3).all(|axis| (0..dims.0[axis] as i64).contains(&cell[axis]));
    within.then(|| dims.offset_from_zyx(cell.map(|along| along as usize)))
}
