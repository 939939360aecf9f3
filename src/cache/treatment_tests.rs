//! Tests of the treatment of intensities.

use super::*;
use crate::base::Fingerprint;
use crate::buffers::CaseBuffers;
use crate::cache::{CaseContents, prepare_in_buffers};
use crate::volume::{Affine, Box3, CaseId, LabelScheme, RunChannels, SourceGrid};

const DIMS: Dims = Dims([20, 20, 20]);
const BRAIN: Box3 = Box3 { start: [4, 5, 6], dims: Dims([12, 11, 10]) };

/// Intensity of a voxel: 0 around a brain of 100 to 500.
fn intensity(place: usize, modality: usize) -> f64 {
    let inside = BRAIN.contains_voxel(DIMS.zyx_from_offset(place));
    if inside { (100 + (place * (3 + 2 * modality)) % 401) as f64 } else { 0.0 }
}

/// The clean case with T1ce changed.
fn case_with(change: impl Fn(usize, f64) -> f64) -> Case {
    let image = |modality: usize| {
        let values = (0..DIMS.voxel_count()).map(|place| intensity(place, modality));
        if modality != Modality::T1ce.index() {
            return Voxels::from_whole(values.map(|value| value as i16).collect());
        }
        let values: Vec<f64> =
            values.enumerate().map(|(place, value)| change(place, value)).collect();
        let whole = values.iter().all(|value| f64::from(*value as i16) == *value);
        match whole {
            true => Voxels::from_whole(values.into_iter().map(|value| value as i16).collect()),
            false => Voxels::F64(values),
        }
    };
    Case {
        id: CaseId::new("c"),
        source: SourceGrid::canonical(DIMS, Affine([[1.0; 4]; 4])),
        images: [0, 1, 2, 3].map(image),
        labels: None,
        mask: None,
        scheme: LabelScheme::Brats2018,
        channels: RunChannels::default(),
        fingerprint: Fingerprint([1; 16]),
        bytes_read: 0,
    }
}

fn prepared(case: &Case, quality: QualityPolicy) -> Result<CaseContents, CaseError> {
    let config = PreprocessConfig { quality, ..PreprocessConfig::default() };
    prepare_in_buffers(&CaseBuffers::default(), case, &config)
}

/// z-scores of T1ce.
fn z_scores(contents: &CaseContents) -> Vec<f64> {
    let t1ce = Modality::T1ce.index();
    let (factor, offset) = contents.stats[t1ce].z_score_coefficients(&contents.scales[t1ce]);
    let raw = contents.images.iter().map(|voxel| voxel[t1ce]);
    raw.map(|raw| if raw == 0 { 0.0 } else { factor * f64::from(raw) + offset }).collect()
}

