//! A teacher labels what has no labels, and a student trains on it.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli::harness::{Desk, TINY};
use crate::cli::nifti_file::NiftiFile;

/// Three parts and a hidden one of some cases.
const PARTS: &str = "--set data.split_seed=7 \
     --set data.shares={validation=0.3,test=0.3,unlabelled_of_validation=0.7,unlabelled_of_test=0.5}";

/// A cohort with a teacher that has learnt something.
fn taught() -> Desk {
    let desk = Desk::with_cohort(9);
    let fast = "--set train.learning_rate=1e-2";
    desk.run(&format!("train {TINY} {PARTS} {fast} --data data --run teacher")).ok();
    desk
}

fn of_part(desk: &Desk, run: &str, part: &str) -> Vec<String> {
    let lock = desk.json(&format!("{run}/dataset.lock.json"));
    let cases = lock["cases"].as_array().unwrap().iter();
    let own = cases.filter(|case| case["split"] == part);
    own.map(|case| case["id"].as_str().unwrap().to_string()).collect()
}

/// The annotations in the cache.
fn annotations(desk: &Desk) -> Vec<PathBuf> {
    let list = desk.run("cache list --cache cache --json").ok().json();
    let files = list["annotations"].as_array().unwrap().iter();
    files.map(|file| desk.path(file["path"].as_str().unwrap())).collect()
}

/// A student's settings on a teacher's labels.
fn by(report: &Value, rest: &str) -> String {
    let teacher = report["teacher"].as_str().unwrap();
    format!("--set data.pseudo={{teacher=\"{teacher}\",targets={}{rest}}}", report["targets"])
}

fn step_samples(desk: &Desk, run: &str) -> Vec<(Value, Value)> {
    let mut lines = desk.json_lines(&format!("{run}/events.jsonl"));
    lines.retain(|line| line["event"] == "step");
    lines.iter().map(|line| (line["samples"].clone(), line["cases"].clone())).collect()
}

