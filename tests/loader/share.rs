//! Where patches are cut: on tumour as often as asked, evenly where nothing is asked, mirrored with
//! the probability given. Keys are fixed, so the counts are; the bounds are five standard deviations.

use std::sync::Arc;

use gliaflow::internals::brats::phantom::{PhantomCase, generate_phantom};
use gliaflow::internals::cache::MappedCase;
use gliaflow::internals::pipeline::CropConfig;
use gliaflow::internals::volume::{Dims, Region, label};

use super::patches::{Cutter, case_of, mapped};
use super::setting::{PHANTOMS, mirroring};

const KEYS: u64 = 3000;

/// The first phantom with or without enhancing tumour.
fn phantom(enhancing: bool) -> PhantomCase {
    let mut all = (0..60).map(|index| generate_phantom(&PHANTOMS, index));
    all.find(|phantom| phantom.labels.contains(&label::ET) == enhancing).unwrap()
}

fn assert_binomial(found: usize, of: u64, probability: f64, what: &str) {
    let (n, p) = (of as f64, probability);
    let bound = 5.0 * (n * p * (1.0 - p)).sqrt();
    assert!((found as f64 - n * p).abs() <= bound, "{what}: {found} of {of}, expected {p}");
}

fn cutter(side: usize, foreground_share: f64, mirror: f64, case: &Arc<MappedCase>) -> Cutter {
    let config = CropConfig { patch: Dims::cube(side), foreground_share };
    Cutter::new(&config, mirroring(mirror), case)
}

/// Labels of patches of one voxel: the voxel that was drawn.
fn drawn_labels(case: &Arc<MappedCase>, share: f64) -> Vec<u8> {
    let mut cutter = cutter(1, share, 0.5, case);
    (0..KEYS).map(|index| cutter.cut(index, |sample| sample.patch.labels[0])).collect()
}

/// With which probability a draw of a region, then of one of its voxels, has this label.
fn probability(case: &MappedCase, label: u8) -> f64 {
    let labels = case.labels().unwrap();
    let present = Region::BRATS.map(|region| case.foreground(region).voxels);
    let present: Vec<&[u32]> = present.into_iter().filter(|voxels| !voxels.is_empty()).collect();
    let share = |voxels: &[u32]| {
        let hits = voxels.iter().filter(|place| labels[**place as usize] == label).count();
        hits as f64 / voxels.len() as f64
    };
    present.iter().map(|voxels| share(voxels)).sum::<f64>() / present.len() as f64
}

#[test]
fn the_voxel_that_a_foreground_patch_is_cut_around_is_drawn_evenly_by_region_then_by_voxel() {
    for enhancing in [true, false] {
        let (_folder, case) = mapped(&case_of(&phantom(enhancing)));
        let drawn = drawn_labels(&case, 1.0);
        assert!(!drawn.contains(&label::BACKGROUND), "every voxel drawn is tumour");
        for label in [label::NCR, label::ED, label::ET] {
            let count = drawn.iter().filter(|own| **own == label).count();
            assert_binomial(count, KEYS, probability(&case, label), &format!("label {label}"));
        }
        assert_eq!(drawn.contains(&label::ET), enhancing);
    }
}

#[test]
fn a_patch_cut_around_a_tumour_voxel_holds_it_in_the_middle_unless_the_border_is_near() {
    let (_folder, case) = mapped(&case_of(&phantom(true)));
    let brain = case.brain_box().dims;
    for side in [8, 9] {
        let mut cutter = cutter(side, 1.0, 0.0, &case);
        let mut in_the_middle = 0;
        for index in 0..500 {
            cutter.cut(index, |sample| {
                let labels = &sample.patch.labels;
                let tumour = |place: usize| Region::WT.contains(labels[place]);
                assert!((0..labels.len()).any(tumour), "patch {index} missed the tumour");
                let at_border = (0..3).any(|axis| {
                    let corner = sample.provenance.corner[axis];
                    corner == 0 || corner as usize == brain.0[axis] - side
                });
                if !at_border {
                    in_the_middle += 1;
                    assert!(
                        tumour(Dims::cube(side).offset_from_zyx([side / 2; 3])),
                        "patch {index}"
                    );
                }
            });
        }
        assert!(in_the_middle > 50, "only {in_the_middle} patches were away from the border");
    }
}

