//! Prediction of label files: images decide, and nothing else.

use std::path::Path;

use gliaflow::internals::brats::{CaseReader, discover_cases, read_labels_only, write_labels};
use gliaflow::internals::experiment::config::{ExperimentConfig, Repetition};
use gliaflow::internals::run::config;
use gliaflow::internals::volume::LabelScheme;

use crate::cli::harness::{Desk, TINY};
use crate::cli::nifti_file::NiftiFile;

/// Weights as they were drawn: about half of the voxels are tumour to them, in the air as well.
const UNTRAINED: &str = "--set train.learning_rate=1e-30";

/// Makes something else of the label file of a case, given its path and the path of an image.
type Spoil = fn(&Path, &Path);

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

fn link_to(path: &Path, target: &str) {
    std::fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink(target, path).unwrap();
}

/// Labels every voxel of the grid, its corners included.
fn label_everything(labels: &Path, _: &Path) {
    let volume = read_labels_only(labels, LabelScheme::Brats2018).unwrap();
    write_labels(labels, &vec![2; volume.labels.len()], &volume.source).unwrap();
}

const MISFORTUNES: [(&str, Spoil); 10] = [
    ("missing", |labels, _| std::fs::remove_file(labels).unwrap()),
    ("empty", |labels, _| write(labels, b"")),
    ("no gzip", |labels, _| write(labels, b"\x1f\x8bgone")),
    ("an image", |labels, image| write(labels, &std::fs::read(image).unwrap())),
    ("everywhere", label_everything),
    ("named as in 2023", |labels, _| {
        let name = labels.to_string_lossy().replace("_seg.", "-seg.");
        std::fs::rename(labels, name).unwrap();
    }),
    ("a folder", |labels, _| {
        std::fs::remove_file(labels).unwrap();
        std::fs::create_dir(labels).unwrap();
    }),
    ("a link to nothing", |labels, _| link_to(labels, "nowhere.nii.gz")),
    ("a link to itself", |labels, _| link_to(labels, &labels.to_string_lossy())),
    ("another grid", |labels, _| {
        let desk = Desk::new();
        desk.run("phantom --out other --cases 1 --seed 5 --shape 26x24x28").ok();
        let case = &discover_cases(&desk.path("other"), None).unwrap().cases[0];
        std::fs::copy(case.labels.as_ref().unwrap(), labels).unwrap();
    }),
];

#[test]
fn a_prediction_is_the_same_whatever_the_label_files_are() {
    let desk = Desk::with_cohort(3);
    desk.run(&format!("train {TINY} {UNTRAINED} --data data --run run")).ok();
    desk.run("predict --run run --data data --out expected").ok();
    for (kind, spoil) in MISFORTUNES {
        desk.run("phantom --out data --cases 3 --seed 3 --shape 24x28x26").ok();
        for case in discover_cases(&desk.path("data"), None).unwrap().cases {
            spoil(&case.labels.unwrap(), &case.images[0]);
        }
        let done = desk.run("predict --run run --data data --out found --json").ok().json();
        assert_eq!(done["problems"], serde_json::json!([]), "{kind}");
        let files = desk.names("expected");
        assert_eq!((files.len(), desk.names("found")), (3, files.clone()), "{kind}");
        for file in files {
            let bytes = |out: &str| std::fs::read(desk.path(&format!("{out}/{file}"))).unwrap();
            assert!(bytes("expected") == bytes("found"), "{kind}: {file}");
        }
        std::fs::remove_dir_all(desk.path("found")).unwrap();
        std::fs::remove_dir_all(desk.path("data")).unwrap();
    }
}

#[test]
fn a_file_that_is_no_prediction_is_not_replaced_by_one() {
    let desk = Desk::with_cohort(2);
    desk.run(&format!("train {TINY} {UNTRAINED} --data data --run run")).ok();
    let cases = discover_cases(&desk.path("data"), None).unwrap().cases;
    let truth = cases[1].labels.as_ref().unwrap();
    let lines = [
        "predict --run run --data data --out out",
        "label --run run --data data --all --nifti out",
    ];
    for line in lines {
        for content in [std::fs::read(truth).unwrap(), b"notes".to_vec(), Vec::new()] {
            std::fs::create_dir(desk.path("out")).unwrap();
            let name = format!("out/{}.nii.gz", cases[1].id);
            write(&desk.path(&name), &content);
            desk.run(line).exits(2).complains_of(&[&name, "name another folder"]);
            assert_eq!(desk.names("out").len(), 1, "{line}: nothing is written before");
            assert!(std::fs::read(desk.path(&name)).unwrap() == content, "{line}");
            std::fs::remove_dir_all(desk.path("out")).unwrap();
        }
        desk.run(line).ok();
        desk.run(line).ok();
        std::fs::remove_dir_all(desk.path("out")).unwrap();
    }
}

/// Labelled voxels of the written files, and those of them where all images are 0.
fn count_labelled(desk: &Desk, out: &str) -> (usize, usize) {
    let (mut labelled, mut in_the_air) = (0, 0);
    for files in discover_cases(&desk.path("data"), None).unwrap().cases {
        let file = desk.path(&format!("{out}/{}.nii.gz", files.id));
        let found = read_labels_only(&file, files.scheme).unwrap().labels;
        let images = CaseReader::default().read(&files).unwrap().images;
        for (place, _) in found.iter().enumerate().filter(|(_, label)| **label != 0) {
            labelled += 1;
            in_the_air += usize::from(images.iter().all(|image| image.get(place) == 0.0));
        }
    }
    (labelled, in_the_air)
}

