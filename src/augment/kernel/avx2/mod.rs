//! Kernel with AVX2: eight voxels of a row at a time, all four modalities of two neighbours in one
//! load.
//!
//! Interleaved voxels allow it: the two neighbours along x are 16 contiguous bytes, so eight
//! corners of four modalities are four loads and no gather.
//!
//! Multiplications and additions stay apart (no FMA), in the order of `scalar`: the results are the
//! same bits.

mod interpolate;
mod places;
mod run;
mod walk;

use std::arch::x86_64::*;

use half::f16;
use half::slice::HalfFloatSliceExt;
use zerocopy::transmute;

use crate::augment::kernel::avx2::places::VoxelGroup;
use crate::augment::kernel::avx2::run::gather_aligned;
use crate::augment::kernel::avx2::walk::{AHEAD, gather_interpolated};
use crate::augment::kernel::row::PatchRow;
use crate::augment::kernel::{IntoTarget, PatchImages, PatchJob, Target, render_rows, store};
use crate::augment::tone::LANES;

#[target_feature(enable = "avx2,f16c")]
pub(super) fn render_patch<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    images: PatchImages<'_>,
    targets: &mut [T],
) {
    let placement = job.render_plan.placement();
    let aligned = placement.is_aligned();
    let plane_ahead = placement.plane_stride();
    let line_ahead = placement.row_stride();
    let mut groups = [VoxelGroup::default(); AHEAD];
    let gather = |z, y, row: &mut PatchRow, targets: &mut [T]| {
        if aligned {
            return gather_aligned(job, placement.aligned_row(z, y), line_ahead, row, targets);
        }
        gather_interpolated(job, &placement.row_ray(z, y), plane_ahead, &mut groups, row, targets)
    };
    render_rows(job, images, targets, gather, |from, images, at| store_row(from, images, at));
}

#[target_feature(enable = "avx2")]
fn register_lanes(register: __m256) -> [f32; LANES] {
    transmute!(register)
}

/// Stores a row like [`store::write_row`], rounding in hardware.
#[target_feature(enable = "avx2,f16c")]
fn store_row(from: &[f32], images: &mut PatchImages<'_>, at: usize) {
    let PatchImages::F16(values) = images else { return store::write_row(from, images, at) };
    let (groups, rest) = from.as_chunks::<LANES>();
    let bits = values[at..at + from.len()].reinterpret_cast_mut();
    let (out, rest_out) = bits.as_chunks_mut::<LANES>();
    for (out, group) in out.iter_mut().zip(groups) {
        *out = transmute!(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(transmute!(*group)));
    }
    for (out, value) in rest_out.iter_mut().zip(rest) {
        *out = f16::from_f32(*value).to_bits();
    }
}
