//! A small dataset of each built-in layout, and of one that a description names.

use std::path::Path;

use gliaflow::internals::volume::LabelScheme;
use serde_json::json;

use super::sources::{NAMES, Source, inflate, put_file};
use crate::cli::harness::Desk;

/// Dataset in some layout, made of phantoms.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub(super) layout: &'static str,
    /// Name of a case, `#` for its number.
    cases: &'static str,
    /// Meaning of the label values; absent where the layout has tissues of its own.
    pub(super) scheme: Option<LabelScheme>,
    /// Source of that meaning, as `inspect` has it.
    pub(super) reason: &'static str,
    /// Writes a case of this name.
    put_case: fn(&Source, &Path, &str),
    /// Files of the whole dataset.
    files: fn(&[Source]) -> Vec<(&'static str, String)>,
}

const NO_FILES: fn(&[Source]) -> Vec<(&'static str, String)> = |_| Vec::new();

const MODERN: [&str; 4] = ["t1n", "t1c", "t2w", "t2f"];

/// Writes the images of a case folder under these names.
fn put_named(source: &Source, folder: &Path, prefix: &str, names: [&str; 4]) {
    for (channel, name) in names.into_iter().enumerate() {
        source.put_image(channel, &folder.join(format!("{prefix}{name}.nii.gz")));
    }
}

pub(super) const DECATHLON: Made = Made {
    layout: "decathlon",
    cases: "BRATS_00#",
    scheme: Some(LabelScheme::Msd),
    reason: "dataset_json",
    put_case: |source, root, case| {
        let name = format!("{case}.nii.gz");
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
    cases: "GLI_#",
    scheme: Some(LabelScheme::Msd),
    reason: "dataset_json",
    put_case: |source, root, case| {
        for channel in 0..4 {
            let name = format!("{case}_{channel:04}.nii.gz");
            source.put_image(channel, &root.join("imagesTr").join(name));
        }
        source.put_labels(LabelScheme::Msd, &root.join(format!("labelsTr/{case}.nii.gz")));
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
    cases: "BraTS2021_#",
    scheme: Some(LabelScheme::Brats2018),
    reason: "names",
    put_case: |source, root, case| {
        let folder = root.join(format!("scans/{}/nifti", source.number));
        put_named(source, &folder, &format!("{case}_"), NAMES);
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

pub(super) const HOSPITAL: Made = Made {
    layout: "described",
    cases: "P#",
    scheme: Some(LabelScheme::Brats2024Ped),
    reason: "description",
    put_case: |source, root, case| {
        let folder = root.join(case).join("2019");
        put_named(source, &folder, "", ["T1 nativ", "T1 KM", "T2", "FLAIR"]);
        let labels = root.join(case).join("segmentation_2019.nii.gz");
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

/// Folders of cases, files named `CASE_t1.nii.gz`.
pub(super) const TO_2020: Made = Made {
    layout: "brats2018",
    cases: "Brats18_2013_#_1",
    scheme: Some(LabelScheme::Brats2018),
    reason: "names",
    put_case: |source, root, case| {
        let folder = root.join("HGG").join(case);
        put_named(source, &folder, &format!("{case}_"), NAMES);
        source.put_labels(LabelScheme::Brats2018, &folder.join(format!("{case}_seg.nii.gz")));
    },
    files: NO_FILES,
};

/// Folders of cases, files named `CASE-t1n.nii.gz`.
const SINCE_2023: Made = Made {
    layout: "brats2023",
    cases: "BraTS-GLI-0000#-000",
    scheme: Some(LabelScheme::Brats2023),
    reason: "names",
    put_case: |source, root, case| {
        let folder = root.join(case);
        put_named(source, &folder, &format!("{case}-"), MODERN);
        source.put_labels(LabelScheme::Brats2023, &folder.join(format!("{case}-seg.nii.gz")));
    },
    files: NO_FILES,
};

/// One image a case, and one tissue.
const RADIOTHERAPY: Made = Made {
    layout: "brats-men-rt",
    cases: "BraTS-MEN-RT-000#-1",
    scheme: None,
    reason: "names",
    put_case: |source, root, case| {
        let folder = root.join(case);
        source.put_image(1, &folder.join(format!("{case}_t1c.nii.gz")));
        let volume = |canonical: u8| u8::from(canonical != 0);
        source.put_values(volume, &folder.join(format!("{case}_gtv.nii.gz")));
    },
    files: NO_FILES,
};

/// A dataset of each layout.
pub(super) const ALL: [Made; 18] = [
    DECATHLON,
    NNUNET,
    DATALIST,
    HOSPITAL,
    TO_2020,
    Made {
        layout: "brats2020",
        cases: "BraTS20_Training_00#",
        put_case: |source, root, case| {
            let folder = root.join(case);
            put_named(source, &folder, &format!("{case}_"), NAMES);
            // As the labels of case 355 are named.
            let labels = folder.join("W39_1998.09.19_Segm.nii.gz");
            source.put_labels(LabelScheme::Brats2018, &labels);
        },
        ..TO_2020
    },
    Made {
        layout: "brats2021",
        cases: "BraTS2021_0000#",
        // As copies on Kaggle have them: a folder for each image.
        put_case: |source, root, case| {
            for (channel, name) in NAMES.into_iter().enumerate() {
                let folder = root.join(case).join(format!("{case}_{name}.nii"));
                put_file(&folder.join("0001_brain.nii"), &inflate(&source.file(NAMES[channel])));
            }
            let labels = root.join(case).join(format!("{case}_seg.nii.gz"));
            source.put_labels(LabelScheme::Brats2018, &labels);
        },
        ..TO_2020
    },
    SINCE_2023,
    Made { cases: "BraTS-MEN-0000#-000", ..SINCE_2023 },
    Made { cases: "BraTS-MET-0000#-000", ..SINCE_2023 },
    Made { cases: "BraTS-SSA-0000#-000", ..SINCE_2023 },
    Made {
        layout: "brats-ped",
        cases: "BraTS-PED-0000#-000",
        reason: "description",
        files: |_| {
            let text = "layout = \"brats-ped\"\nlabel_scheme = \"brats2023\"\n";
            vec![("dataset.toml", text.to_owned())]
        },
        ..SINCE_2023
    },
    RADIOTHERAPY,
    Made {
        layout: "upenn-gbm",
        cases: "UPENN-GBM-0000#_11",
        put_case: |source, root, case| {
            let folder = root.join("images_structural").join(case);
            put_named(source, &folder, &format!("{case}_"), ["T1", "T1GD", "T2", "FLAIR"]);
            let labels = root.join(format!("images_segm/{case}_segm.nii.gz"));
            source.put_labels(LabelScheme::Brats2018, &labels);
        },
        ..TO_2020
    },
    Made {
        layout: "ucsf-pdgm",
        cases: "UCSF-PDGM-000#",
        put_case: |source, root, case| {
            let folder = root.join(format!("{case}_nifti"));
            put_named(source, &folder, &format!("{case}_"), ["T1", "T1c", "T2", "FLAIR"]);
            source.put_image(0, &folder.join(format!("{case}_T1_bias.nii.gz")));
            let labels = folder.join(format!("{case}_tumor_segmentation.nii.gz"));
            source.put_labels(LabelScheme::Brats2018, &labels);
        },
        ..TO_2020
    },
    Made {
        layout: "tcga",
        cases: "TCGA-02-000#",
        put_case: |source, root, case| {
            let prefix = format!("{case}_1996.08.23_");
            let folder = root.join(case);
            put_named(source, &folder, &prefix, ["t1", "t1Gd", "t2", "flair"]);
            let labels = folder.join(format!("{prefix}GlistrBoost_ManuallyCorrected.nii.gz"));
            source.put_labels(LabelScheme::Brats2018, &labels);
        },
        ..TO_2020
    },
    Made {
        layout: "flat2018",
        cases: "patient#",
        put_case: |source, root, case| {
            put_named(source, root, &format!("{case}_"), NAMES);
            source.put_labels(LabelScheme::Brats2018, &root.join(format!("{case}_seg.nii.gz")));
        },
        ..TO_2020
    },
    Made {
        layout: "flat2023",
        cases: "patient#",
        put_case: |source, root, case| {
            put_named(source, root, &format!("{case}-"), MODERN);
            source.put_labels(LabelScheme::Brats2023, &root.join(format!("{case}-seg.nii.gz")));
        },
        ..SINCE_2023
    },
];

impl Made {
    /// Writes the dataset beside the phantoms.
    pub(super) fn put_into(&self, desk: &Desk, folder: &str) {
        let root = desk.path(folder);
        let sources = Source::all(desk);
        for source in &sources {
            (self.put_case)(source, &root, &self.cases.replace('#', &source.number.to_string()));
        }
        for (name, text) in (self.files)(&sources) {
            put_file(&root.join(name), text.as_bytes());
        }
    }

    /// Name of the scheme.
    pub(super) fn scheme_name(&self) -> &'static str {
        self.scheme.map_or("described", LabelScheme::name)
    }

    /// Regions as `inspect` prints them.
    pub(super) fn region_table(&self) -> String {
        let rows: &[[&str; 4]] = match self.scheme {
            None => &[["GTV", "GTV", "1", "1"]],
            Some(LabelScheme::Msd) => &[
                ["WT", "NCR, ED, ET", "1, 2, 3", "1"],
                ["TC", "NCR, ET", "2, 3", "2"],
                ["ET", "ET", "3", "3"],
            ],
            Some(LabelScheme::Brats2018) => &[
                ["WT", "NCR, ED, ET", "1, 2, 4", "2"],
                ["TC", "NCR, ET", "1, 4", "1"],
                ["ET", "ET", "4", "4"],
            ],
            Some(LabelScheme::Brats2024Ped) => &[
                ["WT", "NCR, ED, ET", "1, 2, 3, 4", "4"],
                ["TC", "NCR, ET", "1, 2, 3", "2"],
                ["ET", "ET", "1", "1"],
            ],
            Some(_) => &[
                ["WT", "NCR, ED, ET", "1, 2, 3", "2"],
                ["TC", "NCR, ET", "1, 3", "1"],
                ["ET", "ET", "3", "3"],
            ],
        };
        let width = |column: usize| {
            let head = ["region", "tissues", "values"][column].len();
            rows.iter().map(|row| row[column].len()).fold(head, usize::max)
        };
        let [first, second, third] = [0, 1, 2].map(width);
        let line = |[region, tissues, values, written]: &[&str; 4]| {
            format!("  {region:<first$}  {tissues:<second$}  {values:<third$}  {written}\n")
        };
        let mut text = line(&["region", "tissues", "values", "written"]);
        text.extend(rows.iter().map(line));
        if rows.len() > 1 {
            text += "  painted in the order WT, TC, ET; the last one overrides\n";
        }
        text
    }
}
