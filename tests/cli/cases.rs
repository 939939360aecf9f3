//! `phantom` and `inspect`: cases out of nothing, and what can be seen of cases.

use crate::cli::harness::Desk;
use crate::cli::nifti_file::{INT16, NiftiFile};

const CASE: &str = "data/BraTS20_Training_001";

#[test]
fn phantoms_lie_in_the_layout_of_brats_2020() {
    let desk = Desk::new();
    let line = "phantom --out data --cases 3 --seed 5 --shape 24x28x26 --json";
    let made = desk.run(line).ok().json();
    assert_eq!(made["shape"], serde_json::json!([24, 28, 26]));
    assert_eq!((&made["seed"], made["cases"].as_array().unwrap().len()), (&5.into(), 3));

    let cases = ["BraTS20_Training_001", "BraTS20_Training_002", "BraTS20_Training_003"];
    assert_eq!(desk.names("data"), [cases.as_slice(), &["phantom.json"]].concat());
    for case in cases {
        let files =
            ["flair", "seg", "t1", "t1ce", "t2"].map(|kind| format!("{case}_{kind}.nii.gz"));
        assert_eq!(desk.names(&format!("data/{case}")), files);
    }
}

#[test]
fn phantoms_that_are_there_are_left_alone_and_missing_ones_are_added() {
    let desk = Desk::with_cohort(2);
    let file = desk.path(&format!("{CASE}/BraTS20_Training_001_t1.nii.gz"));
    let written = || file.metadata().unwrap().modified().unwrap();
    let (bytes, time) = (std::fs::read(&file).unwrap(), written());
    let line = "phantom --out data --cases 3 --seed 3 --shape 24x28x26 --json";
    let made = desk.run(line).ok().json();
    assert_eq!(made["cases"].as_array().unwrap().len(), 3);
    assert_eq!((std::fs::read(&file).unwrap(), written()), (bytes, time));
    assert!(desk.path("data/BraTS20_Training_003").is_dir());
}