#[test]
fn a_teacher_labels_hidden_cases_once_and_is_measured_by_their_truth() {
    let desk = taught();
    let hidden = of_part(&desk, "teacher", "unlabelled");
    assert!(hidden.len() >= 2, "{hidden:?}");
    let first = desk.run("label --run teacher --nifti out --json").ok().json();
    assert_eq!((&first["labelled"], &first["reused"]), (&hidden.len().into(), &0.into()));
    assert_eq!(annotations(&desk).len(), hidden.len());
    let mut names: Vec<String> = hidden.iter().map(|case| format!("{case}.nii.gz")).collect();
    names.sort();
    assert_eq!(desk.names("out"), names);
    // What predict and score say of the same cases.
    desk.run("predict --run teacher --data data --out predicted").ok();
    let line = "evaluate --run teacher --set evaluation.within_tissue=true --split unlabelled";
    let scored = desk.run(&format!("{line} --json")).ok().json();
    assert_eq!(first["quality"], scored["network"]);
    for case in &hidden {
        let labels =
            |folder: &str| NiftiFile::open(&desk.path(&format!("{folder}/{case}.nii.gz"))).values();
        assert_eq!(labels("out"), labels("predicted"));
    }

    // As after a kill: what is there stays, what is missing or damaged is done.
    let again = desk.run("label --run teacher --json").ok().json();
    assert_eq!((&again["labelled"], &again["reused"]), (&0.into(), &hidden.len().into()));
    assert_eq!(again["quality"], first["quality"]);
    let files = annotations(&desk);
    let modified = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    let stays = modified(&files[1]);
    let bytes = std::fs::read(&files[0]).unwrap();
    std::fs::remove_file(&files[0]).unwrap();
    std::fs::write(&files[0], &bytes[..bytes.len() / 2]).unwrap();
    let mended = desk.run("label --run teacher --json").ok().json();
    assert_eq!(mended["labelled"], 1);
    assert!(std::fs::read(&files[0]).unwrap() == bytes && modified(&files[1]) == stays);

    let text = desk.run("label --run teacher --soft --mirror").ok().stdout;
    for words in ["unet, mirrored", "soft targets", "data.pseudo={teacher=", "Dice of the labels"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(annotations(&desk).len(), 2 * hidden.len(), "another teacher's are others");
}

#[test]
fn a_student_trains_on_labelled_and_pseudo_labelled_cases() {
    let desk = taught();
    let report = desk.run("label --run teacher --json").ok().json();
    let hidden = of_part(&desk, "teacher", "unlabelled");
    let labelled = of_part(&desk, "teacher", "train");
    for (run, share) in [("plain", ""), ("shared", ",share=0.25")] {
        let line =
            format!("train {TINY} {PARTS} {} --data data --run {run} --json", by(&report, share));
        let summary = desk.run(&line).ok().json();
        assert_eq!(summary["train_cases"], labelled.len() + hidden.len());
        assert_eq!(summary["pseudo_labelled_cases"], hidden.len());
        assert_eq!(of_part(&desk, run, "unlabelled"), hidden, "they stay what they are");
        let seen: Vec<String> = step_samples(&desk, run)
            .iter()
            .flat_map(|(_, cases)| cases.as_array().unwrap())
            .map(|case| case.as_str().unwrap().to_string())
            .collect();
        let pseudo = seen.iter().filter(|case| hidden.contains(case)).count();
        assert!(seen.iter().all(|case| hidden.contains(case) || labelled.contains(case)));
        match share {
            "" => assert!(pseudo > 0, "none in {} samples", seen.len()),
            _ => assert!(pseudo.abs_diff(seen.len() / 4) <= 1, "{pseudo} of {}", seen.len()),
        }
    }
    assert!(desk.text("shared/config.toml").contains("[data.pseudo]"));

    // A pseudo-labelled sample again, with the teacher's labels.
    let (samples, cases) = &step_samples(&desk, "shared").remove(0);
    let place = cases
        .as_array()
        .unwrap()
        .iter()
        .position(|case| hidden.iter().any(|hidden| case == hidden.as_str()));
    if let Some(place) = place {
        let [epoch, index] = ["epoch", "index"].map(|key| samples[place][key].as_u64().unwrap());
        let line = format!("replay --run shared --key {epoch}/{index} --out sample --json");
        assert_eq!(desk.run(&line).ok().json()["case"], cases[place]);
    }
}

#[test]
fn soft_targets_train_resume_exactly_and_replay() {
    let desk = taught();
    let report = desk.run("label --run teacher --soft --json").ok().json();
    assert_eq!(report["targets"], "soft");
    let student = format!("train {TINY} {PARTS} {} --data data", by(&report, ",share=0.5"));
    desk.run(&format!("{student} --run whole")).ok();
    // The same in two processes: stopped after its first checkpoint.
    let mut process = desk.start(&format!(
        "{student} --set train.checkpoint.every_steps=1 --run halves --metrics-addr off"
    ));
    process
        .wait_for("a checkpoint", || desk.path("halves/checkpoints/latest").exists().then_some(()));
    process.signal("TERM");
    process.wait();
    if !desk.path("halves/summary.json").exists() {
        desk.run("train --resume halves").ok();
    }
    for file in ["weights.bpk", "optimiser.bpk"] {
        let bytes = |run: &str| {
            std::fs::read(desk.path(&format!("{run}/checkpoints/step-0000004/{file}"))).unwrap()
        };
        assert!(bytes("whole") == bytes("halves"), "{file}");
    }
    assert_eq!(step_samples(&desk, "whole"), step_samples(&desk, "halves"));
    desk.run("replay --run whole --epoch 0 --index 0 --out sample").ok();
    let names = desk.names("sample");
    for region in ["ET", "TC", "WT", "seg"] {
        let wanted = format!("-{region}.nii.gz");
        assert!(names.iter().any(|name| name.ends_with(&wanted)), "{names:?}");
    }
}

#[test]
fn a_student_learns_at_its_teachers_temperature_and_at_no_other() {
    let desk = taught();
    let plain = desk.run("label --run teacher --soft --json").ok().json();
    let report = desk.run("label --run teacher --soft --temperature 4 --json").ok().json();
    assert_eq!((&report["targets"], &report["temperature"]), (&"soft".into(), &4.0.into()));
    assert_ne!(report["teacher"], plain["teacher"], "another temperature is another teacher");
    assert_eq!(report["quality"], plain["quality"], "the labels stay");
    let bytes: Vec<Vec<u8>> =
        annotations(&desk).iter().map(|file| std::fs::read(file).unwrap()).collect();
    let between =
        |bytes: &[u8]| bytes[4096..].iter().filter(|byte| (1..255).contains(*byte)).count();
    let counts: Vec<usize> = bytes.iter().map(|bytes| between(bytes)).collect();
    assert!(counts.iter().any(|count| *count != counts[0]), "softened as if it were not");

    let train = |report: &Value, rest: &str, run: &str| {
        let pseudo = by(report, &format!(",share=0.5{rest}"));
        format!("train {TINY} {PARTS} {pseudo} --data data --run {run} --json")
    };
    let refused = desk.run(&train(&report, ",temperature=3", "other")).exits(3);
    refused.complains_of(&["data.pseudo.temperature", "is 3", "at 4"]);
    desk.run(&train(&report, "", "none")).exits(3).complains_of(&["data.pseudo.temperature"]);
    let softened = desk.run(&train(&report, ",temperature=4", "softened")).ok().json();
    assert!(softened["pseudo_labelled_cases"].as_u64() > Some(0));
    desk.run(&train(&plain, "", "plain")).ok();
    let loss = |run: &str| {
        let mut lines = desk.json_lines(&format!("{run}/events.jsonl"));
        lines.retain(|line| line["event"] == "step");
        (
            lines[0]["samples"].clone(),
            lines[0]["bce"].as_f64().unwrap(),
            lines[0]["dice_loss"].as_f64().unwrap(),
        )
    };
    let (softened, plain) = (loss("softened"), loss("plain"));
    assert_eq!(softened.0, plain.0, "the same samples");
    assert!(softened.1 > 1.5 * plain.1, "entropy at 4 counts 16 times: {} {}", softened.1, plain.1);
    assert!((softened.2 - plain.2).abs() < 0.02, "Dice is of temperature 1");
}

#[test]
fn a_student_without_its_teachers_labels_does_not_begin() {
    let desk = taught();
    let report = desk.run("label --run teacher --json").ok().json();
    let hidden = of_part(&desk, "teacher", "unlabelled");
    let missing = &annotations(&desk)[0];
    let bytes = std::fs::read(missing).unwrap();
    std::fs::remove_file(missing).unwrap();
    let line =
        |settings: &str| format!("train {TINY} {PARTS} {settings} --data data --run student");
    let refused = desk.run(&line(&by(&report, ""))).exits(3);
    let case =
        hidden.iter().find(|case| missing.to_string_lossy().contains(case.as_str())).unwrap();
    refused.complains_of(&[case, "no hard labels by teacher", "gliaflow label"]);
    assert!(!desk.path("student").exists(), "nothing was begun");
    std::fs::write(missing, bytes).unwrap();
    desk.run(&line(&by(&report, ""))).ok();

    // A run goes on only while its teacher's labels are there.
    let stopped = "--set train.epochs=3";
    let run =
        format!("train {TINY} {PARTS} {} {stopped} --data data --run stopped", by(&report, ""));
    desk.run(&run).ok();
    std::fs::remove_file(desk.path("stopped/summary.json")).unwrap();
    std::fs::remove_file(missing).unwrap();
    desk.run("train --resume stopped").exits(3).complains_of(&[case, "gliaflow label"]);
    desk.run("label --run teacher").ok();
    desk.run("train --resume stopped").ok();

    let nothing = by(&report, "");
    let bare = desk.run(&format!("train {TINY} {nothing} --data data --run bare")).exits(2);
    bare.complains_of(&["has no unlabelled case", "data.shares"]);
    let uncached = line(&by(&report, "")).replace("--run student", "--run cold --no-cache");
    desk.run(&uncached).exits(2).complains_of(&["data.pseudo", "loader.cached"]);
}

#[test]
fn cases_that_changed_are_labelled_anew() {
    let desk = taught();
    let cases = of_part(&desk, "teacher", "train");
    let folder = format!("data/{}", cases[0]);
    let line = format!("label --run teacher --data {folder} --all --json");
    assert_eq!(desk.run(&line).ok().json()["labelled"], 1);
    assert_eq!(desk.run(&line).ok().json()["reused"], 1);
    let file = |kind: &str| desk.path(&format!("{folder}/{}_{kind}.nii.gz", cases[0]));
    std::fs::copy(file("t1"), file("t2")).unwrap();
    let outcome = desk.run(&line).ok();
    assert_eq!(outcome.json()["labelled"], 1);
    assert!(outcome.stderr.contains("source fingerprint"), "{}", outcome.stderr);
}

#[test]
fn hidden_labels_that_are_broken_stop_neither_teacher_nor_student() {
    let desk = taught();
    let hidden = of_part(&desk, "teacher", "unlabelled");
    desk.run("label --run teacher --nifti before").ok();
    // The checksum of the compressed labels.
    desk.flip(&format!("data/{0}/{0}_seg.nii.gz", hidden[0]), 6);
    let outcome = desk.run("label --run teacher --nifti after --json").ok();
    let report = outcome.json();
    assert_eq!((&report["labelled"], &report["reused"]), (&1.into(), &(hidden.len() - 1).into()));
    let told = format!("taken without its own labels: case {}", hidden[0]);
    assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
    for case in &hidden {
        let voxels = |out: &str| {
            let file = desk.path(&format!("{out}/{case}.nii.gz"));
            NiftiFile::open(&file).values()
        };
        assert_eq!(voxels("after"), voxels("before"), "{case}");
    }
    let folder = format!("data/{}", hidden[0]);
    let all = desk.run(&format!("label --run teacher --data {folder} --all --json")).ok().json();
    assert_eq!((&all["reused"], &all["quality"]), (&1.into(), &Value::Null));
    let line = format!("train {TINY} {PARTS} {} --data data --run student --json", by(&report, ""));
    assert_eq!(desk.run(&line).ok().json()["pseudo_labelled_cases"], hidden.len());
}

#[test]
fn cases_that_never_had_labels_join_the_cohort() {
    let desk = Desk::with_cohort(6);
    for number in [2, 5] {
        let case = format!("BraTS20_Training_{number:03}");
        std::fs::remove_file(desk.path(&format!("data/{case}/{case}_seg.nii.gz"))).unwrap();
    }
    desk.run(&format!("train {TINY} --data data --run teacher")).ok();
    let report = desk.run("label --run teacher --data data --json").ok().json();
    assert_eq!((&report["labelled"], &report["quality"]), (&2.into(), &Value::Null));
    let line = format!("train {TINY} {} --data data --run student --json", by(&report, ""));
    assert_eq!(desk.run(&line).ok().json()["pseudo_labelled_cases"], 2);
    let joined = of_part(&desk, "student", "unlabelled");
    assert_eq!(joined, ["BraTS20_Training_002", "BraTS20_Training_005"]);
    assert_eq!(of_part(&desk, "student", "train"), of_part(&desk, "teacher", "train"));
    std::fs::remove_dir_all(desk.path("data/BraTS20_Training_002")).unwrap();
    let line = "label --run teacher --data data/BraTS20_Training_001";
    desk.run(line).exits(2).complains_of(&["every case has labels", "--all"]);
}

#[test]
fn a_fraction_of_the_labelled_cases_is_trained_on() {
    let desk = Desk::with_cohort(9);
    let train = |run: &str, fraction: &str| {
        let line = format!("train {TINY} {PARTS} --set data.labelled_fraction={fraction}");
        desk.run(&format!("{line} --data data --run {run} --json")).ok().json()
    };
    let (all, half) = (train("all", "1.0"), train("half", "0.5"));
    let (all, half) = (all["train_cases"].as_u64().unwrap(), half["train_cases"].as_u64().unwrap());
    assert!(half == all / 2 || half == all.div_ceil(2), "{half} of {all}");
    let unused = of_part(&desk, "half", "unused");
    assert_eq!(unused.len() as u64, all - half);
    for part in ["validation", "test", "unlabelled"] {
        assert_eq!(of_part(&desk, "half", part), of_part(&desk, "all", part));
    }
    let trained = step_samples(&desk, "half");
    let seen: Vec<&Value> =
        trained.iter().flat_map(|(_, cases)| cases.as_array().unwrap()).collect();
    assert!(seen.iter().all(|case| !unused.iter().any(|unused| **case == unused.as_str())));
    desk.run("evaluate --run half --run all --split test").ok();
}
