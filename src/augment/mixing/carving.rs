//! The region around a donor's tumour, carved out of its voxels for one sample.

use crate::augment::mixing::distances::{SquaredDistances, greatest_value};
use crate::cache::RawVoxel;
use crate::volume::{Box3, Dims, label};

/// Target of a donor's voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::augment) struct CarvedVoxel {
    /// Canonical label.
    pub(in crate::augment) label: u8,
    /// True in the carved region.
    pub(in crate::augment) is_carved: bool,
}

/// Case that a region is carved out of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Donor<'a> {
    /// Raw voxels `[d, h, w]` of the brain box.
    pub(super) images: &'a [RawVoxel],
    /// Canonical labels.
    pub(super) labels: &'a [u8],
    pub(super) dims: Dims,
    /// Voxel edges in mm, `[z, y, x]`.
    pub(super) spacing_mm: [f64; 3],
}

/// Voxels of a carved region with those around it that interpolation reaches, and memory that is kept from sample
/// to sample.
#[derive(Debug, Default)]
pub(super) struct CarvingBuffers {
    /// Raw voxels `[d, h, w]`.
    pub(super) images: Vec<RawVoxel>,
    /// Targets of the same voxels.
    pub(super) targets: Vec<CarvedVoxel>,
    distances: SquaredDistances,
}

/// Membership in the carved region of the voxels of a box.
struct RegionMask<'a> {
    /// First corner in the donor's brain box; the ring around a tumour may lie outside.
    start: [isize; 3],
    dims: Dims,
    /// Squared distances in mm² of the box's voxels.
    distances_mm2: &'a [f32],
    edge: RegionEdge,
}

/// Edge of the region, as a squared distance in mm².
#[derive(Debug, Clone, Copy)]
enum RegionEdge {
    /// Carved is what lies farther than this from what is no tumour.
    Inside(f32),
    /// Carved is what lies nearer than this to the tumour.
    Outside(f32),
}

impl CarvingBuffers {
    /// Carves the region whose edge lies `shift` depths outside the tumour's, as far as it lies in `window`, and
    /// returns the box of the donor that `images` and `targets` hold then; `None` if there is no such voxel.
    pub(super) fn carve_region(
        &mut self,
        donor: Donor<'_>,
        shift: f32,
        window: Box3,
    ) -> Option<Box3> {
        let Self { images, targets, distances } = self;
        let tumour = find_tumour(donor.labels, donor.dims)?;
        let (ring, inside_mm2) = measure_inside(distances, donor, tumour);
        let depth_mm2 = greatest_value(inside_mm2);
        let edge_mm2 = (f64::from(shift).powi(2) * f64::from(depth_mm2)) as f32;
        let (reach, mask) = if shift > 0.0 {
            let margin = donor.spacing_mm.map(|edge| (f64::from(edge_mm2).sqrt() / edge).ceil());
            let margin = margin.map(|voxels| voxels as usize);
            let reach = grow_box(tumour, margin, donor.dims);
            // Tumour that lies farther from the window makes no voxel of it part of the region.
            let beside = common_box(reach, grow_box(window, margin, donor.dims))?;
            let mask = RegionMask {
                start: beside.start.map(|at| at as isize),
                dims: beside.dims,
                distances_mm2: measure_outside(distances, donor, beside, edge_mm2),
                edge: RegionEdge::Outside(edge_mm2),
            };
            (reach, mask)
        } else {
            let edge = RegionEdge::Inside(edge_mm2);
            let RingBox { start, dims } = ring;
            (tumour, RegionMask { start, dims, distances_mm2: inside_mm2, edge })
        };
        let kept = grow_box(common_box(reach, window)?, [1; 3], donor.dims);
        images.clear();
        targets.clear();
        for row in kept.row_ranges(donor.dims) {
            images.extend_from_slice(&donor.images[row.clone()]);
            let at = donor.dims.zyx_from_offset(row.start);
            mask.extend_with_row(targets, at, &donor.labels[row]);
        }
        targets.iter().any(|target| target.is_carved).then_some(kept)
    }
}

impl RegionMask<'_> {
    /// Appends the targets of a row of the donor that begins at `[z, y, x]` and has these labels.
    fn extend_with_row(&self, targets: &mut Vec<CarvedVoxel>, at: [usize; 3], labels: &[u8]) {
        let first = targets.len();
        targets.extend(labels.iter().map(|label| CarvedVoxel { label: *label, is_carved: false }));
        let [z, y, x] = [0, 1, 2].map(|axis| at[axis] as isize - self.start[axis]);
        let Dims([depth, height, width]) = self.dims;
        let is_in = |place: isize, side: usize| (0..side as isize).contains(&place);
        if !is_in(z, depth) || !is_in(y, height) {
            return;
        }
        let from = self.dims.offset_from_zyx([z as usize, y as usize, 0]);
        let measured = &self.distances_mm2[from..from + width];
        // The two rows begin at different places, and either may be the longer one.
        let skipped = x.min(0).unsigned_abs();
        let before = x.max(0) as usize;
        let beside = measured.get(before..).unwrap_or_default();
        for (target, mm2) in targets[first..].iter_mut().skip(skipped).zip(beside) {
            target.is_carved = match self.edge {
                RegionEdge::Inside(edge_mm2) => is_tumour(target.label) && *mm2 > edge_mm2,
                RegionEdge::Outside(edge_mm2) => *mm2 < edge_mm2,
            };
        }
    }
}

