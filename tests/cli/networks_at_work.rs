//! `evaluate`, `predict` and `score` on a run's network: three ways to the same figures.

use serde_json::Value;

use crate::cli::harness::{Desk, TINY};
use crate::cli::nifti_file::{NiftiFile, UINT8};

fn trained(cases: usize) -> Desk {
    let desk = Desk::with_cohort(cases);
    // As `predict` does.
    let within_tissue = "--set evaluation.within_tissue=true";
    desk.run(&format!("train {TINY} {within_tissue} --data data --run run")).ok();
    desk
}

/// The scores of one case in an evaluation or a scoring.
fn of_case<'a>(scores: &'a Value, case: &Value) -> &'a Value {
    let cases = scores["cases"].as_array().unwrap();
    &cases.iter().find(|score| score["case"] == *case).unwrap()["regions"]
}

#[test]
fn evaluating_a_run_gives_what_its_training_gave() {
    let desk = trained(5);
    let summary = desk.json("run/summary.json");
    let scored = desk.run("evaluate --run run --json").ok().json();
    assert_eq!(scored["network"], summary["evaluation"]["network"]);
    assert_eq!(scored["flair_threshold"], summary["evaluation"]["flair_threshold"]);
    assert_eq!(scored["step"], 4);

    let elsewhere = desk.run("evaluate --run run --out elsewhere --json").ok().json();
    assert_eq!(elsewhere, scored);
    assert_eq!(desk.names("elsewhere"), ["cases.csv", "overlays", "summary.json"]);
    assert_eq!(desk.text("elsewhere/cases.csv"), desk.text("run/validation/cases.csv"));
}

#[test]
fn predictions_lie_on_the_grid_of_their_source_with_its_label_values() {
    let desk = trained(3);
    let predicted = desk.run("predict --run run --data data --out out --json").ok().json();
    let predictions = predicted["predictions"].as_array().unwrap();
    assert_eq!((predictions.len(), &predicted["problems"]), (3, &serde_json::json!([])));
    for prediction in predictions {
        let case = prediction["case"].as_str().unwrap();
        assert_eq!(prediction["file"], format!("out/{case}.nii.gz"));
        let source = NiftiFile::open(&desk.path(&format!("data/{case}/{case}_t1.nii.gz")));
        let labels = NiftiFile::open(&desk.path(&format!("out/{case}.nii.gz")));
        assert_eq!(labels.shape(), source.shape());
        assert_eq!(labels.affine(), source.affine());
        assert_eq!(labels.datatype(), UINT8);
        let values = labels.values();
        assert_eq!(values.len(), source.values().len());
        assert!(values.iter().all(|value| [0, 1, 2, 4].contains(value)));
        let count = |wanted: &[i64]| values.iter().filter(|value| wanted.contains(value)).count();
        let expected = [count(&[4]), count(&[1, 4]), count(&[1, 2, 4])];
        assert_eq!(prediction["voxels"], serde_json::json!(expected));
        assert!(expected[2] > 0, "an empty prediction would prove nothing");
        // Outside the brain the source is 0, and nothing is predicted there.
        let outside = values.iter().zip(source.values()).filter(|(_, source)| *source == 0);
        assert!(outside.clone().count() > values.len() / 2);
    }
}

#[test]
fn scoring_the_predictions_gives_what_evaluation_gives() {
    let desk = trained(5);
    let evaluated = desk.run("evaluate --run run --data data --json").ok().json();
    desk.run("predict --run run --data data --out out").ok();
    let scored = desk.run("score --truth data --prediction out --json").ok().json();
    assert_eq!(scored["cases"].as_array().unwrap().len(), 5);
    for region in ["ET", "TC", "WT"] {
        for measure in
            ["dice", "hd95_mm", "nsd_half_mm", "nsd_one_mm", "sensitivity", "specificity"]
        {
            let value = &scored["regions"][region][measure];
            assert!(value.is_number());
            assert_eq!(value, &evaluated["network"]["regions"][region][measure]);
        }
    }

    let held_out = desk.json("run/summary.json")["evaluation"]["network"]["cases"][0].clone();
    assert_eq!(of_case(&scored, &held_out["case"]), &held_out["regions"]);
    let case = held_out["case"].as_str().unwrap();
    let files = format!("--truth data/{case}/{case}_seg.nii.gz --prediction out/{case}.nii.gz");
    let alone = desk.run(&format!("score {files} --json")).ok().json();
    assert_eq!(of_case(&alone, &held_out["case"]), &held_out["regions"]);
}

