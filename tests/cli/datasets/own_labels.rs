//! Labels, regions and modalities that a description names, from the first look to the scores.

use gliaflow::internals::brats::read_labels_only;
use gliaflow::internals::volume::LabelScheme;
use serde_json::json;

use crate::cli::datasets::layouts::TO_2020;
use crate::cli::datasets::sources::{Source, put_file};
use crate::cli::harness::{Desk, TINY};

/// Three tissues that BraTS has not, of which the last one is the innermost, in four regions.
const DESCRIPTION: &str = r#"
layout = "brats2018"
[labels]
core = 1
rim = 2
spot = [4, 7]
ignore = 9
[regions]
all = ["core", "rim", "spot"]
solid = ["core", "spot"]
edge = ["rim", "core"]
spot = ["spot"]
[modalities]
t1 = []
t2 = []
"#;

const PAINTING: &str = "painting = [\"all\", \"edge\", \"solid\", \"spot\"]\n";

const REGIONS: [&str; 4] = ["all", "edge", "solid", "spot"];

/// A cohort in `set` of two modalities, with some voxels that count in nothing and some of a second
/// value, and its description elsewhere.
fn described_cohort() -> Desk {
    let desk = Desk::with_cohort(4);
    TO_2020.put_into(&desk, "set");
    for source in Source::all(&desk) {
        let case = format!("Brats18_2013_{}_1", source.number);
        let folder = desk.path(&format!("set/HGG/{case}"));
        for modality in ["t1", "t2"] {
            std::fs::remove_file(folder.join(format!("{case}_{modality}.nii.gz"))).unwrap();
        }
        let seen = std::cell::Cell::new(0);
        let value = |canonical: u8| {
            seen.set(seen.get() + 1);
            match (canonical, seen.get() % 5) {
                (0, 0) => 9,
                (3, 0) => 7,
                _ => [0, 1, 2, 4][usize::from(canonical)],
            }
        };
        source.put_values(value, &folder.join(format!("{case}_seg.nii.gz")));
    }
    put_file(&desk.path("own.toml"), format!("{PAINTING}{DESCRIPTION}").as_bytes());
    desk
}

