//! The way out that an error names is a command line that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::cli::harness::Desk;

/// Options of each verb, and of each verb with a subcommand, by what its help shows.
fn options_of_verbs(desk: &Desk) -> BTreeMap<String, BTreeSet<String>> {
    let mut options = BTreeMap::new();
    for verb in subcommands(desk, "") {
        for action in subcommands(desk, &verb) {
            let line = format!("{verb} {action}");
            options.insert(line.clone(), options_in(&help_of(desk, &line)));
        }
        options.insert(verb.clone(), options_in(&help_of(desk, &verb)));
    }
    options
}

fn help_of(desk: &Desk, line: &str) -> String {
    desk.run(&format!("{line} --help")).ok().stdout
}

fn subcommands(desk: &Desk, line: &str) -> Vec<String> {
    let help = help_of(desk, line);
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| !line.is_empty());
    // A description that is too long for a line goes on further to the right.
    let own =
        lines.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names = own.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Names behind `--` in a text.
fn options_in(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| -> String {
        rest.chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
            .collect()
    };
    let mut found: BTreeSet<String> = text.split("--").skip(1).map(name).collect();
    found.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
    found
}

/// Texts between quotation marks of Rust code, without those of its unit tests.
fn literals(code: &str) -> Vec<String> {
    let code = code.split("#[cfg(test)]\nmod").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut letters = code.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '/' if letters.peek() == Some(&'/') => _ = letters.find(|next| *next == '\n'),
            '\'' if letters.peek() == Some(&'"') => _ = letters.next(),
            '"' => {
                let mut text = String::new();
                while let Some(next) = letters.next().filter(|next| *next != '"') {
                    if next != '\\' {
                        text.push(next);
                    } else if letters.next() == Some('\n') {
                        while letters.next_if(|blank| blank.is_whitespace()).is_some() {}
                    }
                }
                found.push(text);
            }
            _ => {}
        }
    }
    found
}

/// Texts of all source files, with the file's name.
fn texts_below(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let texts = literals(&std::fs::read_to_string(&path).unwrap());
            found.extend(texts.into_iter().map(|text| (path.display().to_string(), text)));
        }
    }
}

/// Other programs, whose options are theirs; and examples, which are not advice.
const FOREIGN: [&str; 5] = ["cargo ", "docker ", "monai.bundle", "--gpu-architecture", "Example"];

/// Folder of the sources that call Slurm's programs with their options.
const SLURM: &str = "/experiment/slurm/";

#[test]
fn every_command_and_option_that_a_text_names_exists() {
    let desk = Desk::new();
    let verbs = options_of_verbs(&desk);
    let all: BTreeSet<&String> = verbs.values().flatten().collect();
    let mut texts = Vec::new();
    texts_below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut texts);
    texts.retain(|(_, text)| !FOREIGN.iter().any(|program| text.contains(program)));
    let mut commands = 0;
    for (file, text) in &texts {
        let options = if file.contains(SLURM) { BTreeSet::new() } else { options_in(text) };
        for option in options {
            assert!(all.contains(&option), "{file}: no verb has --{option}: {text}");
        }
        for quoted in text.split("`gliaflow ").skip(1) {
            let line = quoted.split('`').next().unwrap();
            let words: Vec<&str> = line.split_whitespace().take(2).collect();
            let pair = words.join(" ");
            let known = verbs.get(&pair).or_else(|| verbs.get(words[0]));
            let known = known.unwrap_or_else(|| panic!("{file}: no such verb: {line}"));
            for option in options_in(line) {
                assert!(known.contains(&option), "{file}: {} has no --{option}", words[0]);
            }
            commands += 1;
        }
    }
    assert!(commands >= 15, "only {commands} commands were found: the texts are read wrongly");
}

#[test]
fn texts_are_found_in_code() {
    let code = "fn a() { /* no */ b(\"one --way\"); // \"not\"\n c('\"', \"two \\\n   lines\") }";
    assert_eq!(literals(code), ["one --way", "two lines"]);
    assert_eq!(
        options_in("--a-b=1, `--c`, -- d, ---").into_iter().collect::<Vec<_>>(),
        ["a-b", "c"]
    );
}
