//! Datasets in every layout: the same voxels and labels as in the folders of BraTS, and every verb at work
//! on them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use gliaflow::brats::{CaseReader, discover_cases, read_labels_only, write_labels};
use gliaflow::volume::{Case, LabelScheme};
use serde_json::json;

use crate::cli::harness::Desk;
#[cfg(feature = "train")]
use crate::cli::harness::TINY;

/// Modalities of the phantoms' files, in the order of the channels.
const NAMES: [&str; 4] = ["t1", "t1ce", "t2", "flair"];

/// Phantom case on its way into another layout.
struct Source {
    folder: PathBuf,
    name: String,
    number: usize,
}

impl Source {
    /// The phantoms of a desk.
    fn all(desk: &Desk) -> Vec<Self> {
        let mut cohort = desk.names("data");
        cohort.retain(|name| desk.path(&format!("data/{name}")).is_dir());
        let source = |(number, name): (usize, String)| Self {
            folder: desk.path(&format!("data/{name}")),
            name,
            number,
        };
        (1..).zip(cohort).map(source).collect()
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}_{ending}.nii.gz", self.name))
    }

    /// Copies the image of a channel.
    fn put_image(&self, channel: usize, to: &Path) {
        put_file(to, &std::fs::read(self.file(NAMES[channel])).unwrap());
    }

    /// Writes the labels with the values of `scheme`.
    fn put_labels(&self, scheme: LabelScheme, to: &Path) {
        let found = read_labels_only(&self.file("seg"), LabelScheme::Brats2018).unwrap();
        let values: Vec<u8> = found.labels.iter().map(|label| scheme.to_file(*label)).collect();
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        write_labels(to, &found.source.to_file_order(&values), &found.source).unwrap();
    }

    /// Writes one file with the images of `order`, a volume each.
    fn put_stack(&self, order: &[usize], to: &Path) {
        let mut stack = Vec::new();
        for (place, channel) in order.iter().enumerate() {
            let content = inflate(&self.file(NAMES[*channel]));
            let start = if place == 0 { 0 } else { 352 };
            stack.extend_from_slice(&content[start..]);
        }
        stack[40..42].copy_from_slice(&4i16.to_le_bytes());
        stack[48..50].copy_from_slice(&(order.len() as i16).to_le_bytes());
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&stack).unwrap();
        put_file(to, &packed.finish().unwrap());
    }
}

fn inflate(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    let packed = std::fs::read(path).unwrap();
    MultiGzDecoder::new(&packed[..]).read_to_end(&mut content).unwrap();
    content
}

fn put_file(to: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::write(to, bytes).unwrap();
}

