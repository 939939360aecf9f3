//! Stage `crop`: draws a sample's window and augmentation and reads the window's pages. It renders
//! no voxel: [`super::augment`] renders all of them at once.
//!
//! A share of the patches (half by default) is centred on tumour: every `1 / share`-th sample of an
//! epoch, so that each stretch of the plan, and with it each batch, has its part. The regions take
//! turns, and the voxel is drawn from the case file's index. The rest are uniform over the brain
//! box.

use std::hint::black_box;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::actor::Stage;
use crate::augment::{AugmentConfig, Window};
use crate::base::{CaseError, Domain, KeyedRng, SampleKey};
use crate::cache::RawVoxel;
use crate::pipeline::{CaseHandle, CaseRecovery, DrawnSample, FetchedSample};
use crate::volume::{Dims, MAX_REGIONS};

/// Smallest page size of the supported machines, in bytes.
const SMALLEST_PAGE: usize = 4096;

/// Largest difference of two voxel edges, as a share of one, at which they count as the same.
const SAME_EDGE: f64 = 1e-3;

/// Settings of the patches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct CropConfig {
    /// Patch extent in voxels, `[d, h, w]`.
    #[schemars(inner(range(min = 1, max = 4096)), extend("x-unit" = "voxels"))]
    #[default(Dims::cube(128))]
    pub patch: Dims,
    /// Share of patches centred on a tumour voxel, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.5)]
    pub foreground_share: f64,
}

/// Stage that draws windows and augmentations.
#[derive(Debug, Clone)]
pub struct Crop {
    crop: CropConfig,
    augment: AugmentConfig,
    recovery: CaseRecovery,
}

impl Crop {
    /// Stage with the given settings.
    pub fn new(crop: CropConfig, augment: AugmentConfig) -> Self {
        Self { crop, augment, recovery: CaseRecovery::default() }
    }

    /// Recovers cases that are lost while a sample is drawn.
    #[must_use]
    pub fn with_recovery(self, recovery: CaseRecovery) -> Self {
        Self { recovery, ..self }
    }

    /// Draws window and augmentation of the sample of `key` from `case`, mixed with `donor` if that has a tumour
    /// and voxels of the same size.
    pub fn draw_sample(
        &self,
        key: SampleKey,
        case: CaseHandle,
        donor: Option<CaseHandle>,
    ) -> DrawnSample {
        let donor = donor.filter(|donor| can_be_mixed(donor, &case));
        let corner = draw_corner(&self.crop, key, &case, donor.as_ref());
        let window = Window { corner, dims: self.crop.patch };
        let mut drawn = self.augment.draw_params(key);
        drawn.mixing =
            donor.as_ref().map(|donor| self.augment.mixing.draw_mixing(key, donor.id().clone()));
        DrawnSample { key, window, drawn, case, donor, planned: None }
    }
}

impl Stage for Crop {
    const NAME: &'static str = "crop";
    type In = FetchedSample;
    type Out = DrawnSample;

    fn process(&mut self, fetched: FetchedSample) -> Result<DrawnSample, CaseError> {
        let FetchedSample { planned, case, donor } = fetched;
        let key = planned.key;
        let mut sample = self.draw_sample(key, case, donor);
        sample.planned = Some(planned);
        let mut attempt = 1;
        loop {
            read_sample_pages(&sample);
            if !self.recovery.replace_lost_cases(&mut sample, attempt)? {
                return Ok(sample);
            }
            attempt += 1;
            let DrawnSample { case, donor, planned, .. } = sample;
            sample = DrawnSample { planned, ..self.draw_sample(key, case, donor) };
        }
    }
}

/// True if the tumour of `donor` can be put at the same place into `case`.
fn can_be_mixed(donor: &CaseHandle, case: &CaseHandle) -> bool {
    let edges = [donor, case].map(|case| case.source_grid().canonical_spacing_mm());
    let mut pairs = edges[0].iter().zip(edges[1]);
    let has_same_voxels = pairs.all(|(one, other)| (one - other).abs() <= SAME_EDGE * other);
    has_same_voxels && donor.foregrounds().any(|region| !region.voxels.is_empty())
}

/// Draws the first corner of the patch in the brain box, `[z, y, x]`; negative where the box is
/// smaller than the patch and is centred in it.
///
/// A mixed sample that is centred on tumour is centred on that of its donor, which is what it is made for.
fn draw_corner(
    config: &CropConfig,
    key: SampleKey,
    case: &CaseHandle,
    donor: Option<&CaseHandle>,
) -> [isize; 3] {
    let mut rng = KeyedRng::new(key, Domain::Crop);
    let brain = case.brain_box().dims;
    let turn = foreground_turn(config.foreground_share, key);
    let from = donor.unwrap_or(case);
    let centre = turn.and_then(|turn| draw_tumour_voxel(&mut rng, turn, from));
    let centre = centre.map(|at| from.place_in(case, at.map(|along| along as isize)));
    std::array::from_fn(|axis| {
        let side = config.patch.0[axis] as isize;
        let slack = brain.0[axis] as isize - side;
        // Drawn for each axis, used or not: one axis must not shift the draws of the next.
        let uniform = rng.uniform_below(slack.max(0) as u64 + 1) as isize;
        match centre {
            _ if slack < 0 => slack.div_euclid(2),
            Some(at) => (at[axis] - side / 2).clamp(0, slack),
            None => uniform,
        }
    })
}

