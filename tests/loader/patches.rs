//! Patches hold what the reference says, voxel for voxel: inside, at borders, mirrored, and where
//! the patch is larger than the brain.

use std::sync::Arc;

use gliaflow::internals::actor::Stage;
use gliaflow::internals::augment::{AugmentConfig, Background, DrawnParams, Window};
use gliaflow::internals::base::{Domain, Fingerprint, KeyedRng, SampleKey};
use gliaflow::internals::brats::phantom::{PhantomCase, generate_phantom};
use gliaflow::internals::buffers::{CaseBuffers, PatchBuffer};
use gliaflow::internals::cache::{
    CaseStore, ExpectedSource, MappedCase, PreprocessConfig, prepare_in_buffers,
};
use gliaflow::internals::pipeline::augment::Augment;
use gliaflow::internals::pipeline::{CaseHandle, Crop, CropConfig, DrawnSample, Sample};
use gliaflow::internals::quality::QualityPolicy;
use gliaflow::internals::volume::{
    Affine, Case, CaseId, Dims, LabelScheme, RunChannels, SourceGrid, Voxels,
};
use half::f16;

use super::reference::{Cut, Reference, tolerance};
use super::setting::{PHANTOMS, Setting, mirroring, phantom};
use crate::deadline::{LIMIT, within};

/// Settings that take images without information.
fn as_it_is() -> PreprocessConfig {
    PreprocessConfig { quality: QualityPolicy::Warn, ..PreprocessConfig::default() }
}

/// A case in a case file of its own, mapped.
pub(super) fn mapped(case: &Case) -> (tempfile::TempDir, Arc<MappedCase>) {
    let folder = tempfile::tempdir().unwrap();
    let preprocess = as_it_is();
    let store = CaseStore::open(folder.path(), preprocess.fingerprint()).unwrap();
    store
        .publish(&prepare_in_buffers(&CaseBuffers::default(), case, &preprocess).unwrap())
        .unwrap();
    let found = store.find_case(&case.id, ExpectedSource::Anything).unwrap().unwrap();
    (folder, found)
}

pub(super) fn case_of(phantom: &PhantomCase) -> Case {
    Case {
        id: phantom.id.clone(),
        source: phantom.source,
        images: phantom.images.clone().map(Voxels::from_whole),
        labels: Some(phantom.labels.clone()),
        mask: None,
        scheme: LabelScheme::Brats2018,
        channels: RunChannels::default(),
        fingerprint: Fingerprint([1; 16]),
        bytes_read: 0,
    }
}

/// Makes samples of one case, one key after another.
pub(super) struct Cutter {
    crop: Crop,
    augment: Augment,
    case: CaseHandle,
}

impl Cutter {
    pub(super) fn new(config: &CropConfig, augment: AugmentConfig, case: &Arc<MappedCase>) -> Self {
        Self {
            crop: Crop::new(config.clone(), augment.clone()),
            augment: Augment::new(augment.background),
            case: CaseHandle::Mapped(Arc::clone(case)),
        }
    }

    /// The sample of one key.
    pub(super) fn cut<R>(&mut self, index: u64, look: impl FnOnce(&Sample) -> R) -> R {
        let key = SampleKey { seed: 5, epoch: 0, index };
        let sample =
            self.augment.process(self.crop.draw_sample(key, self.case.clone(), None)).unwrap();
        look(&sample)
    }
}

/// The patch of any window, drawn or not.
fn cut_out(case: &Arc<MappedCase>, cut: &Cut, patch: &mut PatchBuffer) {
    let window = Window { corner: cut.corner, dims: cut.dims };
    let drawn = DrawnParams { mirroring: cut.mirrored, ..DrawnParams::default() };
    let key = SampleKey { seed: 0, epoch: 0, index: 0 };
    let sample = DrawnSample {
        key,
        case: CaseHandle::Mapped(Arc::clone(case)),
        donor: None,
        window,
        drawn,
        planned: None,
    };
    Augment::new(Background::Zero).render_sample(&sample, patch);
}