#[test]
fn a_folder_of_another_cohort_or_of_patients_is_refused_as_usage_once() {
    let desk = Desk::with_cohort(2);
    let before = desk.names("data");
    let outcome = desk.run("phantom --out data --cases 2 --seed 4 --shape 24x28x26").exits(2);
    outcome.complains_of(&["phantom.json", "seed 3", "seed 4", "choose another folder"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);

    std::fs::remove_file(desk.path("data/phantom.json")).unwrap();
    let outcome = desk.run("phantom --out data --cases 2 --seed 3 --shape 24x28x26").exits(2);
    outcome.complains_of(&["data", "are no phantoms", "choose another folder"]);
    assert_eq!(desk.names("data"), before[..2]);
}

#[test]
fn a_shape_that_is_none_or_out_of_range_is_refused() {
    let desk = Desk::new();
    let huge = u64::MAX;
    for shape in ["bad", "0x24x24", "24x24", &format!("{huge}x{huge}x3")] {
        let outcome = desk.run(&format!("phantom --out data --shape {shape}")).exits(2);
        assert!(outcome.stderr.contains("write 240x240x155"), "{}", outcome.stderr);
    }
    let outcome = desk.run("phantom --out data --shape 9").exits(2);
    outcome.complains_of(&["9x9x9", "24 to 512 voxels a side"]);
    assert!(!desk.path("data").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_refuses_is_a_failed_run_and_not_bad_data() {
    let outcome = Desk::new().run("phantom --out /proc/nowhere --shape 24 --cases 1").exits(1);
    outcome.complains_of(&["/proc/nowhere"]);
}

#[test]
fn a_file_is_described_as_its_bytes_say() {
    let desk = Desk::with_cohort(1);
    let name = format!("{CASE}/BraTS20_Training_001_t1ce.nii.gz");
    let seen = desk.run(&format!("inspect {name} --json")).ok().json();
    let file = NiftiFile::open(&desk.path(&name));
    assert_eq!(file.datatype(), INT16);
    let values = file.values();
    assert_eq!(values.len(), 24 * 28 * 26);
    assert_eq!(file.shape(), [24, 28, 26]);
    let affine = [file.affine().as_slice(), &[[0.0, 0.0, 0.0, 1.0]]].concat();
    let expected = serde_json::json!({
        "path": name,
        "shape": [24, 28, 26],
        "spacing_mm": file.spacing(),
        "affine": affine,
        "datatype": "int16",
        "orientation": "LPS",
        "min": *values.iter().min().unwrap() as f64,
        "max": *values.iter().max().unwrap() as f64,
        "sum": values.iter().sum::<i64>() as f64,
        "non_finite": 0,
    });
    assert_eq!(seen, expected);
    assert!(values.iter().sum::<i64>() > 0, "an empty file would prove nothing");
}

#[test]
fn a_broken_file_is_named_with_the_way_out() {
    let desk = Desk::with_cohort(1);
    let name = format!("{CASE}/BraTS20_Training_001_t2.nii.gz");
    desk.flip(&name, 6);
    let outcome = desk.run(&format!("inspect {name} --json")).exits(3);
    outcome.complains_of(&[&name, "checksum", "download or write the file again"]);

    std::fs::write(desk.path("text.nii"), "no volume at all").unwrap();
    desk.run("inspect text.nii").exits(3).complains_of(&["text.nii"]);
    let outcome = desk.run("inspect nowhere.nii.gz").exits(3);
    outcome.complains_of(&["nowhere.nii.gz", "no such file", "check the path"]);
}

#[test]
fn a_header_that_cannot_be_is_named_by_its_field() {
    let desk = Desk::with_cohort(1);
    let name = format!("{CASE}/BraTS20_Training_001_t1.nii.gz");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(desk.path(&name)).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut bytes).unwrap();
    bytes[42..44].copy_from_slice(&(-3i16).to_le_bytes());
    std::fs::write(desk.path("odd.nii"), bytes).unwrap();
    desk.run("inspect odd.nii").exits(3).complains_of(&["odd.nii", "dim[1]", "-3"]);
}

#[test]
fn a_folder_is_listed_with_what_is_wrong_with_which() {
    let desk = Desk::with_cohort(3);
    let gone = "BraTS20_Training_002_flair.nii.gz";
    std::fs::remove_file(desk.path(&format!("data/BraTS20_Training_002/{gone}"))).unwrap();
    let outcome = desk.run("inspect data --json").exits(3);
    let seen = outcome.json();
    assert_eq!(seen["layout"], "brats2020");
    let ids: Vec<&str> =
        seen["cases"].as_array().unwrap().iter().map(|case| case["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["BraTS20_Training_001", "BraTS20_Training_003"]);
    let problem = seen["problems"][0].as_str().unwrap();
    assert!(problem.contains("case BraTS20_Training_002") && problem.contains(gone), "{problem}");
    assert_eq!(seen["problems"].as_array().unwrap().len(), 1);
}

#[test]
fn names_alone_do_not_show_a_damaged_file_and_deep_does() {
    let desk = Desk::with_cohort(2);
    desk.flip("data/BraTS20_Training_002/BraTS20_Training_002_seg.nii.gz", 6);
    desk.run("inspect data").ok();
    let seen = desk.run("inspect data --deep --json").exits(3).json();
    let problem = seen["problems"][0].as_str().unwrap();
    assert!(problem.contains("BraTS20_Training_002_seg.nii.gz"), "{problem}");
}

#[test]
fn a_folder_without_cases_is_bad_data_and_says_what_was_looked_for() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("empty")).unwrap();
    for line in ["inspect empty", "ingest --data empty"] {
        let words = ["empty: holds no case", "_{t1,t1ce,t2,flair}", "name the folder that holds"];
        desk.run(line).exits(3).complains_of(&words);
    }
}
