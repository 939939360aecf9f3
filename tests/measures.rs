//! The measures are those of the field's tools. Figures and inputs come from medpy, MONAI and
//! DeepMind's surface-distance, by `scripts/oracles/measures.py`; they lie in `fixtures/oracles`:
//!
//! - `metrics.{json,safetensors.gz}`: eleven cases of 32x28x24 voxels at 1 mm, labels of BraTS 2018;
//! - `lesionwise.{json,safetensors.gz}`: BraTS 2023's lesion-wise scores of four predictions;
//! - `distill.{json,safetensors.gz}`: probabilities of three teachers, averaged, painted into labels,
//!   and without their enhancing tumour;
//! - `hd95_anisotropic.json`: masks made from a counter, as [`masks`] makes them, at uneven spacing;
//! - `surfel_areas.json`: read by the unit tests of `eval::surfel`.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use gliaflow::internals::eval::{
    CaseScore, CohortScore, Hd95, LesionMatching, LesionRules, ONE_EMPTY_MM, PostProcess,
    regions_to_labels, score_case, score_lesions,
};
use gliaflow::internals::volume::{
    CaseId, Dims, LabelScheme, Region, RegionSet, most_likely_label, quantise_probability,
};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracles").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

fn inflated(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(fixture(name)).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A safetensors file: eight bytes of header length, a JSON header, the tensors' bytes.
struct Tensors {
    header: Value,
    data: Vec<u8>,
}

impl Tensors {
    fn parse(bytes: &[u8]) -> Self {
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        Self { header: serde_json::from_slice(header).unwrap(), data: data.to_vec() }
    }

    /// The bytes of a tensor of a type, and its shape.
    fn bytes(&self, name: &str, dtype: &str) -> (&[u8], Vec<usize>) {
        let entry = &self.header[name];
        assert_eq!(entry["dtype"], dtype, "{name}");
        let numbers =
            |field: &str| -> Vec<usize> { serde_json::from_value(entry[field].clone()).unwrap() };
        let span = numbers("data_offsets");
        (&self.data[span[0]..span[1]], numbers("shape"))
    }

    /// Canonical labels and extent of a `U8` tensor `[d, h, w]`.
    fn labels(&self, name: &str, scheme: LabelScheme) -> (Vec<u8>, Dims) {
        let (values, shape) = self.bytes(name, "U8");
        let canonical = |&value: &u8| scheme.to_canonical(value).unwrap();
        (values.iter().map(canonical).collect(), Dims(shape.try_into().unwrap()))
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let (bytes, _) = self.bytes(name, "F32");
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    }

    fn score(&self, case: &str, hd95: Hd95) -> CaseScore {
        let (truth, dims) = self.labels(&format!("{case}_gt"), LabelScheme::Brats2018);
        let (prediction, _) = self.labels(&format!("{case}_pred"), LabelScheme::Brats2018);
        score_case(RegionSet::BRATS, hd95, CaseId::new(case), &truth, &prediction, dims, [1.0; 3])
    }
}

/// The oracle's name of a definition, and how exact its figures are: MONAI computes in f32.
fn oracle_of(definition: Hd95) -> (&'static str, f64) {
    match definition {
        Hd95::Medpy => ("hd_medpy", 1e-12),
        Hd95::Monai => ("hd_monai", 1e-6),
        Hd95::SurfaceDistance => ("hd_surface", 1e-12),
    }
}

fn assert_near(found: f64, want: &Value, tolerance: f64, what: &str) {
    let want = want.as_f64().unwrap_or_else(|| panic!("{what}: no figure"));
    assert!((found - want).abs() <= tolerance, "{what}: {found}, the oracle says {want}");
}

#[test]
fn lesion_by_lesion_scores_are_those_of_brats_2023() {
    let oracle = json("lesionwise.json");
    let tensors = Tensors::parse(&inflated("lesionwise.safetensors.gz"));
    let rules = LesionRules::default();
    assert_near(rules.penalty_mm, &oracle["penalty"], 0.0, "the penalty");
    let LesionMatching::ByDilation { dilations, .. } = rules.matching else { panic!("{rules:?}") };
    assert_eq!(oracle["dilation"], dilations);
    let (truth, dims) = tensors.labels("gt", LabelScheme::Brats2023);
    let cases = oracle["cases"].as_object().unwrap();
    assert_eq!(cases.len(), 4);
    for (case, figures) in cases {
        let (prediction, _) = tensors.labels(case, LabelScheme::Brats2023);
        let id = CaseId::new(case.as_str());
        let scored =
            score_lesions(RegionSet::BRATS, id, &truth, &prediction, dims, [1.0; 3], rules);
        for region in Region::BRATS {
            let found = &scored.regions[region];
            let want = &figures[region.name()];
            let what = format!("{case} {region}");
            assert_near(found.dice, &want["dice"], 1e-12, &what);
            assert_near(found.hd95_mm, &want["hd95"], 1e-11, &what);
            assert_eq!(want["n_gt"], found.lesions, "{what}");
            assert_eq!(want["kept"], found.counted, "{what}");
            assert_eq!(want["fp"], found.spurious, "{what}");
        }
    }
}

#[test]
fn lesions_matched_one_to_one_score_as_panoptica_says() {
    let oracle = json("instances.json");
    let tensors = Tensors::parse(&inflated("instances.safetensors.gz"));
    let rules: LesionRules = "brats2025".parse().unwrap();
    assert_near(rules.penalty_mm, &oracle["penalty"], 0.0, "the penalty");
    let (truth, dims) = tensors.labels("gt", LabelScheme::Brats2023);
    let cases = oracle["cases"].as_object().unwrap();
    assert_eq!(cases.len(), 6);
    for (case, figures) in cases {
        let (prediction, _) = tensors.labels(case, LabelScheme::Brats2023);
        let id = CaseId::new(case.as_str());
        let scored =
            score_lesions(RegionSet::BRATS, id, &truth, &prediction, dims, [1.0; 3], rules);
        for region in Region::BRATS {
            let found = &scored.regions[region];
            let want = &figures[region.name()];
            let what = format!("{case} {region}");
            assert_near(found.dice, &want["dice"], 1e-9, &what);
            assert_near(found.hd95_mm, &want["hd95"], 1e-9, &what);
            assert_eq!(want["missed"], found.missed, "{what}");
            assert_eq!(want["spurious"], found.spurious, "{what}");
            assert_eq!(want["found"], found.lesions - found.missed, "{what}");
        }
    }
}

/// BraTS 2023's program multiplies voxels by the edges of the image's and ignores up to 50 mm³.
#[test]
fn the_lesions_that_count_are_those_above_50_mm3_whatever_the_voxels() {
    let dims = Dims([8, 8, 40]);
    // Cubes of 125 and of 27 voxels, too far apart to be one lesion.
    let mut lesions = vec![0; dims.voxel_count()];
    for (corner, side) in [(1, 5), (20, 3)] {
        for place in 0..side * side * side {
            let [z, y, x] = Dims::cube(side).zyx_from_offset(place);
            lesions[dims.offset_from_zyx([z + 1, y + 1, x + corner])] = 3;
        }
    }
    let nothing = vec![0; dims.voxel_count()];
    let score = |spacing: [f64; 3]| {
        let id = CaseId::new("case");
        let rules = LesionRules::default();
        score_lesions(RegionSet::BRATS, id, &lesions, &nothing, dims, spacing, rules).regions
            [Region::ET]
    };
    for (voxel_mm3, counted) in
        [(0.39, 0), (0.41, 1), (1.0, 1), (1.2f64.powi(3), 1), (1.86, 2), (8.0, 2)]
    {
        for spacing in [[voxel_mm3.cbrt(); 3], [voxel_mm3, 1.0, 1.0], [0.5, 2.0, voxel_mm3]] {
            let found = score(spacing);
            assert_eq!((found.lesions, found.counted), (2, counted), "{spacing:?}");
            let wanted =
                if counted == 0 { (1.0, 0.0) } else { (0.0, LesionRules::default().penalty_mm) };
            assert_eq!((found.dice, found.hd95_mm), wanted, "{spacing:?}");
        }
    }
    assert_eq!(score([0.4, 1.0, 1.0]).counted, 0, "50 mm³ exactly do not count");
}

#[test]
fn averaged_teachers_are_painted_and_stripped_of_traces_as_the_oracle_does_it() {
    let oracle = json("distill.json");
    let tensors = Tensors::parse(&inflated("distill.safetensors.gz"));
    let [first, second, third] = ["p0", "p1", "p2"].map(|name| tensors.floats(name));
    let sums = first.iter().zip(&second).zip(&third).map(|((a, b), c)| a + b + c);
    let mean: Vec<f32> = sums.map(|sum| sum / 3.0).collect();
    assert_eq!(mean, tensors.floats("mean"));
    let wanted = |name: &str| -> Vec<u8> {
        let (bytes, _) = tensors.bytes(name, "I32");
        let values = bytes.chunks_exact(4).map(|four| i32::from_le_bytes(four.try_into().unwrap()));
        let canonical = |value| LabelScheme::Brats2018.to_canonical(value as u8).unwrap();
        values.map(canonical).collect()
    };
    let mut labels = regions_to_labels::labels_from_probabilities(RegionSet::BRATS, &mean);
    assert_eq!(labels, wanted("labels"));
    // As soft targets keep them.
    let voxels = labels.len();
    let stored =
        |voxel: usize| [0, 1, 2].map(|region| quantise_probability(mean[region * voxels + voxel]));
    let of_stored: Vec<u8> = (0..voxels).map(|voxel| most_likely_label(stored(voxel))).collect();
    assert_eq!(of_stored, labels);
    let enhancing = oracle["et_voxels"].as_u64().unwrap() as usize;
    let rule = |smallest_et| PostProcess { smallest_et, ..PostProcess::default() };
    rule(enhancing).apply_to(RegionSet::BRATS, &mut labels, Dims::cube(6));
    assert_eq!(labels, wanted("labels"), "just enough to stay");
    rule(enhancing + 1).apply_to(RegionSet::BRATS, &mut labels, Dims::cube(6));
    assert_eq!(labels, wanted("labels_et_removed"));
}

#[test]
fn every_figure_of_the_metrics_oracle_holds() {
    let oracle = json("metrics.json");
    let tensors = Tensors::parse(&inflated("metrics.safetensors.gz"));
    assert_near(ONE_EMPTY_MM, &oracle["diag"], 0.0, "the penalty of one empty mask");
    let cases = oracle["cases"].as_object().unwrap();
    assert_eq!(cases.len(), 11);
    for (case, figures) in cases {
        for definition in Hd95::ALL {
            let scored = tensors.score(case, definition);
            for region in Region::BRATS {
                let found = &scored.regions[region];
                let want = &figures[region.name()];
                let (name, tolerance) = oracle_of(definition);
                let what = format!("{case} {region}");
                assert_near(found.measures.hd95_mm, &want[name], tolerance, &what);
                assert_near(found.measures.dice, &want["dice"], 1e-15, &what);
                assert_near(found.measures.nsd_half_mm, &want["nsd_half"], 1e-12, &what);
                assert_near(found.measures.nsd_one_mm, &want["nsd_one"], 1e-12, &what);
                assert_near(found.measures.sensitivity, &want["sens"], 1e-15, &what);
                assert_near(found.measures.specificity, &want["spec"], 1e-15, &what);
                assert_eq!(want["n_gt"], found.truth_voxels, "{what}");
                assert_eq!(want["n_pred"], found.predicted_voxels, "{what}");
            }
        }
    }
}

#[test]
fn means_over_the_cohort_are_the_oracles() {
    let oracle = json("metrics.json");
    let tensors = Tensors::parse(&inflated("metrics.safetensors.gz"));
    let names: Vec<&String> = oracle["cases"].as_object().unwrap().keys().collect();
    let expected: Vec<CaseId> = names.iter().map(|name| CaseId::new(*name)).collect();
    for definition in Hd95::ALL {
        let scores = names.iter().map(|name| tensors.score(name, definition)).collect();
        let cohort = CohortScore::new(&expected, scores).unwrap();
        let (name, tolerance) = oracle_of(definition);
        for region in Region::BRATS {
            let found = cohort.region_summary(region);
            let want = &oracle["mean_over_cases"][region.name()];
            assert_near(found.dice.mean, &want["dice"], 1e-12, region.name());
            assert_near(found.hd95_mm.mean, &want[name], tolerance.max(1e-11), region.name());
            assert_near(found.nsd_half_mm.mean, &want["nsd_half"], 1e-12, region.name());
            assert_near(found.nsd_one_mm.mean, &want["nsd_one"], 1e-12, region.name());
            assert_near(found.sensitivity.mean, &want["sens"], 1e-12, region.name());
            assert_near(found.specificity.mean, &want["spec"], 1e-12, region.name());
        }
    }
}

/// `count` numbers in `[0, 1)` from a counter (SplitMix64), the same in every language.
fn counter(count: usize, seed: u64) -> Vec<f64> {
    let mixed = (1..=count as u64).map(|i| {
        let mut z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    });
    mixed.map(|z| (z >> 11) as f64 / (1u64 << 53) as f64).collect()
}

/// Truth: a box with holes. Prediction: another one, and specks everywhere.
fn masks(dims: Dims, seed: u64) -> [Vec<bool>; 2] {
    let noise = counter(2 * dims.voxel_count(), seed);
    let within = |place: usize, bounds: [std::ops::Range<usize>; 3]| {
        (0..3).all(|axis| bounds[axis].contains(&dims.zyx_from_offset(place)[axis]))
    };
    let truth = (0..dims.voxel_count())
        .map(|place| within(place, [2..8, 1..8, 2..7]) && noise[place] < 0.9);
    let prediction = (0..dims.voxel_count()).map(|place| {
        let chance = noise[dims.voxel_count() + place];
        (within(place, [3..9, 3..10, 1..7]) && chance < 0.85) || chance > 0.985
    });
    [truth.collect(), prediction.collect()]
}

#[test]
fn the_three_definitions_hold_at_uneven_spacing() {
    let oracle = json("hd95_anisotropic.json");
    let dims = Dims(serde_json::from_value(oracle["shape_zyx"].clone()).unwrap());
    let cases = oracle["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let [truth, prediction] = masks(dims, case["seed"].as_u64().unwrap());
        let voxels = |mask: &[bool]| mask.iter().filter(|&&inside| inside).count();
        assert_eq!(case["truth_voxels"], voxels(&truth), "the masks are the oracle's");
        assert_eq!(case["predicted_voxels"], voxels(&prediction), "the masks are the oracle's");
        let spacing_mm = serde_json::from_value(case["spacing_mm"].clone()).unwrap();
        for definition in Hd95::ALL {
            let found = definition.between_masks(&truth, &prediction, dims, spacing_mm);
            let what = format!("seed {} {}", case["seed"], definition.name());
            assert_near(found, &case[definition.name()], 1e-12, &what);
        }
        let [truth, prediction] = [truth, prediction]
            .map(|mask| mask.into_iter().map(|inside| 2 * u8::from(inside)).collect::<Vec<_>>());
        let (brats, id) = (RegionSet::BRATS, CaseId::new("uneven"));
        let scored = score_case(brats, Hd95::default(), id, &truth, &prediction, dims, spacing_mm);
        let found = scored.regions[Region::WT].measures;
        let what = format!("seed {} surface Dice", case["seed"]);
        assert_near(found.nsd_half_mm, &case["nsd_half"], 1e-12, &what);
        assert_near(found.nsd_one_mm, &case["nsd_one"], 1e-12, &what);
    }
}

#[test]
fn corner_to_corner_of_the_brats_grid_is_exact() {
    let dims = Dims::from_nifti([240, 240, 155]);
    let mut truth = vec![0; dims.voxel_count()];
    let mut prediction = vec![0; dims.voxel_count()];
    truth[dims.offset_from_zyx([0, 0, 0])] = 2;
    prediction[dims.offset_from_zyx([154, 239, 239])] = 2;
    let scored = score_case(
        RegionSet::BRATS,
        Hd95::default(),
        CaseId::new("far"),
        &truth,
        &prediction,
        dims,
        [1.0, 1.0, 2.0],
    );
    let [et, wt] = [Region::ET, Region::WT].map(|region| scored.regions[region].measures);
    let squared: f64 = 239.0 * 239.0 * 2.0 + 308.0 * 308.0;
    assert_eq!(wt.hd95_mm, squared.sqrt());
    assert_eq!(wt.dice, 0.0);
    assert_eq!(wt.specificity, 8_927_998.0 / 8_927_999.0);
    assert_eq!(et.into_array(), [1.0, 0.0, 1.0, 1.0, 1.0, 1.0], "empty in both");
}
