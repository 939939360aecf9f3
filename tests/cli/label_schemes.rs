//! The meaning of label values: told by names, asked for, or refused with the line to write.

use std::collections::BTreeSet;

use gliaflow::internals::brats::{read_labels_only, write_labels};
use gliaflow::internals::cache::{CaseStore, ExpectedSource, PreprocessConfig};
use gliaflow::internals::volume::{Affine, CaseId, Dims, LabelScheme, Region, SourceGrid};
use serde_json::Value;

use crate::cli::harness::Desk;

/// Gives the cases of a phantom cohort in `data` names that begin with `prefix` in the style of 2023,
/// in `to`, and label values that `value_of` makes of the number of a tumour voxel in its file.
fn rename_cohort(desk: &Desk, to: &str, prefix: &str, value_of: impl Fn(usize) -> u8) {
    let mut cohort = desk.names("data");
    cohort.retain(|name| desk.path(&format!("data/{name}")).is_dir());
    for (number, old) in (1..).zip(cohort) {
        let case = format!("{prefix}-{number:05}-000");
        let folder = desk.path(&format!("{to}/{case}"));
        std::fs::create_dir_all(&folder).unwrap();
        for (from, into) in [("t1", "t1n"), ("t1ce", "t1c"), ("t2", "t2w"), ("flair", "t2f")] {
            let source = desk.path(&format!("data/{old}/{old}_{from}.nii.gz"));
            std::fs::copy(source, folder.join(format!("{case}-{into}.nii.gz"))).unwrap();
        }
        let labels = desk.path(&format!("data/{old}/{old}_seg.nii.gz"));
        let found = read_labels_only(&labels, LabelScheme::Brats2018).unwrap();
        let mut tumour = 0;
        let values: Vec<u8> = found
            .labels
            .iter()
            .map(|label| {
                tumour += usize::from(*label != 0);
                if *label == 0 { 0 } else { value_of(tumour) }
            })
            .collect();
        let in_file = found.source.to_file_order(&values);
        write_labels(&folder.join(format!("{case}-seg.nii.gz")), &in_file, &found.source).unwrap();
    }
}

/// Values 1 to `most`, in turn.
fn cycling(most: usize) -> impl Fn(usize) -> u8 {
    move |number| (number % most + 1) as u8
}

/// Voxels of each region among stored values, as a scheme has them.
fn region_sizes(values: &[u8], scheme: LabelScheme) -> [usize; Region::BRATS.len()] {
    Region::BRATS.map(|region| {
        let inside =
            |value: &&u8| scheme.to_canonical(**value).is_some_and(|label| region.contains(label));
        values.iter().filter(inside).count()
    })
}

/// Writes a label file of a grid of 4x3x2 voxels whose first ones are `values`.
pub(crate) fn write_values(desk: &Desk, name: &str, values: &[u8]) {
    let path = desk.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut affine = [[0.0; 4]; 4];
    for (place, step) in [-1.0, -1.0, 1.0, 1.0].into_iter().enumerate() {
        affine[place][place] = step;
    }
    let grid = SourceGrid::canonical(Dims([2, 3, 4]), Affine(affine));
    let mut labels = vec![0; 24];
    labels[..values.len()].copy_from_slice(values);
    write_labels(&path, &labels, &grid).unwrap();
}

fn schemes(score: &Value) -> [(&str, &str); 2] {
    ["truth", "prediction"].map(|side| {
        let chosen = &score["labels"][side];
        (chosen["scheme"].as_str().unwrap(), chosen["reason"].as_str().unwrap())
    })
}

