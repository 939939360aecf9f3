//! NIfTI files that nibabel wrote, valid and broken, read as nibabel reads them. They lie in
//! `fixtures/nifti`; `scripts/oracles/nifti.py` makes them.
#![allow(clippy::unwrap_used)] // a helper of a test may fail like the test itself

use std::fs;
use std::path::{Path, PathBuf};

use gliaflow::internals::base::Reason;
use gliaflow::internals::brats::{
    CaseFiles, CaseReader, DEFAULT_MAX_VOXELS, Depth, NiftiImage, discover_cases, inspect_file,
    inspect_folder, read_labels_only, read_volume, source_grid,
};
use gliaflow::internals::volume::{Affine, Dims, LabelScheme, Voxels};
use serde_json::Value;

const SHAPE: [usize; 3] = [11, 13, 9];

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nifti").join(folder)
}

fn json(path: &Path) -> serde_json::Map<String, Value> {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The values of an `.npy` file of int16 or uint8 in C order, turned to NIfTI's order.
fn reference(path: &Path) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    let header_bytes = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (header, data) = bytes[10..].split_at(header_bytes);
    let header = String::from_utf8_lossy(header);
    assert!(header.contains("(11, 13, 9)") && header.contains("'fortran_order': False"));
    let values: Vec<f64> = if header.contains("'<i2'") {
        let (pairs, _) = data.as_chunks::<2>();
        pairs.iter().map(|pair| f64::from(i16::from_le_bytes(*pair))).collect()
    } else {
        assert!(header.contains("'|u1'"));
        data.iter().map(|byte| f64::from(*byte)).collect()
    };
    let [w, h, d] = SHAPE;
    let place = |at: [usize; 3]| (at[2] * h + at[1]) * d + at[0];
    (0..w * h * d).map(|to| values[place(Dims::from_nifti(SHAPE).zyx_from_offset(to))]).collect()
}

fn canonical(volume: &NiftiImage) -> Voxels {
    let shape: Vec<usize> = volume.header.shape.clone();
    let dims = Dims::from_nifti([shape[0], shape[1], shape[2]]);
    let source = source_grid(dims, volume.header.world_from_voxel);
    assert_eq!(source.canonical_dims().to_nifti(), SHAPE);
    volume.voxels.gather(source.file_offsets()).unwrap()
}

#[track_caller]
fn assert_equal(name: &str, found: &Voxels, expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (place, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{name}: {a} instead of {b} at {place}");
    }
}

/// The affine as a header keeps it, in single precision.
fn affine_of(expected: &Value) -> Affine {
    let rows: [[f64; 4]; 4] = serde_json::from_value(expected["affine"].clone()).unwrap();
    Affine(rows.map(|row| row.map(|entry| f64::from(entry as f32))))
}

#[test]
fn every_valid_variant_reads_exactly() {
    let folder = fixtures("variants");
    let image = reference(&folder.join("reference_t1ce.npy"));
    let labels = reference(&folder.join("reference_seg.npy"));
    let variants = json(&folder.join("expected.json"));
    assert!(variants.len() >= 39, "only {} variants", variants.len());
    for (name, expected) in &variants {
        let path = folder.join(name);
        let volume = read_volume(&path).unwrap_or_else(|error| panic!("{error}"));
        let shape: Vec<usize> = serde_json::from_value(expected["shape"].clone()).unwrap();
        assert_eq!(volume.header.shape, shape, "{name}");
        assert_eq!(volume.header.world_from_voxel.distance_mm(&affine_of(expected)), 0.0, "{name}");
        assert_eq!(volume.header.spacing_mm, [1.0; 3], "{name}");
        let tolerance = expected["tol"].as_f64().unwrap_or(0.0);
        match expected["expect"].as_str().unwrap() {
            "ref" => assert_equal(name, &volume.voxels, &image, tolerance),
            "ref_after_reorient" | "ref_after_squeeze" => {
                assert_equal(name, &canonical(&volume), &image, tolerance);
            }
            "seg" => {
                assert_equal(name, &volume.voxels, &labels, tolerance);
                let found = read_labels_only(&path, LabelScheme::Brats2018).unwrap().labels;
                assert!(found.iter().map(|value| f64::from(*value)).eq(labels.iter().copied()));
            }
            "own" => {}
            other => panic!("{name}: unknown expectation {other}"),
        }
        let Some(sum) = expected["sum"].as_f64() else { continue };
        let report = inspect_file(&path, DEFAULT_MAX_VOXELS).unwrap();
        assert!((report.sum - sum).abs() <= tolerance * sum, "{name}: sum {}", report.sum);
        let [min, max] = ["min", "max"].map(|key| expected[key].as_f64().unwrap());
        assert!((report.min.unwrap() - min).abs() <= tolerance, "{name}: min {:?}", report.min);
        assert!((report.max.unwrap() - max).abs() <= tolerance, "{name}: max {:?}", report.max);
    }
}

