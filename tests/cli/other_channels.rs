//! Runs of other modalities than all four and of other regions than ET, TC and WT.

use gliaflow::internals::brats::{read_labels_only, write_labels};
use gliaflow::internals::volume::LabelScheme;

use crate::cli::harness::Desk;
use crate::cli::resuming::{NETWORKS, assert_same_outcome, kill_after_a_checkpoint, line};

const REGIONS: [&str; 4] = ["ET", "NCR", "TC", "WT"];

/// Two modalities, four regions, and a modality left out now and then.
const CHANNELS: &str = "--set data.modalities=[\"t1ce\",\"flair\"] \
    --set data.regions={WT=[\"ET\",\"NCR\",\"ED\"],ET=[\"ET\"],NCR=[\"NCR\"],TC=[\"ET\",\"NCR\"]} \
    --set augment.modality_dropout.probability=0.25";

/// A cohort without the files of T1 and T2.
fn two_modalities(cases: usize) -> Desk {
    let desk = Desk::with_cohort(cases);
    for case in case_names(&desk) {
        for modality in ["t1", "t2"] {
            std::fs::remove_file(desk.path(&format!("data/{case}/{case}_{modality}.nii.gz")))
                .unwrap();
        }
    }
    desk
}

fn case_names(desk: &Desk) -> Vec<String> {
    let mut names = desk.names("data");
    names.retain(|name| desk.path(&format!("data/{name}")).is_dir());
    names
}

#[test]
fn a_run_of_two_modalities_and_four_regions_is_resumed_scored_and_shown_as_its_own() {
    let desk = two_modalities(7);
    for network in NETWORKS {
        let (name, ..) = network;
        let [straight, killed] = ["straight", "killed"].map(|kind| format!("{name}-{kind}"));
        let line = format!("{} {CHANNELS} --set data.held_out=0.43", line(network));
        desk.run(&format!("{line} --run {straight}")).ok();
        kill_after_a_checkpoint(&desk, &format!("{line} --run {killed}"), &killed);
        desk.run(&format!("train --resume {killed}")).ok();
        assert_same_outcome(&desk, &straight, &killed);
    }
    let run = "unet-straight";
    let journal = desk.json_lines(&format!("{run}/events.jsonl"));
    for (event, field) in [("step", "soft_dice"), ("validation", "dice")] {
        let told = journal.iter().rfind(|line| line["event"] == event).unwrap();
        let names: Vec<&String> = told[field].as_object().unwrap().keys().collect();
        assert_eq!(names, REGIONS);
    }
    let page = desk.text(&format!("{run}/report.html"));
    let table = desk.run(&format!("evaluate --run {run}")).ok();
    let scores = desk.run(&format!("evaluate --run {run} --lesion-wise --json")).ok().json();
    for region in REGIONS {
        assert!(page.contains(&format!(">{region}</b>")), "{region} in the page");
        assert!(table.stdout.contains(&format!("| {region}")), "{region} in the table");
        assert!(scores["network"]["regions"][region]["dice"].is_number(), "{region}");
        assert!(scores["lesionwise"]["regions"][region]["counted"].is_number(), "{region}");
    }
    assert!(page.contains("class=\"line r1\""), "NCR has a line of its own colour");
    let told = desk.run(&format!("top {run} --once")).ok().stdout;
    let told_json = desk.run(&format!("top {run} --once --json")).ok().json().to_string();
    for region in REGIONS {
        assert!(told.contains(region), "{region} in `top`: {told}");
        assert!(told_json.contains(&format!("\"{region}\"")), "{region} in `top`: {told_json}");
    }
    let overlays = desk.json(&format!("{run}/validation/overlays/index.json"));
    assert_eq!(overlays.as_array().unwrap().len(), 3 * REGIONS.len());
    let csv = desk.text(&format!("{run}/validation/cases.csv"));
    assert_eq!(csv.lines().count(), 1 + 3 * REGIONS.len());
    let metrics = desk.run(&format!("metrics {run} --openmetrics")).ok().stdout;
    for metric in ["train_soft_dice_ratio", "train_dice_ratio", "train_hd95_mm"] {
        let lines: Vec<&str> = metrics.lines().filter(|line| line.starts_with(metric)).collect();
        assert!(lines.iter().any(|line| line.contains("region=\"NCR\"")), "{metric}");
    }

    let predicted =
        desk.run(&format!("predict --run {run} --data data --out out --json")).ok().json();
    let first = &predicted["predictions"][0];
    assert_eq!(first["regions"], serde_json::json!(REGIONS));
    let case = first["case"].as_str().unwrap();
    let grid =
        |file: &str| read_labels_only(&desk.path(file), LabelScheme::Brats2018).unwrap().source;
    let own = grid(&format!("out/{case}.nii.gz"));
    assert_eq!(own, grid(&format!("data/{case}/{case}_seg.nii.gz")), "on its source grid");
}

