//! The kernel with AVX2: eight voxels of a row at a time, four modalities of two in one load.
//!
//! Interleaved voxels make it work: the two neighbours along x of a place are 16 contiguous bytes,
//! so eight corners of four modalities are four loads and no gather. Each voxel's sums are kept as
//! [left neighbour: 4 modalities | right neighbour: 4 modalities]; two voxels are then weighted along
//! x together, and eight are transposed to planes.
//!
//! No FMA, and the order of `scalar`: the results are the same bits.

use std::arch::x86_64::*;
use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
use zerocopy::transmute;

use crate::cache::contents::RawVoxel;
use crate::pipeline::augment::kernel::row::{Planes, Row};
use crate::pipeline::augment::kernel::scalar::{
    WEIGHT_BITS, WEIGHT_STEP, copy_labels, put_place, put_voxel,
};
use crate::pipeline::augment::kernel::{Images, Job, each_row, store};
use crate::pipeline::augment::placement::{FRACTION_BITS, Run, Walk};
use crate::pipeline::augment::tone::LANES;
use crate::pipeline::augment::view::View;

/// Makes a patch.
#[target_feature(enable = "avx2,f16c")]
pub(super) fn render(job: &Job<'_>, images: Images<'_>, labels: &mut [u8]) {
    let placement = job.recipe.placement();
    let aligned = placement.is_aligned();
    let gather = |z, y, row: &mut Row, labels: &mut [u8]| {
        if aligned {
            return gather_run(job.view, placement.run(z, y), row, labels);
        }
        gather_walk(job.view, &placement.walk(z, y), placement.plane_ahead(), row, labels)
    };
    let tones = job.recipe.tones();
    let tone = |channel: usize, raw: &mut [f32], mass: &[f32], first| {
        tones[channel].apply(raw, mass, first)
    };
    each_row(job, images, labels, gather, tone, |from, images, at| store_row(from, images, at));
}

/// Fills a row that is interpolated: groups where all neighbours are inside the box, voxel by voxel
/// at its border.
#[target_feature(enable = "avx2")]
fn gather_walk(
    view: &View<'_>,
    walk: &Walk,
    plane_ahead: isize,
    row: &mut Row,
    labels: &mut [u8],
) -> Range<usize> {
    let reach = walk.reach(row.width(), view.dims());
    labels.fill(0);
    if reach.is_empty() {
        return 0..0;
    }
    let interior = walk.interior(row.width(), view.dims());
    let grouped = if interior.len() < LANES { reach.start..reach.start } else { interior };
    for x in (reach.start..grouped.start).chain(grouped.end..reach.end) {
        put_place(view, walk, x, row, labels);
    }
    let steps = Steps::new(view, walk, plane_ahead);
    let mut planes = row.planes(&(0..row.width()));
    for x in grouped.clone().step_by(LANES) {
        // The last group begins earlier rather than ends later: some voxels are made twice.
        let first = x.min(grouped.end - LANES);
        put_group(view, walk, &steps, first, &mut planes, labels);
    }
    row.prepare(&reach)
}

/// What is the same for all groups of a row.
struct Steps {
    /// Per axis: how far voxels 0, 1, 4, 5 and 2, 3, 6, 7 of a group are from its first.
    ahead: [[__m256i; 2]; 3],
    /// From a voxel to the next along `[z, y]`, in places.
    plane: usize,
    line: usize,
    /// From a voxel's cell to those that the same voxel of the next plane will need.
    next: [isize; 2],
}

impl Steps {
    #[target_feature(enable = "avx2")]
    fn new(view: &View<'_>, walk: &Walk, plane_ahead: isize) -> Self {
        let mut ahead = [[_mm256_setzero_si256(); 2]; 3];
        for (ahead, step) in ahead.iter_mut().zip(walk.step) {
            ahead[0] = _mm256_set_epi64x(5 * step, 4 * step, step, 0);
            ahead[1] = _mm256_set_epi64x(7 * step, 6 * step, 3 * step, 2 * step);
        }
        let [_, height, width] = view.dims().0;
        let plane = height * width;
        let next = [plane_ahead, plane_ahead + plane as isize];
        Self { ahead, plane, line: width, next }
    }
}

