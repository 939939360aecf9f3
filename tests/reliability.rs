//! What `docs/reliability.md` says is tested has tests under the names that it gives.

use std::path::{Path, PathBuf};

/// Files that may hold the tests of a module.
fn files_of_module(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = name.replace("::", "/");
    let below = |top: &str| {
        [format!("{top}/{path}.rs"), format!("{top}/{path}/tests.rs")].map(|file| root.join(file))
    };
    [below("tests"), below("src")].concat()
}

/// Names of modules in the last column of the tables.
fn tested_by(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let is_module = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || "_:".contains(c));
    quoted.filter(is_module).collect()
}

#[test]
fn every_promise_names_tests_that_are_there() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md"));
    let text = text.unwrap();
    let names = tested_by(&text);
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let files = files_of_module(name);
        let mut texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
        assert!(texts.any(|text| text.contains("#[test]")), "`{name}` holds no test");
    }
    let wrong = "| a disk fails | nothing | `cli::no_such_test`, `just week` |";
    assert_eq!(tested_by(wrong), ["cli::no_such_test"]);
    assert!(files_of_module("cli::no_such_test").iter().all(|file| !file.exists()));
}