fn assert_agrees(patch: &PatchBuffer, reference: &Reference, cut: &Cut) {
    let seen = reference.patch(cut);
    let voxels = cut.dims.voxel_count();
    assert_eq!((patch.labels.len(), patch.images.len()), (voxels, 4 * voxels), "{cut:?}");
    for (place, wanted) in seen.iter().enumerate() {
        assert_eq!(patch.labels[place], wanted.label, "label at {place} of {cut:?}");
        for (channel, score) in wanted.scores.iter().enumerate() {
            let found = patch.images[channel * voxels + place];
            assert!(
                is_rounded(found, *score),
                "{found} for {score:?} at {place} of channel {channel}, {cut:?}"
            );
        }
    }
}

/// Whether a half-precision value is the reference's score, rounded; background is 0, and not -0.
fn is_rounded(found: f16, score: Option<f64>) -> bool {
    let Some(score) = score else { return found.to_bits() == 0 };
    let [low, high] =
        [-tolerance(score), tolerance(score)].map(|error| f16::from_f64(score + error));
    low <= found && found <= high
}

/// Patches that fit in the brain box (about 19 x 25 x 25), hang over it on some axes, and hold it.
const PATCHES: [Dims; 6] = [
    Dims::cube(1),
    Dims::cube(8),
    Dims([7, 9, 11]),
    Dims([16, 40, 3]),
    Dims([40, 13, 32]),
    Dims([33, 37, 35]),
];

#[test]
fn drawn_patches_are_what_the_reference_cuts_out_of_the_whole_volume() {
    let phantom = generate_phantom(&PHANTOMS, 0);
    let reference = Reference::of_phantom(&phantom);
    let (_folder, case) = mapped(&case_of(&phantom));
    assert_eq!(case.brain_box(), reference.brain);
    for patch in PATCHES {
        let mut cutter =
            Cutter::new(&CropConfig { patch, ..CropConfig::default() }, mirroring(0.5), &case);
        for index in 0..40 {
            cutter.cut(index, |sample| {
                let from = &sample.provenance;
                let (corner, mirrored) = (from.corner, from.drawn.mirroring);
                let cut = Cut { corner, mirrored, dims: patch };
                assert_agrees(&sample.patch, &reference, &cut);
                assert_well_placed(&cut, case.brain_box().dims);
            });
        }
    }
}

/// Inside the box where it is larger, and around it, in the middle, where the patch is.
fn assert_well_placed(cut: &Cut, brain: Dims) {
    for axis in 0..3 {
        let before = -cut.corner[axis];
        let after = cut.corner[axis] + cut.dims.0[axis] as isize - brain.0[axis] as isize;
        if cut.dims.0[axis] <= brain.0[axis] {
            assert!(before <= 0 && after <= 0, "{cut:?} leaves {brain} without need");
        } else {
            assert!((before - after).abs() <= 1, "{cut:?} is not in the middle of {brain}");
        }
    }
}

/// Windows that the draw never makes, too: half outside, beside the box, around it.
#[test]
fn any_window_at_all_is_what_the_reference_cuts() {
    let phantom = generate_phantom(&PHANTOMS, 1);
    let reference = Reference::of_phantom(&phantom);
    let (_folder, case) = mapped(&case_of(&phantom));
    let key = SampleKey { seed: 9, epoch: 0, index: 0 };
    let mut rng = KeyedRng::new(key, Domain::Crop);
    let mut patch = PatchBuffer::default();
    let (mut inside, mut beside) = (0, 0);
    for _ in 0..400 {
        let dims = Dims(std::array::from_fn(|_| 1 + rng.uniform_below(30) as usize));
        let corner = std::array::from_fn(|axis| {
            let (side, room) = (dims.0[axis] as isize, case.brain_box().dims.0[axis] as isize);
            rng.uniform_below((room + side + 5) as u64) as isize - side - 2
        });
        let cut = Cut { corner, mirrored: std::array::from_fn(|_| rng.draw_bool(0.5)), dims };
        cut_out(&case, &cut, &mut patch);
        assert_agrees(&patch, &reference, &cut);
        let tissue = patch.images.iter().filter(|value| **value != f16::ZERO).count();
        inside += usize::from(tissue == patch.images.len());
        beside += usize::from(tissue == 0);
    }
    assert!(inside > 0 && beside > 10, "{inside} windows all tissue, {beside} without any");
}

