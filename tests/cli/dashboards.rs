//! `dashboards`: what comes out of the binary is what lies in the repository.

use std::path::Path;

use crate::cli::harness::Desk;
use crate::dashboards::place;

/// Every file below a folder, by its path in it.
fn files_below(folder: &Path, prefix: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            all.extend(files_below(&entry.path(), &format!("{name}/")));
        } else {
            all.push(name);
        }
    }
    all.sort();
    all
}

#[test]
fn the_binary_writes_every_file_of_the_repository() {
    let desk = Desk::new();
    let outcome = desk.run("dashboards --out watch --json").ok();
    let written = files_below(&desk.path("watch"), "");
    assert_eq!(written, files_below(&place(""), ""));
    for name in &written {
        let theirs = std::fs::read_to_string(place(name)).unwrap();
        assert_eq!(desk.text(&format!("watch/{name}")), theirs, "{name}");
    }
    assert_eq!(outcome.json()["files"].as_array().unwrap().len(), written.len());
}

#[test]
fn a_file_that_was_changed_by_hand_is_not_lost() {
    let desk = Desk::new();
    desk.run("dashboards --out watch").ok();
    desk.run("dashboards --out watch").ok();
    let path = desk.path("watch/prometheus/prometheus.yml");
    std::fs::write(&path, "mine").unwrap();
    std::fs::remove_file(desk.path("watch/README.md")).unwrap();
    let refused = desk.run("dashboards --out watch").exits(2);
    refused.complains_of(&["watch/prometheus/prometheus.yml", "differs", "--force"]);
    assert_eq!(desk.text("watch/prometheus/prometheus.yml"), "mine");
    assert!(!desk.path("watch/README.md").exists(), "all is checked before anything is written");
    desk.run("dashboards --out watch --force").ok();
    assert!(desk.text("watch/prometheus/prometheus.yml").contains("scrape_configs"));
}

#[test]
fn a_folder_that_cannot_be_is_an_error_that_names_it() {
    let desk = Desk::new();
    std::fs::write(desk.path("taken"), "a file").unwrap();
    desk.run("dashboards --out taken").exits(1).complains_of(&["taken/README.md"]);
}