#[test]
fn tissues_regions_and_modalities_of_a_description_hold_from_inspect_to_score() {
    let desk = described_cohort();
    let text = desk.run("inspect set --description own.toml").ok().stdout;
    for line in [
        "  modalities t1ce, flair\n",
        "  region  tissues          values      written\n",
        "  all     core, rim, spot  1, 2, 4, 7  1\n",
        "  edge    core, rim        1, 2        1\n",
        "  solid   core, spot       1, 4, 7     1\n",
        "  spot    spot             4, 7        4\n",
        "  painted in the order all, edge, solid, spot; the last one overrides\n",
        "  ignored: 9, in every loss and score\n",
        "(as its description says)",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let told = desk.run("inspect set --description own.toml --deep --json").ok().json();
    let voxels: Vec<u64> = told["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| own["voxels"].as_u64().unwrap())
        .collect();
    assert!(voxels[0] > voxels[1] && voxels[2] > voxels[3] && voxels[3] > 0, "{voxels:?}");
    let line = "ingest --data set --description own.toml --cache cache --json";
    assert_eq!(desk.run(line).ok().json()["published"], 4);

    // The settings name the file and nothing else: the run has what it says, and the cases of the cache.
    let line = format!("train {TINY} --data set --set data.description=own.toml --run run");
    desk.run(&line).ok();
    let config = desk.text("run/config.toml");
    assert!(config.contains("modalities = [\"t1ce\", \"flair\"]"), "{config}");
    assert_eq!(
        desk.json("run/validation/summary.json")["network"]["regions"].as_object().unwrap().len(),
        4
    );
    desk.run("train --resume run --set train.epochs=3").ok();
    let evaluated = desk.run("evaluate --run run --set device=cpu --json").ok().json();
    for region in REGIONS {
        assert!(evaluated["network"]["regions"][region]["dice"].is_number(), "{region}");
    }
    desk.run("predict --run run --data set --out out --set device=cpu").ok();
    let own = LabelScheme::of_tissues(
        [("core", 1), ("rim", 2), ("spot", 4)].map(|(name, value)| (name.to_owned(), vec![value])),
    )
    .unwrap();
    for name in desk.names("out").iter().filter(|name| name.ends_with(".nii.gz")) {
        read_labels_only(&desk.path(&format!("out/{name}")), own).unwrap();
    }
    // A teacher's labels are of any regions, its probabilities of those of BraTS alone.
    let label = "label --run run --data set --all --set device=cpu";
    desk.run(label).ok();
    let words = ["--soft", "not of all, edge, solid, spot", "label without --soft"];
    desk.run(&format!("{label} --soft")).exits(2).complains_of(&words);
    let soft = "--set data.pseudo={teacher=\"0123456789abcdef0123456789abcdef\",targets=\"soft\"}";
    let refused = desk.run(&format!("{line} --run soft {soft}").replace("--run run", "")).exits(2);
    refused.complains_of(&["data.pseudo.targets = soft", "ET, TC and WT", "hard targets"]);
    desk.run("score --truth set --description own.toml --prediction out --csv described.csv").ok();
    // Beside the data it needs no setting, and the scores of the files are those of the run.
    std::fs::copy(desk.path("own.toml"), desk.path("set/dataset.toml")).unwrap();
    let within = "--set evaluation.within_tissue=true --set device=cpu";
    desk.run(&format!("evaluate --run run --data set --out scores {within}")).ok();
    desk.run("score --truth set --prediction out --csv of-files.csv").ok();
    for name in ["of-files.csv", "described.csv"] {
        assert_eq!(desk.text("scores/cases.csv"), desk.text(name), "{name}");
    }
    desk.run(&format!("train {TINY} --data set --run beside")).ok();
    let first_loss = |run: &str| {
        let events = desk.json_lines(&format!("{run}/events.jsonl"));
        events.iter().find_map(|event| event["loss"].as_f64()).unwrap()
    };
    assert_eq!(first_loss("beside"), first_loss("run"));
}

/// Where tissues of another folder are numbered otherwise, they go by name, and none is guessed.
#[test]
fn a_run_meets_tissues_of_another_folder_by_name_or_not_at_all() {
    let desk = described_cohort();
    put_file(&desk.path("set/dataset.toml"), format!("{PAINTING}{DESCRIPTION}").as_bytes());
    desk.run(&format!("train {TINY} --data set --run run")).ok();
    let line = "evaluate --run run --set device=cpu --json --data";
    let first = desk.run(&format!("{line} set")).ok().json();
    // The same cases, other values: spot 1, core 4 and 7, rim 2.
    std::fs::rename(desk.path("set"), desk.path("other")).unwrap();
    for source in Source::all(&desk) {
        let case = format!("Brats18_2013_{}_1", source.number);
        let file = desk.path(&format!("other/HGG/{case}/{case}_seg.nii.gz"));
        let seen = std::cell::Cell::new(0);
        let value = |canonical: u8| {
            seen.set(seen.get() + 1);
            if canonical == 0 && seen.get() % 5 == 0 {
                9
            } else {
                [0, 4, 2, 1][usize::from(canonical)]
            }
        };
        source.put_values(value, &file);
    }
    let other =
        DESCRIPTION.replace("core = 1", "core = [4, 7]").replace("spot = [4, 7]", "spot = 1");
    put_file(&desk.path("other/dataset.toml"), format!("{PAINTING}{other}").as_bytes());
    let second = desk.run(&format!("{line} other")).ok().json();
    assert_eq!(first["network"]["regions"], second["network"]["regions"]);

    let unknown = other.replace("spot", "dot");
    put_file(
        &desk.path("other/dataset.toml"),
        format!("{PAINTING}{unknown}").replace("\"spot\"", "\"dot\"").as_bytes(),
    );
    let words =
        ["case Brats18_2013_1_1", "no label value is the tissue spot", "[labels] in dataset.toml"];
    desk.run(&format!("{line} other")).exits(3).complains_of(&words);
    std::fs::remove_file(desk.path("other/dataset.toml")).unwrap();
    let known = json!(["all", "edge", "solid", "spot"]);
    let told = desk.run("predict --run run --data other --out out --set device=cpu --json").ok();
    assert_eq!(told.json()["predictions"][0]["regions"], known);
}
