//! Stage `crop`: chooses a window of a mapped case and reads it as normalised intensities.
//!
//! Half of the patches (by default) are centred on tumour: a region is drawn, then one of its
//! voxels from the case file's index. The rest are uniform over the brain box.

use serde::{Deserialize, Serialize};

use crate::actor::stage::Stage;
use crate::base::error::CaseError;
use crate::base::seed::{Domain, KeyedRng, SampleKey};
use crate::cache::map::MappedCase;
use crate::pipeline::fetch::FetchedSample;
use crate::pipeline::recycle::Recycler;
use crate::volume::grid::Dims;
use crate::volume::modality::Modality;
use crate::volume::region::Region;
use crate::volume::sample::{PatchBuffer, Provenance, Sample};

/// The stream of the mirror draw within [`Domain::Augment`].
const MIRROR_STREAM: u64 = 1;

/// How patches are cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CropConfig {
    /// Patch extent in voxels, `[d, h, w]`.
    pub patch: Dims,
    /// Share of patches centred on a tumour voxel, 0 to 1.
    pub foreground_share: f64,
    /// Probability with which each axis is mirrored, 0 to 1.
    pub mirror: f64,
}

impl Default for CropConfig {
    fn default() -> Self {
        Self { patch: Dims::cube(128), foreground_share: 0.5, mirror: 0.5 }
    }
}

impl CropConfig {
    /// What cannot be, or nothing: the text names the field and the range.
    pub fn problem(&self) -> Option<String> {
        let shares = [("foreground_share", self.foreground_share), ("mirror", self.mirror)];
        for (field, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Some(format!("{field} = {value} is no probability; write 0 to 1"));
            }
        }
        let empty = self.patch.voxels() == 0;
        empty.then(|| format!("patch = {:?} is empty; write [128, 128, 128]", self.patch.0))
    }
}

/// Cuts patches into recycled buffers.
pub struct Crop {
    config: CropConfig,
    recycler: Recycler,
}

impl Crop {
    /// Cuts under `config`, with buffers from `recycler`.
    pub const fn new(config: CropConfig, recycler: Recycler) -> Self {
        Self { config, recycler }
    }
}

impl Stage for Crop {
    const NAME: &'static str = "crop";
    type In = FetchedSample;
    type Out = Sample;

    fn process(&mut self, fetched: FetchedSample) -> Result<Sample, CaseError> {
        let FetchedSample { planned, case } = fetched;
        let corner = draw_corner(&self.config, planned.key, &case);
        let mirrored = draw_mirror(self.config.mirror, planned.key);
        let mut patch = self.recycler.take(self.config.patch);
        read_patch(&case, corner, mirrored, self.config.patch, &mut patch);
        let provenance = Provenance { case: case.id().clone(), corner, mirrored };
        Ok(Sample { key: planned.key, patch, provenance })
    }
}

/// First corner of the patch in the brain box, `[z, y, x]`; negative where the box is smaller than
/// the patch and is centred in it.
fn draw_corner(config: &CropConfig, key: SampleKey, case: &MappedCase) -> [isize; 3] {
    let mut rng = KeyedRng::new(key, Domain::Crop);
    let brain = case.brain().dims;
    let on_tumour = rng.chance(config.foreground_share);
    let centre = if on_tumour { draw_tumour_voxel(&mut rng, case) } else { None };
    std::array::from_fn(|axis| {
        let (room, side) = (brain.0[axis] as isize, config.patch.0[axis] as isize);
        let slack = room - side;
        // Drawn for each axis, of use or not: one axis must not shift the draws of the next.
        let uniform = rng.below(slack.max(0) as u64 + 1) as isize;
        match centre {
            _ if slack < 0 => slack.div_euclid(2),
            Some(at) => (at[axis] as isize - side / 2).clamp(0, slack),
            None => uniform,
        }
    })
}

/// A voxel of a region drawn evenly among those that the case has; `None` without tumour.
fn draw_tumour_voxel(rng: &mut KeyedRng, case: &MappedCase) -> Option<[usize; 3]> {
    let present: Vec<Region> = Region::ALL
        .into_iter()
        .filter(|region| !case.foreground(*region).voxels.is_empty())
        .collect();
    if present.is_empty() {
        return None;
    }
    let region = present[rng.below(present.len() as u64) as usize];
    let voxels = case.foreground(region).voxels;
    let voxel = voxels[rng.below(voxels.len() as u64) as usize];
    Some(case.brain().dims.position(voxel as usize))
}

fn draw_mirror(probability: f64, key: SampleKey) -> [bool; 3] {
    let mut rng = KeyedRng::new(key, Domain::Augment).stream(MIRROR_STREAM);
    std::array::from_fn(|_| rng.chance(probability))
}