#[test]
fn nothing_is_predicted_in_the_air_unless_it_is_asked_for_and_scores_say_which() {
    let desk = Desk::with_cohort(3);
    desk.run(&format!("train {TINY} {UNTRAINED} --data data --run run")).ok();
    let free = "--set evaluation.within_tissue=false";
    for (line, within_tissue) in [
        ("predict --run run --data data --out default".to_owned(), true),
        (format!("predict --run run --data data --out free {free}"), false),
        ("label --run run --data data --all --nifti labelled".to_owned(), true),
        (format!("label --run run --data data --all --nifti labelled-free {free}"), false),
    ] {
        let done = desk.run(&format!("{line} --json")).ok().json();
        assert_eq!(done["within_tissue"], within_tissue, "{line}");
    }
    let [default, free, labelled, labelled_free] =
        ["default", "free", "labelled", "labelled-free"].map(|out| count_labelled(&desk, out));
    assert!(free.1 > 100, "{free:?}: the network that was drawn says nothing of the air");
    assert_eq!(default, (free.0 - free.1, 0));
    assert_eq!((labelled, labelled_free), (default, free));

    assert_eq!(desk.json("run/summary.json")["evaluation"]["within_tissue"], false);
    let masked = "--set evaluation.within_tissue=true";
    desk.run(&format!("train {TINY} {UNTRAINED} {masked} --data data --run masked")).ok();
    assert_eq!(desk.json("masked/validation/summary.json")["within_tissue"], true);
    assert_eq!(desk.run("evaluate --run masked --json").ok().json()["within_tissue"], true);
    assert_ne!(desk.text("run/validation/cases.csv"), desk.text("masked/validation/cases.csv"));
}

#[test]
fn our_configurations_stay_within_tissue_and_the_papers_do_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let loaded = |name: &str| config::load(Some(&root.join(name)), &[]).unwrap();
    for name in ["unet.toml", "resunet_vae.toml", "cascaded.toml", "demo.toml"] {
        assert!(loaded(name).run.evaluation.within_tissue, "{name}");
    }
    for (name, expected) in [("table1-demo.toml", true), ("paper/table1.toml", false)] {
        let experiment = ExperimentConfig::load(&root.join(name), &[]).unwrap();
        for network in &experiment.text.networks {
            let checked = experiment.stand_alone_config(network, Repetition::default()).unwrap();
            assert_eq!(checked.run.evaluation.within_tissue, expected, "{name} {}", network.name);
        }
    }
}

/// Labels of BraTS to 2021 that the three files of a case's probabilities stand for.
fn thresholded(desk: &Desk, out: &str, case: &str) -> Vec<i64> {
    let of_region = |region: &str| {
        let file = desk.path(&format!("{out}/probabilities/{case}_{region}.nii.gz"));
        NiftiFile::open(&file).floats()
    };
    let [et, tc, wt] = ["ET", "TC", "WT"].map(of_region);
    assert!([&et, &tc, &wt].iter().all(|map| map.iter().all(|p| (0.0..=1.0).contains(p))));
    let label = |place: usize| match [et[place], tc[place], wt[place]].map(|p| p > 0.5) {
        [true, ..] => 4,
        [_, true, _] => 1,
        [.., true] => 2,
        _ => 0,
    };
    (0..et.len()).map(label).collect()
}

#[test]
fn probabilities_lie_on_the_grid_of_their_case_and_their_threshold_is_its_labels() {
    let desk = Desk::with_cohort(3);
    for (run, settings) in
        [("run", ""), ("other", "--set seed=5"), ("resampled", "--set data.spacing=[9,7,8]")]
    {
        desk.run(&format!("train {TINY} {UNTRAINED} {settings} --data data --run {run}")).ok();
    }
    for (runs, out) in [
        ("--run run", "single"),
        ("--run run --run other --weight 3 --weight 1 --mirror", "mean"),
        ("--run resampled", "of-resampled"),
    ] {
        let line = format!("predict {runs} --data data --probabilities --out {out}");
        let done = desk.run(&format!("{line} --json")).ok().json();
        desk.run(&format!("predict {runs} --data data --out {out}-labels")).ok();
        let predictions = done["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 3);
        for prediction in predictions {
            let case = prediction["case"].as_str().unwrap();
            let name = format!("{case}.nii.gz");
            let bytes =
                |folder: &str| std::fs::read(desk.path(&format!("{folder}/{name}"))).unwrap();
            assert!(bytes(out) == bytes(&format!("{out}-labels")), "{out}: {case}");
            let labels = NiftiFile::open(&desk.path(&format!("{out}/{name}")));
            assert_eq!(labels.values(), thresholded(&desk, out, case), "{out}: {case}");
            assert!(labels.values().iter().any(|label| *label != 0), "{out}: {case}");
            let files = prediction["probabilities"].as_array().unwrap();
            for (file, region) in files.iter().zip(["ET", "TC", "WT"]) {
                let file = file.as_str().unwrap();
                assert!(file.ends_with(&format!("{out}/probabilities/{case}_{region}.nii.gz")));
                let map = NiftiFile::open(&desk.path(file));
                assert_eq!((map.shape(), map.affine()), (labels.shape(), labels.affine()));
            }
        }
        // Maps are no label files: the folder is scored as it was.
        desk.run(&format!("score --truth data --prediction {out} --csv {out}.csv")).ok();
        desk.run(&format!("{line} --json")).ok();
    }
    let first = desk.names("single/probabilities")[0].clone();
    let file = format!("single/probabilities/{first}");
    write(&desk.path(&file), b"notes");
    let line = "predict --run run --data data --probabilities --out single";
    desk.run(line).exits(2).complains_of(&[&file, "name another folder"]);
}
