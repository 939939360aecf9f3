//! Interpolates groups of eight voxels between their neighbours.
//!
//! Each voxel's sums are kept as [left neighbours: 4 modalities | right neighbours: 4 modalities]; two
//! voxels are then weighted along x together, and eight are transposed to planes. Where all neighbours of a
//! group are tissue, which most are, its masses are the sums of its weights; where none is, all is 0.

use std::arch::x86_64::*;

use zerocopy::transmute;

use crate::augment::kernel::avx2::register_lanes;
use crate::augment::kernel::neighbours::{GroupNeighbours, VoxelGroup, VoxelNeighbours};
use crate::augment::kernel::row::PatchRow;
use crate::augment::tone::LANES;

/// Interpolates raw values and masses of `groups` into the row from voxel `x` on, the last group from voxel `last`
/// on at the latest.
///
/// # Panics
/// If a group reaches beyond the row.
#[target_feature(enable = "avx2")]
pub(super) fn interpolate_groups(
    groups: &GroupNeighbours<'_, LANES>,
    row: &mut PatchRow,
    x: usize,
    last: usize,
) {
    for (number, neighbours) in groups.iter().enumerate() {
        interpolate_group(&neighbours, row, (x + number * LANES).min(last));
    }
}

/// Interpolates a group into the row from voxel `x` on.
#[target_feature(enable = "avx2")]
#[inline]
fn interpolate_group(neighbours: &VoxelNeighbours<'_, LANES>, row: &mut PatchRow, x: usize) {
    let group = neighbours.group;
    let a = sum_pair::<0, 4, 0b00_00_00_00>(neighbours);
    let b = sum_pair::<1, 5, 0b01_01_01_01>(neighbours);
    let c = sum_pair::<2, 6, 0b10_10_10_10>(neighbours);
    let d = sum_pair::<3, 7, 0b11_11_11_11>(neighbours);
    let zero = _mm256_setzero_ps();
    let (raw, mass) = match a.tissue + b.tissue + c.tissue + d.tissue {
        0 => ([zero; 4], [zero; 4]),
        shares => {
            let mass = if shares == 4 * ALL_TISSUE {
                // Left and right are the same sum of weights, which is what lies between.
                let [a, b, c, d]: [__m256; 4] = transmute!(group.weights);
                [_mm256_add_ps(_mm256_add_ps(_mm256_add_ps(a, b), c), d); 4]
            } else {
                sum_masses(neighbours)
            };
            (transpose_planes([a.raw, b.raw, c.raw, d.raw]), mass)
        }
    };
    row.store_group(
        x,
        &raw.map(|plane| register_lanes(plane)),
        &mass.map(|plane| register_lanes(plane)),
    );
}

/// Share of a pair whose neighbours are all tissue; that of one without tissue is 0, others lie between.
const ALL_TISSUE: u32 = 16;

/// Raw values of two voxels, four modalities each.
struct PairSums {
    raw: __m256,
    /// 0 without tissue, [`ALL_TISSUE`] without background, 1 otherwise.
    tissue: u32,
}

/// Interpolates voxels `A` and `B = A + 4` of a group. `SAME` selects element `A` of each four.
#[target_feature(enable = "avx2")]
#[inline]
fn sum_pair<const A: usize, const B: usize, const SAME: i32>(
    neighbours: &VoxelNeighbours<'_, LANES>,
) -> PairSums {
    let (of_a, of_b) = (load_lines::<A>(neighbours), load_lines::<B>(neighbours));
    // As unsigned numbers, the lowest is 0 if and only if one is.
    let lowest = _mm_min_epu16(lowest_codes(of_a), lowest_codes(of_b));
    let background = _mm_cmpeq_epi16(lowest, _mm_setzero_si128());
    let mut tissue = ALL_TISSUE;
    if _mm_testz_si128(background, background) == 0 {
        let any = _mm_or_si128(any_bits(of_a), any_bits(of_b));
        if _mm_testz_si128(any, any) == 1 {
            return PairSums { raw: _mm256_setzero_ps(), tissue: 0 }; // Half of a brain's box is air.
        }
        tissue = 1;
    }
    let raw_a = sum_raw::<A>(of_a, neighbours.group);
    let raw_b = sum_raw::<B>(of_b, neighbours.group);
    PairSums { raw: lerp_pairs::<SAME>(raw_a, raw_b, neighbours.group), tissue }
}

/// Masses of a group that lies on the edge of tissue.
#[target_feature(enable = "avx2")]
#[inline(never)]
fn sum_masses(neighbours: &VoxelNeighbours<'_, LANES>) -> [__m256; 4] {
    transpose_planes([
        pair_masses::<0, 4, 0b00_00_00_00>(neighbours),
        pair_masses::<1, 5, 0b01_01_01_01>(neighbours),
        pair_masses::<2, 6, 0b10_10_10_10>(neighbours),
        pair_masses::<3, 7, 0b11_11_11_11>(neighbours),
    ])
}

