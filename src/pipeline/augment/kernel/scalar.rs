//! The kernel in plain code: for machines without AVX2, for the brain's border everywhere, and for
//! reading.

use std::ops::Range;

use crate::cache::contents::RawVoxel;
use crate::pipeline::augment::kernel::row::Row;
use crate::pipeline::augment::kernel::{Becomes, Images, Job, Target, each_row, store};
use crate::pipeline::augment::placement::{FRACTION_BITS, Run, Walk};
use crate::pipeline::augment::view::View;
use crate::volume::modality::Modality;

/// Bits of a place's fraction that count: as many as single precision holds exactly.
pub(super) const WEIGHT_BITS: u32 = 24;

/// One over the number of steps that they make.
pub(super) const WEIGHT_STEP: f32 = 1.0 / (1u32 << WEIGHT_BITS) as f32;

/// Makes a patch.
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

/// Fills a row that is interpolated.
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

/// Fills a row of voxels that are taken as they are.
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

/// Puts one voxel as it is.
pub(super) fn put_voxel(voxel: &RawVoxel, x: usize, row: &mut Row) {
    let mass = voxel.map(|raw| if raw == 0 { 0.0 } else { 1.0 });
    row.put(x, voxel.map(f32::from), mass);
}

/// The targets of an aligned row.
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

/// Interpolates voxel `x` of a walk between the eight neighbours of its place, each of which may lie
/// outside the box, and takes the target of the nearest.
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
    let ([mut raw_low, mut raw_high], [mut mass_low, mut mass_high]) =
        ([[0.0; 4]; 2], [[0.0; 4]; 2]);
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

/// The raw voxel at a cell; air outside the box.
fn neighbour(view: &View<'_>, cell: [i64; 3]) -> RawVoxel {
    inside(view, cell).map_or([0; 4], |place| view.images()[place])
}

fn inside(view: &View<'_>, cell: [i64; 3]) -> Option<usize> {
    let dims = view.dims();
    let within = (0..3).all(|axis| (0..dims.0[axis] as i64).contains(&cell[axis]));
    within.then(|| dims.offset(cell.map(|along| along as usize)))
}