#[test]
fn one_case_can_be_predicted_and_scored_by_its_folder() {
    let desk = trained(3);
    let case = "data/BraTS20_Training_002";
    desk.run(&format!("predict --run run --data {case} --out out")).ok();
    assert_eq!(desk.names("out"), ["BraTS20_Training_002.nii.gz"]);
    let scored = desk.run(&format!("score --truth {case} --prediction out --json")).ok().json();
    assert_eq!(scored["cases"].as_array().unwrap().len(), 1);
}

#[test]
fn a_case_without_labels_is_predicted_and_a_damaged_one_is_listed() {
    let desk = trained(3);
    std::fs::remove_file(desk.path("data/BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz"))
        .unwrap();
    desk.flip("data/BraTS20_Training_002/BraTS20_Training_002_t1.nii.gz", 6);
    let predicted = desk.run("predict --run run --data data --out out --json").exits(3).json();
    assert_eq!(desk.names("out"), ["BraTS20_Training_001.nii.gz", "BraTS20_Training_003.nii.gz"]);
    let problems = predicted["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].as_str().unwrap().contains("BraTS20_Training_002_t1.nii.gz"));
}

#[test]
fn another_dataset_with_the_same_names_is_scored_on_its_own_files() {
    let desk = trained(3);
    desk.run("phantom --out other --cases 3 --seed 8 --shape 24x28x26").ok();
    let evaluated = desk.run("evaluate --run run --data other --json").ok().json();
    desk.run("predict --run run --data other --out out").ok();
    let scored = desk.run("score --truth other --prediction out --json").ok().json();
    assert_eq!(evaluated["network"]["regions"], scored["regions"]);
}

#[test]
fn held_out_cases_that_changed_or_went_are_not_scored_in_silence() {
    let desk = trained(3);
    let lock = desk.json("run/dataset.lock.json");
    let cases = lock["cases"].as_array().unwrap();
    let held_out = cases.iter().find(|case| case["split"] == "validation").unwrap();
    let case = held_out["id"].as_str().unwrap();
    let file = |kind: &str| desk.path(&format!("data/{case}/{case}_{kind}.nii.gz"));
    std::fs::copy(file("t1"), file("t2")).unwrap();
    let outcome = desk.run("evaluate --run run").exits(3);
    outcome.complains_of(&[case, "not those that the run held out", "--data"]);

    std::fs::remove_dir_all(desk.path(&format!("data/{case}"))).unwrap();
    desk.run("evaluate --run run").exits(2).complains_of(&[case, "are gone", "--data"]);
}

#[test]
fn a_run_that_held_nothing_out_asks_for_data() {
    let desk = Desk::with_cohort(2);
    let trained =
        desk.run(&format!("train {TINY} --data data --run run --set data.held_out=0 --json"));
    assert_eq!(trained.ok().json()["evaluation"], Value::Null);
    desk.run("evaluate --run run").exits(2).complains_of(&["run", "--data"]);
    desk.run("evaluate --run run --data data").ok();
}

#[test]
fn a_folder_that_holds_no_run_is_usage_and_a_damaged_checkpoint_a_failure() {
    let desk = trained(2);
    for line in ["evaluate --run data", "predict --run data --data data --out out"] {
        desk.run(line).exits(2).complains_of(&["data: holds no run", "gliaflow train"]);
    }
    desk.flip("run/checkpoints/step-0000004/weights.bpk", 1);
    let older = desk.run("evaluate --run run --json").ok();
    assert_eq!(older.json()["step"], 2);
    assert!(older.stderr.contains("step-0000004/weights.bpk: does not"), "{}", older.stderr);
    desk.flip("run/checkpoints/step-0000002/weights.bpk", 1);
    let outcome = desk.run("evaluate --run run").exits(1);
    outcome.complains_of(&["step-0000004/weights.bpk", "fingerprint", "none is intact"]);
}
