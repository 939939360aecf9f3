//! Tests of what counts as background, on both sides of each threshold.

use crate::quality::background::{ImageBackground, find_background};
use crate::quality::surround::{corner_places, face_places};
use crate::quality::{BackgroundRange, Certainty, ForegroundRule};
use crate::volume::{Dims, Voxels};

const SIDE: usize = 20;
const DIMS: Dims = Dims::cube(SIDE);
const BALL: usize = 1472;

/// Ball of [`BALL`] voxels in a cube of `around`; tissue is `tissue(number)`.
fn draw_ball(around: f64, tissue: impl Fn(usize) -> f64) -> Vec<f64> {
    let centre = (SIDE as f64 - 1.0) / 2.0;
    let mut number = 0;
    let draw = |place| {
        let at = DIMS.zyx_from_offset(place).map(|i| (i as f64 - centre).powi(2));
        if at.iter().sum::<f64>() > 49.0 {
            return around;
        }
        number += 1;
        tissue(number)
    };
    (0..DIMS.voxel_count()).map(draw).collect()
}

fn grey_value(number: usize) -> f64 {
    200.0 + (number * 37 % 211) as f64
}

fn whole_numbers(values: &[f64]) -> Voxels {
    Voxels::from_whole(values.iter().map(|value| *value as i16).collect())
}

fn found_in(voxels: &Voxels) -> ImageBackground {
    find_background(voxels, DIMS, &ForegroundRule::Nonzero)
}

#[test]
fn a_constant_around_the_head_is_background_whatever_its_value() {
    for around in [0.0, -1024.0, 7.0, 3000.0] {
        let values = draw_ball(around, grey_value);
        for voxels in [whole_numbers(&values), Voxels::F64(values.clone())] {
            let seen = found_in(&voxels);
            assert_eq!((seen.certainty, seen.corners), (Certainty::Certain, 8));
            assert_eq!(seen.range, BackgroundRange::around(around, 0.0));
            assert_eq!((seen.face_share, seen.ringing), (1.0, 0));
        }
    }
    // The lowest value of an image that was z-scored with its background.
    let scored: Vec<f64> = draw_ball(0.0, grey_value).iter().map(|v| (v - 55.0) / 120.0).collect();
    let seen = found_in(&Voxels::F64(scored.clone()));
    assert_eq!((seen.certainty, seen.range.value), (Certainty::Certain, scored[0]));
}

#[test]
fn half_of_the_faces_all_corners_and_a_tenth_of_the_volume_are_beyond_doubt() {
    let base = draw_ball(-5.0, grey_value);
    let faces = face_places(DIMS);
    let tissue_on_faces = |count: usize| {
        let mut values = base.clone();
        let inner = faces.iter().filter(|place| !corner_places(DIMS).contains(place));
        for (number, &place) in inner.take(count).enumerate() {
            values[place] = grey_value(number);
        }
        found_in(&whole_numbers(&values))
    };
    let half = faces.len() / 2;
    assert_eq!(tissue_on_faces(half).certainty, Certainty::Certain);
    let doubtful = tissue_on_faces(half + 1);
    assert_eq!((doubtful.certainty, doubtful.range), (Certainty::Doubtful, BackgroundRange::ZERO));
    assert_eq!(doubtful.surround, -5.0);
    assert_eq!(tissue_on_faces(faces.len() - 100).certainty, Certainty::Absent);

    let mut one_corner = base.clone();
    one_corner[0] = 300.0;
    assert_eq!(found_in(&whole_numbers(&one_corner)).certainty, Certainty::Doubtful);

    // 2168 of 8000 voxels lie on the faces; a larger grid has a smaller share there.
    let large = Dims::cube(61);
    let mut shell = vec![300.0; large.voxel_count()];
    for place in face_places(large) {
        shell[place] = 9.0;
    }
    let of_shell = |values: &[f64]| {
        find_background(&whole_numbers(values), large, &ForegroundRule::Nonzero).certainty
    };
    assert_eq!(of_shell(&shell), Certainty::Doubtful, "9.5 % of the volume");
    let inner = shell.iter().enumerate().filter(|(_, v)| **v == 300.0).map(|(place, _)| place);
    for place in inner.take(1200).collect::<Vec<_>>() {
        shell[place] = 9.0;
    }
    assert_eq!(of_shell(&shell), Certainty::Certain, "10.0 % of the volume");
}

#[test]
fn a_second_background_of_zeros_leaves_a_doubt() {
    let with_zeros = |share: f64| {
        let values = draw_ball(-1024.0, |number| {
            if number as f64 <= BALL as f64 * share { 0.0 } else { grey_value(number) }
        });
        found_in(&whole_numbers(&values))
    };
    assert_eq!(with_zeros(0.09).certainty, Certainty::Certain);
    assert_eq!(with_zeros(0.11).certainty, Certainty::Doubtful);
}

#[test]
fn a_background_that_was_padded_with_zeros_is_told_and_a_threshold_takes_both() {
    let scored = |number| (grey_value(number) - 250.3) / 50.0;
    for (around, tissue) in
        [(-1024.0, &grey_value as &dyn Fn(usize) -> f64), (7.0, &grey_value), (-3.25, &scored)]
    {
        for faces in [1, 2, 4, 6] {
            let mut values = draw_ball(around, tissue);
            let [depth, height, width] = DIMS.0;
            for (place, value) in values.iter_mut().enumerate() {
                let at = [place / (height * width), place / width % height, place % width];
                let ends = [depth, height, width].map(|extent| extent - 1);
                let on_face = |face: usize| at[face / 2] == [0, ends[face / 2]][face % 2];
                if (0..faces).any(on_face) {
                    *value = 0.0;
                }
            }
            let voxels = if around.fract() == 0.0 {
                whole_numbers(&values)
            } else {
                Voxels::F64(values.clone())
            };
            let seen = found_in(&voxels);
            assert_eq!(seen.certainty, Certainty::Doubtful, "{around}, {faces} faces");
            assert_eq!(seen.range, BackgroundRange::ZERO);
            let asked = find_background(&voxels, DIMS, &ForegroundRule::Threshold).range;
            let tissue = values.iter().filter(|value| !asked.contains(**value)).count();
            assert_eq!(tissue, BALL, "{around}, {faces} faces: {asked:?}");
        }
    }
}

