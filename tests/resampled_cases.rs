//! Cases in the voxel size that was asked for: what is prepared, stored, read back and refused.
#![allow(clippy::unwrap_used)]

use gliaflow::internals::base::Fingerprint;
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{
    CaseContents, CaseStore, ExpectedSource, MappedCase, PreprocessConfig, ResamplingRecord,
    Verify, prepare_in_buffers,
};
use gliaflow::internals::quality::QualityPolicy;
use gliaflow::internals::resampling::{
    GridMap, Interpolation, Resampling, resample_image, resample_labels, resample_mask,
};
use gliaflow::internals::volume::{
    Affine, Case, CaseId, Dims, LabelScheme, Modality, SourceGrid, Voxels,
};

const THICK: Dims = Dims([7, 12, 13]);
const SPACING: [f64; 3] = [0.9, 0.9, 5.0];

/// A ball of uneven tissue in slices of 5 mm, in files that run against the canonical axes.
fn thick_case(background: i16) -> Case {
    let inside = |place: usize| {
        let [z, y, x] = THICK.zyx_from_offset(place).map(|at| at as f64);
        (z - 3.0).abs() < 2.5 && (y - 5.5).powi(2) + (x - 6.0).powi(2) < 22.0
    };
    let places = 0..THICK.voxel_count();
    let value = |place: usize, channel: usize| match inside(place) {
        true => 100 * (channel as i16 + 1) + ((place * 31) % 53) as i16,
        false => background,
    };
    let label = |place: usize| if inside(place) { (place / 40 % 5) as u8 } else { 0 };
    let affine = Affine([
        [0.9, 0.0, 0.0, -5.0],
        [0.0, 0.9, 0.0, 11.0],
        [0.0, 0.0, 5.0, 7.0],
        [0.0, 0.0, 0.0, 1.0],
    ]);
    Case {
        id: CaseId::new("thick"),
        source: SourceGrid { flipped: [true, true, false], ..SourceGrid::canonical(THICK, affine) },
        images: [0, 1, 2, 3].map(|channel| {
            Voxels::from_whole(places.clone().map(|at| value(at, channel)).collect())
        }),
        labels: Some(places.map(label).collect()),
        mask: None,
        scheme: LabelScheme::Brats2024,
        channels: gliaflow::internals::volume::RunChannels::default(),
        fingerprint: Fingerprint([3; 16]),
        bytes_read: 0,
    }
}

fn asking_for(spacing_mm: [f64; 3], interpolation: Interpolation) -> PreprocessConfig {
    let resampling = Resampling { spacing_mm, interpolation, max_voxels: 1 << 30 };
    PreprocessConfig { resampling: Some(resampling), ..PreprocessConfig::default() }
}

fn prepare(case: &Case, config: &PreprocessConfig) -> CaseContents {
    prepare_in_buffers(&CaseBuffers::default(), case, config).unwrap()
}

fn map_of(config: &PreprocessConfig) -> GridMap {
    config.resampling.unwrap().map_grid(THICK, SPACING).unwrap()
}

#[test]
fn tissue_is_interpolated_with_the_background_and_keeps_its_extent() {
    for background in [0, -1000] {
        let case = thick_case(background);
        for interpolation in [Interpolation::Linear, Interpolation::Cubic] {
            let config = asking_for([1.0; 3], interpolation);
            let map = map_of(&config);
            let found = prepare(&case, &config);
            let dims = found.source.canonical_dims();
            assert_eq!(dims.to_nifti(), [12, 11, 35]);
            assert_eq!(found.source.canonical_spacing_mm().map(|edge| edge.round()), [1.0; 3]);
            for modality in Modality::ALL {
                let source = &case.images[modality.index()];
                let values: Vec<f32> = source.iter().map(|value| value as f32).collect();
                let tissue: Vec<u8> =
                    source.iter().map(|value| u8::from(value != f64::from(background))).collect();
                let tissue = resample_mask(&tissue, &map).unwrap();
                let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(low, high), value| {
                    (low.min(*value), high.max(*value))
                });
                let wanted = resample_image(values, &map, interpolation).unwrap();
                let codes: Vec<i16> =
                    found.images.iter().map(|voxel| voxel[modality.index()]).collect();
                let codes = found.brain.paste_into(&codes, dims, 0);
                let scale = &found.scales[modality.index()];
                let step = f64::from(high - low) / 65_535.0 + 2e-4;
                assert_eq!(codes.len(), wanted.len());
                for (place, code) in codes.into_iter().enumerate() {
                    assert_eq!(code != 0, tissue[place] == 1, "{modality} {place}");
                    let wanted = f64::from(wanted[place].clamp(low, high));
                    let apart = scale.slope.mul_add(f64::from(code), scale.inter) - wanted;
                    assert!(code == 0 || apart.abs() <= step, "{modality} {place}: {apart}");
                }
            }
        }
    }
}

