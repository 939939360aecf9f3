//! `inspect --deep`: figures of every image, and findings in the table and in JSON.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::cli::harness::{Desk, Outcome};
use crate::cli::nifti_file::NiftiFile;

const CASE: &str = "BraTS20_Training_001";

/// Writes an image again as float32, each value changed.
pub(crate) fn rewrite_image(from: &Path, to: &Path, change: impl Fn(usize, f32) -> f32) {
    let file = NiftiFile::open(from);
    let mut bytes = file.header().to_vec();
    bytes[70..74].copy_from_slice(&[16, 0, 32, 0]);
    for (place, value) in file.values().into_iter().enumerate() {
        bytes.extend(change(place, value as f32).to_le_bytes());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes).unwrap();
    std::fs::write(to, encoder.finish().unwrap()).unwrap();
}

fn rewrite(desk: &Desk, modality: &str, change: impl Fn(usize, f32) -> f32) {
    let path = desk.path(&format!("data/{CASE}/{CASE}_{modality}.nii.gz"));
    rewrite_image(&path, &path, change);
}

fn findings(outcome: &Outcome) -> Vec<(String, String, String)> {
    let document = outcome.json();
    let found = document["cases"][0]["findings"].as_array().unwrap().clone();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    found.iter().map(|f| (text(f, "severity"), text(f, "kind"), text(f, "modality"))).collect()
}

fn finding(severity: &str, kind: &str, modality: &str) -> (String, String, String) {
    (severity.to_owned(), kind.to_owned(), modality.to_owned())
}

