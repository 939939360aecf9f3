//! The brain box: where it lies, and what it cuts out of whole volumes.

use std::borrow::Cow;
use std::ops::Range;

use crate::base::{OutOfMemory, collect_values, reserve_values, resize_for_overwrite};
use crate::cache::statistics::TissueCounter;
use crate::cache::treatment::CertainImages;
use crate::cache::{OutsideLabel, RawVoxel, TissueCounts};
use crate::volume::{Box3, Dims, Modality, TissueScan, label};

/// The smallest box around every voxel with tissue in any modality. Labels do not widen it: what is
/// predicted in a case must not depend on them.
fn tissue_box(dims: Dims, planes: [&[i16]; Modality::COUNT]) -> Option<Box3> {
    let box_of = |plane| {
        let mut scan = TissueScan::new(dims);
        scan.scan_values(plane);
        scan.bounding_box()
    };
    planes.into_iter().filter_map(box_of).reduce(Box3::union)
}

/// The smallest box around every voxel that is tissue beyond doubt in any modality: a spike in the air
/// and ringing about the brain do not widen it. `intensity` gives that of a modality at a memory offset.
pub(super) fn certain_box(
    dims: Dims,
    planes: [&[i16]; Modality::COUNT],
    certain: &CertainImages,
    intensity: impl Fn(usize, usize) -> f64,
) -> Result<Option<Box3>, OutOfMemory> {
    let mut drawn = planes.map(Cow::Borrowed);
    for (modality, plane) in drawn.iter_mut().enumerate() {
        let Some(certain) = certain[modality] else { continue };
        let codes = planes[modality].iter().enumerate();
        let is_certain = |place: usize| certain.contains(intensity(modality, place));
        let kept = codes.map(|(place, code)| if is_certain(place) { *code } else { 0 });
        *plane = Cow::Owned(collect_values(planes[modality].len(), kept)?);
    }
    // Where nothing is beyond doubt, whatever is tissue counts.
    let box_of = |planes| tissue_box(dims, planes);
    Ok(box_of(drawn.each_ref().map(|plane| &**plane)).or_else(|| box_of(planes)))
}

/// Crops all modalities to the box, interleaves them into `images`, and counts their tissue while a row is in the cache.
pub(super) fn interleave_modalities(
    planes: [&[i16]; Modality::COUNT],
    dims: Dims,
    brain: &Box3,
    mut images: Vec<RawVoxel>,
) -> Result<(Vec<RawVoxel>, TissueCounts), OutOfMemory> {
    resize_for_overwrite(&mut images, [0; Modality::COUNT], brain.dims.voxel_count())?;
    let mut counter = TissueCounter::default();
    let rows = brain.row_ranges(dims);
    for (voxels, row) in images.chunks_exact_mut(brain.dims.0[2]).zip(rows) {
        interleave_row(voxels, planes.map(|plane| &plane[row.clone()]));
        counter.count_voxels(voxels);
    }
    Ok((images, counter.into_counts()))
}

/// Interleaves one row. A function of its own, so that the compiler knows the rows apart and makes vectors of them.
#[inline(never)]
fn interleave_row(voxels: &mut [RawVoxel], rows: [&[i16]; Modality::COUNT]) {
    let [a, b, c, d] = rows.map(|row| &row[..voxels.len()]);
    for (x, voxel) in voxels.iter_mut().enumerate() {
        *voxel = [a[x], b[x], c[x], d[x]];
    }
}

/// Labels tested together; nearly all such runs are background.
const LABEL_RUN: usize = 64;

/// Canonical labels of a case, inside and outside of its brain box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitLabels {
    /// Labels `[d, h, w]` of the box.
    pub inside: Vec<u8>,
    /// Labels of the voxels outside the box, ascending.
    pub outside: Vec<OutsideLabel>,
    /// Ranges of `inside` that are not all background.
    labelled: Vec<Range<usize>>,
}

impl SplitLabels {
    /// Splits the labels of a grid of `dims` at the box; those inside go into `into`, which is empty.
    pub(super) fn at_box(
        all: &[u8],
        dims: Dims,
        brain: &Box3,
        mut into: Vec<u8>,
    ) -> Result<Self, OutOfMemory> {
        reserve_values(&mut into, brain.dims.voxel_count())?;
        let mut outside = Vec::new();
        let mut done = 0;
        for row in brain.row_ranges(dims) {
            // Between two rows of the box, memory is outside.
            collect_outside(all, done..row.start, &mut outside);
            done = row.end;
            into.extend_from_slice(&all[row]);
        }
        collect_outside(all, done..all.len(), &mut outside);
        Ok(Self { outside, ..Self::inside_box(into) })
    }

    /// Takes the labels of a box outside which there are none.
    pub fn inside_box(inside: Vec<u8>) -> Self {
        let runs = inside.chunks(LABEL_RUN).enumerate().filter(|(_, run)| !is_background(run));
        let labelled = runs.map(|(at, run)| at * LABEL_RUN..at * LABEL_RUN + run.len()).collect();
        Self { inside, outside: Vec::new(), labelled }
    }

    /// Iterates over the labelled voxels of the box: their offset and label.
    pub fn labelled_inside(&self) -> impl Iterator<Item = (usize, u8)> {
        let places = self.labelled.iter().cloned().flatten();
        places
            .map(|place| (place, self.inside[place]))
            .filter(|(_, label)| *label != label::BACKGROUND)
    }
}

fn collect_outside(all: &[u8], gap: Range<usize>, outside: &mut Vec<OutsideLabel>) {
    if is_background(&all[gap.clone()]) {
        return;
    }
    let labelled = gap.filter(|place| all[*place] != label::BACKGROUND);
    outside.extend(labelled.map(|place| OutsideLabel { voxel: place as u32, label: all[place] }));
}

/// True for labels that are all background, by one vectorised OR.
fn is_background(labels: &[u8]) -> bool {
    labels.iter().fold(0, |seen, label| seen | label) == label::BACKGROUND
}