#[test]
fn a_case_without_a_modality_is_refused_with_the_way_out_or_taken_with_an_image_of_zeros() {
    let desk = Desk::with_cohort(5);
    let case = case_names(&desk).remove(0);
    let line = line(NETWORKS[0]);
    desk.run(&format!("{line} --run all --set train.epochs=1")).ok();
    std::fs::remove_file(desk.path(&format!("data/{case}/{case}_t2.nii.gz"))).unwrap();
    let told = desk.run("predict --run all --data data --out strict --json").exits(3).json();
    let problem = told["problems"][0].as_str().unwrap();
    assert!(problem.contains(&case) && problem.contains("_t2.nii.gz is not in"), "{problem}");
    assert_eq!(told["predictions"].as_array().unwrap().len(), 4);
    desk.run(&format!("{line} --run zero --set train.epochs=1 --set data.missing=zero")).ok();
    let lock = desk.json("zero/dataset.lock.json");
    assert_eq!(lock["cases"].as_array().unwrap().len(), 5);
    let told = desk.run("predict --run zero --data data --out lenient --json").ok().json();
    assert_eq!(told["predictions"].as_array().unwrap().len(), 5);

    let both = format!("data/{case}/{case}");
    std::fs::remove_file(desk.path(&format!("{both}_t1.nii.gz"))).unwrap();
    let told = desk.run(&format!(
        "{line} --run two --set data.modalities=[\"t1\",\"t2\"] --set \
                                  train.epochs=1"
    ));
    told.ok();
    let excluded = desk.text("two/dataset.lock.json");
    assert!(excluded.contains("_t1.nii.gz and"), "{excluded}");
}

/// Voxels that are ignored may hold any label: training and scores stay what they are.
#[test]
fn a_run_learns_and_scores_the_same_whatever_lies_under_ignored_voxels() {
    let desk = Desk::with_cohort(4);
    let labelled = |value: u8| {
        for case in case_names(&desk) {
            let file = desk.path(&format!("data/{case}/{case}_seg.nii.gz"));
            let scheme = LabelScheme::of_tissues(
                [("NCR", 1), ("ED", 2), ("ET", 4), ("any", 9)]
                    .map(|(name, value)| (name.to_owned(), vec![value])),
            );
            let found = read_labels_only(&file, scheme.unwrap()).unwrap();
            let mut values: Vec<u8> = found.labels.iter().map(|own| scheme_value(*own)).collect();
            let ignored = values.len() / 2..values.len() / 2 + 400;
            values[ignored].fill(value);
            let in_file = found.source.to_file_order(&values);
            write_labels(&file, &in_file, &found.source).unwrap();
        }
    };
    labelled(9);
    let settings = "--set data.labels={NCR=1,ED=2,ET=4,ignore=9} --set train.epochs=2";
    desk.run(&format!("{} {settings} --run ignoring", line(NETWORKS[0]))).ok();
    // The same voxels as background are learnt from.
    let counted = settings.replace("ignore=9", "background=9");
    desk.run(&format!("{} {counted} --run counting", line(NETWORKS[0]))).ok();
    let losses = |run: &str| {
        let events = desk.json_lines(&format!("{run}/events.jsonl"));
        events.iter().filter_map(|event| event["loss"].as_f64()).collect::<Vec<_>>()
    };
    assert!(losses("ignoring").len() > 1);
    assert_ne!(losses("ignoring"), losses("counting"));
    let told = desk.json("ignoring/validation/summary.json");
    let case = &told["network"]["cases"][0];
    let voxels = case["regions"]["WT"]["truth_voxels"].as_u64().unwrap();
    let out = desk.run("evaluate --run ignoring --json").ok().json();
    assert_eq!(out["network"]["cases"][0], *case);
    let refused = format!("{} --set train.epochs=1 --run refused", line(NETWORKS[0]));
    let refused = desk.run(&refused).exits(3).stderr;
    assert!(refused.contains("label 9"), "{refused}");
    assert!(voxels > 0);
}

fn scheme_value(canonical: u8) -> u8 {
    [0, 1, 2, 4, 0, 9][usize::from(canonical)]
}

/// A cavity is a region of its own where the labels have one, and a run keeps its regions.
#[test]
fn labels_with_a_cavity_give_a_new_run_its_region_and_painting_is_asked_for_where_it_is_needed() {
    let desk = Desk::with_cohort(4);
    let line = format!("{} --set train.epochs=1", line(NETWORKS[0]));
    desk.run(&format!("{line} --set data.labels=brats2024 --run cavity")).ok();
    assert!(desk.text("cavity/config.toml").contains("regions = [\"ET\", \"RC\", \"TC\", \"WT\"]"));
    let scores = desk.json("cavity/validation/summary.json");
    assert!(scores["network"]["regions"]["RC"]["dice"].is_number());
    desk.run(&format!("{line} --run three")).ok();
    let caches = desk.names("cache");
    let folder = caches.iter().find(|name| name.starts_with("v2-")).unwrap();
    let files = desk.names(&format!("cache/{folder}"));
    let kept = |ending: &str| files.iter().filter(|name| name.ends_with(ending)).count();
    assert_eq!((kept(".case"), kept(".case2")), (4, 4), "{files:?}");
    let overlapping = "--set data.regions={a=[\"ET\",\"NCR\"],b=[\"NCR\",\"ED\"]}";
    let refused = desk.run(&format!("{line} {overlapping} --run refused")).exits(2);
    refused.complains_of(&["data.regions", "a and b", "painting"]);
    desk.run(&format!("{line} {overlapping} --set data.painting=[\"b\",\"a\"] --run painted")).ok();
    for (wrong, named) in [
        ("{a=[\"XX\"]}", "no tissue XX"),
        ("[\"ET\",\"QQ\"]", "no region QQ"),
        ("{ET=[\"RC\"]} --set data.labels=brats2018", "no tissue RC"),
    ] {
        let refused = desk.run(&format!("{line} --set data.regions={wrong} --run wrong")).exits(2);
        refused.complains_of(&["data.regions", named]);
    }
}
