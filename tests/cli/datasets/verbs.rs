//! Every verb at work on a small dataset of each layout, and on a described one from day to day.

use super::layouts::{ALL, HOSPITAL, Made};
use crate::cli::harness::{Desk, TINY};

/// Goes through training, evaluation, prediction and scoring of each dataset.
fn train_and_score(datasets: &[Made]) {
    let desk = Desk::with_cohort(2);
    for (number, made) in datasets.iter().enumerate() {
        let [folder, run, out] = ["set", "run", "out"].map(|kind| format!("{kind}{number}"));
        made.put_into(&desk, &folder);
        let once = "--set train.epochs=1 --set train.steps_per_epoch=1";
        desk.run(&format!("train {TINY} {once} --data {folder} --run {run}")).ok();
        let evaluated = desk.run(&format!("evaluate --run {run} --set device=cpu --json")).ok();
        let regions = if made.scheme.is_some() { &["ET", "TC", "WT"][..] } else { &["GTV"] };
        for region in regions {
            let dice = &evaluated.json()["network"]["regions"][region]["dice"];
            assert!(dice.is_number(), "{} {region}", made.layout);
        }
        desk.run(&format!("predict --run {run} --data {folder} --out {out} --set device=cpu")).ok();
        let line = format!("score --truth {folder} --prediction {out} --json");
        let scored = desk.run(&line).ok().json();
        let truth = &scored["labels"]["truth"];
        assert_eq!(truth["reason"], made.reason, "{} {truth}", made.layout);
        match made.scheme {
            Some(scheme) => assert_eq!(truth["scheme"], scheme.name()),
            None => assert_eq!(truth["scheme"]["GTV"], serde_json::json!([1])),
        }
        assert_eq!(scored["cases"].as_array().unwrap().len(), 2, "{}", made.layout);
        let scored = scored["regions"].as_object().unwrap();
        assert_eq!(scored.keys().collect::<Vec<_>>(), regions, "{}", made.layout);
        let described = desk.text(&format!("{run}/config.toml")).contains("described = ");
        assert_eq!(described, made.reason == "description", "{run}");
    }
}

#[test]
fn every_verb_works_on_stacks_channels_lists_and_names_of_ones_own() {
    train_and_score(&ALL[..6]);
}

#[test]
fn every_verb_works_on_the_releases_of_brats() {
    train_and_score(&ALL[6..12]);
}

#[test]
fn every_verb_works_on_the_other_layouts() {
    train_and_score(&ALL[12..]);
}

#[test]
fn a_run_goes_on_only_with_the_description_that_it_was_begun_with() {
    let desk = Desk::with_cohort(4);
    HOSPITAL.put_into(&desk, "set");
    desk.run(&format!("train {TINY} --data set --run run")).ok();
    let path = desk.path("set/dataset.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("# As it was.\n{text}")).unwrap();
    desk.run("evaluate --run run --set device=cpu").ok();
    let other = text.replace("\"T1 KM\"", "\"T2\"").replace("t2 = \"T2\"", "t2 = \"T1 KM\"");
    std::fs::write(&path, other).unwrap();
    for line in ["train --resume run --set train.epochs=3", "evaluate --run run --set device=cpu"] {
        let refused = desk.run(line).exits(3);
        refused.complains_of(&["set: ", "data.described", "bring the description back"]);
    }
}
