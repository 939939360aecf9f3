//! `score`: label files against label files, without a network.

use gliaflow::internals::brats::{read_labels_only, source_grid, write_labels};
use gliaflow::internals::volume::{Affine, Dims, LabelScheme};
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

fn measures(score: &Value, region: &str) -> [f64; 6] {
    ["dice", "hd95_mm", "nsd_half_mm", "nsd_one_mm", "sensitivity", "specificity"]
        .map(|measure| score["regions"][region][measure].as_f64().unwrap())
}

#[test]
fn a_file_against_itself_is_perfect() {
    let desk = Desk::with_cohort(1);
    let score = desk.run(&format!("score --truth {0} --prediction {0} --json", seg(1))).ok().json();
    for region in ["ET", "TC", "WT"] {
        assert_eq!(measures(&score, region), [1.0, 0.0, 1.0, 1.0, 1.0, 1.0], "{region}");
    }
    assert!(score["cases"][0]["regions"]["WT"]["truth_voxels"].as_u64().unwrap() > 0);
}

#[test]
fn another_case_is_not() {
    let desk = Desk::with_cohort(2);
    let line = format!("score --truth {} --prediction {} --json", seg(1), seg(2));
    let [dice, hd95_mm, nsd_half_mm, nsd_one_mm, sensitivity, specificity] =
        measures(&desk.run(&line).ok().json(), "WT");
    assert!((0.0..1.0).contains(&dice) && hd95_mm > 0.0 && sensitivity < 1.0 && specificity < 1.0);
    assert!(nsd_half_mm <= nsd_one_mm && (0.0..1.0).contains(&nsd_one_mm));
}