#[target_feature(enable = "avx2")]
#[inline]
fn pair_masses<const A: usize, const B: usize, const SAME: i32>(
    neighbours: &VoxelNeighbours<'_, LANES>,
) -> __m256 {
    let mass_a = sum_mass::<A>(load_lines::<A>(neighbours), neighbours.group);
    let mass_b = sum_mass::<B>(load_lines::<B>(neighbours), neighbours.group);
    lerp_pairs::<SAME>(mass_a, mass_b, neighbours.group)
}

/// Loads the pairs of neighbours along x of a voxel.
#[target_feature(enable = "avx2")]
#[inline]
fn load_lines<const VOXEL: usize>(neighbours: &VoxelNeighbours<'_, LANES>) -> [__m128i; 4] {
    [
        neighbours.load_pair::<0, VOXEL>(),
        neighbours.load_pair::<1, VOXEL>(),
        neighbours.load_pair::<2, VOXEL>(),
        neighbours.load_pair::<3, VOXEL>(),
    ]
}

#[target_feature(enable = "avx2")]
#[inline]
fn any_bits(pairs: [__m128i; 4]) -> __m128i {
    _mm_or_si128(_mm_or_si128(pairs[0], pairs[1]), _mm_or_si128(pairs[2], pairs[3]))
}

#[target_feature(enable = "avx2")]
#[inline]
fn lowest_codes(pairs: [__m128i; 4]) -> __m128i {
    _mm_min_epu16(_mm_min_epu16(pairs[0], pairs[1]), _mm_min_epu16(pairs[2], pairs[3]))
}

/// Weighted sums of the raw values of a voxel's four pairs of neighbours.
///
/// The first product is not added to 0 as in `scalar`: that would only tell -0 from 0, and the sum is -0
/// only if all products are, while one of the weights is above 0 and its product no 0 below.
#[target_feature(enable = "avx2")]
#[inline]
fn sum_raw<const VOXEL: usize>(pairs: [__m128i; 4], group: &VoxelGroup<LANES>) -> __m256 {
    let [a, b, c, d] = pairs;
    let [of_a, of_b, of_c, of_d] = &group.weights;
    let sum = _mm256_add_ps(weighted(a, of_a[VOXEL]), weighted(b, of_b[VOXEL]));
    _mm256_add_ps(_mm256_add_ps(sum, weighted(c, of_c[VOXEL])), weighted(d, of_d[VOXEL]))
}

#[target_feature(enable = "avx2")]
#[inline]
fn weighted(pair: __m128i, weight: f32) -> __m256 {
    let values = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(pair));
    _mm256_mul_ps(_mm256_set1_ps(weight), values)
}

/// Sums of the weights of a voxel's four pairs of neighbours that lie on tissue.
#[target_feature(enable = "avx2")]
#[inline]
fn sum_mass<const VOXEL: usize>(pairs: [__m128i; 4], group: &VoxelGroup<LANES>) -> __m256 {
    let mut mass = _mm256_setzero_ps();
    for (pair, weights) in pairs.into_iter().zip(&group.weights) {
        let background = _mm_cmpeq_epi16(pair, _mm_setzero_si128());
        let background = _mm256_castsi256_ps(_mm256_cvtepi16_epi32(background));
        let weight = _mm256_andnot_ps(background, _mm256_set1_ps(weights[VOXEL]));
        mass = _mm256_add_ps(mass, weight);
    }
    mass
}

/// Interpolates two voxels between their left and right neighbours.
#[target_feature(enable = "avx2")]
#[inline]
fn lerp_pairs<const SAME: i32>(a: __m256, b: __m256, group: &VoxelGroup<LANES>) -> __m256 {
    let weights_x: __m256 = transmute!(group.weights_x);
    let weight = _mm256_shuffle_ps::<SAME>(weights_x, weights_x);
    let left = _mm256_permute2f128_ps::<0x20>(a, b);
    let right = _mm256_permute2f128_ps::<0x31>(a, b);
    _mm256_add_ps(left, _mm256_mul_ps(weight, _mm256_sub_ps(right, left)))
}

/// Transposes voxels (N, N + 4) of four modalities to modalities of eight voxels.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose_planes([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    [
        _mm256_shuffle_ps::<0b01_00_01_00>(ab_low, cd_low),
        _mm256_shuffle_ps::<0b11_10_11_10>(ab_low, cd_low),
        _mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
        _mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
    ]
}
