//! Tests of how cases are found.

use super::*;
use crate::base::fs;

const IMAGES: [&str; 4] = ["_t1", "_t1ce", "_t2", "_flair"];

fn put(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, []).unwrap();
    }
}

fn put_case(folder: &Path, endings: &[&str]) {
    let name = folder.file_name().unwrap().to_string_lossy();
    for ending in endings {
        put(folder, &[&format!("{name}{ending}.nii.gz")]);
    }
}

#[test]
fn grades_come_from_the_folders_and_cases_are_sorted() {
    let root = tempfile::tempdir().unwrap();
    put_case(&root.path().join("data/LGG/a"), &IMAGES);
    put_case(&root.path().join("data/HGG/b"), &[&IMAGES[..], &["_seg"]].concat());
    put_case(&root.path().join("data/c"), &IMAGES);
    let found = discover_cases(root.path(), None).unwrap();
    let cases: Vec<_> =
        found.cases.iter().map(|c| (c.id.as_str(), c.grade, c.labels.is_some())).collect();
    assert_eq!(
        cases,
        [
            ("a", Some(TumourGrade::Lgg), false),
            ("b", Some(TumourGrade::Hgg), true),
            ("c", None, false)
        ]
    );
    assert_eq!((found.layout.name(), found.problems.len()), ("brats2018", 0));
    assert!(found.cases[1].images[3].ends_with("data/HGG/b/b_flair.nii.gz"));
}

#[test]
fn a_single_case_folder_is_a_dataset() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("BraTS20_Training_001");
    put_case(&folder, &IMAGES);
    for path in [folder.clone(), folder.join(".")] {
        let found = discover_cases(&path, None).unwrap();
        assert_eq!((found.layout.name(), found.cases.len()), ("brats2020", 1));
    }
}

#[test]
fn what_is_missing_is_listed_and_nothing_vanishes() {
    let root = tempfile::tempdir().unwrap();
    put_case(&root.path().join("b"), &IMAGES[..3]);
    put_case(&root.path().join("a"), &["_seg"]);
    put_case(&root.path().join("HGG/twice"), &IMAGES);
    put_case(&root.path().join("LGG/twice"), &IMAGES);
    put(root.path(), &["other/stray_t1.nii", "other/._stray_t2.nii", "notes/read.me"]);
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!(found.cases.len(), 1);
    let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 4, "{problems:#?}");
    assert!(problems[0].contains("case a: a_t1.nii.gz and a_t1ce.nii.gz and a_t2"));
    assert!(problems[1].contains("case b: b_flair.nii.gz is not in"));
    assert!(problems[2].contains("other: stray_t1.nii fits no layout; name"));
    assert!(problems[3].contains("case twice: is there twice"));
}

#[test]
fn a_folder_without_cases_is_an_error_that_says_what_was_looked_for() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), &["imagesTr/BRATS_001.nii.gz", "imagesTr/._BRATS_001.nii.gz"]);
    let error = discover_cases(root.path(), None).unwrap_err().to_string();
    assert!(error.contains("CASE/CASE-{t1n,t1c,t2w,t2f}"), "{error}");
    assert!(error.contains("found ") && error.contains("BRATS_001.nii.gz"), "{error}");
    assert_eq!(discover_cases(&root.path().join("no"), None).unwrap_err().reason, Reason::Missing);
}

#[test]
fn the_layout_of_most_cases_names_the_dataset() {
    let root = tempfile::tempdir().unwrap();
    put_case(&root.path().join("x"), &IMAGES);
    for case in ["BraTS-GLI-00000-000", "BraTS-GLI-00002-000"] {
        put_case(&root.path().join(case), &["-t1n", "-t1c", "-t2w", "-t2f", "-seg"]);
    }
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!((found.layout.name(), found.labels.scheme), ("brats2023", LabelScheme::Brats2023));
    assert_eq!(found.cases.iter().filter(|c| c.scheme == LabelScheme::Brats2018).count(), 1);
}

#[test]
fn labels_named_in_another_releases_way_do_not_hide_the_images() {
    let root = tempfile::tempdir().unwrap();
    put_case(&root.path().join("a"), &[&IMAGES[..], &["-seg"]].concat());
    put_case(&root.path().join("b"), &["-seg"]);
    let found = discover_cases(root.path(), None).unwrap();
    assert_eq!((found.layout.name(), &found.cases[0].labels), ("brats2018", &None));
    assert!(found.problems[0].to_string().contains("b-t1n.nii.gz and b-t1c.nii.gz"));
}

#[test]
fn the_compressed_file_is_preferred_and_the_misnamed_labels_are_found_in_2020_only() {
    let root = tempfile::tempdir().unwrap();
    let hidden = "W39_1998.09.19_Segm.nii";
    for case in ["a", "BraTS20_Training_355"] {
        put_case(&root.path().join(case), &IMAGES);
        put(&root.path().join(case), &[hidden, &format!("{case}_t1.nii")]);
    }
    let found = discover_cases(root.path(), None).unwrap();
    let [misnamed, other] = &found.cases[..] else { panic!("two cases") };
    assert!(misnamed.labels.as_ref().is_some_and(|path| path.ends_with(hidden)));
    assert!(other.labels.is_none() && other.images[0].ends_with("a/a_t1.nii.gz"));
    let problem = found.problems[0].to_string();
    assert!(problem.contains("_t1.nii: is there compressed as well (and 1 more)"), "{problem}");
}