/// Grid of a measurement that may reach outside a donor's brain box.
struct RingBox {
    start: [isize; 3],
    dims: Dims,
}

/// Measures the distance of a tumour's voxels to what is no tumour. Outside the brain box there is none.
fn measure_inside<'a>(
    distances: &'a mut SquaredDistances,
    donor: Donor<'_>,
    tumour: Box3,
) -> (RingBox, &'a [f32]) {
    let ring = RingBox {
        start: tumour.start.map(|at| at as isize - 1),
        dims: Dims(tumour.dims.0.map(|side| side + 2)),
    };
    let [depth, height, width] = tumour.dims.0;
    let values = distances.measure(ring.dims, donor.spacing_mm, f32::INFINITY, |[z, y], row| {
        let is_ring = z == 0 || y == 0 || z > depth || y > height;
        if is_ring {
            return row.fill(0.0);
        }
        let at = [tumour.start[0] + z - 1, tumour.start[1] + y - 1, tumour.start[2]];
        let labels = &donor.labels[donor.dims.offset_from_zyx(at)..][..width];
        row[0] = 0.0;
        row[width + 1] = 0.0;
        for (value, label) in row[1..].iter_mut().zip(labels) {
            if !is_tumour(*label) {
                *value = 0.0;
            }
        }
    });
    (ring, values)
}

/// Measures the distance of the voxels of `beside` to the tumour in it, up to a limit.
fn measure_outside<'a>(
    distances: &'a mut SquaredDistances,
    donor: Donor<'_>,
    beside: Box3,
    limit_mm2: f32,
) -> &'a [f32] {
    distances.measure(beside.dims, donor.spacing_mm, limit_mm2, |[z, y], row| {
        let at = [beside.start[0] + z, beside.start[1] + y, beside.start[2]];
        let labels = &donor.labels[donor.dims.offset_from_zyx(at)..];
        for (value, label) in row.iter_mut().zip(labels) {
            if is_tumour(*label) {
                *value = 0.0;
            }
        }
    })
}

const fn is_tumour(canonical: u8) -> bool {
    canonical != label::BACKGROUND && canonical != label::IGNORE
}

/// Finds the smallest box around the tumour.
fn find_tumour(labels: &[u8], dims: Dims) -> Option<Box3> {
    let [_, height, width] = dims.0;
    let (mut low, mut high) = (dims.0, [0; 3]);
    for (number, row) in labels.chunks_exact(width).enumerate() {
        // Most rows have none, and a fold over a row is a few vector operations, which a search is not.
        if row.iter().fold(0, |any, label| any | u8::from(is_tumour(*label))) == 0 {
            continue;
        }
        let first = row.iter().position(|label| is_tumour(*label)).unwrap_or(0);
        let last = row.iter().rposition(|label| is_tumour(*label)).unwrap_or(first);
        for (axis, [from, to]) in
            [[number / height; 2], [number % height; 2], [first, last]].into_iter().enumerate()
        {
            low[axis] = low[axis].min(from);
            high[axis] = high[axis].max(to + 1);
        }
    }
    (high[0] > 0).then(|| Box3 {
        start: low,
        dims: Dims(std::array::from_fn(|axis| high[axis] - low[axis])),
    })
}

/// Adds a margin to a box, clipped to the grid.
fn grow_box(inner: Box3, margin: [usize; 3], dims: Dims) -> Box3 {
    let start: [usize; 3] =
        std::array::from_fn(|axis| inner.start[axis].saturating_sub(margin[axis]));
    let end =
        |axis: usize| (inner.start[axis] + inner.dims.0[axis] + margin[axis]).min(dims.0[axis]);
    Box3 { start, dims: Dims(std::array::from_fn(|axis| end(axis) - start[axis])) }
}