/// Where the eight voxels of a group lie along one axis.
struct Along {
    /// Whole voxels, as `i32`.
    cell: __m256i,
    /// All ones where the next voxel is nearer.
    nearer_next: __m256i,
    /// Weight of the next voxel, 0 to 1.
    weight: __m256,
}

/// Splits eight places into whole voxels and weights.
#[target_feature(enable = "avx2")]
fn split(start: i64, ahead: [__m256i; 2]) -> Along {
    const UPPER: i32 = 0b11_01_11_01;
    const LOWER: i32 = 0b10_00_10_00;
    const BELOW: i32 = (FRACTION_BITS - WEIGHT_BITS) as i32;
    let start = _mm256_set1_epi64x(start);
    let (a, b) = (_mm256_add_epi64(start, ahead[0]), _mm256_add_epi64(start, ahead[1]));
    let cell = _mm256_srai_epi32::<{ FRACTION_BITS as i32 - 32 }>(halves::<UPPER>(a, b));
    let (a, b) = (_mm256_srli_epi64::<BELOW>(a), _mm256_srli_epi64::<BELOW>(b));
    let mask = _mm256_set1_epi32((1 << WEIGHT_BITS) - 1);
    let steps = _mm256_and_si256(halves::<LOWER>(a, b), mask);
    let highest_bit_first = _mm256_slli_epi32::<{ 32 - WEIGHT_BITS as i32 }>(steps);
    let nearer_next = _mm256_srai_epi32::<31>(highest_bit_first);
    let weight = _mm256_mul_ps(_mm256_cvtepi32_ps(steps), _mm256_set1_ps(WEIGHT_STEP));
    Along { cell, nearer_next, weight }
}

/// One 32-bit half of each of eight 64-bit numbers. With the numbers of a group given as 0, 1, 4, 5
/// and 2, 3, 6, 7 they come out in order.
#[target_feature(enable = "avx2")]
fn halves<const WHICH: i32>(a: __m256i, b: __m256i) -> __m256i {
    let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    _mm256_castps_si256(_mm256_shuffle_ps::<WHICH>(a, b))
}