/// Intensities that are no small integers: fractions, negative ones, one value, nothing at all.
#[test]
fn scaled_negative_constant_and_empty_modalities_are_scored_like_any_other() {
    let dims = Dims([9, 10, 11]);
    let key = SampleKey { seed: 3, epoch: 0, index: 0 };
    let mut rng = KeyedRng::new(key, Domain::Phantom);
    let air: Vec<bool> = (0..dims.voxel_count()).map(|_| rng.draw_bool(0.3)).collect();
    let mut values = |make: &dyn Fn(f64) -> f32| -> Vec<f32> {
        air.iter().map(|air| if *air { 0.0 } else { make(rng.standard_normal()) }).collect()
    };
    let images = [
        Voxels::F32(values(&|normal| (0.37 + 0.01 * normal) as f32)),
        Voxels::F32(values(&|normal| (-900.5 + 200.0 * normal) as f32)),
        Voxels::F32(values(&|_| 12.5)),
        Voxels::F32(vec![0.0; dims.voxel_count()]),
    ];
    let labels: Vec<u8> = (0..dims.voxel_count()).map(|place| (place % 5) as u8).collect();
    let case = Case {
        id: CaseId::new("odd"),
        source: SourceGrid::canonical(dims, Affine([[1.0; 4]; 4])),
        images,
        labels: Some(labels.clone()),
        mask: None,
        scheme: LabelScheme::Brats2023,
        channels: RunChannels::default(),
        fingerprint: Fingerprint([2; 16]),
        bytes_read: 0,
    };
    // The file keeps 16 bits of a float; the scores are those of what it keeps.
    let contents = prepare_in_buffers(&CaseBuffers::default(), &case, &as_it_is()).unwrap();
    let decoded = std::array::from_fn(|channel| {
        let codes: Vec<i16> = contents.images.iter().map(|voxel| voxel[channel]).collect();
        let codes = contents.brain.paste_into(&codes, dims, 0);
        let scale = contents.scales[channel];
        codes.iter().map(|code| (*code != 0).then(|| scale.decode(*code))).collect()
    });
    let reference = Reference::new(dims, decoded, labels);
    let (_folder, mapped) = mapped(&case);
    let mut patch = PatchBuffer::default();
    let cut = Cut { corner: [-1, 0, 2], mirrored: [true, false, true], dims: Dims([12, 9, 9]) };
    cut_out(&mapped, &cut, &mut patch);
    assert_agrees(&patch, &reference, &cut);
    let constant = &patch.images[2 * cut.dims.voxel_count()..];
    assert!(constant.iter().all(|value| *value == f16::ZERO), "no spread, no information");
}

#[test]
fn batches_are_the_reference_rounded_to_half_precision_and_background_is_exactly_0() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(4);
        setting.crop.patch = Dims([18, 14, 26]);
        let mut background = 0;
        for batch in setting.take(watch, "cache", 0, 12) {
            let voxels = batch.dims.voxel_count();
            let images = batch.images.chunks_exact(4 * voxels);
            let labels = batch.labels.chunks_exact(voxels);
            for ((images, labels), from) in images.zip(labels).zip(&batch.provenance) {
                let reference = Reference::of_phantom(&phantom(&from.case));
                let (corner, mirrored) = (from.corner, from.drawn.mirroring);
                let seen = reference.patch(&Cut { corner, mirrored, dims: batch.dims });
                for (place, wanted) in seen.iter().enumerate() {
                    assert_eq!(labels[place], wanted.label);
                    for (channel, score) in wanted.scores.iter().enumerate() {
                        background += usize::from(score.is_none());
                        assert!(is_rounded(images[channel * voxels + place], *score));
                    }
                }
            }
        }
        assert!(background > 10_000, "there was background to look at");
    });
}
