//! Tests of how cases are found in other datasets than BraTS: by a description, by a `dataset.json`, in a
//! datalist.

use super::*;
use crate::base::fs;
use crate::brats::{SchemeReason, description_fingerprint};

fn put(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, []).unwrap();
    }
}

fn put_text(root: &Path, name: &str, text: &str) {
    fs::write(root.join(name), text).unwrap();
}

#[test]
fn a_description_beside_the_data_says_how_cases_are_found() {
    let root = tempfile::tempdir().unwrap();
    let text = r#"
        label_scheme = "brats2023"
        images = "sub-{subject}/{scan}/anat_{modality}.nii[.gz]"
        label_files = "truth/{subject}_{scan}.nii.gz"
        case = "{subject}-{scan}"
        patient = "{patient}-*"

        [modalities]
        t1 = "T1w"
        t1ce = ["ce-T1w", "T1post"]
        t2 = "T2w"
        flair = "FLAIR"
    "#;
    fs::write(root.path().join("dataset.toml"), text).unwrap();
    for (scan, post) in [("sub-7/1", "ce-T1w"), ("sub-7/2", "T1post"), ("sub-8/1", "ce-T1w")] {
        for name in ["T1w", post, "T2w", "FLAIR"] {
            put(root.path(), &[&format!("{scan}/anat_{name}.nii")]);
        }
    }
    put(root.path(), &["truth/7_2.nii.gz", "sub-9/1/anat_T2w.nii", "other/x.nii"]);
    let found = discover_cases(root.path(), None).unwrap();
    let cases: Vec<_> = found
        .cases
        .iter()
        .map(|case| (case.id.as_str(), case.patient.to_string(), case.labels.is_some()))
        .collect();
    let expected = [("7-1", "7", false), ("7-2", "7", true), ("8-1", "8", false)];
    assert_eq!(cases, expected.map(|(id, patient, has)| (id, patient.to_owned(), has)));
    assert!(found.cases[1].images[1].ends_with("sub-7/2/anat_T1post.nii"));
    assert_eq!(found.layout.name(), "described");
    assert!(found.layout_reason.ends_with("dataset.toml says"), "{}", found.layout_reason);
    let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    let missing = "anat_T1w.nii.gz and anat_ce-T1w.nii.gz and anat_FLAIR.nii.gz is not in";
    assert!(problems[0].contains("case 9-1: ") && problems[0].contains(missing), "{problems:#?}");
    assert!(problems[1].contains("x.nii fits no layout"), "{problems:#?}");
}

#[test]
fn two_dates_of_one_case_are_never_mixed() {
    let root = tempfile::tempdir().unwrap();
    let files = ["t1", "t1Gd", "t2", "flair"].map(|name| format!("TCGA-1/TCGA-1_2001_{name}.nii"));
    put(root.path(), &files.each_ref().map(String::as_str));
    put(root.path(), &["TCGA-1/TCGA-1_2002_t1.nii", "TCGA-1/TCGA-1_2001_GlistrBoost.nii"]);
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!((found.layout.name(), found.cases.len()), ("tcga", 1));
    assert!(found.cases[0].labels.is_none(), "made by a program, corrected by nobody");
    let problem = found.problems[0].to_string();
    assert!(problem.contains("TCGA-1_2002_t1Gd.nii.gz and"), "{problem}");
}

#[test]
fn folders_named_as_files_are_the_file_in_them() {
    let root = tempfile::tempdir().unwrap();
    let case = "BraTS2021_00714";
    for (at, name) in ["t1", "t1ce", "t2", "flair", "seg"].into_iter().enumerate() {
        let inner = format!("{case}/{case}_{name}.nii/0000{at}_brain_{name}.nii");
        let whole = format!("{case}/{case}_{name}.nii");
        put(root.path(), &[if at == 4 { &whole } else { &inner }]);
    }
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!((found.layout.name(), found.problems.len()), ("brats2021", 0));
    assert!(found.cases[0].images[3].ends_with("BraTS2021_00714_flair.nii/00003_brain_flair.nii"));
    assert!(found.cases[0].labels.is_some());
}