/// Interpolates the eight voxels from `x` on, all of whose neighbours are inside the box.
#[target_feature(enable = "avx2")]
fn put_group(
    view: &View<'_>,
    walk: &Walk,
    steps: &Steps,
    x: usize,
    planes: &mut Planes<'_>,
    labels: &mut [u8],
) {
    let start = walk.at(x);
    let [z, y, x_along] = [
        split(start[0], steps.ahead[0]),
        split(start[1], steps.ahead[1]),
        split(start[2], steps.ahead[2]),
    ];
    let (plane, line) =
        (_mm256_set1_epi32(steps.plane as i32), _mm256_set1_epi32(steps.line as i32));
    let along_z = _mm256_mullo_epi32(z.cell, plane);
    let along_y = _mm256_mullo_epi32(y.cell, line);
    let places = _mm256_add_epi32(_mm256_add_epi32(along_z, along_y), x_along.cell);
    if let Some(all) = view.labels() {
        let nearest = _mm256_add_epi32(places, _mm256_and_si256(z.nearer_next, plane));
        let nearest = _mm256_add_epi32(nearest, _mm256_and_si256(y.nearer_next, line));
        let nearest: [i32; LANES] = transmute!(_mm256_sub_epi32(nearest, x_along.nearer_next));
        for (label, place) in labels[x..x + LANES].iter_mut().zip(nearest) {
            *label = all[place as usize];
        }
    }
    let one = _mm256_set1_ps(1.0);
    let (opposite_z, opposite_y) = (_mm256_sub_ps(one, z.weight), _mm256_sub_ps(one, y.weight));
    let corners = Corners {
        places: [
            transmute!(places),
            transmute!(_mm256_add_epi32(places, line)),
            transmute!(_mm256_add_epi32(places, plane)),
            transmute!(_mm256_add_epi32(_mm256_add_epi32(places, plane), line)),
        ],
        weights: [
            transmute!(_mm256_mul_ps(opposite_z, opposite_y)),
            transmute!(_mm256_mul_ps(opposite_z, y.weight)),
            transmute!(_mm256_mul_ps(z.weight, opposite_y)),
            transmute!(_mm256_mul_ps(z.weight, y.weight)),
        ],
    };
    for n in [0usize, 4] {
        let at = view.images().as_ptr().wrapping_add(corners.places[0][n] as usize);
        for ahead in steps.next {
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_offset(ahead).cast());
        }
    }
    let (raw_0, mass_0) = pair::<0, 0b00_00_00_00>(view.images(), &corners, x_along.weight);
    let (raw_1, mass_1) = pair::<1, 0b01_01_01_01>(view.images(), &corners, x_along.weight);
    let (raw_2, mass_2) = pair::<2, 0b10_10_10_10>(view.images(), &corners, x_along.weight);
    let (raw_3, mass_3) = pair::<3, 0b11_11_11_11>(view.images(), &corners, x_along.weight);
    let raw = transpose([raw_0, raw_1, raw_2, raw_3]);
    let mass = transpose([mass_0, mass_1, mass_2, mass_3]);
    for (channel, (raw_out, mass_out)) in planes.iter_mut().enumerate() {
        raw_out[x..x + LANES].copy_from_slice(&lanes(raw[channel]));
        mass_out[x..x + LANES].copy_from_slice(&lanes(mass[channel]));
    }
}

/// The neighbours of a group's voxels.
struct Corners {
    /// Of the first of each of the four pairs of neighbours along x, per voxel.
    places: [[u32; LANES]; 4],
    /// Of the pairs, per voxel.
    weights: [[f32; LANES]; 4],
}

/// Voxels `N` and `N + 4` of a group: raw values and masses, four modalities each.
/// `SAME` selects element `N` four times.
#[target_feature(enable = "avx2")]
fn pair<const N: usize, const SAME: i32>(
    images: &[RawVoxel],
    corners: &Corners,
    weight_x: __m256,
) -> (__m256, __m256) {
    let a = neighbours(images, corners.places.map(|places| places[N]));
    let b = neighbours(images, corners.places.map(|places| places[N + 4]));
    let all = _mm_or_si128(any(a), any(b));
    if _mm_testz_si128(all, all) == 1 {
        return (_mm256_setzero_ps(), _mm256_setzero_ps()); // Half of a brain's box is air.
    }
    let (raw_a, mass_a) = sums(a, corners.weights.map(|weights| weights[N]));
    let (raw_b, mass_b) = sums(b, corners.weights.map(|weights| weights[N + 4]));
    let weight = _mm256_shuffle_ps::<SAME>(weight_x, weight_x);
    (between(raw_a, raw_b, weight), between(mass_a, mass_b, weight))
}

/// The pairs of neighbours along x whose first are at `places`.
#[target_feature(enable = "avx2")]
fn neighbours(images: &[RawVoxel], places: [u32; 4]) -> [__m128i; 4] {
    let mut pairs = [_mm_setzero_si128(); 4];
    for (pair, place) in pairs.iter_mut().zip(places) {
        let place = place as usize;
        assert!(place + 1 < images.len(), "neighbours of an interior place are inside the box");
        *pair = transmute!([images[place], images[place + 1]]);
    }
    pairs
}

/// Bits that are set in any pair.
#[target_feature(enable = "avx2")]
fn any(pairs: [__m128i; 4]) -> __m128i {
    _mm_or_si128(_mm_or_si128(pairs[0], pairs[1]), _mm_or_si128(pairs[2], pairs[3]))
}