#[test]
fn half_of_the_patches_are_on_tumour_and_the_rest_are_even() {
    let (_folder, case) = mapped(&case_of(&phantom(true)));
    let labels = case.labels().unwrap();
    let tumour = labels.iter().filter(|label| Region::WT.contains(**label)).count();
    let by_chance = tumour as f64 / labels.len() as f64;
    for share in [0.0, 0.25, 0.5] {
        let drawn = drawn_labels(&case, share);
        let found = drawn.iter().filter(|label| Region::WT.contains(**label)).count();
        let expected = share + (1.0 - share) * by_chance;
        assert_binomial(found, KEYS, expected, &format!("tumour at share {share}"));
    }
}

#[test]
fn corners_off_the_tumour_are_even_over_all_places_from_border_to_border() {
    let (_folder, case) = mapped(&case_of(&phantom(true)));
    let mut cutter = cutter(12, 0.0, 0.0, &case);
    let corners: Vec<[isize; 3]> =
        (0..KEYS).map(|index| cutter.cut(index, |sample| sample.provenance.corner)).collect();
    for axis in 0..3 {
        let places = case.brain_box().dims.0[axis] - 12 + 1;
        assert!(places > 3, "the box is large enough to tell");
        for place in 0..places as isize {
            let count = corners.iter().filter(|corner| corner[axis] == place).count();
            let what = format!("corner {place} of axis {axis}");
            assert_binomial(count, KEYS, 1.0 / places as f64, &what);
        }
        assert!(corners.iter().all(|corner| (0..places as isize).contains(&corner[axis])));
    }
}

#[test]
fn a_case_without_tumour_and_one_without_labels_are_cut_evenly_whatever_the_share() {
    let healthy = PhantomCase { labels: vec![0; PHANTOMS.dims.voxel_count()], ..phantom(true) };
    let mut unlabelled = case_of(&healthy);
    unlabelled.labels = None;
    for case in [case_of(&healthy), unlabelled] {
        let (_folder, case) = mapped(&case);
        let mut cutter = cutter(12, 1.0, 0.5, &case);
        let mut corners = std::collections::BTreeSet::new();
        for index in 0..300 {
            cutter.cut(index, |sample| {
                assert!(sample.patch.labels.iter().all(|label| *label == 0));
                corners.insert(sample.provenance.corner);
            });
        }
        assert!(corners.len() > 200, "{} different corners of 300", corners.len());
    }
}

#[test]
fn axes_are_mirrored_with_the_probability_given_and_independently() {
    let (_folder, case) = mapped(&case_of(&phantom(true)));
    let drawn = |mirror: f64| -> Vec<([isize; 3], [bool; 3])> {
        let mut cutter = cutter(4, 0.5, mirror, &case);
        let cut = |index| {
            cutter
                .cut(index, |sample| (sample.provenance.corner, sample.provenance.drawn.mirroring))
        };
        (0..KEYS).map(cut).collect()
    };
    let (never, half, always) = (drawn(0.0), drawn(0.5), drawn(1.0));
    assert!(never.iter().all(|(_, axes)| *axes == [false; 3]));
    assert!(always.iter().all(|(_, axes)| *axes == [true; 3]));
    for combination in 0..8u8 {
        let axes = [1, 2, 4].map(|bit| combination & bit != 0);
        let count = half.iter().filter(|(_, drawn)| *drawn == axes).count();
        assert_binomial(count, KEYS, 0.125, &format!("{axes:?}"));
    }
    for (one, other) in half.iter().zip(&always) {
        assert_eq!(one.0, other.0, "where a patch is cut does not depend on how it is mirrored");
    }
}