#[test]
fn a_case_file_holds_the_source_grid_and_its_labels() {
    let case = thick_case(0);
    let config = asking_for([1.0; 3], Interpolation::Cubic);
    let contents = prepare(&case, &config);
    let labels = case.labels.as_ref().unwrap();
    let resampled = resample_labels(labels, &map_of(&config)).unwrap();
    let dims = contents.source.canonical_dims();
    assert_eq!(contents.labels.as_ref().unwrap(), &contents.brain.crop_from(&resampled, dims));
    assert!((1..=4).all(|label| resampled.contains(&label)));

    let root = tempfile::tempdir().unwrap();
    let store = CaseStore::open(root.path(), config.fingerprint()).unwrap();
    let path = store.publish(&contents).unwrap().path;
    let found = store.find_case(&case.id, ExpectedSource::Anything).unwrap().unwrap();
    assert_eq!(found.source_grid(), &contents.source);
    assert_eq!(found.resampled_from(), Some(&case.source));
    assert_eq!(found.file_grid(), &case.source);
    let own = found.source_labels().unwrap();
    assert_eq!(&own.labelled.paste_into(own.labels, THICK, 0), labels);
    let record = ResamplingRecord {
        spacing_mm: [1.0; 3],
        interpolation: Interpolation::Cubic,
        source: Some(case.source),
    };
    assert_eq!(found.description().resampling, Some(record));
    drop(found);

    // The labels are the last section but for the source files, which this case has not.
    let whole = std::fs::read(&path).unwrap();
    let copy = root.path().join("copy.case");
    for from_end in [4096, 4096 - 13, 4096 - 25] {
        let mut bytes = whole.clone();
        let place = bytes.len() - from_end;
        bytes[place] ^= 1;
        std::fs::write(&copy, bytes).unwrap();
        let refused = MappedCase::open(&copy, Verify::Header).unwrap_err().to_string();
        assert!(refused.contains("SOURCE LABEL"), "{refused}");
    }
}

#[test]
fn a_case_of_the_wanted_voxel_size_is_what_it_is_without_it() {
    let case = thick_case(0);
    let kept = prepare(&case, &asking_for(SPACING, Interpolation::Cubic));
    let wanted = prepare(&case, &PreprocessConfig::default());
    assert_ne!(kept.preprocess, wanted.preprocess);
    assert_eq!(kept.description.resampled_from(), None);
    assert_eq!(kept.description.resampling.unwrap().spacing_mm, SPACING);
    let description = wanted.description.clone();
    assert_eq!(CaseContents { preprocess: wanted.preprocess, description, ..kept }, wanted);
}

#[test]
fn an_unlabelled_case_has_no_labels_on_either_grid() {
    let case = Case { labels: None, ..thick_case(0) };
    let found = prepare(&case, &asking_for([2.0; 3], Interpolation::Linear));
    assert_eq!((found.labels, found.source_labels), (None, None));
    assert_eq!(found.description.resampled_from(), Some(&case.source));
}

#[test]
fn a_grid_that_memory_does_not_hold_is_refused_with_both_sizes() {
    let mut config = asking_for([0.5; 3], Interpolation::Linear);
    config.resampling.as_mut().unwrap().max_voxels = 1000;
    config.quality = QualityPolicy::Warn;
    let case = thick_case(0);
    let refused = prepare_in_buffers(&CaseBuffers::default(), &case, &config).unwrap_err();
    let text = refused.to_string();
    for word in ["case thick", "0.90 x 0.90 x 5.00", "23x22x70", "more than 1000", "data.spacing"] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}
