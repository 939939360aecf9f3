//! Interpolates groups of eight voxels between their neighbours.
//!
//! Each voxel's sums are kept as [left neighbours: 4 modalities | right neighbours: 4 modalities]; two
//! voxels are then weighted along x together, and eight are transposed to planes.

use std::arch::x86_64::*;

use zerocopy::transmute;

use crate::augment::kernel::avx2::places::VoxelGroup;
use crate::cache::RawVoxel;

/// Interpolates raw values and masses of eight voxels, per modality.
#[target_feature(enable = "avx2")]
pub(super) fn interpolate_group(
    images: &[RawVoxel],
    group: &VoxelGroup,
) -> ([__m256; 4], [__m256; 4]) {
    let (raw_0, mass_0) = interpolate_pair::<0, 0b00_00_00_00>(images, group);
    let (raw_1, mass_1) = interpolate_pair::<1, 0b01_01_01_01>(images, group);
    let (raw_2, mass_2) = interpolate_pair::<2, 0b10_10_10_10>(images, group);
    let (raw_3, mass_3) = interpolate_pair::<3, 0b11_11_11_11>(images, group);
    let raw = transpose_planes([raw_0, raw_1, raw_2, raw_3]);
    let mass = transpose_planes([mass_0, mass_1, mass_2, mass_3]);
    (raw, mass)
}

/// Interpolates voxels `N` and `N + 4` of a group: raw values and masses, four modalities each.
/// `SAME` selects element `N` four times.
#[target_feature(enable = "avx2")]
fn interpolate_pair<const N: usize, const SAME: i32>(
    images: &[RawVoxel],
    group: &VoxelGroup,
) -> (__m256, __m256) {
    let a = load_neighbours(images, group.places.map(|places| places[N]));
    let b = load_neighbours(images, group.places.map(|places| places[N + 4]));
    let all = _mm_or_si128(any_bits(a), any_bits(b));
    if _mm_testz_si128(all, all) == 1 {
        return (_mm256_setzero_ps(), _mm256_setzero_ps()); // Half of a brain's box is air.
    }
    let (raw_a, mass_a) = weighted_sums(a, group.weights.map(|weights| weights[N]));
    let (raw_b, mass_b) = weighted_sums(b, group.weights.map(|weights| weights[N + 4]));
    let weights_x: __m256 = transmute!(group.weights_x);
    let weight = _mm256_shuffle_ps::<SAME>(weights_x, weights_x);
    (lerp_pairs(raw_a, raw_b, weight), lerp_pairs(mass_a, mass_b, weight))
}

/// Loads the pairs of neighbours along x that begin at `places`.
#[target_feature(enable = "avx2")]
fn load_neighbours(images: &[RawVoxel], places: [u32; 4]) -> [__m128i; 4] {
    let mut pairs = [_mm_setzero_si128(); 4];
    for (pair, place) in pairs.iter_mut().zip(places) {
        let place = place as usize;
        assert!(place + 1 < images.len(), "neighbours of an interior place are inside the box");
        *pair = transmute!([images[place], images[place + 1]]);
    }
    pairs
}

#[target_feature(enable = "avx2")]
fn any_bits(pairs: [__m128i; 4]) -> __m128i {
    _mm_or_si128(_mm_or_si128(pairs[0], pairs[1]), _mm_or_si128(pairs[2], pairs[3]))
}

/// Weighted sums over the four pairs of neighbours: raw values, and the mass of tissue.
#[target_feature(enable = "avx2")]
fn weighted_sums(pairs: [__m128i; 4], weights: [f32; 4]) -> (__m256, __m256) {
    let zero = _mm256_setzero_ps();
    let mut raw = zero;
    let mut mass = zero;
    for (pair, weight) in pairs.into_iter().zip(weights) {
        let values = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(pair));
        let weight = _mm256_set1_ps(weight);
        let tissue = _mm256_cmp_ps::<_CMP_NEQ_OQ>(values, zero);
        raw = _mm256_add_ps(raw, _mm256_mul_ps(weight, values));
        mass = _mm256_add_ps(mass, _mm256_and_ps(tissue, weight));
    }
    (raw, mass)
}

/// Interpolates two voxels between their left and right neighbours.
#[target_feature(enable = "avx2")]
fn lerp_pairs(a: __m256, b: __m256, weight: __m256) -> __m256 {
    let left = _mm256_permute2f128_ps::<0x20>(a, b);
    let right = _mm256_permute2f128_ps::<0x31>(a, b);
    _mm256_add_ps(left, _mm256_mul_ps(weight, _mm256_sub_ps(right, left)))
}

/// Transposes voxels (N, N + 4) of four modalities to modalities of eight voxels.
#[target_feature(enable = "avx2")]
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