#[test]
fn files_of_all_cases_may_lie_in_one_folder() {
    let root = tempfile::tempdir().unwrap();
    for case in ["a", "b"] {
        for ending in ["-t1n", "-t1c", "-t2w", "-t2f", "-seg"] {
            put(root.path(), &[&format!("{case}{ending}.nii.gz")]);
        }
    }
    put(root.path(), &["c-t1n.nii.gz"]);
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!((found.layout.name(), found.cases.len()), ("flat2023", 2));
    assert!(found.cases.iter().all(|case| case.labels.is_some()));
    assert!(found.problems[0].to_string().contains("case c: c-t1c.nii.gz and"));
}

#[test]
fn a_decathlon_task_has_the_order_and_the_labels_of_its_json() {
    let root = tempfile::tempdir().unwrap();
    let json = r#"{"modality": {"0": "T2w", "1": "FLAIR", "2": "T1w", "3": "t1gd"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}}"#;
    put_text(root.path(), "dataset.json", json);
    put(root.path(), &["imagesTr/B_1.nii.gz", "labelsTr/B_1.nii.gz", "imagesTs/B_2.nii.gz"]);
    put(root.path(), &["imagesTr/._B_1.nii.gz", "labelsTs/B_2.nii.gz"]);
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!((found.layout.name(), found.labels.scheme), ("decathlon", LabelScheme::Msd));
    assert!(found.layout_reason.ends_with("dataset.json says"));
    let [first, test] = &found.cases[..] else { panic!("two cases") };
    assert_eq!(first.stack, Some(StackPlaces { places: [2, 3, 0, 1].map(Some), volumes: 4 }));
    assert_eq!((first.paths().count(), first.labels.is_some()), (2, true));
    assert!(test.labels.is_none(), "labels of a test set are not learnt from");
    // A file beside it overrides one field, and keeps the others.
    put_text(root.path(), "dataset.toml", "layout = \"decathlon\"\nlabel_scheme = \"brats2023\"\n");
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!(found.labels.scheme, LabelScheme::Brats2023);
    assert_eq!(found.cases[0].stack.unwrap().places, [2, 3, 0, 1].map(Some));
}

#[test]
fn nnunet_raw_data_has_the_channels_and_the_labels_of_its_json() {
    let root = tempfile::tempdir().unwrap();
    let json = r#"{"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"},
        "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
        "regions_class_order": [1, 2, 3], "numTraining": 1, "file_ending": ".nii.gz"}"#;
    put_text(root.path(), "dataset.json", json);
    for channel in 0..4 {
        put(root.path(), &[&format!("imagesTr/BraTS2021_00000_{channel:04}.nii.gz")]);
    }
    put(root.path(), &["labelsTr/BraTS2021_00000.nii.gz"]);
    for folder in [root.path().to_owned(), root.path().join("imagesTr")] {
        let found = discover_cases(&folder, None).unwrap();
        assert_eq!((found.layout.name(), found.labels.scheme), ("nnunet", LabelScheme::Msd));
        let case = &found.cases[0];
        assert_eq!((case.id.as_str(), case.stack), ("BraTS2021_00000", None));
        assert!(case.images[3].ends_with("imagesTr/BraTS2021_00000_0003.nii.gz"));
        assert_eq!(case.labels.is_some(), folder == root.path());
    }
}