#[test]
fn names_with_two_meanings_are_refused_until_one_is_asked_for() {
    let desk = Desk::with_cohort(2);
    rename_cohort(&desk, "ped", "BraTS-PED", cycling(3));
    let way_out =
        ["brats2023 and brats2024-ped", "--labels brats2024-ped", "data.labels=brats2024-ped"];
    for line in [
        "inspect ped",
        "inspect ped --deep",
        "ingest --data ped",
        "drain --data ped --patch 16 --batches 1 --warm-up 0",
        "score --truth ped --prediction ped",
    ] {
        desk.run(line).exits(3).complains_of(&way_out);
    }
    for scheme in ["brats2023", "brats2024-ped", "msd"] {
        let seen = desk.run(&format!("inspect ped --deep --labels {scheme} --json")).ok().json();
        assert_eq!((&seen["scheme"], &seen["scheme_reason"]), (&scheme.into(), &"asked".into()));
        let text = desk.run(&format!("inspect ped --labels {scheme}")).ok().stdout;
        assert!(text.contains(&format!("labels {scheme} (as asked)")), "{text}");

        // The cache is built again for another meaning, and only then.
        for published in [2, 0] {
            let line = format!("ingest --data ped --labels {scheme} --json");
            let done = desk.run(&line).ok().json();
            assert_eq!(done["published"], published, "{scheme}");
            assert_eq!(done["labels"]["scheme"], scheme);
        }
        let store = CaseStore::open(&desk.path("cache"), PreprocessConfig::default().fingerprint())
            .unwrap();
        for name in desk.names("ped") {
            let id = CaseId::new(name.as_str());
            let case = store.find_case(&id, ExpectedSource::Anything).unwrap().unwrap();
            let file = desk.path(&format!("ped/{name}/{name}-seg.nii.gz"));
            // As stored: under this scheme every value is its own canonical label.
            let stored = read_labels_only(&file, LabelScheme::Brats2023).unwrap().labels;
            let wanted = region_sizes(&stored, scheme.parse().unwrap());
            let held = case.labels().unwrap();
            let found = Region::BRATS
                .map(|region| held.iter().filter(|label| region.contains(**label)).count());
            assert_eq!(found, wanted, "{scheme} {name}");
            assert_eq!(case.label_scheme().name(), scheme);
        }
    }
}

#[test]
fn a_resection_cavity_is_named_and_in_no_region_when_asked_for() {
    let desk = Desk::with_cohort(1);
    rename_cohort(&desk, "gli", "BraTS-GLI", cycling(4));
    let seen = desk.run("inspect gli --deep --json").exits(3).json();
    let problem = seen["problems"][0].as_str().unwrap();
    for word in ["label 4 in ", "(brats2023)", "brats2024", "--labels", "data.labels"] {
        assert!(problem.contains(word), "{word}: {problem}");
    }
    assert!(!problem.contains("correct"), "{problem}");
    let seen = desk.run("inspect gli --deep --labels brats2024 --json").ok().json();
    assert_eq!(seen["cases"][0]["scheme"], "brats2024");

    // `score` reads the values, so it need not ask: no other release with these names has a 4.
    let name = &desk.names("gli")[0];
    let file = desk.path(&format!("gli/{name}/{name}-seg.nii.gz"));
    std::fs::create_dir(desk.path("found")).unwrap();
    std::fs::copy(&file, desk.path(&format!("found/{name}.nii.gz"))).unwrap();
    let score = desk.run("score --truth gli --prediction found --json").ok().json();
    assert_eq!(schemes(&score), [("brats2024", "values"), ("brats2024", "truth")]);
    let stored = read_labels_only(&file, LabelScheme::Brats2024).unwrap().labels;
    let wanted = region_sizes(&stored, LabelScheme::Brats2024);
    for (region, voxels) in Region::BRATS.into_iter().zip(wanted) {
        let truth = &score["cases"][0]["regions"][region.name()]["truth_voxels"];
        assert_eq!(truth, voxels, "{region}");
    }
}

#[test]
fn releases_in_one_folder_are_not_read_under_a_scheme_that_fits_some() {
    let desk = Desk::with_cohort(1);
    rename_cohort(&desk, "both", "BraTS-PED", cycling(3));
    rename_cohort(&desk, "both", "BraTS-GLI", cycling(3));
    let refused = desk.run("ingest --data both --labels brats2024-ped").exits(3);
    refused.complains_of(&["BraTS-GLI-00001-000", "BraTS-PED-00001-000", "folder of its own"]);
    desk.run("ingest --data both --labels brats2023").ok();
    desk.run("ingest --data both --labels msd").ok();
}

