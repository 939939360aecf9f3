//! Positions of eight voxels at a time: from fixed point to voxel indices and weights.

use std::arch::x86_64::*;

use zerocopy::transmute;

use crate::augment::kernel::neighbours::VoxelGroup;
use crate::augment::kernel::scalar::{WEIGHT_BITS, WEIGHT_STEP};
use crate::augment::placement::{FRACTION_BITS, RowRay};
use crate::augment::tone::LANES;
use crate::volume::Dims;

/// Offsets common to all groups of a row.
pub(super) struct GroupOffsets {
    /// Distances of voxels 0, 1, 4, 5 and 2, 3, 6, 7 of a group from its first, per axis.
    ahead: [[__m256i; 2]; 3],
    /// Strides of the box along z and y, in voxels.
    plane: __m256i,
    line: __m256i,
}

impl GroupOffsets {
    #[target_feature(enable = "avx2")]
    pub(super) fn new(walk: &RowRay, brain: Dims) -> Self {
        let mut ahead = [[_mm256_setzero_si256(); 2]; 3];
        for (ahead, step) in ahead.iter_mut().zip(walk.step) {
            ahead[0] = _mm256_set_epi64x(5 * step, 4 * step, step, 0);
            ahead[1] = _mm256_set_epi64x(7 * step, 6 * step, 3 * step, 2 * step);
        }
        let [_, height, width] = brain.0;
        let plane = _mm256_set1_epi32((height * width) as i32);
        Self { ahead, plane, line: _mm256_set1_epi32(width as i32) }
    }
}

/// Locates the eight voxels of a row from position `start` on.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn locate_group(start: [i64; 3], steps: &GroupOffsets, group: &mut VoxelGroup<LANES>) {
    let plane = steps.plane;
    let line = steps.line;
    let z = split_places(start[0], steps.ahead[0]);
    let y = split_places(start[1], steps.ahead[1]);
    let x = split_places(start[2], steps.ahead[2]);
    let along_z = _mm256_mullo_epi32(z.cell, plane);
    let along_y = _mm256_mullo_epi32(y.cell, line);
    let first = _mm256_add_epi32(_mm256_add_epi32(along_z, along_y), x.cell);
    let nearest = _mm256_add_epi32(first, _mm256_and_si256(z.nearer_next, plane));
    let nearest = _mm256_add_epi32(nearest, _mm256_and_si256(y.nearer_next, line));
    // All ones is -1.
    let nearest = _mm256_sub_epi32(nearest, x.nearer_next);
    let one = _mm256_set1_ps(1.0);
    let opposite_z = _mm256_sub_ps(one, z.weight);
    let opposite_y = _mm256_sub_ps(one, y.weight);
    group.places = transmute!(first);
    group.weights[0] = transmute!(_mm256_mul_ps(opposite_z, opposite_y));
    group.weights[1] = transmute!(_mm256_mul_ps(opposite_z, y.weight));
    group.weights[2] = transmute!(_mm256_mul_ps(z.weight, opposite_y));
    group.weights[3] = transmute!(_mm256_mul_ps(z.weight, y.weight));
    group.weights_x = transmute!(x.weight);
    group.nearest = transmute!(nearest);
}

/// Positions of a group's eight voxels along one axis.
struct AxisPlaces {
    /// Whole part, as `i32`.
    cell: __m256i,
    /// All ones where the next voxel is nearer.
    nearer_next: __m256i,
    /// Weight of the next voxel, 0 to 1.
    weight: __m256,
}

/// Splits eight positions into whole voxels and weights.
#[target_feature(enable = "avx2")]
#[inline]
fn split_places(start: i64, ahead: [__m256i; 2]) -> AxisPlaces {
    const UPPER: i32 = 0b11_01_11_01;
    const LOWER: i32 = 0b10_00_10_00;
    const BELOW: i32 = (FRACTION_BITS - WEIGHT_BITS) as i32;
    let start = _mm256_set1_epi64x(start);
    let (a, b) = (_mm256_add_epi64(start, ahead[0]), _mm256_add_epi64(start, ahead[1]));
    let cell = _mm256_srai_epi32::<{ FRACTION_BITS as i32 - 32 }>(select_halves::<UPPER>(a, b));
    let fraction =
        select_halves::<LOWER>(_mm256_srli_epi64::<BELOW>(a), _mm256_srli_epi64::<BELOW>(b));
    let steps = _mm256_and_si256(fraction, _mm256_set1_epi32((1 << WEIGHT_BITS) - 1));
    let highest_bit_first = _mm256_slli_epi32::<{ 32 - WEIGHT_BITS as i32 }>(steps);
    let nearer_next = _mm256_srai_epi32::<31>(highest_bit_first);
    let weight = _mm256_mul_ps(_mm256_cvtepi32_ps(steps), _mm256_set1_ps(WEIGHT_STEP));
    AxisPlaces { cell, nearer_next, weight }
}

/// Selects one 32-bit half of each of eight 64-bit numbers. Given as 0, 1, 4, 5 and 2, 3, 6, 7 they
/// come out in order.
#[target_feature(enable = "avx2")]
#[inline]
fn select_halves<const WHICH: i32>(a: __m256i, b: __m256i) -> __m256i {
    let selected = _mm256_shuffle_ps::<WHICH>(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    _mm256_castps_si256(selected)
}