/// Voxels that two boxes share.
fn common_box(first: Box3, second: Box3) -> Option<Box3> {
    let start: [usize; 3] = std::array::from_fn(|axis| first.start[axis].max(second.start[axis]));
    let end = |of: Box3, axis: usize| of.start[axis] + of.dims.0[axis];
    let sides: [usize; 3] = std::array::from_fn(|axis| {
        end(first, axis).min(end(second, axis)).saturating_sub(start[axis])
    });
    (!sides.contains(&0)).then_some(Box3 { start, dims: Dims(sides) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn carve(donor: Donor<'_>, shift: f32, window: Box3) -> Vec<[usize; 3]> {
        let mut memory = CarvingBuffers::default();
        let Some(kept) = memory.carve_region(donor, shift, window) else { return Vec::new() };
        let of_kept = |place: usize| -> [usize; 3] {
            let at = kept.dims.zyx_from_offset(place);
            std::array::from_fn(|axis| kept.start[axis] + at[axis])
        };
        let carved = (0..memory.targets.len()).filter(|place| memory.targets[*place].is_carved);
        carved.map(of_kept).filter(|at| window.contains_voxel(*at)).collect()
    }

    #[test]
    fn a_region_grows_in_mm_not_in_voxels() {
        let dims = Dims::cube(5);
        let mut labels = vec![label::BACKGROUND; dims.voxel_count()];
        labels[dims.offset_from_zyx([2; 3])] = label::ET;
        let images = vec![RawVoxel::default(); dims.voxel_count()];
        let donor = Donor { images: &images, labels: &labels, dims, spacing_mm: [1.0, 2.0, 2.0] };
        let whole = Box3 { start: [0; 3], dims };
        // Its depth is 1 mm, so 1.5 mm are as far as the region reaches: one voxel along z, none along y and x.
        assert_eq!(carve(donor, 1.5, whole), [[1, 2, 2], [2, 2, 2], [3, 2, 2]]);
    }

    /// Distance in mm to the nearest voxel on the other side of the tumour's edge, negative inside; what lies
    /// beside the brain box is no tumour.
    fn signed_distances(labels: &[u8], dims: Dims, spacing_mm: [f64; 3]) -> Vec<f64> {
        let grown = Dims(dims.0.map(|side| side + 2));
        let sides = |place: usize| {
            let at: [usize; 3] = grown.zyx_from_offset(place);
            let within = at.map(|along| along.wrapping_sub(1));
            let is_within = (0..3).all(|axis| within[axis] < dims.0[axis]);
            (at, is_within, is_within && is_tumour(labels[dims.offset_from_zyx(within)]))
        };
        let all: Vec<_> = (0..grown.voxel_count()).map(sides).collect();
        let squared = |from: [usize; 3], to: [usize; 3]| -> f64 {
            (0..3)
                .map(|axis| (from[axis].abs_diff(to[axis]) as f64 * spacing_mm[axis]).powi(2))
                .sum()
        };
        let inside = all.iter().filter(|(_, is_within, _)| *is_within);
        let distance = |&(from, _, is_inside): &([usize; 3], bool, bool)| {
            let others = all.iter().filter(|(.., other)| *other != is_inside);
            let nearest = others.map(|(to, ..)| squared(from, *to)).fold(f64::INFINITY, f64::min);
            if is_inside { -nearest.sqrt() } else { nearest.sqrt() }
        };
        inside.map(distance).collect()
    }

    proptest! {
        #[test]
        fn a_part_of_a_region_is_that_of_the_definition_whatever_part_is_seen(
            (dims, labels) in prop::array::uniform3(1_usize..8).prop_flat_map(|sides| {
                let label = prop_oneof![
                    3 => Just(label::BACKGROUND), 1 => Just(label::IGNORE), 2 => Just(label::ED),
                ];
                (Just(Dims(sides)), prop::collection::vec(label, sides.iter().product::<usize>()))
            }),
            spacing_mm in prop::array::uniform3(prop_oneof![Just(1.0), 0.3_f64..4.0]),
            shift in prop_oneof![Just(0.0_f32), Just(1.0), -1.0_f32..4.0],
            corners in prop::array::uniform3((0.0_f64..1.0, 0.0_f64..1.0)),
        ) {
            let window = Box3 {
                start: std::array::from_fn(|axis| (corners[axis].0 * dims.0[axis] as f64) as usize),
                dims: Dims([1; 3]),
            };
            let window = Box3 {
                dims: Dims(std::array::from_fn(|axis| {
                    let most = dims.0[axis] - window.start[axis];
                    1 + (corners[axis].1 * most as f64) as usize % most
                })),
                ..window
            };
            let images = vec![RawVoxel::default(); dims.voxel_count()];
            let donor = Donor { images: &images, labels: &labels, dims, spacing_mm };
            let signed = signed_distances(&labels, dims, spacing_mm);
            let depth = -signed.iter().copied().fold(0.0, f64::min);
            let edge = f64::from(shift) * depth;
            let found = carve(donor, shift, window);
            for (place, distance) in signed.into_iter().enumerate() {
                let at = dims.zyx_from_offset(place);
                // Equal distances may be rounded to either side of the edge.
                let is_sure = (distance - edge).abs() > 1e-5 * distance.abs();
                if is_sure && window.contains_voxel(at) {
                    let wanted = depth > 0.0 && distance < edge;
                    prop_assert_eq!(found.contains(&at), wanted, "{:?} {} {}", at, distance, edge);
                }
            }
        }
    }
}
