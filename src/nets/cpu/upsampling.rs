//! Trilinear up-sampling by two with half-pixel centres, and its gradient: along one axis after the other, by planes.

use burn_flex::FlexTensor;
use pulp::Arch;
use rayon::prelude::*;

use crate::nets::cpu::{ContiguousVolume, volume_of};

/// Weight of the farther of two voxels that lie around a new one.
const FAR: f32 = 0.25;

/// Places around place `at` of an axis of twice `extent`: the nearer one, and the farther one, which is the same at either
/// end.
fn places_around(at: usize, extent: usize) -> [usize; 2] {
    let near = at / 2;
    let far =
        if at.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(extent - 1) };
    [near, far]
}

/// Places of an axis of twice `extent` whose values place `at` of the axis decides: two by three quarters, two by a quarter.
fn places_decided(at: usize, extent: usize) -> [usize; 4] {
    [2 * at, 2 * at + 1, (2 * at).saturating_sub(1), (2 * at + 2).min(2 * extent - 1)]
}

#[inline(always)]
fn blend_pair(near: f32, far: f32) -> f32 {
    near + FAR * (far - near)
}

#[inline(always)]
fn gather_four([near, next, before, behind]: [f32; 4]) -> f32 {
    (1.0 - FAR) * (near + next) + FAR * (before + behind)
}

/// Doubles the extents of `[b, c, d, h, w]`.
pub(in crate::nets) fn upsample_volume(volume: FlexTensor) -> FlexTensor {
    let volume = ContiguousVolume::new(volume);
    let [depth, height, width] = volume.extent();
    let plane = height * width;
    let source = volume.values();
    let mut answer = vec![0.0; 8 * source.len()];
    let scratch = || (vec![0.0; plane], vec![0.0; width]);
    let planes = answer.par_chunks_mut(4 * plane).enumerate();
    planes.for_each_init(scratch, |(blended, row), (at, target)| {
        let channel = &source[at / (2 * depth) * depth * plane..][..depth * plane];
        let [near, far] =
            places_around(at % (2 * depth), depth).map(|place| &channel[place * plane..][..plane]);
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for ((blended, near), far) in blended.iter_mut().zip(near).zip(far) {
                    *blended = blend_pair(*near, *far);
                }
                for (y, target) in target.chunks_exact_mut(2 * width).enumerate() {
                    let [near, far] =
                        places_around(y, height).map(|place| &blended[place * width..][..width]);
                    for ((row, near), far) in row.iter_mut().zip(near).zip(far) {
                        *row = blend_pair(*near, *far);
                    }
                    double_row(row, target);
                }
            },
        );
    });
    volume_of(answer, &volume, [2 * depth, 2 * height, 2 * width])
}

/// Doubles a row; all but its ends without a look at which place it is.
#[inline(always)]
fn double_row(row: &[f32], target: &mut [f32]) {
    let last = row.len() - 1;
    target[0] = row[0];
    target[2 * last + 1] = row[last];
    let (inner, _) = target[1..2 * last + 1].as_chunks_mut::<2>();
    for ((pair, left), right) in inner.iter_mut().zip(row).zip(&row[1..]) {
        *pair = [blend_pair(*left, *right), blend_pair(*right, *left)];
    }
}

/// Computes the gradient of [`upsample_volume`]'s volume, of half the extents.
pub(in crate::nets) fn upsample_gradient(slopes: FlexTensor) -> FlexTensor {
    let slopes = ContiguousVolume::new(slopes);
    let [depth, height, width] = slopes.extent().map(|extent| extent / 2);
    let plane = 4 * height * width;
    let source = slopes.values();
    let mut answer = vec![0.0; source.len() / 8];
    let scratch = || (vec![0.0; plane], vec![0.0; 2 * width]);
    let planes = answer.par_chunks_mut(height * width).enumerate();
    planes.for_each_init(scratch, |(gathered, row), (at, target)| {
        let channel = &source[at / depth * 2 * depth * plane..][..2 * depth * plane];
        let planes =
            places_decided(at % depth, depth).map(|place| &channel[place * plane..][..plane]);
        Arch::new().dispatch(
            #[inline(always)]
            || {
                gather_rows(gathered, planes);
                for (y, target) in target.chunks_exact_mut(width).enumerate() {
                    let rows = places_decided(y, height)
                        .map(|place| &gathered[place * 2 * width..][..2 * width]);
                    gather_rows(row, rows);
                    for (x, target) in target.iter_mut().enumerate() {
                        *target = gather_four(places_decided(x, width).map(|place| row[place]));
                    }
                }
            },
        );
    });
    volume_of(answer, &slopes, [depth, height, width])
}

#[inline(always)]
fn gather_rows(target: &mut [f32], [near, next, before, behind]: [&[f32]; 4]) {
    let values = near.iter().zip(next).zip(before).zip(behind);
    for (target, (((near, next), before), behind)) in target.iter_mut().zip(values) {
        *target = gather_four([*near, *next, *before, *behind]);
    }
}