#[test]
fn a_folder_of_label_files_has_one_scheme_whatever_each_file_shows() {
    let desk = Desk::new();
    write_values(&desk, "truth/a.nii.gz", &[1, 2]);
    write_values(&desk, "truth/b.nii.gz", &[1, 2, 3]);
    let line = "score --truth truth --prediction truth";
    let score = desk.run(&format!("{line} --json")).ok().json();
    assert_eq!(schemes(&score), [("brats2023", "values"), ("brats2023", "truth")]);
    let text = desk.run(line).ok().stdout;
    let words = "labels of the truth brats2023 (from the values), of the prediction brats2023 (as";
    assert!(text.contains(words), "{text}");

    // Where the truth fits both, the predictions settle it.
    write_values(&desk, "core/a.nii.gz", &[1, 2]);
    for (values, scheme) in
        [([1u8, 2, 3], "brats2023"), ([1, 2, 4], "brats2018"), ([1, 2, 0], "brats2018")]
    {
        write_values(&desk, "found/a.nii.gz", &values);
        let score = desk.run("score --truth core --prediction found --json").ok().json();
        assert_eq!(schemes(&score)[0], (scheme, "values"), "{values:?}");
    }

    // Where both 3 and 4 are found, and no name tells, there are two meanings.
    write_values(&desk, "later/a.nii.gz", &[3]);
    write_values(&desk, "later/b.nii.gz", &[4]);
    let outcome = desk.run("score --truth later --prediction later").exits(3);
    outcome.complains_of(&["later: ", "--labels brats2024 or --labels brats2024-ped"]);
    let line = "score --truth later --prediction later --labels brats2024-ped --json";
    assert_eq!(schemes(&desk.run(line).ok().json())[0], ("brats2024-ped", "asked"));
}

#[test]
fn names_of_label_files_decide_where_they_tell_and_their_values_where_they_leave_it_open() {
    let desk = Desk::new();
    for (folder, name, values, expected) in [
        ("old", "BraTS20_Training_001_seg", &[1u8, 2, 4][..], Ok(("brats2018", "names"))),
        ("new", "BraTS-GLI-00001-000", &[1, 2, 3], Ok(("brats2023", "names"))),
        ("cavity", "BraTS-GLI-00001-000-seg", &[1, 3, 4], Ok(("brats2024", "values"))),
        ("none", "BraTS-PED-00001-000", &[0], Ok(("brats2023", "names"))),
        ("child", "BraTS-PED-00001-000-seg", &[1, 2, 4], Ok(("brats2024-ped", "values"))),
        ("open", "BraTS-PED-00001-000", &[1, 2], Err("--labels brats2024-ped")),
        ("odd", "BraTS20_Training_002", &[1, 2, 3], Err("--truth-labels")),
        ("seven", "case", &[7], Err("docs/labels.md")),
    ] {
        write_values(&desk, &format!("{folder}/{name}.nii.gz"), values);
        for side in [folder.to_owned(), format!("{folder}/{name}.nii.gz")] {
            let line = format!("score --truth {side} --prediction {side} --json");
            let outcome = desk.run(&line);
            match expected {
                Ok(scheme) => {
                    let score = outcome.ok().json();
                    assert_eq!(schemes(&score)[0], scheme, "{side}");
                }
                Err(words) => {
                    outcome.exits(3).complains_of(&[words]);
                }
            }
        }
    }
}

