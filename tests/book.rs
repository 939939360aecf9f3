//! The documentation as a book: `docs/SUMMARY.md` lists every page once, and links between pages lead somewhere.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Pages beside `docs/` that belong to the documentation.
const OUTSIDE: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "dashboards/README.md",
    "cache/README.md",
    "packaging/README.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the documentation, by its path from the top.
fn pages() -> BTreeSet<PathBuf> {
    let mut found: BTreeSet<PathBuf> = OUTSIDE.iter().map(PathBuf::from).collect();
    for folder in ["docs", "docs/adr"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = Path::new(folder).join(entry.unwrap().file_name());
            if path.extension().is_some_and(|end| end == "md") && !path.ends_with("SUMMARY.md") {
                found.insert(path);
            }
        }
    }
    found
}

fn text(page: &Path) -> String {
    std::fs::read_to_string(root().join(page)).unwrap()
}

/// Targets of the links in a Markdown text, outside its blocks of code, without those into the web.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let targets =
        prose.flat_map(|part| part.split("](").skip(1)).map(|rest| rest.split(')').next());
    targets.flatten().filter(|link| !link.contains("://") && !link.starts_with("mailto:")).collect()
}

/// A path without `.` and `..`, as a link from `page` means it.
fn resolve(page: &Path, link: &str) -> PathBuf {
    let mut resolved = page.parent().unwrap().to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            part => resolved.push(part),
        }
    }
    resolved
}

/// What a heading is called in a link: lower case, words joined by hyphens, without other marks.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings =
        text.split("```").step_by(2).flat_map(str::lines).filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// Links of a page that lead nowhere.
fn broken_links(page: &Path, text_of_page: &str) -> Vec<String> {
    let is_broken = |link: &&str| {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if path.is_empty() { page.to_path_buf() } else { resolve(page, path) };
        if !root().join(&target).exists() {
            return true;
        }
        let is_page = target.extension().is_some_and(|end| end == "md");
        is_page && !anchor.is_empty() && !anchors(&text(&target)).contains(anchor)
    };
    let broken = links(text_of_page).into_iter().filter(is_broken);
    broken.map(|link| format!("{}: {link}", page.display())).collect()
}

#[test]
fn the_summary_lists_every_page_once_and_no_other() {
    let summary = Path::new("docs/SUMMARY.md");
    let listed: Vec<PathBuf> =
        links(&text(summary)).into_iter().map(|link| resolve(summary, link)).collect();
    let distinct: BTreeSet<PathBuf> = listed.iter().cloned().collect();
    assert_eq!(distinct.len(), listed.len(), "a page is listed twice");
    let missing: Vec<PathBuf> = pages().difference(&distinct).cloned().collect();
    let unknown: Vec<&PathBuf> = distinct.iter().filter(|page| !pages().contains(*page)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let all = pages();
    assert!(all.len() > 40, "{}", all.len());
    let broken: Vec<String> = all.iter().flat_map(|page| broken_links(page, &text(page))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = Path::new("docs/labels.md");
    let text = "[a](datasets.md) [b](no-page.md) [c](../README.md#two-commands) [d](#no-heading) \
                [e](https://example.org/x.md)\n```\n[f](in-code.md)\n```\n[g](adr/none.md)";
    let found = broken_links(page, text);
    let wanted = ["no-page.md", "#no-heading", "adr/none.md"];
    assert_eq!(found, wanted.map(|link| format!("docs/labels.md: {link}")));
}