/// Turn of the regions, counted over epochs, if the sample is centred on tumour.
///
/// Sample `i` is if floor(i * share) grows behind it: among any `n` samples in a row, `n * share`
/// are, give or take one.
fn foreground_turn(share: f64, key: SampleKey) -> Option<u64> {
    let before = |index: u64| (index as f64 * share).floor() as u64;
    let turn = before(key.index);
    (before(key.index + 1) > turn).then(|| turn.wrapping_add(key.epoch))
}

/// Draws a voxel of the region whose turn it is among those that the case has; `None` without
/// tumour.
fn draw_tumour_voxel(rng: &mut KeyedRng, turn: u64, case: &CaseHandle) -> Option<[usize; 3]> {
    let mut present: Vec<&[u32]> = Vec::with_capacity(MAX_REGIONS);
    present.extend(case.foregrounds().map(|region| region.voxels));
    present.retain(|voxels| !voxels.is_empty());
    if present.is_empty() {
        return None;
    }
    let voxels = present[(turn % present.len() as u64) as usize];
    let voxel = voxels[rng.uniform_below(voxels.len() as u64) as usize];
    Some(case.brain_box().dims.zyx_from_offset(voxel as usize))
}

/// Reads the pages of a sample's window, and those of its donor's tumour.
fn read_sample_pages(sample: &DrawnSample) {
    let DrawnSample { case, donor, window, .. } = sample;
    if let CaseHandle::Mapped(mapped) | CaseHandle::Annotated(mapped, _) = case {
        read_pages(mapped.images(), mapped.brain_box().dims, *window);
    }
    if let Some(donor @ CaseHandle::Mapped(mapped)) = donor {
        let seen = Window { corner: case.place_in(donor, window.corner), ..*window };
        let brain = mapped.brain_box().dims;
        if let Some(tumour) = tumour_window(donor, seen) {
            read_pages(mapped.images(), brain, tumour);
        }
    }
}

/// Part of a window of `case` around the voxels of its tumour that are indexed.
fn tumour_window(case: &CaseHandle, window: Window) -> Option<Window> {
    let brain = case.brain_box().dims;
    let mut low = window.corner.map(|_| isize::MAX);
    let mut high = window.corner.map(|_| isize::MIN);
    for voxel in case.foregrounds().flat_map(|region| region.voxels) {
        let at: [usize; 3] = brain.zyx_from_offset(*voxel as usize);
        for axis in 0..3 {
            low[axis] = low[axis].min(at[axis] as isize);
            high[axis] = high[axis].max(at[axis] as isize + 1);
        }
    }
    let corner: [isize; 3] = std::array::from_fn(|axis| low[axis].max(window.corner[axis]));
    let sides: [isize; 3] = std::array::from_fn(|axis| {
        let end = window.corner[axis] + window.dims.0[axis] as isize;
        high[axis].min(end).saturating_sub(corner[axis])
    });
    let is_seen = sides.iter().all(|side| *side > 0);
    is_seen.then(|| Window { corner, dims: Dims(sides.map(|side| side as usize)) })
}

/// Touches each page of a window once, so that this stage waits for the disk and not the arithmetic
/// behind it.
fn read_pages(images: &[RawVoxel], brain: Dims, window: Window) {
    const VOXELS: usize = SMALLEST_PAGE / size_of::<RawVoxel>();
    let [slices, rows, columns] = [0, 1, 2].map(|axis: usize| {
        let last = brain.0[axis] as isize;
        let from = window.corner[axis].clamp(0, last);
        let to = (window.corner[axis] + window.dims.0[axis] as isize).clamp(0, last);
        from as usize..to as usize
    });
    if rows.is_empty() || columns.is_empty() {
        return;
    }
    for z in slices {
        // One range from the first row's first voxel to the last row's last.
        let from = brain.offset_from_zyx([z, rows.start, columns.start]);
        let to = brain.offset_from_zyx([z, rows.end - 1, columns.end - 1]);
        images[from..to].iter().step_by(VOXELS).for_each(|voxel| _ = black_box(*voxel));
        black_box(images[to]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::check_ranges;

    #[test]
    fn any_stretch_of_an_epoch_has_its_share_of_foreground_and_regions_take_turns() {
        for share in [0.0, 0.25, 1.0 / 3.0, 0.5, 0.7, 1.0] {
            let key = |index| SampleKey { seed: 1, epoch: 4, index };
            let turns: Vec<_> = (0..300).map(|at| foreground_turn(share, key(at))).collect();
            for stretch in turns.windows(10) {
                let found = stretch.iter().flatten().count() as f64;
                assert!((found - 10.0 * share).abs() <= 1.0, "{found} of 10 at {share}");
            }
            let taken: Vec<u64> = turns.into_iter().flatten().collect();
            assert!(taken.windows(2).all(|pair| pair[1] == pair[0] + 1), "{taken:?}");
        }
    }

    #[test]
    fn a_share_outside_0_to_1_is_named() {
        let config = CropConfig { foreground_share: 1.5, ..CropConfig::default() };
        assert!(
            check_ranges(&config)
                .is_err_and(|error| error.to_string().starts_with("foreground_share = 1.5"))
        );
        assert_eq!(check_ranges(&CropConfig::default()), Ok(()));
    }
}
