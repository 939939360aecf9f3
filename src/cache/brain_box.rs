//! The brain box: where it lies, and what it cuts out of whole volumes.

use std::borrow::Cow;
use std::ops::Range;

use crate::base::{OutOfMemory, collect_values, reserve_values};
use crate::cache::statistics::TissueCounter;
use crate::cache::treatment::CertainImages;
use crate::cache::{OutsideLabel, RawVoxel, TissueCounts};
use crate::volume::{Box3, Dims, label};

/// The smallest box around every voxel with tissue in any modality. Labels do not widen it: what is
/// predicted in a case must not depend on them.
///
/// The same as [`Box3::bounding_box`], by rows: most of a head scan is air, and a row of air is
/// dismissed by one vectorised OR instead of four tests a voxel. Inside the box so far, only the
/// ends of a row that could widen it are tested.
pub(super) fn tissue_box(dims: Dims, planes: [&[i16]; 4]) -> Option<Box3> {
    let [depth, height, width] = dims.0;
    let mut low = [usize::MAX; 3];
    let mut high = [0; 3];
    let is_air = |places: Range<usize>| {
        planes.iter().all(|plane| plane[places.clone()].iter().fold(0, |seen, v| seen | v) == 0)
    };
    for row in 0..depth * height {
        let at = [row / height, row % height];
        let start = row * width;
        let is_inside = (0..2).all(|axis| (low[axis]..high[axis]).contains(&at[axis]));
        let is_idle = if is_inside {
            is_air(start..start + low[2]) && is_air(start + high[2]..start + width)
        } else {
            is_air(start..start + width)
        };
        if is_idle {
            continue;
        }
        let is_occupied = |x: &usize| !is_air(start + x..start + x + 1);
        for axis in 0..2 {
            low[axis] = low[axis].min(at[axis]);
            high[axis] = high[axis].max(at[axis] + 1);
        }
        // Only a voxel beyond what is known already can widen the box.
        low[2] = (0..low[2].min(width)).find(is_occupied).unwrap_or(low[2]);
        high[2] = (high[2]..width).rev().find(is_occupied).map_or(high[2], |x| x + 1);
    }
    (high[2] > 0).then(|| Box3 {
        start: low,
        dims: Dims(std::array::from_fn(|axis| high[axis] - low[axis])),
    })
}

/// The smallest box around every voxel that is tissue beyond doubt in any modality: a spike in the air
/// and ringing about the brain do not widen it. `intensity` gives that of a modality at a memory offset.
pub(super) fn certain_box(
    dims: Dims,
    planes: [&[i16]; 4],
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
    planes: [&[i16]; 4],
    dims: Dims,
    brain: &Box3,
    mut images: Vec<RawVoxel>,
) -> Result<(Vec<RawVoxel>, TissueCounts), OutOfMemory> {
    reserve_values(&mut images, brain.dims.voxel_count())?;
    let mut counter = TissueCounter::default();
    for row in brain.row_ranges(dims) {
        let [a, b, c, d] = planes.map(|plane| &plane[row.clone()]);
        let start = images.len();
        // Written over zeros by shifts of 64 bits, which the compiler makes vectors of.
        images.resize(start + row.len(), [0; 4]);
        let voxels = images[start..].iter_mut().zip(a).zip(b).zip(c).zip(d);
        for ((((voxel, a), b), c), d) in voxels {
            let [a, b, c, d] = [*a, *b, *c, *d].map(|raw| u64::from(raw as u16));
            let bits = a | b << 16 | c << 32 | d << 48;
            *voxel = [bits as i16, (bits >> 16) as i16, (bits >> 32) as i16, (bits >> 48) as i16];
        }
        counter.count_voxels(&images[start..]);
    }
    Ok((images, counter.into_counts()))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_box_by_rows_is_the_box_by_voxels(
            extent in [1usize..5, 1usize..5, 1usize..7],
            marks in prop::collection::vec((0usize..150, 0usize..4), 0..6),
        ) {
            let dims = Dims(extent);
            let mut planes = vec![vec![0i16; dims.voxel_count()]; 4];
            for (place, channel) in marks {
                planes[channel][place % dims.voxel_count()] = -1;
            }
            let found = tissue_box(dims, std::array::from_fn(|channel| &*planes[channel]));
            let wanted = Box3::bounding_box(
                dims, |place| planes.iter().any(|plane| plane[place] != 0));
            prop_assert_eq!(found, wanted);
        }
    }
}