/// Reads a window of the brain box as z-scores, mirrored where asked; what lies outside is 0.
///
/// # Panics
/// If `patch` was not shaped for `dims`.
pub fn read_patch(
    case: &MappedCase,
    corner: [isize; 3],
    mirrored: [bool; 3],
    dims: Dims,
    patch: &mut PatchBuffer,
) {
    let normalise = normalisation(case);
    let window = Window { corner, mirrored, dims, brain: case.brain().dims };
    patch.images.fill(0.0);
    patch.labels.fill(0);
    for z in 0..dims.0[0] {
        for y in 0..dims.0[1] {
            let Some(row) = window.row(z, y) else { continue };
            let raw = &case.images()[row.source.clone()];
            for (channel, (factor, shift)) in normalise.iter().enumerate() {
                let from = channel * dims.voxels() + row.target;
                let out = &mut patch.images[from..from + raw.len()];
                let value = |voxel: &[i16; 4]| match voxel[channel] {
                    0 => 0.0,
                    code => factor * f32::from(code) + shift,
                };
                if mirrored[2] {
                    out.iter_mut().rev().zip(raw).for_each(|(to, from)| *to = value(from));
                } else {
                    out.iter_mut().zip(raw).for_each(|(to, from)| *to = value(from));
                }
            }
            if let Some(labels) = case.labels() {
                let out = &mut patch.labels[row.target..row.target + raw.len()];
                out.copy_from_slice(&labels[row.source]);
                if mirrored[2] {
                    out.reverse();
                }
            }
        }
    }
}

/// Factor and shift from a code to its z-score, per modality.
pub(super) fn normalisation(case: &MappedCase) -> [(f32, f32); Modality::COUNT] {
    Modality::ALL.map(|modality| {
        let (factor, shift) = case.stats(modality).normalisation(case.scale(modality));
        (factor as f32, shift as f32)
    })
}

/// Where rows of a patch come from.
struct Window {
    corner: [isize; 3],
    mirrored: [bool; 3],
    dims: Dims,
    brain: Dims,
}

/// One row: places in the brain box, and the first place in the patch that they fill.
struct Row {
    source: std::ops::Range<usize>,
    target: usize,
}

impl Window {
    /// The part of patch row `(z, y)` that lies in the brain box.
    fn row(&self, z: usize, y: usize) -> Option<Row> {
        let from_z = self.source_index(0, z)?;
        let from_y = self.source_index(1, y)?;
        let width = self.dims.0[2] as isize;
        let low = self.corner[2].max(0);
        let high = (self.corner[2] + width).min(self.brain.0[2] as isize);
        if low >= high {
            return None;
        }
        let left = (low - self.corner[2]) as usize;
        let length = (high - low) as usize;
        let first = if self.mirrored[2] { self.dims.0[2] - left - length } else { left };
        let start = self.brain.offset([from_z, from_y, low as usize]);
        Some(Row { source: start..start + length, target: self.dims.offset([z, y, first]) })
    }

    fn source_index(&self, axis: usize, at: usize) -> Option<usize> {
        let within = if self.mirrored[axis] { self.dims.0[axis] - 1 - at } else { at };
        let place = self.corner[axis] + within as isize;
        usize::try_from(place).ok().filter(|place| *place < self.brain.0[axis])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_hangs_over_the_edge_keeps_its_place_mirrored_or_not() {
        let brain = Dims([1, 1, 4]);
        let dims = Dims([1, 1, 4]);
        let window = |mirrored| Window {
            corner: [0, 0, -1],
            mirrored: [false, false, mirrored],
            dims,
            brain,
        };
        // Patch places 1, 2, 3 show brain places 0, 1, 2; mirrored, they are places 2, 1, 0.
        let plain = window(false).row(0, 0).expect("overlaps");
        assert_eq!((plain.source, plain.target), (0..3, 1));
        let turned = window(true).row(0, 0).expect("overlaps");
        assert_eq!((turned.source, turned.target), (0..3, 0));
    }

    #[test]
    fn rows_outside_the_brain_box_are_left_at_background() {
        let window = Window {
            corner: [3, 0, 0],
            mirrored: [false; 3],
            dims: Dims([2, 2, 2]),
            brain: Dims([4, 2, 2]),
        };
        assert!(window.row(0, 0).is_some());
        assert!(window.row(1, 0).is_none());
    }

    #[test]
    fn a_share_outside_0_to_1_is_named() {
        let config = CropConfig { mirror: 1.5, ..CropConfig::default() };
        assert!(config.problem().is_some_and(|text| text.starts_with("mirror = 1.5")));
        assert_eq!(CropConfig::default().problem(), None);
    }
}