/// Dataset in some layout, made of phantoms.
struct Made {
    layout: &'static str,
    scheme: LabelScheme,
    /// Writes a case.
    put_case: fn(&Source, &Path),
    /// Files of the whole dataset.
    files: fn(&[Source]) -> Vec<(&'static str, String)>,
}

const NO_FILES: fn(&[Source]) -> Vec<(&'static str, String)> = |_| Vec::new();

/// Writes the images of a case folder under these names, and its labels.
fn put_named(source: &Source, folder: &Path, prefix: &str, names: [&str; 4]) {
    for (channel, name) in names.into_iter().enumerate() {
        source.put_image(channel, &folder.join(format!("{prefix}{name}.nii.gz")));
    }
}

fn put_brats(source: &Source, root: &Path, case: &str) {
    let folder = root.join(case);
    put_named(source, &folder, &format!("{case}-"), ["t1n", "t1c", "t2w", "t2f"]);
    source.put_labels(LabelScheme::Brats2023, &folder.join(format!("{case}-seg.nii.gz")));
}

const DECATHLON: Made = Made {
    layout: "decathlon",
    scheme: LabelScheme::Msd,
    put_case: |source, root| {
        let name = format!("BRATS_{:03}.nii.gz", source.number);
        source.put_stack(&[3, 0, 1, 2], &root.join("imagesTr").join(&name));
        source.put_labels(LabelScheme::Msd, &root.join("labelsTr").join(&name));
        put_file(&root.join("imagesTr").join(format!("._{name}")), b"of macOS");
    },
    files: |_| {
        let json = json!({
            "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
            "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
            "numTraining": 2,
        });
        vec![("dataset.json", json.to_string())]
    },
};

const NNUNET: Made = Made {
    layout: "nnunet",
    scheme: LabelScheme::Msd,
    put_case: |source, root| {
        for channel in 0..4 {
            let name = format!("GLI_{}_{channel:04}.nii.gz", source.number);
            source.put_image(channel, &root.join("imagesTr").join(name));
        }
        let labels = root.join(format!("labelsTr/GLI_{}.nii.gz", source.number));
        source.put_labels(LabelScheme::Msd, &labels);
    },
    files: |_| {
        let json = json!({
            "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"},
            "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
            "regions_class_order": [1, 2, 3], "numTraining": 2, "file_ending": ".nii.gz",
        });
        vec![("dataset.json", json.to_string())]
    },
};

const DATALIST: Made = Made {
    layout: "monai",
    scheme: LabelScheme::Brats2018,
    put_case: |source, root| {
        let folder = root.join(format!("scans/{}/nifti", source.number));
        put_named(source, &folder, &format!("BraTS2021_{}_", source.number), NAMES);
        source.put_labels(LabelScheme::Brats2018, &folder.join("truth.nii.gz"));
    },
    files: |sources| {
        let entry = |source: &Source| {
            let number = source.number;
            let image =
                |name: &str| format!("scans/{number}/nifti/BraTS2021_{number}_{name}.nii.gz");
            let images = ["flair", "t1ce", "t1", "t2"].map(image);
            let label = format!("scans/{number}/nifti/truth.nii.gz");
            json!({"fold": 0, "image": images, "label": label})
        };
        let entries: Vec<serde_json::Value> = sources.iter().map(entry).collect();
        vec![("folds.json", json!({"training": entries}).to_string())]
    },
};

const HOSPITAL: Made = Made {
    layout: "described",
    scheme: LabelScheme::Brats2024Ped,
    put_case: |source, root| {
        let folder = root.join(format!("P{}/2019", source.number));
        put_named(source, &folder, "", ["T1 nativ", "T1 KM", "T2", "FLAIR"]);
        let labels = root.join(format!("P{}/segmentation_2019.nii.gz", source.number));
        source.put_labels(LabelScheme::Brats2024Ped, &labels);
    },
    files: |_| {
        let text = r#"
            label_scheme = "brats2024-ped"
            images = "{patient}/{year}/{modality}.nii[.gz]"
            label_files = "{patient}/segmentation_{year}.nii[.gz]"
            case = "{patient}_{year}"
            [modalities]
            t1 = "T1 nativ"
            t1ce = "T1 KM"
            t2 = "T2"
            flair = "FLAIR"
        "#;
        vec![("dataset.toml", text.to_owned())]
    },
};

/// A dataset of each layout.
const ALL: [Made; 16] = [
    DECATHLON,
    NNUNET,
    DATALIST,
    HOSPITAL,
    Made {
        layout: "brats2018",
        scheme: LabelScheme::Brats2018,
        put_case: |source, root| {
            let case = format!("Brats18_2013_{}_1", source.number);
            let folder = root.join("HGG").join(&case);
            put_named(source, &folder, &format!("{case}_"), NAMES);
            source.put_labels(LabelScheme::Brats2018, &folder.join(format!("{case}_seg.nii.gz")));
        },
        files: NO_FILES,
    },
    Made {
        layout: "brats2021",
        scheme: LabelScheme::Brats2018,
        // As copies on Kaggle have them: a folder for each image.
        put_case: |source, root| {
            let case = format!("BraTS2021_0000{}", source.number);
            for (channel, name) in NAMES.into_iter().enumerate() {
                let folder = root.join(&case).join(format!("{case}_{name}.nii"));
                put_file(&folder.join("0001_brain.nii"), &inflate(&source.file(NAMES[channel])));
            }
            let labels = root.join(&case).join(format!("{case}_seg.nii.gz"));
            source.put_labels(LabelScheme::Brats2018, &labels);
        },
        files: NO_FILES,
    },
    Made {
        layout: "brats2023",
        scheme: LabelScheme::Brats2023,
        put_case: |source, root| {
            put_brats(source, root, &format!("BraTS-GLI-0000{}-000", source.number))
        },
        files: NO_FILES,
    },
    Made {
        layout: "brats2023",
        scheme: LabelScheme::Brats2023,
        put_case: |source, root| {
            put_brats(source, root, &format!("BraTS-MEN-0000{}-000", source.number))
        },
        files: NO_FILES,
    },
    Made {
        layout: "brats2023",
        scheme: LabelScheme::Brats2023,
        put_case: |source, root| {
            put_brats(source, root, &format!("BraTS-MET-0000{}-000", source.number))
        },
        files: NO_FILES,
    },
    Made {
        layout: "brats2023",
        scheme: LabelScheme::Brats2023,
        put_case: |source, root| {
            put_brats(source, root, &format!("BraTS-SSA-0000{}-000", source.number))
        },
        files: NO_FILES,
    },
    Made {
        layout: "brats-ped",
        scheme: LabelScheme::Brats2023,
        put_case: |source, root| {
            put_brats(source, root, &format!("BraTS-PED-0000{}-000", source.number))
        },
        files: |_| {
            let text = "layout = \"brats-ped\"\nlabel_scheme = \"brats2023\"\n";
            vec![("dataset.toml", text.to_owned())]
        },
    },
    Made {
        layout: "upenn-gbm",
        scheme: LabelScheme::Brats2018,
        put_case: |source, root| {
            let case = format!("UPENN-GBM-0000{}_11", source.number);
            let folder = root.join("images_structural").join(&case);
            put_named(source, &folder, &format!("{case}_"), ["T1", "T1GD", "T2", "FLAIR"]);
            let labels = root.join(format!("images_segm/{case}_segm.nii.gz"));
            source.put_labels(LabelScheme::Brats2018, &labels);
        },
        files: NO_FILES,
    },
    Made {
        layout: "ucsf-pdgm",
        scheme: LabelScheme::Brats2018,
        put_case: |source, root| {
            let case = format!("UCSF-PDGM-000{}", source.number);
            let folder = root.join(format!("{case}_nifti"));
            put_named(source, &folder, &format!("{case}_"), ["T1", "T1c", "T2", "FLAIR"]);
            source.put_image(0, &folder.join(format!("{case}_T1_bias.nii.gz")));
            let labels = folder.join(format!("{case}_tumor_segmentation.nii.gz"));
            source.put_labels(LabelScheme::Brats2018, &labels);
        },
        files: NO_FILES,
    },
    Made {
        layout: "tcga",
        scheme: LabelScheme::Brats2018,
        put_case: |source, root| {
            let case = format!("TCGA-02-000{}", source.number);
            let prefix = format!("{case}_1996.08.23_");
            let folder = root.join(&case);
            put_named(source, &folder, &prefix, ["t1", "t1Gd", "t2", "flair"]);
            let labels = folder.join(format!("{prefix}GlistrBoost_ManuallyCorrected.nii.gz"));
            source.put_labels(LabelScheme::Brats2018, &labels);
        },
        files: NO_FILES,
    },
    Made {
        layout: "flat2018",
        scheme: LabelScheme::Brats2018,
        put_case: |source, root| {
            let case = format!("patient{}", source.number);
            put_named(source, root, &format!("{case}_"), NAMES);
            source.put_labels(LabelScheme::Brats2018, &root.join(format!("{case}_seg.nii.gz")));
        },
        files: NO_FILES,
    },
    Made {
        layout: "flat2023",
        scheme: LabelScheme::Brats2023,
        put_case: |source, root| {
            let case = format!("patient{}", source.number);
            put_named(source, root, &format!("{case}-"), ["t1n", "t1c", "t2w", "t2f"]);
            source.put_labels(LabelScheme::Brats2023, &root.join(format!("{case}-seg.nii.gz")));
        },
        files: NO_FILES,
    },
];

impl Made {
    /// Writes the dataset beside the phantoms.
    fn put_into(&self, desk: &Desk, folder: &str) {
        let root = desk.path(folder);
        let sources = Source::all(desk);
        sources.iter().for_each(|source| (self.put_case)(source, &root));
        for (name, text) in (self.files)(&sources) {
            put_file(&root.join(name), text.as_bytes());
        }
    }
}

fn read_cases(folder: &Path) -> Vec<Case> {
    let found = discover_cases(folder, None).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    found.cases.iter().map(|files| CaseReader::default().read(files).unwrap()).collect()
}

#[test]
fn a_dataset_of_each_layout_is_found_as_such_and_holds_what_brats_holds() {
    let desk = Desk::with_cohort(2);
    let truth = read_cases(&desk.path("data"));
    for (number, made) in ALL.iter().enumerate() {
        let folder = format!("set{number}");
        made.put_into(&desk, &folder);
        let seen = desk.run(&format!("inspect {folder} --deep --json")).ok().json();
        let told = (seen["layout"].as_str(), seen["scheme"].as_str());
        assert_eq!(told, (Some(made.layout), Some(made.scheme.name())), "{seen}");
        assert_eq!(seen["cases"].as_array().unwrap().len(), 2, "{}", made.layout);
        assert!(seen["cases"].as_array().unwrap().iter().all(|case| case["labelled"] == true));
        for (case, wanted) in read_cases(&desk.path(&folder)).iter().zip(&truth) {
            assert!(case.images == wanted.images, "{} {}", made.layout, case.id);
            if made.scheme != LabelScheme::Brats2024Ped {
                assert!(case.labels == wanted.labels, "{} {}", made.layout, case.id);
            }
            assert_eq!(case.source, wanted.source);
        }
        let line = format!("ingest --data {folder} --cache cache{number} --json");
        for published in [2, 0] {
            assert_eq!(desk.run(&line).ok().json()["published"], published, "{}", made.layout);
        }
        // What is written for editing finds the same cases.
        desk.run(&format!("inspect {folder} --write own{number}.toml")).ok();
        let again = desk.run(&format!("inspect {folder} --description own{number}.toml --json"));
        let again = again.ok().json();
        let names = |seen: &serde_json::Value| {
            let cases = seen["cases"].as_array().unwrap().iter();
            cases.map(|case| case["id"].to_string()).collect::<Vec<_>>()
        };
        assert_eq!((names(&again), &again["layout"]), (names(&seen), &seen["layout"]));
        let line = format!(
            "ingest --data {folder} --description own{number}.toml \
                            --cache cache{number} --json"
        );
        assert_eq!(desk.run(&line).ok().json()["published"], 0, "{}", made.layout);
    }
    let text = desk.run("inspect set0").ok().stdout;
    assert!(
        text.contains("dataset.json says; stated by https://arxiv.org/abs/2106.05735"),
        "{text}"
    );
    assert!(desk.run("inspect set15").ok().stdout.contains("unproved"));
    desk.run("inspect set0 --write own0.toml")
        .exits(2)
        .complains_of(&["own0.toml: is there already"]);
}

#[test]
fn another_order_of_the_same_stack_is_another_case() {
    let desk = Desk::with_cohort(2);
    DECATHLON.put_into(&desk, "set");
    let line = "ingest --data set --json";
    assert_eq!(desk.run(line).ok().json()["published"], 2);
    let text = "layout = \"decathlon\"\norder = [\"flair\", \"t1ce\", \"t1\", \"t2\"]\n";
    put_file(&desk.path("set/dataset.toml"), text.as_bytes());
    assert_eq!(desk.run(line).ok().json()["published"], 2, "T1 and T1ce have changed places");
    let short = "layout = \"decathlon\"\norder = [\"flair\", \"t1\", \"t1ce\", \"t2\", \"-\"]\n";
    put_file(&desk.path("set/dataset.toml"), short.as_bytes());
    let seen = desk.run("inspect set --deep --json").exits(3).json();
    let problem = seen["problems"][0].as_str().unwrap();
    for word in ["case BRATS_001", "imagesTr/BRATS_001.nii.gz: dim", "not the 5 volumes", "order"] {
        assert!(problem.contains(word), "{word}: {problem}");
    }
}

#[cfg(feature = "train")]
#[test]
fn every_verb_works_on_stacks_channels_lists_and_names_of_ones_own() {
    let desk = Desk::with_cohort(4);
    for (number, made) in [&DECATHLON, &NNUNET, &DATALIST, &HOSPITAL].into_iter().enumerate() {
        let folder = format!("set{number}");
        made.put_into(&desk, &folder);
        let run = format!("run{number}");
        desk.run(&format!("train {TINY} --data {folder} --run {run}")).ok();
        desk.run(&format!("evaluate --run {run} --set device=cpu")).ok();
        let out = format!("out{number}");
        desk.run(&format!("predict --run {run} --data {folder} --out {out} --set device=cpu")).ok();
        let line = format!("score --truth {folder} --prediction {out} --json");
        let scored = desk.run(&line).ok().json();
        assert_eq!(scored["labels"]["truth"]["scheme"], made.scheme.name(), "{scored}");
        assert_eq!(scored["cases"].as_array().unwrap().len(), 4);
        let described = desk.text(&format!("{run}/config.toml")).contains("described = ");
        assert_eq!(described, made.layout == "described", "{run}");
    }
}

#[cfg(feature = "train")]
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