fn largest_difference(a: &CaseContents, b: &CaseContents) -> f64 {
    assert_eq!(a.brain, b.brain);
    let pairs = z_scores(a).into_iter().zip(z_scores(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn a_clean_case_is_kept_as_it_is_without_a_look_at_its_voxels() {
    let case = case_with(|_, value| value);
    let treatment = choose_treatment(&case, &PreprocessConfig::default(), false).unwrap();
    assert_eq!(treatment.images, [ImageTreatment::KEEP; 4]);
    let contents = prepared(&case, QualityPolicy::Clip).unwrap();
    assert!(contents.findings.is_empty());
    assert_eq!(contents.brain, BRAIN);
    assert_eq!(contents.description.records, vec![ModalityRecord::default(); 4]);
}

#[test]
fn what_surrounds_the_brain_and_a_spike_change_no_z_score_and_are_recorded() {
    let clean = prepared(&case_with(|_, value| value), QualityPolicy::Clip).unwrap();
    let of = |change: &dyn Fn(usize, f64) -> f64| {
        let contents = prepared(&case_with(change), QualityPolicy::Clip).unwrap();
        let record = contents.description.records[Modality::T1ce.index()];
        assert!(!contents.findings.is_empty());
        (largest_difference(&contents, &clean), record)
    };
    for shift in [-1024.0, 7.0] {
        let (off, record) =
            of(&|_, value| if value == 0.0 { shift } else { value + shift.min(0.0) });
        assert!(off < 1e-9, "{shift}: {off}");
        assert_eq!((record.background, record.background_basis), (shift, BackgroundBasis::Found));
    }
    // The lowest value of an image that was z-scored: 0 is tissue.
    let (off, record) = of(&|_, value| (value - 300.0) / 115.0);
    assert!(off < 1e-4, "{off}");
    assert_eq!(record.background, -300.0 / 115.0);
    let ringing = |place: usize, value: f64| {
        let near = (4..=17).contains(&DIMS.zyx_from_offset(place)[0]);
        if value == 0.0 && near { 0.4 * (place as f64).sin() } else { value }
    };
    let (off, record) = of(&ringing);
    assert!(off < 1e-4, "{off}");
    assert!(record.background_margin > 0.4 && record.background_margin < 5.0);
    let brightest = DIMS.offset_from_zyx([9, 9, 9]);
    let spiked = case_with(|place, value| if place == brightest { 1e7 + 0.5 } else { value });
    let contents = prepared(&spiked, QualityPolicy::Clip).unwrap();
    let clipping = contents.description.records[1].clipping.unwrap();
    assert_eq!((clipping.below, clipping.above), (0, 1));
    assert!((480.0..=500.0).contains(&clipping.high), "{clipping:?}");
    let [scale, stats] = [contents.scales[1].slope, contents.stats[1].sd];
    assert!(scale < 0.01 * stats, "a step of {scale} at a deviation of {stats}");
    let warned = prepared(&spiked, QualityPolicy::Warn).unwrap();
    assert_eq!(warned.description.records[1].clipping, None);
    assert!(warned.scales[1].slope > 100.0);
    assert!(warned.findings.iter().any(|told| told.starts_with("t1ce: range")));
}

#[test]
fn an_image_without_information_is_refused_unless_it_is_asked_for() {
    for value in [0.0, 5.0] {
        let case = case_with(|_, own| if own == 0.0 { 0.0 } else { value });
        for quality in [QualityPolicy::Clip, QualityPolicy::Strict] {
            let error = prepared(&case, quality).unwrap_err();
            assert_eq!(error.reason, Reason::Format);
            assert!(error.to_string().starts_with("case c: t1ce: voxels: all"), "{error}");
        }
        prepared(&case, QualityPolicy::Warn).unwrap();
    }
}

/// Prepares the clean case with T1ce changed in whole numbers, and returns what a user is told.
fn told_of_whole_numbers(change: impl Fn(usize, f64) -> f64) -> Vec<String> {
    let case = case_with(change);
    assert!(matches!(case.images[Modality::T1ce.index()], Voxels::I16(_)));
    let contents = prepared(&case, QualityPolicy::Clip).unwrap();
    assert_eq!(contents.brain, BRAIN, "nothing around the brain widens its box");
    let records = contents.description.records;
    assert_eq!(records, vec![ModalityRecord::default(); 4], "and nothing is changed");
    contents.findings
}

#[test]
fn images_that_are_stored_as_they_are_are_told_of_as_well() {
    let beside = DIMS.offset_from_zyx([1, 1, 1]);
    let spike =
        told_of_whole_numbers(|place, value| if place == beside { 32_000.0 } else { value });
    assert!(spike[0].starts_with("t1ce: range: 102 to 32000, but percentiles"), "{spike:?}");
    let ringing = told_of_whole_numbers(|place, value| {
        let near = (2..=18).contains(&DIMS.zyx_from_offset(place)[0]);
        if value == 0.0 && near && place % 3 == 0 { 1.0 } else { value }
    });
    assert!(ringing[0].starts_with("t1ce: background: rings: "), "{ringing:?}");
    let cut = told_of_whole_numbers(
        |place, value| {
            if DIMS.zyx_from_offset(place)[0] < 7 { 0.0 } else { value }
        },
    );
    assert!(cut[0].starts_with("t1ce: voxels: tissue covers 75 % of the brain"), "{cut:?}");
    assert_eq!([spike.len(), ringing.len(), cut.len()], [1; 3]);
    assert!(told_of_whole_numbers(|_, value| value).is_empty());

    // 0 in the corners, as turning leaves it, and another value around the head.
    let turned = case_with(|place, value| {
        let at = DIMS.zyx_from_offset(place);
        let in_corner = at.iter().all(|axis| !(1..19).contains(axis));
        if value == 0.0 && !in_corner { -1000.0 } else { value }
    });
    let findings = prepared(&turned, QualityPolicy::Clip).unwrap().findings;
    assert!(findings.iter().any(|told| told.starts_with("t1ce: background: is in doubt: -1000")));
    // Labels on the air.
    let mut labelled = case_with(|_, value| value);
    let mut labels = vec![0; DIMS.voxel_count()];
    labels[..200].fill(2);
    labelled.labels = Some(labels);
    let findings = prepared(&labelled, QualityPolicy::Clip).unwrap().findings;
    assert!(findings[0].starts_with("seg: labels: 200 of 200 tumour voxels"), "{findings:?}");
}

#[test]
fn a_spike_in_the_air_does_not_widen_the_brain_box() {
    let beside = DIMS.offset_from_zyx([1, 18, 1]);
    let spiked = case_with(|place, value| if place == beside { 1e7 + 0.5 } else { value });
    let contents = prepared(&spiked, QualityPolicy::Clip).unwrap();
    assert_eq!(contents.brain, BRAIN);
    assert_eq!(contents.description.records[1].clipping.unwrap().above, 1);
    let clean = prepared(&case_with(|_, value| value), QualityPolicy::Clip).unwrap();
    assert!(largest_difference(&contents, &clean) < 1e-3);
}