/// Weighted sums over the four pairs of neighbours: raw values, and what is not air.
#[target_feature(enable = "avx2")]
fn sums(pairs: [__m128i; 4], weights: [f32; 4]) -> (__m256, __m256) {
    let zero = _mm256_setzero_ps();
    let (mut raw, mut mass) = (zero, zero);
    for (pair, weight) in pairs.into_iter().zip(weights) {
        let values = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(pair));
        let weight = _mm256_set1_ps(weight);
        let tissue = _mm256_cmp_ps::<_CMP_NEQ_OQ>(values, zero);
        raw = _mm256_add_ps(raw, _mm256_mul_ps(weight, values));
        mass = _mm256_add_ps(mass, _mm256_and_ps(tissue, weight));
    }
    (raw, mass)
}

/// Between the left and the right neighbours of two voxels.
#[target_feature(enable = "avx2")]
fn between(a: __m256, b: __m256, weight: __m256) -> __m256 {
    let left = _mm256_permute2f128_ps::<0x20>(a, b);
    let right = _mm256_permute2f128_ps::<0x31>(a, b);
    _mm256_add_ps(left, _mm256_mul_ps(weight, _mm256_sub_ps(right, left)))
}

/// From voxels (N, N + 4), four modalities each, to modalities of eight voxels each.
#[target_feature(enable = "avx2")]
fn transpose([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    [
        _mm256_shuffle_ps::<0b01_00_01_00>(ab_low, cd_low),
        _mm256_shuffle_ps::<0b11_10_11_10>(ab_low, cd_low),
        _mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
        _mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
    ]
}

/// A register's content.
#[target_feature(enable = "avx2")]
fn lanes(register: __m256) -> [f32; LANES] {
    transmute!(register)
}

/// Fills a row of voxels that are taken as they are.
#[target_feature(enable = "avx2")]
fn gather_run(view: &View<'_>, run: Option<Run>, row: &mut Row, labels: &mut [u8]) -> Range<usize> {
    copy_labels(view, run.as_ref(), labels);
    let Some(run) = run else { return 0..0 };
    let touched = run.first..run.first + run.source.len();
    let source = &view.images()[run.source];
    let mut planes = row.planes(&touched);
    let (groups, rest) = source.as_chunks::<LANES>();
    for (number, voxels) in groups.iter().enumerate() {
        let ahead = number * LANES;
        let x = if run.reversed { source.len() - ahead - LANES } else { ahead };
        put_voxels(voxels, run.reversed, x, &mut planes);
    }
    for (step, voxel) in rest.iter().enumerate() {
        let ahead = groups.len() * LANES + step;
        let x = if run.reversed { touched.end - 1 - ahead } else { touched.start + ahead };
        put_voxel(voxel, x, row);
    }
    row.prepare(&touched)
}

/// Puts eight voxels as they are, or in reverse.
#[target_feature(enable = "avx2")]
fn put_voxels(voxels: &[RawVoxel; LANES], reversed: bool, x: usize, planes: &mut Planes<'_>) {
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
    for ((raw_out, mass_out), values) in planes.iter_mut().zip(by_modality) {
        let ordered = if reversed { _mm_shuffle_epi8(values, backwards) } else { values };
        let raw = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(ordered));
        let tissue = _mm256_cmp_ps::<_CMP_NEQ_OQ>(raw, _mm256_setzero_ps());
        let mass = _mm256_and_ps(tissue, _mm256_set1_ps(1.0));
        raw_out[x..x + LANES].copy_from_slice(&lanes(raw));
        mass_out[x..x + LANES].copy_from_slice(&lanes(mass));
    }
}

/// As [`store::row`], with the processor's own rounding.
#[target_feature(enable = "avx2,f16c")]
fn store_row(from: &[f32], images: &mut Images<'_>, at: usize) {
    let Images::F16(values) = images else { return store::row(from, images, at) };
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