#[test]
fn variants_keep_what_their_names_say() {
    let folder = fixtures("variants");
    let report = |name: &str| inspect_file(&folder.join(name), DEFAULT_MAX_VOXELS).unwrap();
    for codes in ["RAS", "LAS", "PIR", "ASL", "SPL"] {
        assert_eq!(report(&format!("orient_{codes}.nii.gz")).orientation, codes);
    }
    assert_eq!(report("oblique_12deg.nii.gz").orientation, "LPS");
    for name in ["int8", "uint8", "uint16", "int32", "uint32", "int64", "float32", "float64"] {
        assert_eq!(report(&format!("dtype_{name}.nii.gz")).datatype, name);
    }
    let image = reference(&folder.join("reference_t1ce.npy"));
    let volume = read_volume(&folder.join("nan_inf_float32.nii.gz")).unwrap();
    assert_eq!(volume.non_finite, 2);
    let infinite = Dims::from_nifti(SHAPE).offset_from_zyx([1, 1, 1]);
    for (place, value) in volume.voxels.iter().enumerate() {
        match place {
            0 => assert!(value.is_nan()),
            place if place == infinite => assert_eq!(value, f64::INFINITY),
            _ => assert_eq!(value, image[place]),
        }
    }
    let labels = reference(&folder.join("reference_seg.npy"));
    let msd = read_labels_only(&folder.join("msd/labelsTr/BRATS_001.nii.gz"), LabelScheme::Msd);
    assert_eq!(msd.unwrap().labels, labels.iter().map(|v| *v as u8).collect::<Vec<_>>());
}

/// What the error about each broken file must say, beside the file's name.
const REFUSED: &[(&str, &str)] = &[
    ("empty.nii.gz", "is empty"),
    ("truncated_gz.nii.gz", "break off"),
    ("bad_crc.nii.gz", "gzip checksum"),
    ("truncated_data.nii.gz", "ends after"),
    ("truncated_header.nii", "header: ends after 200 of 348"),
    ("garbage.nii.gz", "sizeof_hdr"),
    ("html.nii.gz", "web page"),
    ("lfs_pointer.nii.gz", "git lfs pull"),
    ("dim_negative.nii.gz", "dim[1]: is -"),
    ("dim_zero.nii.gz", "dim[2]: is 0"),
    ("dim_huge.nii.gz", "dim: is "),
    ("ndim_9.nii.gz", "dim[0]: is 9"),
    ("ndim_0.nii.gz", "dim[0]: is 0"),
    ("datatype_unknown.nii.gz", "datatype: is 999"),
    ("bitpix_mismatch.nii.gz", "bitpix: is 8"),
    ("magic_bad.nii.gz", "magic: is \"xxxx\""),
    ("vox_offset_past_end.nii.gz", "vox_offset: is 1000000000"),
    ("vox_offset_nan.nii.gz", "vox_offset: is NaN"),
    ("pixdim_zero.nii.gz", "pixdim[1]: is 0"),
    ("sform_nan.nii.gz", "srow: holds NaN"),
    ("sform_singular.nii.gz", "srow: is singular"),
    ("complex64_claim.nii.gz", "complex64"),
];

const ACCEPTED: [&str; 2] = ["not_gzip.nii.gz", "gz_named_nii.nii"];

#[test]
fn every_broken_file_is_refused_with_file_field_and_way_out() {
    let folder = fixtures("bad");
    for (name, _) in json(&folder.join("README.json")) {
        let known =
            ACCEPTED.contains(&name.as_str()) || REFUSED.iter().any(|(own, _)| *own == name);
        assert!(known || name.starts_with("cases/"), "{name} is not tested");
    }
    for (name, words) in REFUSED {
        let error = read_volume(&folder.join(name)).expect_err(name);
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(words), "{text}");
        assert!(!error.remedy.is_empty(), "{text}");
        let checksum = *name == "bad_crc.nii.gz";
        assert_eq!(
            error.reason,
            if checksum { Reason::Checksum } else { Reason::Format },
            "{text}"
        );
    }
    let good = fixtures("variants").join("reference_t1ce.npy");
    let image = reference(&good);
    for name in ACCEPTED {
        assert_equal(name, &read_volume(&folder.join(name)).unwrap().voxels, &image, 0.0);
    }
}

#[test]
fn defective_cases_are_listed_refused_or_accepted_as_they_should() {
    let folder = fixtures("bad/cases");
    let dataset = discover_cases(&folder, None).unwrap();
    assert_eq!(dataset.problems.len(), 1);
    let missing = &dataset.problems[0];
    assert_eq!(missing.reason, Reason::Missing);
    assert!(missing.to_string().contains("missing_flair_flair.nii.gz"), "{missing}");

    let find = |id: &str| -> &CaseFiles {
        dataset.cases.iter().find(|case| case.id.as_str() == id).expect(id)
    };
    for (id, reason, words) in [
        ("affine_mismatch_t2", Reason::Geometry, "5 mm from"),
        ("shape_mismatch_t1", Reason::Geometry, "is 11x13x9, but shape_mismatch_t1_t1.nii.gz is"),
        ("label_5", Reason::Label, "label 5 in "),
        ("label_fraction", Reason::Label, "label 0.5 is no whole number"),
        ("seg_RAS_affine", Reason::Geometry, "seg_RAS_affine_seg.nii.gz: its affine"),
    ] {
        let error = CaseReader::default().read(find(id)).expect_err(id);
        let text = error.to_string();
        assert_eq!(error.reason, reason, "{text}");
        assert!(text.starts_with(&format!("case {id}: ")) && text.contains(words), "{text}");
    }
    let unlabelled = CaseReader::default().read(find("missing_seg")).unwrap();
    assert_eq!(unlabelled.labels, None);
    let healthy = CaseReader::default().read(find("seg_all_zero")).unwrap();
    assert!(healthy.labels.unwrap().iter().all(|value| *value == 0));

    let report = inspect_folder(&folder, None, Depth::Voxels, None, DEFAULT_MAX_VOXELS).unwrap();
    assert_eq!((report.cases.len(), report.problems.len()), (7, 6));
    assert_eq!(report.cases.iter().filter(|case| !case.labelled).count(), 1);
}
