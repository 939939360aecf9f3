//! The voxel size that a run was trained at stays with it, and another one is told of.

use std::path::Path;

use crate::cli::harness::{Desk, TINY};
use crate::cli::nifti_file::edit_floats;

/// Enlarges the voxels of a NIfTI-1 file by its header: `pixdim` and the columns of the sform.
fn enlarge_voxels(path: &Path, factor: f32) {
    let pixdim = (0..3).map(|axis| 80 + 4 * axis);
    let srow = (0..3).flat_map(|row| (0..3).map(move |column| 280 + 16 * row + 4 * column));
    edit_floats(path, pixdim.chain(srow), |value| value * factor);
}

#[test]
fn predict_and_evaluate_warn_of_voxels_of_another_size_than_the_trained_ones() {
    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run run")).ok();
    let trained = desk.json("run/dataset.lock.json")["trained_spacing"].clone();
    assert_eq!(trained["least_mm"], trained["greatest_mm"]);
    assert!(trained["least_mm"][0].as_f64().unwrap() > 0.0, "{trained}");

    desk.run("phantom --out other --cases 2 --seed 9 --shape 24x28x26").ok();
    let lines = [
        "predict --run run --data other --out predictions --set device=cpu",
        "evaluate --run run --data other --set device=cpu",
    ];
    let words = "its voxels are";
    for line in lines {
        let quiet = desk.run(line).ok();
        assert!(!quiet.stderr.contains(words), "{line}: {}", quiet.stderr);
    }
    let case = "BraTS20_Training_002";
    for file in desk.names(&format!("other/{case}")) {
        enlarge_voxels(&desk.path(&format!("other/{case}/{file}")), 1.5);
    }
    for line in lines {
        let warned = desk.run(line).ok();
        let warnings: Vec<&str> = warned.stderr.lines().filter(|l| l.contains(words)).collect();
        assert_eq!(warnings.len(), 1, "{line}: {}", warned.stderr);
        for word in [case, "run was trained on", "resample it to those", "(1 of 2 cases)"] {
            assert!(warnings[0].contains(word), "`{word}` is not in: {}", warnings[0]);
        }
        let advice = warnings[0].split_whitespace().find(|word| word.starts_with("data.spacing="));
        let advice = advice.unwrap().trim_end_matches(',');
        let followed = desk.run(&format!("{line} --set {advice}")).ok();
        assert!(!followed.stderr.contains(words), "{advice}: {}", followed.stderr);
    }
}