#[test]
fn ringing_is_background_in_reals_and_told_in_whole_numbers() {
    let rung = |share: f64, height: f64| -> Vec<f64> {
        let mut values = draw_ball(0.0, grey_value);
        let count = (BALL as f64 * share) as usize;
        for (number, value) in values.iter_mut().filter(|v| **v == 0.0).take(count).enumerate() {
            *value = if number % 2 == 0 { height } else { -height };
        }
        values
    };
    let seen = found_in(&Voxels::F64(rung(0.5, 0.4)));
    assert_eq!(seen.ringing, 736);
    assert!(seen.range.contains(0.4) && seen.range.contains(-0.4) && !seen.range.contains(200.0));
    let none = found_in(&Voxels::F64(rung(0.003, 0.4)));
    assert_eq!((none.ringing, none.range), (0, BackgroundRange::ZERO));
    let high = found_in(&Voxels::F64(rung(0.5, 4.0)));
    assert_eq!((high.ringing, high.range), (0, BackgroundRange::ZERO));

    let tall = |values: Vec<f64>| -> Vec<f64> { values.iter().map(|v| v * 5.0).collect() };
    let told = found_in(&whole_numbers(&tall(rung(0.5, 0.4))));
    assert_eq!((told.ringing, told.range), (736, BackgroundRange::ZERO));
}

#[test]
fn tissue_is_no_ringing_beside_an_artefact_far_above_it() {
    let artefact = |share: f64| {
        let far = (BALL as f64 * share) as usize;
        draw_ball(0.0, |number| if number <= far { 1e6 } else { grey_value(number) + 0.5 })
    };
    assert_eq!(found_in(&Voxels::F64(artefact(0.04))).ringing, 0);
    assert_eq!(found_in(&Voxels::F64(artefact(0.06))).ringing, 1384, "told, at least");
    let mut noisy = artefact(0.04);
    for (number, value) in noisy.iter_mut().filter(|value| **value == 0.0).enumerate() {
        *value = (number as f64).sin() * 0.3;
    }
    assert_eq!(found_in(&Voxels::F64(noisy)).certainty, Certainty::Absent);
}

#[test]
fn dark_tissue_and_tissue_about_zero_do_not_ring() {
    let dark = draw_ball(0.0, |number| number as f64 * 0.3 + 0.01);
    let scored = draw_ball(0.0, |number| (number as f64 - 736.0) / 400.0 + 1e-6);
    for values in [dark, scored] {
        let seen = found_in(&Voxels::F64(values));
        assert_eq!((seen.ringing, seen.range), (0, BackgroundRange::ZERO));
    }
}

#[test]
fn an_image_that_rings_up_to_its_faces_has_its_background_all_the_same() {
    for around in [0.0, -3.0] {
        let mut values = draw_ball(around, grey_value);
        let ringing = values.iter_mut().filter(|value| **value == around);
        for (number, value) in ringing.enumerate() {
            *value += (number as f64).sin() * 0.3;
        }
        let seen = found_in(&Voxels::F64(values.clone()));
        assert_eq!((seen.certainty, seen.corners), (Certainty::Certain, 8), "{around}");
        assert!(seen.range.contains(around + 0.3) && !seen.range.contains(200.0));
        assert!((seen.range.value - around).abs() < 0.1);
        let tissue = values.iter().filter(|value| !seen.range.contains(**value)).count();
        assert_eq!(tissue, BALL);
    }
}

#[test]
fn padding_with_nan_leaves_zero_and_noise_leaves_nothing() {
    let mut values = draw_ball(f64::NAN, grey_value);
    values[4200] = 0.0;
    let seen = found_in(&Voxels::F64(values));
    assert_eq!((seen.range, seen.zeros), (BackgroundRange::ZERO, 1));
    assert!(seen.range.contains(f64::NAN) && seen.range.contains(f64::INFINITY));

    let noise: Vec<f64> = (0..8000).map(|place| 1.0 + (place * 7919 % 8000) as f64).collect();
    let seen = found_in(&whole_numbers(&noise));
    assert_eq!((seen.certainty, seen.range), (Certainty::Absent, BackgroundRange::ZERO));
}

#[test]
fn a_threshold_is_one_percent_of_the_amplitude_from_whatever_surrounds() {
    let values = draw_ball(-1024.0, |n| if n <= 700 { -1020.0 } else { 200.0 });
    let seen = find_background(&whole_numbers(&values), DIMS, &ForegroundRule::Threshold);
    assert_eq!(seen.range, BackgroundRange::around(-1024.0, 12.24));
    assert!(seen.range.contains(-1020.0) && !seen.range.contains(-1011.0));
}

#[test]
fn faces_are_each_voxel_once_also_in_thin_grids() {
    for dims in [Dims::cube(1), Dims([1, 1, 5]), Dims([2, 3, 1]), Dims([3, 4, 5])] {
        let mut places = face_places(dims);
        let inner: usize = dims.0.iter().map(|side| side.saturating_sub(2)).product();
        assert_eq!(places.len(), dims.voxel_count() - inner, "{dims}");
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), dims.voxel_count() - inner, "{dims}");
    }
}
