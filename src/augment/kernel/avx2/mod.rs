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

use crate::augment::kernel::avx2::run::gather_aligned;
use crate::augment::kernel::avx2::walk::{AHEAD, PLANES_AHEAD, gather_interpolated};
use crate::augment::kernel::neighbours::VoxelGroup;
use crate::augment::kernel::row::PatchRow;
use crate::augment::kernel::{
    FinishedRow, IntoTarget, PatchImages, PatchJob, Target, render_rows, store,
};
use crate::augment::tone::LANES;

#[target_feature(enable = "avx2,f16c")]
pub(super) fn render_patch<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    images: PatchImages<'_>,
    targets: &mut [T],
) {
    let placement = job.render_plan.placement();
    let aligned = placement.is_aligned();
    let planes_ahead = placement.plane_stride(PLANES_AHEAD);
    let line_ahead = placement.row_stride();
    let mut groups = [VoxelGroup::EMPTY; AHEAD];
    let gather = |z, y, row: &mut PatchRow, targets: &mut [T]| {
        if aligned {
            return gather_aligned(job, placement.aligned_row(z, y), line_ahead, row, targets);
        }
        gather_interpolated(job, &placement.row_ray(z, y), planes_ahead, &mut groups, row, targets)
    };
    render_rows(job, images, targets, gather, |row, images, at| finish_row(row, images, at));
}

#[target_feature(enable = "avx2")]
#[inline]
fn register_lanes(register: __m256) -> [f32; LANES] {
    transmute!(register)
}

/// Finishes a row like [`store::finish_row`], rounding in hardware; a linear map of it costs no pass of its
/// own.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn finish_row(row: FinishedRow<'_>, images: &mut PatchImages<'_>, at: usize) {
    let FinishedRow { raw, mass, map, first, length } = row;
    let (Some([gain, offset]), PatchImages::F16(values)) =
        (map.linear_coefficients(), &mut *images)
    else {
        map.apply_to_row(raw, mass, first);
        return store_row(&raw[..length], images, at);
    };
    let bits = values[at..at + length].reinterpret_cast_mut();
    let (out, rest_out) = bits.as_chunks_mut::<LANES>();
    let (gain_lanes, offset_lanes) = (_mm256_set1_ps(gain), _mm256_set1_ps(offset));
    let groups = raw.as_chunks::<LANES>().0.iter().zip(mass.as_chunks::<LANES>().0);
    for (out, (raw, mass)) in out.iter_mut().zip(groups) {
        let scaled = _mm256_mul_ps(gain_lanes, transmute!(*raw));
        let value = _mm256_add_ps(scaled, _mm256_mul_ps(offset_lanes, transmute!(*mass)));
        *out = transmute!(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value));
    }
    let from = length - rest_out.len();
    for (out, (raw, mass)) in rest_out.iter_mut().zip(raw[from..].iter().zip(&mass[from..])) {
        *out = f16::from_f32(gain * raw + offset * mass).to_bits();
    }
}

/// Stores a row, rounding in hardware.
#[target_feature(enable = "avx2,f16c")]
#[inline]
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
