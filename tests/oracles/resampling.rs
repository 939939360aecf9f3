//! Images, labels and probabilities on other voxel sizes against SimpleITK and SciPy.

use std::collections::BTreeMap;

use gliaflow::internals::base::Fingerprint;
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{PreprocessConfig, prepare_in_buffers};
use gliaflow::internals::quality::QualityPolicy;
use gliaflow::internals::resampling::{
    GridMap, Interpolation, Resampling, resample_image, resample_labels, resample_probabilities,
};
use gliaflow::internals::volume::{
    Affine, Box3, Case, CaseId, Dims, LabelScheme, SourceGrid, Voxels,
};
use serde::Deserialize;

use super::counters::uniform;
use super::figures::{Array, fixture, worst};

/// Worst difference of a value in single precision from SimpleITK's and SciPy's in double; images are
/// between -3 and 5.
const CLOSE: f32 = 5e-6;

#[derive(Deserialize)]
struct ResampledCase {
    shape: [usize; 3],
    target: [usize; 3],
    spacing: [f64; 3],
    target_spacing: [f64; 3],
    linear: Array,
    cubic: Array,
    labels: Vec<u8>,
    target_labels: Vec<u8>,
    r#box: [[usize; 3]; 2],
    probabilities: Array,
}

impl ResampledCase {
    fn map(&self, interpolation: Interpolation) -> GridMap {
        let spacing_mm = self.target_spacing;
        let resampling = Resampling { spacing_mm, interpolation, max_voxels: usize::MAX };
        resampling.map_grid(Dims(self.shape), self.spacing).unwrap()
    }
}

fn cases() -> BTreeMap<String, ResampledCase> {
    let cases: BTreeMap<String, ResampledCase> = fixture("resampling");
    assert_eq!(cases.keys().collect::<Vec<_>>(), ["coarse", "fine", "flat", "thick"]);
    cases
}

/// Number of a case in the script, by which its seeds are counted.
fn number(name: &str) -> u64 {
    ["fine", "coarse", "thick", "flat"].iter().position(|own| *own == name).unwrap() as u64
}

#[test]
fn images_are_simpleitks_and_scipys() {
    for (name, case) in cases() {
        let count = Dims(case.shape).voxel_count();
        let image = uniform(count, 600 + number(&name), -3.0, 5.0);
        let wanted = [(Interpolation::Linear, &case.linear), (Interpolation::Cubic, &case.cubic)];
        for (interpolation, wanted) in wanted {
            let map = case.map(interpolation);
            assert_eq!(map.target_dims().0, case.target, "{name}");
            assert_eq!(wanted.shape, case.target, "{name}");
            let found = resample_image(image.clone(), &map, interpolation).unwrap();
            let apart = worst(&found, &wanted.values);
            assert!(apart < CLOSE, "{name} {interpolation:?}: {apart}");
        }
    }
}

/// From files to codes and back: the error that stands between a network and SimpleITK's image is that of
/// 16 bits.
#[test]
fn a_prepared_case_is_simpleitks_to_sixteen_bits() {
    for (name, case) in cases() {
        let [x, y, z] = case.spacing;
        let edges =
            [[x, 0.0, 0.0, 1.0], [0.0, y, 0.0, 2.0], [0.0, 0.0, z, 3.0], [0.0, 0.0, 0.0, 1.0]];
        let count = Dims(case.shape).voxel_count();
        let image = uniform(count, 600 + number(&name), -3.0, 5.0);
        let spacing_mm = case.target_spacing;
        let interpolation = Interpolation::Linear;
        let resampling = Resampling { spacing_mm, interpolation, max_voxels: usize::MAX };
        let config = PreprocessConfig {
            quality: QualityPolicy::Warn,
            resampling: Some(resampling),
            ..PreprocessConfig::default()
        };
        let case_in_memory = Case {
            id: CaseId::new(name.as_str()),
            source: SourceGrid::canonical(Dims(case.shape), Affine(edges)),
            images: [(); 4].map(|()| Voxels::F32(image.clone())),
            labels: Some(case.labels.clone()),
            mask: Some(vec![1; count]),
            scheme: LabelScheme::Brats2024,
            channels: gliaflow::internals::volume::RunChannels::default(),
            fingerprint: Fingerprint([0; 16]),
            bytes_read: 0,
        };
        let contents =
            prepare_in_buffers(&CaseBuffers::default(), &case_in_memory, &config).unwrap();
        assert_eq!(contents.brain.dims.0, case.target, "{name}");
        assert_eq!(contents.labels.unwrap(), case.target_labels, "{name}");
        let scale = &contents.scales[0];
        let decoded: Vec<f32> = contents
            .images
            .iter()
            .map(|voxel| scale.slope.mul_add(f64::from(voxel[0]), scale.inter) as f32)
            .collect();
        let apart = worst(&decoded, &case.linear.values);
        assert!(apart < 8.0 / 65_535.0 + CLOSE, "{name}: {apart}");
    }
}

#[test]
fn labels_are_those_of_the_largest_share() {
    for (name, case) in cases() {
        let found = resample_labels(&case.labels, &case.map(Interpolation::Linear)).unwrap();
        assert_eq!(found, case.target_labels, "{name}");
        assert!((1..=4).all(|label| found.contains(&label) || name == "flat"), "{name}");
    }
}

#[test]
fn probabilities_of_a_box_come_back_to_the_source_grid_as_simpleitk_brings_them() {
    for (name, case) in cases() {
        let [x, y, z] = case.spacing;
        let edges =
            [[x, 0.0, 0.0, 1.0], [0.0, y, 0.0, 2.0], [0.0, 0.0, z, 3.0], [0.0, 0.0, 0.0, 1.0]];
        let source = SourceGrid::canonical(Dims(case.shape), Affine(edges));
        let stored = case.map(Interpolation::Linear).target_grid(&source);
        let [start, extent] = case.r#box;
        let brain = Box3 { start, dims: Dims(extent) };
        let one = uniform(brain.dims.voxel_count(), 700 + number(&name), 0.0, 1.0);
        // A second region, so that neither is read in the other's place.
        let two: Vec<f32> = one.iter().map(|value| 1.0 - value).collect();
        let mut found = [Vec::new(), Vec::new()];
        let back = GridMap::between(&stored, &source);
        resample_probabilities(&[one, two].concat(), &brain, &back, |planes| {
            let (first, second) = planes.split_at(planes.len() / 2);
            found[0].extend_from_slice(first);
            found[1].extend_from_slice(second);
        })
        .unwrap();
        assert_eq!(case.probabilities.shape, case.shape, "{name}");
        let apart = worst(&found[0], &case.probabilities.values);
        assert!(apart < CLOSE, "{name}: {apart}");
        let inside = found[0].iter().zip(&found[1]).filter(|(a, b)| (*a + *b - 1.0).abs() < 1e-5);
        assert!(inside.count() > 0 && worst(&found[0], &found[1]) > 0.1, "{name}");
    }
}
