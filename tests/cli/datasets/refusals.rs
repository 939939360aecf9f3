//! Descriptions that cannot be used: each is refused with the file, the field, its value, and the line that
//! would do.

use crate::cli::datasets::sources::put_file;
use crate::cli::harness::Desk;

const NAMED: &str = "layout = \"brats2018\"\n";

#[test]
fn a_description_that_cannot_be_is_refused_by_field_with_the_line_that_would_do() {
    let desk = Desk::with_cohort(1);
    let of_brats = |text: &str| format!("{NAMED}{text}");
    for (text, words) in [
        ("label_file = \"{case}.nii\"".to_owned(), ["unknown field `label_file`", "label_files = \"{case}/", "docs/datasets.md"]),
        ("layout = \"brats2022\"".to_owned(), ["layout = \"brats2022\"", "write one of", "brats2021"]),
        ("images = [\"{case}.nii\"".to_owned(), ["line 1", "images = [", "docs/datasets.md"]),
        ("schema = 2".to_owned(), ["schema = 2", "write", "1"]),
        ("sources = []".to_owned(), ["images = none", "write images = \"{case}/{case}_{modality}", "layout"]),
        (of_brats("images = \"{case}.nii\""), ["images = {case}.nii", "{modality}", "order = ["]),
        (of_brats("images = \"scan_{modality}.nii\""), ["images = scan_", "{case}", "case = \""]),
        (of_brats("images = \"{case_{modality}.nii\""), ["images", "{case_{modality}.nii", "write one such as {case}/"]),
        (of_brats("label_files = \"truth.nii\""), ["label_files = truth.nii", "{case}", "put"]),
        (of_brats("patient = \"{who}_*\""), ["patient = {who}_*", "{patient}", "write one such as"]),
        (of_brats("label_scheme = \"brats2022\""), ["label_scheme", "`brats2022` is no label scheme", "such as label_scheme = \"brats2018\""]),
        (of_brats("[labels]\nET = 300"), ["[labels]", "ET = 300; write values of 1 to 255", "such as ET = 3 under [labels]"]),
        (of_brats("[labels]\nET = 1\nED = 1"), ["[labels]", "label value 1 twice", "one meaning"]),
        (of_brats("[labels]\nignore = 1"), ["labels", "no tissue", "ET = 3"]),
        (of_brats("[regions]\ncore = [\"XX\"]"), ["regions", "no tissue XX", "NCR, ED, ET; write one of those"]),
        (of_brats("[regions]\ncore = [7]"), ["regions", "value 7", "some of [1, 2, 4]"]),
        (
            of_brats("[regions]\na = [\"ET\", \"NCR\"]\nb = [\"NCR\", \"ED\"]"),
            ["regions", "set painting", "[\"a\", \"b\"]"],
        ),
        (
            of_brats("painting = [\"ET\"]\n[regions]\nET = [\"ET\"]\nWT = [\"ED\", \"ET\"]"),
            ["painting [\"ET\"]", "name each of", "ET, WT"],
        ),
        (of_brats("painting = [\"ET\"]"), ["painting = ", "no regions", "[regions]"]),
        (of_brats("[modalities]\nt1 = \"t2\""), ["modalities.t1 = t2", "two modalities", "name each"]),
        (of_brats("[modalities]\nt1 = 3"), ["t1 = 3", "integer `3`", "such as t1ce = \"t1c\" under [modalities]"]),
        (of_brats("[labels]\nET = \"3\""), ["[labels]", "whole numbers", "such as ET = 3"]),
        (of_brats("regions = \"ET\""), ["regions = \"ET\"", "regions are names", "under [regions]"]),
        (of_brats("[modalities]\nadc = \"adc\""), ["unknown field `adc`", "`t1ce`", "under [modalities]"]),
        (
            "images = \"{case}.nii\"\norder = [\"t1\", \"adc\"]".to_owned(),
            ["order = [\"t1\", \"adc\"]", "adc is no modality", "\"-\""],
        ),
        (
            "images = \"{case}.nii\"\norder = [\"t1\", \"t1\"]".to_owned(),
            ["order = [", "t1 is in it 2 times", "once"],
        ),
        (
            "images = \"{case}_{modality}.nii\"\nlabel_files = \"{case}_seg.nii\"\n[modalities]\nt1 = \"t1\""
                .to_owned(),
            ["label_files = {case}_seg.nii", "label_scheme = \"brats2018\"", "[labels]"],
        ),
        ("layout = \"monai\"\ndatalist = \"gone.json\"".to_owned(), ["gone.json", "is not there", "datalist = \"folds.json\""]),
    ] {
        put_file(&desk.path("data/dataset.toml"), text.as_bytes());
        for line in ["inspect data", "ingest --data data --cache cache"] {
            let refused = desk.run(line).exits(3);
            let refused = refused.complains_of(&words);
            assert!(refused.stderr.contains("data/"), "{text}: the file is named: {}", refused.stderr);
        }
    }
    assert!(!desk.path("cache").exists(), "nothing is written");
}

/// Described data in which something is wrong with a file: the case, the file and the way out are named.
#[test]
fn described_cases_that_lack_a_file_or_have_two_are_named() {
    let desk = Desk::with_cohort(2);
    let [first, second] = ["001", "002"].map(|number| format!("BraTS20_Training_{number}"));
    let text = "images = \"{case}/{case}_{modality}.nii[.gz]\"\nlabel_files = \"{case}/{case}_seg.nii[.gz]\"\n\
                label_scheme = \"brats2018\"\n[modalities]\nt1 = \"t1\"\nt1ce = \"t1ce\"\nt2 = \"t2\"\n\
                flair = [\"flair\", \"fl\"]\n";
    put_file(&desk.path("data/dataset.toml"), text.as_bytes());
    std::fs::remove_file(desk.path(&format!("data/{first}/{first}_t2.nii.gz"))).unwrap();
    let copy = desk.path(&format!("data/{second}/{second}_fl.nii.gz"));
    std::fs::copy(desk.path(&format!("data/{second}/{second}_flair.nii.gz")), copy).unwrap();
    put_file(&desk.path("data/notes/scan.nii.gz"), b"");
    let told = desk.run("inspect data --json").exits(3).json();
    let problems: Vec<&str> =
        told["problems"].as_array().unwrap().iter().map(|own| own.as_str().unwrap()).collect();
    for words in [
        [first.as_str(), "_t2.nii.gz is not in", "data.missing"],
        [second.as_str(), "_fl.nii.gz", "move one away"],
        ["data/notes", "scan.nii.gz fits no layout", "images = \""],
    ] {
        let named = problems.iter().any(|own| words.iter().all(|word| own.contains(word)));
        assert!(named, "{words:?} in {problems:#?}");
    }

    // A value that no tissue of the description has.
    let own = "layout = \"brats2018\"\n[labels]\nET = 4\nED = 2\n";
    put_file(&desk.path("own.toml"), own.as_bytes());
    let told = desk.run("inspect data --deep --json --description own.toml").exits(3).json();
    let problem = told["problems"].to_string();
    for word in [
        "_seg.nii.gz: has label 1",
        "under [labels] in dataset.toml",
        "background = 1",
        "ignore = 1",
    ] {
        assert!(problem.contains(word), "{word}: {problem}");
    }
}