#[test]
fn a_dataset_is_paired_with_a_folder_of_predictions_by_case() {
    let desk = Desk::with_cohort(3);
    copy_truth(&desk, &[1, 2, 3]);
    let line = "score --truth data --prediction predictions --json --csv scores.csv";
    let score = desk.run(line).ok().json();
    assert_eq!(score["cases"].as_array().unwrap().len(), 3);
    assert_eq!(measures(&score, "WT"), [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    let table = desk.text("scores.csv");
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("case,region,dice,hd95_mm,nsd_half_mm,nsd_one_mm,"));
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
fn lesions_are_scored_by_the_rules_that_are_named() {
    let desk = Desk::with_cohort(2);
    let line = format!("score --truth {} --prediction {}", seg(1), seg(2));
    let scored = |options: &str| {
        let json = desk.run(&format!("{line} {options} --json")).ok().json();
        json["lesionwise"].clone()
    };
    let usual = scored("--lesion-wise");
    assert_eq!(usual["rules"], "brats2023-gli");
    assert_eq!(scored("--rules brats2023-gli"), usual, "rules ask for the scores by themselves");
    let matched = scored("--rules brats2025");
    assert_eq!(
        (&matched["rules"], &matched["cases"][0]["rules"]),
        (&"brats2025".into(), &"brats2025".into())
    );
    assert_ne!(matched["regions"], usual["regions"]);
    let text = desk.run(&format!("{line} --rules brats2023-met")).ok().stdout;
    assert!(text.contains("rules brats2023-met"), "{text}");
    let refused = desk.run(&format!("{line} --rules brats2024-gli")).exits(2).stderr;
    assert!(refused.contains("brats2024-gli") && refused.contains("brats2025"), "{refused}");
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
    assert_eq!(measures(&all, "WT"), [0.0, 373.1286641361127, 0.0, 0.0, 0.0, 1.0]);
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

/// Writes the labels of case 1 with another affine or another order of voxels.
struct Rewritten {
    values: Vec<u8>,
    shape: [usize; 3],
    rows: [[f64; 4]; 3],
}

impl Rewritten {
    fn of_case_1(desk: &Desk) -> Self {
        let found = read_labels_only(&desk.path(&seg(1)), LabelScheme::Brats2018).unwrap();
        let values: Vec<u8> =
            found.labels.iter().map(|label| LabelScheme::Brats2018.to_file(*label)).collect();
        let [x, y, z, _] = found.source.world_from_voxel.0;
        let values = found.source.to_file_order(&values);
        Self { values, shape: found.source.dims.to_nifti(), rows: [x, y, z] }
    }

    fn write(&self, desk: &Desk, name: &str) {
        let [x, y, z] = self.rows;
        let affine = Affine([x, y, z, [0.0, 0.0, 0.0, 1.0]]);
        let grid = source_grid(Dims::from_nifti(self.shape), affine);
        write_labels(&desk.path(name), &self.values, &grid).unwrap();
    }

    /// The same voxels with file axis `axis` running the other way.
    fn turned(&self, axis: usize) -> Self {
        let dims = Dims::from_nifti(self.shape);
        let last = self.shape[axis] - 1;
        let values = (0..dims.voxel_count()).map(|place| {
            let mut at = dims.zyx_from_offset(place);
            at[2 - axis] = last - at[2 - axis];
            self.values[dims.offset_from_zyx(at)]
        });
        let rows = self.rows.map(|mut row| {
            row[3] += row[axis] * last as f64;
            row[axis] = -row[axis];
            row
        });
        Self { values: values.collect(), shape: self.shape, rows }
    }

    /// The same voxels with the file's first and last axes exchanged.
    fn exchanged(&self) -> Self {
        let [width, height, depth] = self.shape;
        let (from, to) = (Dims([depth, height, width]), Dims([width, height, depth]));
        let values = (0..to.voxel_count()).map(|place| {
            let [a, b, c] = to.zyx_from_offset(place);
            self.values[from.offset_from_zyx([c, b, a])]
        });
        let rows = self.rows.map(|[x, y, z, origin]| [z, y, x, origin]);
        Self { values: values.collect(), shape: [depth, height, width], rows }
    }
}

const PERFECT: [f64; 6] = [1.0, 0.0, 1.0, 1.0, 1.0, 1.0];

#[test]
fn the_same_places_in_another_order_of_voxels_are_the_same_grid() {
    let desk = Desk::with_cohort(1);
    let own = Rewritten::of_case_1(&desk);
    let line = format!("score --truth {} --prediction moved.nii.gz --json", seg(1));
    for moved in
        [own.turned(0), own.turned(2).turned(1), own.exchanged(), own.exchanged().turned(0)]
    {
        moved.write(&desk, "moved.nii.gz");
        assert_eq!(measures(&desk.run(&line).ok().json(), "WT"), PERFECT);
    }
}

#[test]
fn affines_agree_to_a_tenth_of_a_voxel_or_are_refused() {
    let desk = Desk::with_cohort(1);
    let line = format!("score --truth {} --prediction moved.nii.gz --json", seg(1));
    let ignoring = format!("{line} --ignore-affine");
    // In voxels: an offset, a step that adds up over the grid, and a rotation.
    for (row, column, accepted, refused) in
        [(0, 3, 0.09, 0.11), (2, 3, -0.09, 0.5), (1, 1, 0.003, 0.006), (0, 2, 0.003, -0.006)]
    {
        for (change, is_refused) in [(accepted, false), (refused, true)] {
            let mut moved = Rewritten::of_case_1(&desk);
            let edge =
                |axis: usize| moved.rows.map(|row| row[axis] * row[axis]).iter().sum::<f64>();
            let smallest = [0, 1, 2].map(edge).into_iter().fold(f64::INFINITY, f64::min).sqrt();
            moved.rows[row][column] += change * smallest;
            moved.write(&desk, "moved.nii.gz");
            let outcome = desk.run(&line);
            if is_refused {
                let words = ["moved.nii.gz", "voxels from where", "--ignore-affine"];
                outcome.exits(3).complains_of(&words);
            } else {
                assert_eq!(measures(&outcome.ok().json(), "WT"), PERFECT);
            }
            assert_eq!(measures(&desk.run(&ignoring).ok().json(), "WT"), PERFECT);
        }
    }
}

#[test]
fn an_affine_that_was_lost_is_named_and_can_be_ignored() {
    let desk = Desk::with_cohort(1);
    let mut lost = Rewritten::of_case_1(&desk);
    lost.rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    lost.write(&desk, "lost.nii.gz");
    for (truth, prediction) in [(seg(1), "lost.nii.gz".into()), ("lost.nii.gz".into(), seg(1))] {
        let line = format!("score --truth {truth} --prediction {prediction}");
        desk.run(&line).exits(3).complains_of(&["affine is the identity", "--ignore-affine"]);
        let score = desk.run(&format!("{line} --ignore-affine --json")).ok().json();
        for region in ["ET", "TC", "WT"] {
            assert_eq!(measures(&score, region), PERFECT, "{truth} {region}");
        }
    }
    // Voxels that correspond by their order need the same shape.
    lost.exchanged().write(&desk, "lost.nii.gz");
    let line = format!("score --truth {} --prediction lost.nii.gz --ignore-affine", seg(1));
    desk.run(&line).exits(3).complains_of(&["26x28x24", "24x28x26", "on the grid"]);
}
