//! Names and links that cannot be used: each is named once, and the other cases go on.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::cli::harness::Desk;

const CASE: &str = "BraTS20_Training_001";

/// Copies the case to a folder of this name, its files named after it.
fn copy_case(desk: &Desk, name: &[u8]) {
    let folder = desk.path("data").join(OsStr::from_bytes(name));
    std::fs::create_dir(&folder).unwrap();
    for file in desk.names(&format!("data/{CASE}")) {
        let ending = file.strip_prefix(CASE).unwrap().as_bytes();
        let copy = folder.join(OsStr::from_bytes(&[name, ending].concat()));
        std::fs::copy(desk.path(&format!("data/{CASE}/{file}")), copy).unwrap();
    }
}

/// Checks that `inspect` and `ingest` name one problem, with these words, and use the one case.
fn assert_named_once(desk: &Desk, words: &[&str]) {
    for line in ["inspect data --json", "ingest --data data --cache cache --json"] {
        let found = desk.run(line).exits(3).json();
        let problems = found["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{line}: {problems:#?}");
        let problem = problems[0].as_str().unwrap();
        for word in words {
            assert!(problem.contains(word), "{line}: `{word}` is not in: {problem}");
        }
        assert!(!problem.contains(char::is_control), "{problem:?}");
    }
    let listed = desk.run("cache list --cache cache --json").ok().json();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 1);
}

#[test]
fn a_case_whose_name_is_too_long_for_its_other_files_is_named_once() {
    let desk = Desk::with_cohort(1);
    let name = "x".repeat(235);
    copy_case(&desk, name.as_bytes());
    assert_named_once(&desk, &[&name, "has 235 bytes", "1 to 200", "rename the folder"]);
}

#[test]
fn a_name_with_a_control_character_is_named_once_and_escaped() {
    let desk = Desk::with_cohort(1);
    copy_case(&desk, b"a\nb");
    assert_named_once(&desk, &["a\\nb", "control character", "rename it"]);
}

#[test]
fn a_name_that_is_not_utf_8_is_named_once_and_escaped() {
    let desk = Desk::with_cohort(1);
    copy_case(&desk, b"case\xff");
    assert_named_once(&desk, &["case\\xFF", "not UTF-8", "rename it"]);
}

#[test]
fn a_link_that_leads_back_is_named_once() {
    let desk = Desk::with_cohort(1);
    symlink("..", desk.path("data/loop")).unwrap();
    assert_named_once(&desk, &["data/loop", "links to a folder that it is in", "delete the link"]);
}

#[test]
fn a_link_to_itself_is_named_once() {
    let desk = Desk::with_cohort(1);
    symlink("self", desk.path("data/self")).unwrap();
    assert_named_once(&desk, &["data/self", "is a link to nothing, or to itself"]);
}

#[test]
fn files_that_are_there_compressed_and_not_are_named_once_and_the_compressed_are_taken() {
    let desk = Desk::with_cohort(1);
    for ending in ["t1", "flair"] {
        let path = desk.path(&format!("data/{CASE}/{CASE}_{ending}.nii"));
        std::fs::write(path, "not even NIfTI").unwrap();
    }
    let words = ["_t1.nii: is there compressed as well (and 1 more)", "delete whichever"];
    assert_named_once(&desk, &words);
}

#[test]
fn links_between_disks_are_still_followed() {
    let desk = Desk::with_cohort(1);
    std::fs::rename(desk.path(&format!("data/{CASE}")), desk.path(CASE)).unwrap();
    symlink(Path::new("..").join(CASE), desk.path(&format!("data/{CASE}"))).unwrap();
    let found = desk.run("inspect data --json").ok().json();
    assert_eq!(found["cases"].as_array().unwrap().len(), 1);
}

#[test]
fn no_name_gives_a_terminal_orders() {
    let desk = Desk::with_cohort(1);
    let file = desk.path("data").join("evil\u{1b}[2J\u{9b}31m\r.nii.gz");
    std::fs::write(file, b"nothing").unwrap();
    for line in [
        "inspect data",
        "inspect data --json",
        "ingest --data data --cache cache --log debug",
        "inspect da\u{1b}[2Jta",
        "inspect da\u{1b}[2Jta --json",
    ] {
        let outcome = desk.run(line);
        let text = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(text.contains("[2J"), "{line:?} names it: {text:?}");
        let orders = |letter: char| letter.is_control() && !"\n\t".contains(letter);
        assert!(!text.contains(orders), "{line:?}: {text:?}");
    }
}
