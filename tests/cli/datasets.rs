//! Datasets in every layout: what `inspect` shows of them, and what `ingest` reads, is what the folders of
//! BraTS hold.

mod layouts;
#[cfg(feature = "train")]
mod own_labels;
mod refusals;
mod scored_folders;
mod sources;
#[cfg(feature = "train")]
mod verbs;

use std::path::Path;

use gliaflow::internals::brats::{CaseReader, discover_cases};
use gliaflow::internals::volume::{Case, LabelScheme};
use serde_json::Value;

use crate::cli::harness::Desk;
use layouts::{ALL, DECATHLON};
use sources::put_file;

fn read_cases(folder: &Path) -> Vec<Case> {
    let found = discover_cases(folder, None).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    found.cases.iter().map(|files| CaseReader::default().read(files).unwrap()).collect()
}

/// Voxels of the region around all others.
fn tumour_voxels(seen: &Value) -> &Value {
    &seen["regions"][0]["voxels"]
}

#[test]
fn a_dataset_of_each_layout_is_found_as_such_and_holds_what_brats_holds() {
    let desk = Desk::with_cohort(2);
    let truth = read_cases(&desk.path("data"));
    let of_brats = desk.run("inspect data --deep --json").ok().json();
    assert!(tumour_voxels(&of_brats).as_u64().unwrap() > 0);
    for (number, made) in ALL.iter().enumerate() {
        let folder = format!("set{number}");
        made.put_into(&desk, &folder);
        let seen = desk.run(&format!("inspect {folder} --deep --json")).ok().json();
        let word = |key: &str| seen[key].as_str().unwrap_or("described").to_owned();
        let told = ["layout", "scheme", "scheme_reason"].map(word);
        assert_eq!(told, [made.layout, made.scheme_name(), made.reason]);
        assert_eq!(tumour_voxels(&seen), tumour_voxels(&of_brats), "{}", made.layout);
        assert_eq!(seen["cases"].as_array().unwrap().len(), 2, "{}", made.layout);
        assert!(seen["cases"].as_array().unwrap().iter().all(|case| case["labelled"] == true));
        let text = desk.run(&format!("inspect {folder}")).ok().stdout;
        assert!(text.contains(&made.region_table()), "{text}\n{}", made.region_table());
        for (case, wanted) in read_cases(&desk.path(&folder)).iter().zip(&truth) {
            for modality in case.channels.modalities.iter() {
                let place = modality.index();
                assert!(case.images[place] == wanted.images[place], "{} {modality}", made.layout);
            }
            let is_same = made.scheme.is_some_and(|own| own != LabelScheme::Brats2024Ped);
            assert!(!is_same || case.labels == wanted.labels, "{} {}", made.layout, case.id);
            assert_eq!(case.source, wanted.source);
        }
        let line = format!("ingest --data {folder} --cache cache{number} --json");
        for published in [2, 0] {
            assert_eq!(desk.run(&line).ok().json()["published"], published, "{}", made.layout);
        }
        // What is written for editing finds the same cases.
        desk.run(&format!("inspect {folder} --write own{number}.toml")).ok();
        let again = desk.run(&format!("inspect {folder} --description own{number}.toml --json"));
        let again = again.ok().json();
        let names = |seen: &Value| {
            let cases = seen["cases"].as_array().unwrap().iter();
            cases.map(|case| case["id"].to_string()).collect::<Vec<_>>()
        };
        assert_eq!((names(&again), &again["layout"]), (names(&seen), &seen["layout"]));
        assert_eq!(again["regions"][0]["values"], seen["regions"][0]["values"]);
        let line = format!(
            "ingest --data {folder} --description own{number}.toml --cache cache{number} --json"
        );
        assert_eq!(desk.run(&line).ok().json()["published"], 0, "{}", made.layout);
    }
    let text = desk.run("inspect set0").ok().stdout;
    assert!(
        text.contains("dataset.json says; stated by https://arxiv.org/abs/2106.05735"),
        "{text}"
    );
    assert!(text.contains("labels msd (as its dataset.json says)"), "{text}");
    let last = ALL.len() - 1;
    assert!(desk.run(&format!("inspect set{last}")).ok().stdout.contains("unproved"));
    desk.run("inspect set0 --write own0.toml")
        .exits(2)
        .complains_of(&["own0.toml: is there already"]);
}

#[test]
fn another_order_of_the_same_stack_is_another_case() {
    let desk = Desk::with_cohort(2);
    DECATHLON.put_into(&desk, "set");
    let line = "ingest --data set --json";
    assert_eq!(desk.run(line).ok().json()["published"], 2);
    let text = "layout = \"decathlon\"\norder = [\"flair\", \"t1ce\", \"t1\", \"t2\"]\n";
    put_file(&desk.path("set/dataset.toml"), text.as_bytes());
    assert_eq!(desk.run(line).ok().json()["published"], 2, "T1 and T1ce have changed places");
    let short = "layout = \"decathlon\"\norder = [\"flair\", \"t1\", \"t1ce\", \"t2\", \"-\"]\n";
    put_file(&desk.path("set/dataset.toml"), short.as_bytes());
    let seen = desk.run("inspect set --deep --json").exits(3).json();
    let problem = seen["problems"][0].as_str().unwrap();
    for word in ["case BRATS_001", "imagesTr/BRATS_001.nii.gz: dim", "not the 5 volumes", "order"] {
        assert!(problem.contains(word), "{word}: {problem}");
    }
}
