//! Configurations on the command line: what they resolve to, and what is refused before any work.

use crate::cli::harness::{Desk, TINY};

const FILE: &str = "seed = 11\n[loader]\nbatch = 3\n[train]\nschedule = { kind = \"constant\" }\n";

/// The value and the comment of the setting at a dotted key, in annotated TOML.
fn setting<'a>(text: &'a str, key: &str) -> (&'a str, &'a str) {
    let mut section = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let Some((name, rest)) = line.split_once(" = ") else { continue };
        let own = [section, name].join(".");
        if own.trim_start_matches('.') == key {
            let (value, origin) = rest.rsplit_once('#').unwrap();
            return (value.trim(), origin.trim());
        }
    }
    panic!("{key} is not in:\n{text}")
}

#[test]
fn every_setting_is_shown_with_its_origin() {
    let desk = Desk::new();
    std::fs::write(desk.path("run.toml"), FILE).unwrap();
    let line =
        "config show --config run.toml --set loader.prefetch=5 --set model.settings.levels=3";
    let shown = desk.run(line).ok().stdout;
    for (key, value, origin) in [
        ("seed", "11", "run.toml"),
        ("loader.batch", "3", "run.toml"),
        ("train.schedule.kind", "\"constant\"", "run.toml"),
        ("loader.prefetch", "5", "command line"),
        ("model.settings.levels", "3", "command line"),
        ("model.settings.base_width", "30", "default"),
        ("train.learning_rate", "0.0002", "default"),
    ] {
        assert_eq!(setting(&shown, key), (value, origin), "{key}");
    }
}

#[test]
fn what_is_shown_is_a_configuration_and_resolves_to_itself() {
    let desk = Desk::new();
    let first = desk.run("config show --set loader.batch=3 --json").ok().json();
    assert_eq!(first["loader"]["batch"], 3);
    let text = desk.run("config show --set loader.batch=3").ok().stdout;
    std::fs::write(desk.path("shown.toml"), text).unwrap();
    assert_eq!(desk.run("config show --config shown.toml --json").ok().json(), first);
}

#[test]
fn a_setting_that_cannot_be_is_refused_by_name() {
    let desk = Desk::new();
    for (set, words) in [
        ("loader.batsh=4", ["batsh", "`batch`"]),
        ("crop.patch=[100,128,128]", ["crop.patch", "multiple of 16"]),
        ("model.settings.levels=99", ["levels", "2 to 7"]),
        ("loader.batch", ["--set loader.batch", "has no `=`"]),
        ("loader.memory_mib=1", ["loader.memory_mib = 1", "MiB are needed"]),
        ("device=banana", ["device", "`cuda`"]),
        ("train.epochs=9000000000000000000", ["train.epochs", "write 1 to"]),
    ] {
        desk.run(&format!("config show --set {set}")).exits(2).complains_of(&words);
        desk.run(&format!("train --set {set} --run run")).exits(2).complains_of(&words);
    }
    assert!(!desk.path("run").exists() && !desk.path("cache").exists(), "nothing was touched");
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_refused() {
    let desk = Desk::new();
    std::fs::write(desk.path("broken.toml"), "[loader\n").unwrap();
    std::fs::write(desk.path("odd.toml"), "[loader]\nbatsh = 1\n").unwrap();
    for verb in ["config show", "train --run run"] {
        let outcome = desk.run(&format!("{verb} --config gone.toml")).exits(2);
        outcome.complains_of(&["gone.toml", "no such file", "name a TOML file"]);
        let outcome = desk.run(&format!("{verb} --config broken.toml")).exits(2);
        assert!(outcome.stderr.contains("broken.toml"), "{}", outcome.stderr);
        desk.run(&format!("{verb} --config odd.toml")).exits(2).complains_of(&["batsh"]);
    }
}

#[test]
fn a_dry_run_says_what_would_be_and_touches_nothing() {
    let desk = Desk::new();
    let dry =
        desk.run(&format!("train {TINY} --data nowhere --run run --dry-run --json")).ok().json();
    assert_eq!(dry["config"]["data"]["folder"], "nowhere");
    assert!(dry["parameters"].as_u64().unwrap() > 100);
    assert!(dry["loader"]["bytes"].as_u64().unwrap() < 64 << 20);
    assert_eq!(desk.names("."), [""; 0]);
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_device_that_this_build_does_not_have_exits_with_4_and_the_way_out() {
    let desk = Desk::with_cohort(2);
    let outcome = desk.run(&format!("train {TINY} --data data --run run --device cuda")).exits(4);
    outcome.complains_of(&["device cuda", "--features cuda", "device=cpu"]);
    assert!(!desk.path("run").exists());
}

#[test]
fn a_device_that_is_none_exits_with_2() {
    let outcome = Desk::new().run(&format!("train {TINY} --run run --device banana")).exits(2);
    outcome.complains_of(&["banana", "`auto`", "`cpu`", "`cuda`"]);
}
