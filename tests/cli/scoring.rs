//! `score`: label files against label files, without a network.

use serde_json::Value;

use crate::cli::harness::Desk;

fn seg(number: usize) -> String {
    format!("data/BraTS20_Training_{number:03}/BraTS20_Training_{number:03}_seg.nii.gz")
}

/// Copies the true labels of some cases into `predictions`, one named as `predict` names it and
/// the next as the dataset does.
fn copy_truth(desk: &Desk, numbers: &[usize]) {
    std::fs::create_dir(desk.path("predictions")).unwrap();
    for (place, &number) in numbers.iter().enumerate() {
        let suffix = if place % 2 == 0 { "" } else { "_seg" };
        let name = format!("predictions/BraTS20_Training_{number:03}{suffix}.nii.gz");
        std::fs::copy(desk.path(&seg(number)), desk.path(&name)).unwrap();
    }
}

fn measures(score: &Value, region: &str) -> [f64; 4] {
    ["dice", "hd95_mm", "sensitivity", "specificity"]
        .map(|measure| score["regions"][region][measure].as_f64().unwrap())
}

#[test]
fn a_file_against_itself_is_perfect() {
    let desk = Desk::with_cohort(1);
    let score = desk.run(&format!("score --truth {0} --prediction {0} --json", seg(1))).ok().json();
    for region in ["ET", "TC", "WT"] {
        assert_eq!(measures(&score, region), [1.0, 0.0, 1.0, 1.0], "{region}");
    }
    assert!(score["cases"][0]["regions"]["WT"]["truth_voxels"].as_u64().unwrap() > 0);
}

#[test]
fn another_case_is_not() {
    let desk = Desk::with_cohort(2);
    let line = format!("score --truth {} --prediction {} --json", seg(1), seg(2));
    let [dice, hd95_mm, sensitivity, specificity] = measures(&desk.run(&line).ok().json(), "WT");
    assert!((0.0..1.0).contains(&dice) && hd95_mm > 0.0 && sensitivity < 1.0 && specificity < 1.0);
}

#[test]
fn a_dataset_is_paired_with_a_folder_of_predictions_by_case() {
    let desk = Desk::with_cohort(3);
    copy_truth(&desk, &[1, 2, 3]);
    let line = "score --truth data --prediction predictions --json --csv scores.csv";
    let score = desk.run(line).ok().json();
    assert_eq!(score["cases"].as_array().unwrap().len(), 3);
    assert_eq!(measures(&score, "WT"), [1.0, 0.0, 1.0, 1.0]);
    let table = desk.text("scores.csv");
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("case,region,dice,hd95_mm,sensitivity,specificity"));
    assert_eq!(lines.count(), 3 * 3);
}