#[test]
fn deep_measures_every_image_and_a_clean_case_has_no_finding() {
    let desk = Desk::with_cohort(3);
    assert!(desk.run("inspect data --json").ok().json()["cases"][0].get("images").is_none());
    let seen = desk.run("inspect data --deep --json").ok().json();
    for case in seen["cases"].as_array().unwrap() {
        assert_eq!(
            (&case["findings"], case["images"].as_array().unwrap().len()),
            (&serde_json::json!([]), 4)
        );
        assert!(case["tumour"]["voxels"].as_u64().unwrap() > 0);
    }
    let image = &seen["cases"][0]["images"][1];
    let file = NiftiFile::open(&desk.path(&format!("data/{CASE}/{CASE}_t1ce.nii.gz")));
    let tissue: Vec<f64> =
        file.values().into_iter().filter(|value| *value != 0).map(|value| value as f64).collect();
    let count = tissue.len() as f64;
    let mean = tissue.iter().sum::<f64>() / count;
    let sd = (tissue.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let figure = |key: &str| image["tissue"][key].as_f64().unwrap();
    assert_eq!(figure("voxels"), count);
    assert!((figure("mean") - mean).abs() < 1e-9 * mean && (figure("sd") - sd).abs() < 1e-9 * sd);
    let text = desk.run("inspect data --deep").ok().stdout;
    assert_eq!(text.lines().filter(|line| line.starts_with("BraTS20_")).count(), 12, "{text}");
}

#[test]
fn background_and_spike_are_named_and_the_exit_code_stays() {
    let desk = Desk::with_cohort(1);
    rewrite(&desk, "t1", |_, value| if value == 0.0 { -1024.0 } else { value });
    rewrite(&desk, "t2", |place, value| if place == 9000 { 1e7 } else { value });
    let outcome = desk.run("inspect data --deep --json").ok();
    let wanted = [finding("note", "background", "t1"), finding("clip", "spike", "t2")];
    assert_eq!(findings(&outcome), wanted);
    let text = desk.run("inspect data --deep").ok().stdout;
    for words in [
        format!(
            "  note: case {CASE}: data/{CASE}/{CASE}_t1.nii.gz: background: is -1024 at 8 of 8"
        ),
        format!("  clip: case {CASE}: data/{CASE}/{CASE}_t2.nii.gz: range: "),
        "to 10000000, but percentiles 0.5 and 99.5 are".to_owned(),
        "data.quality = \"clip\" clips them".to_owned(),
    ] {
        assert!(text.contains(&words), "{words} is not in\n{text}");
    }
}

#[test]
fn ingest_names_and_treats_what_inspect_finds() {
    let desk = Desk::with_cohort(2);
    rewrite(&desk, "t1", |_, value| if value == 0.0 { -1024.0 } else { value });
    rewrite(&desk, "t2", |place, value| if place == 9000 { 1e7 } else { value });
    let done = desk.run("ingest --data data --cache cache --json").ok();
    for words in ["t1: background: is -1024 at 8 of 8", "t2: range: "] {
        let words = format!("case {CASE}: {words}");
        assert!(done.stderr.contains(&words), "{words} is not in\n{}", done.stderr);
    }
    assert_eq!(done.json()["published"], 2);
    let strict = "ingest --data data --cache cache --quality strict --json";
    let problems = desk.run(strict).exits(3).json()["problems"].clone();
    assert!(problems[0].as_str().unwrap().starts_with(&format!("case {CASE}: t2: range: ")));
    assert_eq!(problems.as_array().unwrap().len(), 1, "{problems}");

    rewrite(&desk, "flair", |_, _| 0.0);
    let refused = desk.run("ingest --data data --cache cache --json").exits(3).json();
    let problem = refused["problems"][0].as_str().unwrap();
    assert!(problem.starts_with(&format!("case {CASE}: flair: voxels: all")), "{problem}");
    assert!(problem.contains("data.quality = \"warn\" takes it as it is"), "{problem}");
    desk.run("ingest --data data --cache cache --quality warn --json").ok();
    desk.run("ingest --data data --cache cache --foreground brain_mask")
        .exits(2)
        .complains_of(&["--foreground = brain_mask", "such as _mask for CASE_mask.nii.gz"]);
}

#[test]
fn an_image_without_information_is_a_problem() {
    let desk = Desk::with_cohort(1);
    rewrite(&desk, "flair", |_, _| 0.0);
    rewrite(&desk, "t1ce", |_, value| value.min(1.0));
    let outcome = desk.run("inspect data --deep --json").exits(3);
    let wanted = [finding("refuse", "constant", "t1ce"), finding("refuse", "empty", "flair")];
    assert_eq!(findings(&outcome), wanted);
    let problems = outcome.json()["problems"].clone();
    let problems: Vec<&str> =
        problems.as_array().unwrap().iter().map(|problem| problem.as_str().unwrap()).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    let start = format!("case {CASE}: data/{CASE}/{CASE}_flair.nii.gz: voxels: all 17472 are");
    assert!(problems[1].starts_with(&start), "{}", problems[1]);
    let text = desk.run("inspect data --deep").exits(3).stdout;
    assert_eq!(text.matches("_flair.nii.gz: voxels").count(), 1, "told once:\n{text}");
}

#[test]
fn nan_saturation_and_tumour_outside_are_told() {
    let desk = Desk::with_cohort(1);
    rewrite(&desk, "t1", |place, value| if place < 5 { f32::NAN } else { value });
    rewrite(&desk, "t1ce", |_, value| value.min(200.0));
    let kinds: Vec<String> = findings(&desk.run("inspect data --deep --json").ok())
        .into_iter()
        .map(|(_, kind, modality)| format!("{modality} {kind}"))
        .collect();
    assert!(kinds.contains(&"t1 non_finite".to_owned()), "{kinds:?}");
    assert!(kinds.contains(&"t1ce saturation".to_owned()), "{kinds:?}");

    let desk = Desk::with_cohort(1);
    let seg = NiftiFile::open(&desk.path(&format!("data/{CASE}/{CASE}_seg.nii.gz"))).values();
    let tumour: Vec<usize> = (0..seg.len()).filter(|place| seg[*place] != 0).collect();
    for modality in ["t1", "t1ce", "t2", "flair"] {
        rewrite(&desk, modality, |place, value| if tumour.contains(&place) { 0.0 } else { value });
    }
    let outcome = desk.run("inspect data --deep").ok();
    let words = format!("_seg.nii.gz: labels: {0} of {0} tumour voxels", tumour.len());
    assert!(outcome.stdout.contains(&words), "{words} is not in\n{}", outcome.stdout);
}
