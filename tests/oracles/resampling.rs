//! Images, labels and probabilities on other voxel sizes against SimpleITK and SciPy.

use std::collections::BTreeMap;

use gliaflow::resampling::{
    GridMap, Interpolation, Resampling, resample_image, resample_labels, resample_probabilities,
};
use gliaflow::volume::{Affine, Box3, Dims, SourceGrid};
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