#[test]
fn a_case_without_its_partner_is_named_and_nothing_is_averaged() {
    let desk = Desk::with_cohort(3);
    copy_truth(&desk, &[1, 3]);
    let outcome = desk.run("score --truth data --prediction predictions --json").exits(3);
    outcome.complains_of(&["case BraTS20_Training_002", "there is no prediction of this case"]);
    assert_eq!(outcome.json()["regions"], Value::Null);

    std::fs::copy(desk.path(&seg(2)), desk.path("predictions/BraTS20_Training_002.nii.gz"))
        .unwrap();
    std::fs::copy(desk.path(&seg(2)), desk.path("predictions/BraTS20_Training_009.nii.gz"))
        .unwrap();
    let outcome = desk.run("score --truth data --prediction predictions").exits(3);
    outcome.complains_of(&["case BraTS20_Training_009", "there is no truth of this case"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let desk = Desk::with_cohort(1);
    let outcome = desk.run(&format!("score --truth {} --prediction gone.nii.gz", seg(1))).exits(3);
    outcome.complains_of(&["gone.nii.gz", "no such file", "check the path"]);
    let outcome = desk.run(&format!("score --truth {} --prediction data", seg(1))).exits(2);
    outcome.complains_of(&["--truth", "--prediction", "both"]);
}

#[test]
fn another_grid_is_refused() {
    let desk = Desk::with_cohort(1);
    desk.run("phantom --out other --cases 1 --seed 3 --shape 26x28x24").ok();
    let line =
        format!("score --truth {0} --prediction {1}", seg(1), seg(1).replace("data/", "other/"));
    desk.run(&line).exits(3).complains_of(&["other/", "26x28x24", "24x28x26", "on the grid"]);
}

#[test]
fn the_definition_of_hd95_is_a_choice_and_is_named() {
    let desk = Desk::with_cohort(2);
    let line = format!("score --truth {} --prediction {}", seg(1), seg(2));
    let hd95 = |name: &str| {
        let score = desk.run(&format!("{line} --hd95 {name} --json")).ok().json();
        (score["hd95"].as_str().unwrap().to_owned(), measures(&score, "WT")[1])
    };
    let (default, medpy) = hd95("medpy");
    assert_eq!(default, "medpy");
    let (brats, surface) = hd95("brats");
    assert_eq!(brats, "surface-distance");
    assert_ne!(medpy, surface);
    assert_eq!(measures(&desk.run(&format!("{line} --json")).ok().json(), "WT")[1], medpy);
    let refused = desk.run(&format!("{line} --hd95 hd100")).exits(2).stderr;
    assert!(refused.contains("`hd100`") && refused.contains("surface-distance"), "{refused}");
    let text = desk.run(&line).ok().stdout;
    for word in ["HD95 of medpy", "mean", "sd", "median", "95 % CI", "hd95_mm", "specificity"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn lesions_are_scored_when_asked_for() {
    let desk = Desk::with_cohort(1);
    let line = format!("score --truth {0} --prediction {0}", seg(1));
    assert_eq!(desk.run(&format!("{line} --json")).ok().json()["lesionwise"], Value::Null);
    let lesions = desk.run(&format!("{line} --lesionwise --json")).ok().json()["lesionwise"].take();
    for region in ["ET", "TC", "WT"] {
        assert_eq!(lesions["regions"][region]["dice"]["mean"], 1.0, "{region}");
        assert_eq!(lesions["regions"][region]["spurious"], 0, "{region}");
        assert_eq!(lesions["cases"][0]["regions"][region]["hd95_mm"], 0.0, "{region}");
    }
    assert!(lesions["regions"]["WT"]["counted"].as_u64().unwrap() > 0);
    assert!(desk.run(&format!("{line} --lesionwise")).ok().stdout.contains("spurious"));
}

#[test]
fn post_processing_is_applied_before_scoring_and_its_thresholds_can_be_chosen() {
    let desk = Desk::with_cohort(2);
    let line = format!("score --truth {0} --prediction {0} --json", seg(1));
    let all = desk.run(&format!("{line} --smallest-et 1000000")).ok().json();
    assert_eq!(measures(&all, "ET")[0], 0.0, "every enhancing voxel was taken for core");
    assert_eq!(measures(&all, "TC")[0], 1.0);
    assert_eq!(all["postprocess"]["smallest_et"], 1_000_000);
    let all = desk.run(&format!("{line} --drop-below ET=1000000,WT=1000000")).ok().json();
    assert_eq!(measures(&all, "WT"), [0.0, 373.1286641361127, 0.0, 1.0]);
    let tuned = desk.run(&format!("{line} --tune")).ok().json()["tuned"].take();
    assert_eq!(
        tuned["chosen"]["smallest_component"]["WT"], 0,
        "a perfect prediction is left alone"
    );
    assert_eq!((&tuned["before"], &tuned["after"]), (&1.0.into(), &1.0.into()));
    let refused = desk.run(&format!("{line} --drop-below RC=5")).exits(2).stderr;
    assert!(refused.contains("`RC=5`") && refused.contains("WT=100"), "{refused}");
    desk.run(&format!("{line} --tune --smallest-et 5")).exits(2);
}