#[test]
fn what_a_json_does_not_tell_is_refused_with_what_to_write() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), &["imagesTr/B_1.nii.gz"]);
    let labels = r#""labels": {"background": 0, "edema": 1, "non-enhancing tumor": 2, "enhancing tumor": 3}"#;
    for (json, words) in [
        (
            format!(r#"{{"modality": {{"0": "CT", "1": "T1w"}}, {labels}}}"#),
            r#"modality: names channel 0 "CT", which is no modality; write in dataset.toml"#,
        ),
        (
            format!(r#"{{"channel_names": {{"0": "T1", "1": "T1"}}, {labels}}}"#),
            r#"channel_names: has t1 twice, as "0000" and "0001"; write in dataset.toml"#,
        ),
        ("{".to_owned(), "dataset.json: is no JSON"),
    ] {
        put_text(root.path(), "dataset.json", &json);
        let refused = discover_cases(root.path(), None).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn what_a_description_cannot_say_is_refused_by_file_field_and_line_that_would_do() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), &["a.nii"]);
    let four = "[modalities]\nt1 = \"a\"\nt1ce = \"b\"\nt2 = \"c\"\nflair = \"d\"\n";
    for (text, words) in [
        ("imges = \"x\"", "unknown field `imges`, expected one of"),
        ("layout = \"upen\"", "layout = \"upen\" is no built-in layout; write one of brats2020"),
        ("schema = 2", "schema = 2 is out of range; write 1"),
        ("label_scheme = \"brats\"", "`brats` is no label scheme"),
        ("images = \"{case\"", "`{case` is no pattern: a `{` is not closed"),
        ("sources = []", "images = none is no way to find a file; write images = "),
        ("images = \"{case}.nii\"", "images = {case}.nii is without the part {modality}"),
        ("images = \"{case}.nii\"\norder = [\"t1\", \"t1\"]", "t1 is in it 2 times; write"),
        ("images = \"{case}.nii\"\norder = [\"adc\"]", "adc is no modality"),
        ("images = \"{case}_{modality}.nii\"", "modalities = none is without a name"),
        ("images = \"{modality}.nii\"", "is without {case}, which names the case"),
        (
            "layout = \"upenn-gbm\"\npatient = \"{case}_*\"",
            "patient = {case}_* is without {patient}; write one such as",
        ),
        (
            &format!(
                "images = \"{{case}}_{{modality}}.nii\"\nlabel_files = \"{{case}}.nii\"\n{four}"
            ),
            "values have no meaning; write what they mean, as label_scheme = \"brats2018\"",
        ),
    ] {
        put_text(root.path(), "dataset.toml", text);
        let refused = discover_cases(root.path(), None).unwrap_err().to_string();
        assert!(refused.contains("dataset.toml: ") && refused.contains(words), "{refused}");
        assert!(!refused.contains('\n'), "{refused}");
    }
}

