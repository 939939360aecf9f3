//! Rows whose voxels are copied.

use std::arch::x86_64::*;
use std::ops::Range;

use zerocopy::transmute;

use crate::augment::kernel::avx2::register_lanes;
use crate::augment::kernel::row::PatchRow;
use crate::augment::kernel::scalar::{copy_targets, copy_voxel};
use crate::augment::kernel::{IntoTarget, PatchJob, Target};
use crate::augment::placement::AlignedRow;
use crate::augment::tone::LANES;
use crate::cache::RawVoxel;

/// Fills an aligned row; the next one is `line_ahead` voxels further.
#[target_feature(enable = "avx2")]
pub(super) fn gather_aligned<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    run: Option<AlignedRow>,
    line_ahead: isize,
    row: &mut PatchRow,
    targets: &mut [T],
) -> Range<usize> {
    copy_targets(job, run.as_ref(), targets);
    let Some(run) = run else { return 0..0 };
    let touched = run.first..run.first + run.source.len();
    let source = &job.view.images()[run.source];
    let (groups, rest) = source.as_chunks::<LANES>();
    for (number, voxels) in groups.iter().enumerate() {
        // The next row does not continue this one in memory: prefetching it saves a third of the
        // time in the profile `light`.
        _mm_prefetch::<_MM_HINT_T0>(voxels.as_ptr().wrapping_offset(line_ahead).cast());
        let ahead = number * LANES;
        let x = if run.reversed { touched.end - LANES - ahead } else { touched.start + ahead };
        copy_voxels(voxels, run.reversed, x, row);
    }
    for (step, voxel) in rest.iter().enumerate() {
        let ahead = groups.len() * LANES + step;
        let x = if run.reversed { touched.end - 1 - ahead } else { touched.start + ahead };
        copy_voxel(voxel, x, row);
    }
    row.clear_group_edges(&touched)
}

/// Copies eight voxels, in reverse if asked.
#[target_feature(enable = "avx2")]
fn copy_voxels(voxels: &[RawVoxel; LANES], reversed: bool, x: usize, row: &mut PatchRow) {
    let loaded: [__m128i; 4] = transmute!(*voxels);
    let [a, b, c, d] = loaded;
    // Voxels 0 to 3 and 4 to 7, each by modality: 1 1 1 1 2 2 2 2 and 3 3 3 3 4 4 4 4.
    let (even, odd) = (_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b));
    let front = [_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd)];
    let (even, odd) = (_mm_unpacklo_epi16(c, d), _mm_unpackhi_epi16(c, d));
    let back = [_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd)];
    let by_modality = [
        _mm_unpacklo_epi64(front[0], back[0]),
        _mm_unpackhi_epi64(front[0], back[0]),
        _mm_unpacklo_epi64(front[1], back[1]),
        _mm_unpackhi_epi64(front[1], back[1]),
    ];
    let backwards = _mm_set_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    let raw = by_modality.map(|values| {
        let ordered = if reversed { _mm_shuffle_epi8(values, backwards) } else { values };
        _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(ordered))
    });
    let mass = raw.map(|raw| {
        let tissue = _mm256_cmp_ps::<_CMP_NEQ_OQ>(raw, _mm256_setzero_ps());
        _mm256_and_ps(tissue, _mm256_set1_ps(1.0))
    });
    row.store_group(
        x,
        &raw.map(|plane| register_lanes(plane)),
        &mass.map(|plane| register_lanes(plane)),
    );
}
