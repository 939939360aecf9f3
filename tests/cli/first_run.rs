//! The tutorial, `docs/first-run.md`: its commands in their order, in an empty folder; and the index of
//! the documentation.

use std::fs;
use std::path::Path;

use crate::cli::harness::Desk;

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// Blocks of a language in a Markdown text.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_commands_of_the_tutorial_run_in_their_order() {
    let text = document("first-run.md");
    let desk = Desk::new();
    let settings = blocks(&text, "toml");
    assert_eq!(settings.len(), 1);
    fs::write(desk.path("first.toml"), settings[0]).unwrap();
    let commands: Vec<&str> = blocks(&text, "sh").iter().flat_map(|block| block.lines()).collect();
    assert!(commands.len() >= 12, "{commands:?}");
    for command in commands {
        let line = command.strip_prefix("gliaflow ").expect("a command of gliaflow");
        let outcome = desk.run(line);
        // What it finds depends on the machine: here, a port in use or a disk that is nearly full.
        if line != "doctor" {
            outcome.ok();
        }
    }
    for left in ["runs/first/report.html", "runs/first/summary.json", "first.om", "cases.csv"] {
        assert!(desk.path(left).is_file(), "{left}");
    }
    assert_eq!(desk.names("predictions").len(), 8);
}

#[test]
fn the_index_names_every_page_and_no_page_that_is_not_there() {
    let index = document("README.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") && !["README.md", "SUMMARY.md"].contains(&name.as_str()) {
            assert!(index.contains(&format!("]({name})")), "{name}");
        }
    }
    for link in index.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(folder.join(link).exists(), "{link}");
    }
}