#[test]
fn a_datalist_of_monai_names_the_files_of_each_case() {
    let root = tempfile::tempdir().unwrap();
    let entry = |case: &str| {
        let image = |end: &str| format!("\"data/{case}/{case}_{end}.nii.gz\"");
        let images = ["flair", "t1ce", "t1", "t2"].map(image).join(", ");
        format!(r#"{{"fold": 0, "image": [{images}], "label": "data/{case}/{case}_seg.nii.gz"}}"#)
    };
    let put_images = |case: &str| {
        for end in ["flair", "t1ce", "t1", "t2", "seg"] {
            put(root.path(), &[&format!("data/{case}/{case}_{end}.nii.gz")]);
        }
    };
    let write = |names: &[&str]| {
        let entries: Vec<String> = names.iter().map(|name| entry(name)).collect();
        put_text(root.path(), "folds.json", &format!("{{\"training\": [{}]}}", entries.join(", ")));
    };
    put_text(root.path(), "dataset.toml", "layout = \"monai\"\ndatalist = \"folds.json\"\n");
    ["BraTS2021_1", "BraTS2021_2", "A"].into_iter().for_each(put_images);
    write(&["BraTS2021_1", "BraTS2021_9"]);
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!((found.layout.name(), found.labels.scheme), ("monai", LabelScheme::Brats2018));
    let case = &found.cases[0];
    assert_eq!((found.cases.len(), case.id.as_str()), (1, "BraTS2021_1"), "not the others");
    assert!(case.images[1].ends_with("BraTS2021_1_t1ce.nii.gz") && case.labels.is_some());
    let problem = found.problems[0].to_string();
    assert!(problem.contains("case BraTS2021_9") && problem.contains("not there"), "{problem}");
    // A name that tells no meaning is asked about, and an order overrides the names.
    write(&["A"]);
    let refused = discover_cases(root.path(), None).unwrap_err().to_string();
    assert!(refused.contains("labels of A mean; write label_scheme ="), "{refused}");
    let order = "layout = \"monai\"\ndatalist = \"folds.json\"\nlabel_scheme = \"msd\"\n\
                 order = [\"t1\", \"flair\", \"t2\", \"t1ce\"]\n";
    put_text(root.path(), "dataset.toml", order);
    let found = discover_cases(root.path(), None).unwrap();
    assert!(found.cases[0].images[0].ends_with("A_flair.nii.gz"), "as it was written");
    assert_eq!(found.labels.scheme, LabelScheme::Msd);
}

#[test]
fn a_datalist_is_found_where_names_find_nothing() {
    let root = tempfile::tempdir().unwrap();
    let images = ["x_t1.nii", "x_t1gd.nii", "x_t2.nii", "x_flair.nii"];
    put(&root.path().join("deep/a/b"), &images);
    let list = images.map(|name| format!("\"deep/a/b/{name}\"")).join(", ");
    put_text(root.path(), "list.json", &format!("{{\"training\": [{{\"image\": [{list}]}}]}}"));
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!((found.layout.name(), found.cases[0].id.as_str()), ("monai", "x"));
    assert!(found.layout_reason.ends_with("list.json says"), "{}", found.layout_reason);
}

#[test]
fn only_what_is_not_built_in_has_a_fingerprint() {
    let root = tempfile::tempdir().unwrap();
    for modality in ["T1", "T1GD", "T2", "FLAIR"] {
        put(root.path(), &[&format!("UPENN-GBM-00001_11/UPENN-GBM-00001_11_{modality}.nii.gz")]);
    }
    let print = || {
        let found = discover_cases(root.path(), None).unwrap().description_fingerprint();
        assert_eq!(found, description_fingerprint(root.path(), None).unwrap());
        found
    };
    assert_eq!(print(), None);
    put_text(root.path(), "dataset.toml", "layout = \"upenn-gbm\"\nsources = []\n");
    assert_eq!(print(), None);
    let other = "layout = \"upenn-gbm\"\nlabel_scheme = \"brats2023\"\n";
    put_text(root.path(), "dataset.toml", other);
    let first = print();
    put_text(root.path(), "dataset.toml", &format!("# As it was.\n{other}"));
    assert!(first.is_some() && print() == first);
    put_text(root.path(), "dataset.toml", "layout = \"upenn-gbm\"\npatient = \"{patient}\"\n");
    assert!(print().is_some() && print() != first);
}

#[test]
fn what_is_written_for_editing_reads_the_same_of_two_modalities_and_tissues_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let json = r#"{"channel_names": {"0": "T1ce", "1": "FLAIR"}, "file_ending": ".nii.gz",
        "labels": {"background": 0, "edema": 2, "tumor": 1, "ignore": 9}}"#;
    put_text(root.path(), "dataset.json", json);
    put(root.path(), &["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz"]);
    let found = discover_cases(root.path(), None).unwrap();
    let case = &found.cases[0];
    assert_eq!(case.channels.modalities.to_string(), "t1ce, flair");
    assert_eq!(case.scheme.tissue_names(), ["ED", "tumor"]);
    put_text(root.path(), "dataset.toml", &found.description.to_file_text().unwrap());
    let again = discover_cases(root.path(), None).unwrap();
    // All but what told the meaning: the file that was written now does.
    let told = [&found, &again].map(|own| own.labels.reason);
    assert_eq!(told, [SchemeReason::DatasetJson, SchemeReason::Description]);
    let scheme_reason = told[0];
    let description = DatasetDescription { scheme_reason, ..again.description };
    assert_eq!((&description, &again.cases), (&found.description, &found.cases));
}

/// Examples of the manual are descriptions that are accepted as they stand.
#[test]
fn every_example_of_the_manual_can_be_used() {
    let manual = include_str!("../../docs/datasets.md");
    let blocks: Vec<&str> = manual.split("```toml\n").skip(1).collect();
    assert!(blocks.len() >= 9, "{}", blocks.len());
    for block in blocks {
        let text = block.split("```").next().unwrap();
        let root = tempfile::tempdir().unwrap();
        put_text(root.path(), "dataset.toml", text);
        let found = DatasetDescription::read_file(&root.path().join("dataset.toml"), None);
        assert!(found.is_ok(), "{text}{}", found.unwrap_err());
    }
}
