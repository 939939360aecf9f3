//! Cases of another voxel size through a run with `data.spacing`: there, and back on their own grid.

use crate::cli::harness::{Desk, TINY};
use crate::cli::nifti_file::{NiftiFile, edit_floats};

/// Weights as they were drawn: about half of the voxels are tumour to them.
const UNTRAINED: &str = "--set train.learning_rate=1e-30";

const ONE_MM: &str = "--set data.spacing=[1,1,1]";

const SHAPE: [usize; 3] = [26, 24, 24];

/// Cases of a folder, which has other files, too.
fn case_names(desk: &Desk, folder: &str) -> Vec<String> {
    let names = desk.names(folder).into_iter();
    names.filter(|name| desk.path(&format!("{folder}/{name}")).is_dir()).collect()
}

/// Gives all files of a folder voxels of another size, by their headers.
fn set_spacing(desk: &Desk, folder: &str, spacing: [f64; 3]) {
    for case in case_names(desk, folder) {
        for file in desk.names(&format!("{folder}/{case}")) {
            let path = desk.path(&format!("{folder}/{case}/{file}"));
            let own = NiftiFile::open(&path).spacing();
            for axis in 0..3 {
                let factor = (spacing[axis] / own[axis]) as f32;
                let column = (0..3).map(|row| 280 + 16 * row + 4 * axis);
                edit_floats(&path, column.chain([80 + 4 * axis]), |value| value * factor);
            }
        }
    }
}

/// Phantoms in slices of 5 mm, with pixels of 0.9 mm.
fn thick_phantoms(desk: &Desk, folder: &str, cases: usize) {
    let [x, y, z] = SHAPE;
    desk.run(&format!("phantom --out {folder} --cases {cases} --seed 9 --shape {x}x{y}x{z}")).ok();
    set_spacing(desk, folder, [0.9, 0.9, 5.0]);
}

fn losses(desk: &Desk, run: &str) -> Vec<String> {
    let events = desk.json_lines(&format!("{run}/events.jsonl"));
    let losses = events.iter().map(|event| &event["loss"]);
    losses.filter(|loss| !loss.is_null()).map(ToString::to_string).collect()
}

#[test]
fn thick_slices_go_through_a_run_of_one_millimetre_and_come_back_on_their_own_grid() {
    let desk = Desk::with_cohort(4);
    set_spacing(&desk, "data", [1.0; 3]);
    desk.run(&format!("train {TINY} {UNTRAINED} {ONE_MM} --data data --run run")).ok();
    thick_phantoms(&desk, "thick", 2);
    let done = desk.run("predict --run run --data thick --out predictions").ok();
    assert!(!done.stderr.contains("its voxels are"), "{}", done.stderr);
    for case in case_names(&desk, "thick") {
        let predicted = NiftiFile::open(&desk.path(&format!("predictions/{case}.nii.gz")));
        let image = NiftiFile::open(&desk.path(&format!("thick/{case}/{case}_t1.nii.gz")));
        assert_eq!(predicted.shape(), SHAPE);
        assert_eq!((predicted.spacing(), predicted.affine()), (image.spacing(), image.affine()));
        let values = predicted.values();
        let tumour = values.iter().filter(|value| **value != 0).count();
        assert!(tumour > 20 && tumour < values.len() / 2, "{tumour} of {}", values.len());
    }
    // The scores are those of the files, on the grid of the files.
    desk.run("evaluate --run run --data thick --out scores --set evaluation.within_tissue=true")
        .ok();
    desk.run("score --truth thick --prediction predictions --csv of-files.csv").ok();
    assert_eq!(desk.text("scores/cases.csv"), desk.text("of-files.csv"));
    assert!(desk.text("of-files.csv").lines().count() == 1 + 2 * 3);
    // A teacher's labels are decided on the run's grid, and written on the case's.
    desk.run("label --run run --data thick --all --nifti labels --set data.cache=cache").ok();
    for name in desk.names("labels") {
        assert_eq!(NiftiFile::open(&desk.path(&format!("labels/{name}"))).shape(), SHAPE);
    }
    assert_eq!(desk.names("labels"), desk.names("predictions"));
}

#[test]
fn training_on_thick_slices_is_the_same_from_the_cache_and_from_the_files() {
    let desk = Desk::new();
    thick_phantoms(&desk, "thick", 4);
    let line = format!("train {TINY} {ONE_MM} --data thick");
    desk.run(&format!("{line} --run cached")).ok();
    desk.run(&format!("{line} --no-cache --run uncached --set loader.memory_mib=256")).ok();
    assert!(losses(&desk, "cached").len() >= 4);
    assert_eq!(losses(&desk, "cached"), losses(&desk, "uncached"));
    for run in ["cached", "uncached"] {
        let trained = desk.json(&format!("{run}/dataset.lock.json"))["trained_spacing"].clone();
        for end in ["least_mm", "greatest_mm"] {
            for edge in trained[end].as_array().unwrap() {
                assert!((edge.as_f64().unwrap() - 1.0).abs() < 1e-6, "{run}: {trained}");
            }
        }
    }
    // Another interpolation is another preparation, and so are no resampling and another size.
    for (run, settings) in
        [("cubic", "--set data.interpolation=cubic"), ("coarse", "--set data.spacing=[2,2,2]")]
    {
        desk.run(&format!("{line} {settings} --run {run}")).ok();
        assert_ne!(losses(&desk, run), losses(&desk, "cached"), "{run}");
    }
    let folders = desk.names("cache");
    assert_eq!(folders.iter().filter(|name| name.starts_with("v2-")).count(), 3, "{folders:?}");
    // `ingest` with the same settings finds the cases of the run.
    let ingest = "ingest --data thick --cache cache --spacing 1,1,1 --json";
    assert_eq!(desk.run(ingest).ok().json()["published"], 0);
    let cubic = desk.run(&format!("{ingest} --interpolation cubic")).ok().json();
    assert_eq!(cubic["published"], 0);
}

#[test]
fn a_damaged_case_file_names_the_command_that_resamples_again() {
    let desk = Desk::new();
    thick_phantoms(&desk, "thick", 1);
    desk.run("ingest --data thick --cache cache --spacing 1,1,2.5 --interpolation cubic").ok();
    let folder = desk.names("cache").into_iter().find(|name| name.starts_with("v2-")).unwrap();
    let file = &desk.names(&format!("cache/{folder}"))[0];
    desk.flip(&format!("cache/{folder}/{file}"), 1);
    let found = desk.run("cache verify --cache cache").exits(3);
    let said = format!("{}{}", found.stdout, found.stderr);
    assert!(said.contains("--spacing 1,1,2.5 --interpolation cubic"), "{said}");
}

#[test]
fn a_voxel_size_that_cannot_be_is_refused_with_the_way_out() {
    let desk = Desk::with_cohort(2);
    for (settings, words) in [
        ("data.spacing=[0,1,1]", ["data.spacing = [0, 1, 1]", "0.1 to 20"]),
        ("data.interpolation=cubic", ["data.interpolation = cubic", "data.spacing = [1, 1, 1]"]),
        ("data.spacing=[1,1]", ["spacing", "3"]),
    ] {
        let refused =
            desk.run(&format!("train {TINY} --set {settings} --data data --run r")).exits(2);
        for word in words {
            assert!(refused.stderr.contains(word), "`{word}` is not in: {}", refused.stderr);
        }
    }
    let refused = desk.run("ingest --data data --cache cache --spacing 1,1").exits(2);
    assert!(refused.stderr.contains("write three edges"), "{}", refused.stderr);
}