#[test]
fn two_conventions_meet_where_each_side_is_named() {
    let desk = Desk::new();
    write_values(&desk, "truth/a.nii.gz", &[1, 2, 4, 4, 1]);
    write_values(&desk, "found/a.nii.gz", &[2, 1, 3, 3, 2]);
    let line = "score --truth truth --prediction found";
    let words = ["found/a.nii.gz", "label 3 in 2 voxels", "--prediction-labels", "msd"];
    desk.run(line).exits(3).complains_of(&words);
    for (options, dice) in [
        ("--prediction-labels msd", 1.0),
        ("--truth-labels brats2018 --prediction-labels msd", 1.0),
        ("--labels brats2018 --prediction-labels msd", 1.0),
        ("--truth-labels brats2018 --labels msd", 1.0),
        ("--prediction-labels brats2023", 0.5),
    ] {
        let score = desk.run(&format!("{line} {options} --json")).ok().json();
        assert_eq!(schemes(&score)[0].0, "brats2018", "{options}");
        // TC: ET and NCR, 4 voxels of 5; read as BraTS 2023 half of them are oedema.
        let tc = score["regions"]["TC"]["dice"].as_f64().unwrap();
        let wanted = if dice == 1.0 { 1.0 } else { 2.0 * 2.0 / (4.0 + 3.0) };
        assert!((tc - wanted).abs() < 1e-12, "{options}: {tc}");
    }
    let unknown = desk.run(&format!("{line} --truth-labels brats2012")).exits(2).stderr;
    for scheme in LabelScheme::ALL {
        assert!(unknown.contains(scheme.name()), "{unknown}");
    }
}

#[test]
fn the_documentation_has_every_value_of_every_scheme_with_its_regions() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/labels.md");
    let text = std::fs::read_to_string(page).unwrap();
    let mut rows = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        rows.insert([cells[1].trim_matches('`'), cells[2], cells[4]].map(str::to_owned));
    }
    let mut expected = BTreeSet::new();
    for scheme in LabelScheme::ALL {
        for &(value, canonical) in scheme.label_pairs() {
            let regions = scheme.default_regions().iter();
            let inside = regions.filter(|region| region.contains(canonical));
            let mut regions = inside.map(Region::name).collect::<Vec<_>>().join(" ");
            if regions.is_empty() {
                regions = "none".to_owned();
            }
            expected.insert([scheme.name().to_owned(), value.to_string(), regions]);
        }
    }
    assert_eq!(rows, expected);
}

/// A run keeps the meaning that it was trained with: for its own cases, and where names leave it open.
#[cfg(feature = "train")]
#[test]
fn a_run_scores_and_writes_labels_as_it_was_trained() {
    use crate::cli::harness::TINY;

    let desk = Desk::with_cohort(3);
    rename_cohort(&desk, "ped", "BraTS-PED", cycling(3));
    rename_cohort(&desk, "gli", "BraTS-GLI", cycling(3));
    let refused = desk.run(&format!("train {TINY} --data ped --run asked")).exits(3);
    refused.complains_of(&["--labels brats2024-ped", "data.labels=brats2024-ped"]);
    let asked = "--set data.labels=brats2024-ped";
    desk.run(&format!("train {TINY} {asked} --data ped --run run")).ok();
    assert!(desk.text("run/config.toml").contains("labels = \"brats2024-ped\""));
    desk.run("evaluate --run run").ok();
    desk.run("evaluate --run run --data ped").ok();
    desk.run("evaluate --run run --data gli").ok();
    desk.run("evaluate --run run --labels brats2023").exits(2);

    let mut written = BTreeSet::new();
    for (options, scheme, reason) in [
        ("--data ped", LabelScheme::Brats2024Ped, "run"),
        ("--data gli", LabelScheme::Brats2023, "names"),
        ("--data gli --labels msd", LabelScheme::Msd, "asked"),
    ] {
        let line = format!("predict --run run {options} --out out --json");
        let done = desk.run(&line).ok().json();
        assert_eq!(done["labels"]["scheme"], scheme.name(), "{options}");
        assert_eq!(done["labels"]["reason"], reason, "{options}");
        let first = &done["predictions"][0];
        let file = desk.path(first["file"].as_str().unwrap());
        let labels = read_labels_only(&file, scheme).unwrap().labels;
        let sizes = Region::BRATS
            .map(|region| labels.iter().filter(|label| region.contains(**label)).count());
        assert_eq!(first["voxels"], serde_json::json!(sizes), "{options}");
        written.insert(std::fs::read(&file).unwrap());
        assert!(sizes.iter().sum::<usize>() > 0, "an empty prediction would prove nothing");
    }
    assert!(written.len() > 1, "every scheme wrote the same bytes");
}
