//! Portable kernel: for machines without AVX2, for the box's border everywhere, and as the
//! reference to read.

use std::ops::Range;

use crate::augment::kernel::row::Row;
use crate::augment::kernel::{Becomes, Images, Job, Target, each_row, store};
use crate::augment::placement::{FRACTION_BITS, Run, Walk};
use crate::augment::view::View;
use crate::cache::contents::RawVoxel;
use crate::volume::modality::Modality;

/// Fraction bits of a position that count: as many as single precision holds exactly.
pub(super) const WEIGHT_BITS: u32 = 24;

/// Weight of the lowest such bit.
pub(super) const WEIGHT_STEP: f32 = 1.0 / (1u32 << WEIGHT_BITS) as f32;

/// Renders a patch.
pub(super) fn render<S: Becomes<T>, T: Target>(
    job: &Job<'_, S>,
    images: Images<'_>,
    targets: &mut [T],
) {
    let placement = job.recipe.placement();
    let aligned = placement.is_aligned();
    let gather = |z, y, row: &mut Row, targets: &mut [T]| {
        if aligned {
            return gather_run(job, placement.run(z, y), row, targets);
        }
        gather_walk(job, &placement.walk(z, y), row, targets)
    };
    let tones = job.recipe.tones();
    let tone = |channel: usize, raw: &mut [f32], mass: &[f32], first| {
        tones[channel].apply(raw, mass, first)
    };
    each_row(job, images, targets, gather, tone, store::row);
}

/// Fills an interpolated row.
fn gather_walk<S: Becomes<T>, T: Target>(
    job: &Job<'_, S>,
    walk: &Walk,
    row: &mut Row,
    targets: &mut [T],
) -> Range<usize> {
    let reach = walk.reach(row.width(), job.view.dims());
    targets.fill(T::default());
    for x in reach.clone() {
        put_place(job, walk, x, row, targets);
    }
    row.prepare(&reach)
}

/// Fills an aligned row, whose voxels are copied.
fn gather_run<S: Becomes<T>, T: Target>(
    job: &Job<'_, S>,
    run: Option<Run>,
    row: &mut Row,
    targets: &mut [T],
) -> Range<usize> {
    copy_targets(job, run.as_ref(), targets);
    let Some(run) = run else { return 0..0 };
    let touched = run.first..run.first + run.source.len();
    for (step, voxel) in job.view.images()[run.source.clone()].iter().enumerate() {
        let x = if run.reversed { touched.end - 1 - step } else { touched.start + step };
        put_voxel(voxel, x, row);
    }
    row.prepare(&touched)
}

/// Copies one voxel.
pub(super) fn put_voxel(voxel: &RawVoxel, x: usize, row: &mut Row) {
    let mass = voxel.map(|raw| if raw == 0 { 0.0 } else { 1.0 });
    row.put(x, voxel.map(f32::from), mass);
}

/// Copies the targets of an aligned row.
pub(super) fn copy_targets<S: Becomes<T>, T: Target>(
    job: &Job<'_, S>,
    run: Option<&Run>,
    targets: &mut [T],
) {
    let (Some(run), Some(truth)) = (run, job.truth) else {
        targets.fill(T::default());
        return;
    };
    let end = run.first + run.source.len();
    targets[..run.first].fill(T::default());
    targets[end..].fill(T::default());
    let shown = &mut targets[run.first..end];
    for (target, stored) in shown.iter_mut().zip(&truth[run.source.clone()]) {
        *target = (*stored).becomes();
    }
    if run.reversed {
        shown.reverse();
    }
}

/// Interpolates voxel `x` of a row between its eight neighbours, each of which may lie outside the
/// box, and takes the target of the nearest.
pub(super) fn put_place<S: Becomes<T>, T: Target>(
    job: &Job<'_, S>,
    walk: &Walk,
    x: usize,
    row: &mut Row,
    targets: &mut [T],
) {
    let view = job.view;
    let place = walk.at(x);
    let cell = place.map(|along| along >> FRACTION_BITS);
    let steps =
        place.map(|along| along >> (FRACTION_BITS - WEIGHT_BITS) & ((1 << WEIGHT_BITS) - 1));
    let [fz, fy, fx] = steps.map(|steps| steps as f32 * WEIGHT_STEP);
    let [gz, gy] = [1.0 - fz, 1.0 - fy];
    let corners = [(0, 0, gz * gy), (0, 1, gz * fy), (1, 0, fz * gy), (1, 1, fz * fy)];
    let [mut raw_low, mut raw_high, mut mass_low, mut mass_high] = [[0.0; 4]; 4];
    for (z, y, weight) in corners {
        let low = neighbour(view, [cell[0] + z, cell[1] + y, cell[2]]);
        let high = neighbour(view, [cell[0] + z, cell[1] + y, cell[2] + 1]);
        for channel in 0..Modality::COUNT {
            raw_low[channel] += weight * f32::from(low[channel]);
            raw_high[channel] += weight * f32::from(high[channel]);
            mass_low[channel] += if low[channel] == 0 { 0.0 } else { weight };
            mass_high[channel] += if high[channel] == 0 { 0.0 } else { weight };
        }
    }
    let between = |low: f32, high: f32| low + fx * (high - low);
    let raw = std::array::from_fn(|channel| between(raw_low[channel], raw_high[channel]));
    let mass = std::array::from_fn(|channel| between(mass_low[channel], mass_high[channel]));
    row.put(x, raw, mass);
    let half = 1 << (WEIGHT_BITS - 1);
    let nearest = [0, 1, 2].map(|axis| cell[axis] + i64::from(steps[axis] >= half));
    if let (Some(truth), Some(place)) = (job.truth, inside(view, nearest)) {
        targets[x] = truth[place].becomes();
    }
}

/// Raw voxel of a cell; background outside the box.
fn neighbour(view: &View<'_>, cell: [i64; 3]) -> RawVoxel {
    inside(view, cell).map_or([0; 4], |place| view.images()[place])
}

fn inside(view: &View<'_>, cell: [i64; 3]) -> Option<usize> {
    let dims = view.dims();
    let within = (0..3).all(|axis| (0..dims.0[axis] as i64).contains(&cell[axis]));
    within.then(|| dims.offset(cell.map(|along| along as usize)))
}
