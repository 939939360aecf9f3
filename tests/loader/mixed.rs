//! A mixed sample is the patch of a mixed case, made slowly and by the definition; and a plan without mixing is
//! what it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use gliaflow::internals::augment::{Background, DrawnMixing, DrawnParams, Window};
use gliaflow::internals::base::SampleKey;
use gliaflow::internals::brats::phantom::generate_phantom;
use gliaflow::internals::buffers::PatchBuffer;
use gliaflow::internals::cache::MappedCase;
use gliaflow::internals::pipeline::augment::Augment;
use gliaflow::internals::pipeline::{CaseHandle, DrawnSample};
use gliaflow::internals::volume::{Dims, Targets, probabilities_of_label};
use half::f16;

use super::patches::{case_of, mapped};
use super::reference::{Cut, Reference, tolerance};
use super::setting::{PHANTOMS, Setting, mirroring, phantom};
use crate::deadline::{LIMIT, within};

const PATCH: Dims = Dims([20, 18, 22]);

/// Two cases, mapped, and their slow references.
struct Pair {
    _folders: [tempfile::TempDir; 2],
    cases: [Arc<MappedCase>; 2],
    references: [Reference; 2],
}

impl Pair {
    fn of_phantoms(numbers: [u64; 2]) -> Self {
        let phantoms = numbers.map(|number| generate_phantom(&PHANTOMS, number));
        let references = phantoms.each_ref().map(Reference::of_phantom);
        let [first, second] = phantoms.each_ref().map(|phantom| mapped(&case_of(phantom)));
        let (one, receiver) = first;
        let (other, donor) = second;
        Self { _folders: [one, other], cases: [receiver, donor], references }
    }

    fn sample(&self, corner: [isize; 3], drawn: DrawnParams, shift: f32) -> DrawnSample {
        let [case, donor] = self.cases.each_ref().map(|case| CaseHandle::Mapped(Arc::clone(case)));
        let mixing = Some(DrawnMixing { donor: donor.id().clone(), shift });
        DrawnSample {
            key: SampleKey { seed: 0, epoch: 0, index: 0 },
            case,
            donor: Some(donor),
            window: Window { corner, dims: PATCH },
            drawn: DrawnParams { mixing, ..drawn },
            planned: None,
        }
    }
}

fn render(sample: &DrawnSample, targets: Targets) -> PatchBuffer {
    let mut patch = PatchBuffer::default();
    Augment::new(Background::Zero).with_targets(targets).render_sample(sample, &mut patch);
    patch
}

fn assert_is_patch_of(patch: &PatchBuffer, mixed: &Reference, cut: &Cut, what: &str) {
    for (place, wanted) in mixed.patch(cut).iter().enumerate() {
        assert_eq!(patch.labels[place], wanted.label, "label at {place}, {what}");
        for (channel, score) in wanted.scores.iter().enumerate() {
            let found = patch.images[channel * PATCH.voxel_count() + place];
            let score = score.unwrap_or(0.0);
            let rounded = f16::from_f64(score).to_f64();
            let error = (found.to_f64() - score).abs();
            // Half a step of half precision, and what single precision may be off.
            let step = (rounded.abs() * 2f64.powi(-11)).max(2f64.powi(-25));
            assert!(error <= step + tolerance(score), "{found} for {score} at {place}, {what}");
        }
    }
}

#[test]
fn a_mixed_patch_is_the_patch_of_the_case_that_the_definition_mixes() {
    assert_mixed_by_definition(&[-0.5, -0.31, 0.0]);
}

/// The voxels of the phantoms are no cubes, so that distances in voxels give other regions than those in mm.
#[test]
fn a_grown_region_is_that_of_the_definition() {
    assert_mixed_by_definition(&[0.41, 1.0]);
}

fn assert_mixed_by_definition(shifts: &[f32]) {
    let pair = Pair::of_phantoms([0, 1]);
    let [receiver, donor] = &pair.references;
    let mut changed = BTreeSet::new();
    for &shift in shifts {
        let mixed = receiver.mixed_with(donor, f64::from(shift));
        changed.insert(mixed.other_voxels(receiver));
        for corner in [[0, 0, 0], [-4, 3, 2], [5, -3, 6], [2, 8, -7]] {
            for mirrored in [[false; 3], [true, false, true]] {
                let drawn = DrawnParams { mirroring: mirrored, ..DrawnParams::default() };
                let patch = render(&pair.sample(corner, drawn, shift), Targets::Hard);
                let cut = Cut { corner, mirrored, dims: PATCH };
                let what = format!("{shift} {corner:?} {mirrored:?}");
                assert_is_patch_of(&patch, &mixed, &cut, &what);
            }
        }
    }
    assert!(changed.len() > 1 && changed.iter().all(|voxels| *voxels > 0), "{changed:?}");
}

