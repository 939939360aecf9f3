//! The promise of the look at images: a clean case has no finding, and what was done to it is found.

use gliaflow::internals::brats::phantom::{PhantomConfig, generate_phantom};
use gliaflow::internals::quality::{
    CaseQuality, Certainty, FindingKind, ForegroundRule, QualityFinding,
};
use gliaflow::internals::volume::{Dims, Voxels};

/// A clean phantom and its quality after `change` of every voxel of every image.
fn examined(dims: Dims, index: u64, change: impl Fn(usize, i16) -> f64) -> CaseQuality {
    let case = generate_phantom(&PhantomConfig { dims, seed: 11 }, index);
    let images = case.images.each_ref().map(|image| {
        let changed: Vec<f64> =
            image.iter().enumerate().map(|(place, value)| change(place, *value)).collect();
        if changed.iter().all(|value| f64::from(*value as i16) == *value) {
            Voxels::from_whole(changed.iter().map(|value| *value as i16).collect())
        } else {
            Voxels::F32(changed.iter().map(|value| *value as f32).collect())
        }
    });
    CaseQuality::measure_case(&images, Some(&case.labels), dims, &ForegroundRule::Nonzero, None)
}

fn kinds(findings: &[QualityFinding]) -> Vec<FindingKind> {
    findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn clean_phantoms_of_any_shape_have_no_finding() {
    for dims in [Dims([24, 28, 26]), Dims::cube(32), Dims([48, 64, 64]), Dims::cube(80)] {
        for index in 0..6 {
            let quality = examined(dims, index, |_, value| f64::from(value));
            assert_eq!(quality.list_findings(), [], "{dims} {index}");
            for image in &quality.images {
                assert_eq!((image.background.range.value, image.background.ringing), (0.0, 0));
                assert_eq!(image.background.certainty, Certainty::Certain);
            }
            // As reals, too.
            let quality = examined(dims, index, |_, value| f64::from(value) * 0.1);
            assert_eq!(quality.list_findings(), [], "{dims} {index} x 0.1");
        }
    }
}

#[test]
fn whatever_the_background_is_the_same_voxels_are_tissue() {
    let dims = Dims::cube(32);
    let clean = examined(dims, 0, |_, value| f64::from(value));
    let tissue = clean.images.each_ref().map(|image| image.tissue.voxels);
    let scored = |_: usize, value: i16| (f64::from(value) - 55.0) / 130.0;
    let ringing = |place: usize, value: i16| {
        if value == 0 { (place as f64 * 0.7).sin() * 0.4 } else { f64::from(value) }
    };
    let elsewhere = |around: f64| {
        move |_: usize, value: i16| if value == 0 { around } else { f64::from(value) }
    };
    for (seen, wanted) in [
        (examined(dims, 0, elsewhere(-1024.0)), FindingKind::Background),
        (examined(dims, 0, elsewhere(7.0)), FindingKind::Background),
        (examined(dims, 0, elsewhere(-0.25)), FindingKind::Background),
        (examined(dims, 0, scored), FindingKind::Background),
        (examined(dims, 0, ringing), FindingKind::Ringing),
    ] {
        assert_eq!(kinds(&seen.list_findings()), [wanted; 4]);
        let found = seen.images.each_ref().map(|image| image.tissue.voxels);
        // Integers of tissue that are 7 are background now.
        for (found, wanted) in found.iter().zip(tissue) {
            assert!(found.abs_diff(wanted) <= 3, "{found} {wanted}");
        }
    }
}

#[test]
fn a_spike_is_found_in_integers_and_reals_and_clipping_gives_the_range_back() {
    let dims = Dims::cube(32);
    let clean = examined(dims, 1, |_, value| f64::from(value));
    let centre = dims.voxel_count() / 2 + 16 * 32 + 16;
    for height in [32_767.0, 1e6, -1e7] {
        let spiked = |place: usize, value: i16| {
            if place == centre { height } else { f64::from(value) }
        };
        let seen = examined(dims, 1, spiked);
        for (image, clean) in seen.images.iter().zip(&clean.images) {
            // Phantoms reach some thousands: 32767 is within reach of some.
            let Some(clip) = image.clip else {
                assert_eq!(height, 32_767.0);
                continue;
            };
            assert_eq!(clip.above + clip.below, 1);
            assert!(clip.low >= clean.tissue.min && clip.high <= clean.tissue.max);
            assert!(image.code_step.is_none_or(|step| step < 0.01), "{:?}", image.code_step);
        }
        if height != 32_767.0 {
            assert_eq!(kinds(&seen.list_findings()), [FindingKind::Spike; 4]);
        }
    }
}
