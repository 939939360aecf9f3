//! `score` on folders that say themselves how their files are named and what their values mean.

use crate::cli::datasets::sources::put_file;
use crate::cli::harness::Desk;
use crate::cli::label_schemes::write_values;

const LINE: &str = "score --truth truth --prediction found";

/// Truth of two readers' tissues in a folder each case, and predictions that number them otherwise.
fn two_folders(prediction_labels: &str) -> Desk {
    let desk = Desk::new();
    for case in ["a", "b"] {
        write_values(&desk, &format!("truth/{case}/final.nii.gz"), &[1, 1, 2, 2, 2, 9, 9]);
        // Voxels that the truth ignores, and one more value of the first tissue.
        write_values(&desk, &format!("found/{case}_out.nii.gz"), &[2, 7, 1, 1, 1, 2, 0]);
    }
    let truth = "label_files = \"{case}/final.nii[.gz]\"\n[labels]\nsolid = 1\ncyst = 2\nignore = 9\n\
                 [regions]\nmass = [\"solid\", \"cyst\"]\ncyst = [\"cyst\"]\n";
    put_file(&desk.path("truth/dataset.toml"), truth.as_bytes());
    let found = format!("label_files = \"{{case}}_out.nii[.gz]\"\n[labels]\n{prediction_labels}");
    put_file(&desk.path("found/dataset.toml"), found.as_bytes());
    desk
}

#[test]
fn both_folders_are_read_as_they_describe_themselves_and_tissues_go_by_name() {
    let desk = two_folders("cyst = 1\nsolid = [2, 7]\n");
    let score = desk.run(&format!("{LINE} --json")).ok().json();
    for side in ["truth", "prediction"] {
        assert_eq!(score["labels"][side]["reason"], "description", "{score}");
    }
    assert_eq!(score["cases"].as_array().unwrap().len(), 2);
    let regions = score["regions"].as_object().unwrap();
    assert_eq!(regions.keys().collect::<Vec<_>>(), ["cyst", "mass"]);
    // Nothing counts where the truth is ignored, whatever is predicted there.
    for (name, voxels) in [("cyst", 3), ("mass", 5)] {
        assert_eq!(regions[name]["dice"], 1.0, "{name}");
        let own = &score["cases"][0]["regions"][name];
        assert_eq!(own["truth_voxels"], voxels);
    }
    let text = desk.run(LINE).ok().stdout;
    assert!(text.contains("(as its description says)"), "{text}");

    // One voxel that is not ignored makes the difference.
    write_values(&desk, "found/a_out.nii.gz", &[2, 7, 1, 1, 0, 2, 0]);
    let score = desk.run(&format!("{LINE} --json")).ok().json();
    assert_eq!(score["cases"][0]["regions"]["cyst"]["dice"], 0.8);
}

#[test]
fn tissues_without_a_partner_are_refused_with_the_way_out() {
    let desk = two_folders("cyst = 1\nrim = [2, 7]\n");
    let words = ["found: ", "no label value is the tissue solid", "[labels]", "dataset.toml"];
    desk.run(LINE).exits(3).complains_of(&words);
    let desk = two_folders("cyst = 1\nsolid = 2\nrim = 7\n");
    let words = ["found: ", "label value 7 is the tissue rim", "none of solid, cyst"];
    desk.run(LINE).exits(3).complains_of(&words);
    // A description that cannot be read is no flat folder.
    put_file(&desk.path("truth/dataset.toml"), b"label_file = \"{case}.nii\"\n");
    desk.run(LINE).exits(3).complains_of(&["truth/dataset.toml", "label_file"]);
}

#[test]
fn a_folder_of_nnunets_predictions_is_read_as_its_own_dataset_json_says() {
    let desk = Desk::new();
    write_values(&desk, "truth/a.nii.gz", &[1, 2, 2, 4, 4, 4]);
    write_values(&desk, "found/a.nii.gz", &[2, 1, 1, 3, 3, 3]);
    let json = r#"{"channel_names": {"0": "T1"}, "file_ending": ".nii.gz", "numTraining": 1,
        "labels": {"background": 0, "edema": 1, "necrosis": 2, "enhancing tumor": 3}}"#;
    put_file(&desk.path("found/dataset.json"), json.as_bytes());
    let score = desk.run(&format!("{LINE} --json")).ok().json();
    let told = &score["labels"]["prediction"];
    assert_eq!((&told["scheme"], &told["reason"]), (&"msd".into(), &"dataset_json".into()));
    for region in ["ET", "TC", "WT"] {
        assert_eq!(score["regions"][region]["dice"], 1.0, "{region}");
    }
    // What is asked for comes first.
    let asked = format!("{LINE} --prediction-labels brats2023 --json");
    assert_eq!(desk.run(&asked).ok().json()["labels"]["prediction"]["reason"], "asked");
}