#[test]
fn a_donor_gives_certain_probabilities_where_targets_are_soft() {
    let pair = Pair::of_phantoms([0, 1]);
    let sample = pair.sample([0; 3], DrawnParams::default(), 0.4);
    let [hard, soft] = [Targets::Hard, Targets::Soft].map(|targets| render(&sample, targets));
    let wanted = hard.labels.iter().flat_map(|label| probabilities_of_label(*label));
    assert!(wanted.eq(soft.labels.iter().copied()));
    assert_eq!(hard.images, soft.images);
}

/// Turned and scaled, a patch interpolates; what lies deep in the region is the donor's alone, what lies far from it
/// the receiver's alone, and in between no voxel is anything else.
#[test]
fn a_turned_patch_has_either_cases_voxels_and_the_regions_in_the_region() {
    let pair = Pair::of_phantoms([0, 1]);
    for shift in [-0.3, 0.5] {
        let drawn = DrawnParams {
            rotation: Some([9.0, -7.0, 11.0]),
            scaling: Some(1.1),
            contrast: Some([1.1, 0.9, 1.0, 1.05]),
            shift: Some([0.1, -0.1, 0.05, 0.0]),
            mirroring: [false, true, false],
            ..DrawnParams::default()
        };
        let mixed = pair.sample([1, 2, 3], drawn, shift);
        let alone = |sample: DrawnSample| {
            let drawn = DrawnParams { mixing: None, ..sample.drawn };
            render(&DrawnSample { donor: None, drawn, ..sample }, Targets::Hard)
        };
        let receiver = alone(mixed.clone());
        let donor_handle = mixed.donor.clone().unwrap();
        let corner = mixed.case.place_in(&donor_handle, mixed.window.corner);
        let window = Window { corner, ..mixed.window };
        let donor = alone(DrawnSample { case: donor_handle, window, ..mixed.clone() });
        let found = render(&mixed, Targets::Hard);
        let voxel = |patch: &PatchBuffer, place: usize| {
            let images = [0, 1, 2, 3].map(|c| patch.images[c * PATCH.voxel_count() + place]);
            (images.map(f16::to_f64), patch.labels[place])
        };
        // Positions are rounded to 2^-40 voxel from another first voxel, so a half may be rounded in another way.
        let is_near = |one: &([f64; 4], u8), other: &([f64; 4], u8)| {
            let mut pairs = one.0.iter().zip(other.0);
            one.1 == other.1
                && pairs.all(|(one, other)| (one - other).abs() <= 2e-3 * one.abs().max(1.0))
        };
        let mut from = [0; 2];
        for place in 0..PATCH.voxel_count() {
            let own = voxel(&found, place);
            let [kept, given] = [&receiver, &donor].map(|patch| voxel(patch, place));
            let [keeps, takes] = [is_near(&own, &kept), is_near(&own, &given)];
            assert!(keeps || takes, "{own:?} {kept:?} {given:?} at {place}");
            from[usize::from(takes && !keeps)] += 1;
            if shift > 0.0 && donor.labels[place] != 0 {
                assert_eq!(own.1, given.1, "all of the donor's tumour is in a grown region");
            }
        }
        assert!(from[0] > 500 && from[1] > 50, "{from:?}");
    }
}

#[test]
fn a_plan_without_mixing_gives_the_samples_that_it_gave() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(3);
        setting.augment = mirroring(0.5);
        let plain = setting.take(watch, "cache", 0, 6);
        setting.augment.mixing.share = 1.0;
        let mixed = setting.take(watch, "cache", 0, 6);
        let [mut same, mut changed] = [0; 2];
        for (plain, mixed) in plain.iter().zip(&mixed) {
            assert_eq!(plain.keys, mixed.keys);
            for (one, other) in plain.provenance.iter().zip(&mixed.provenance) {
                assert_eq!(one.case, other.case, "the receivers are the plan's");
                assert_eq!(one.drawn.mirroring, other.drawn.mirroring);
                let Some(mixing) = &other.drawn.mixing else {
                    assert_eq!(one, other);
                    same += 1;
                    continue;
                };
                assert_ne!(mixing.donor, other.case);
                assert!(phantom(&mixing.donor).labels.iter().any(|label| *label != 0));
                changed += 1;
            }
        }
        assert!(changed > same, "{changed} of {}", changed + same);
    });
}
