//! File names of each BraTS release. A release is one entry of `NAMINGS`; nothing else in the crate
//! knows a file name.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use crate::volume::{LabelScheme, Modality, PatientId};

/// A release's folder layout.
#[derive(strum::Display, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// BraTS 2018 and 2019, and every folder with their file names that no later release claims.
    #[strum(serialize = "BraTS 2018/19")]
    Brats2018,
    /// BraTS 2020.
    #[strum(serialize = "BraTS 2020")]
    Brats2020,
    /// BraTS 2021.
    #[strum(serialize = "BraTS 2021")]
    Brats2021,
    /// BraTS 2023, and 2024, whose names are the same: what its label 4 means in GLI (resection
    /// cavity, [`LabelScheme::Brats2024`]) or all labels in PED has to be asked for.
    #[strum(serialize = "BraTS 2023")]
    Brats2023,
}

/// File names of one release: the case folder's name and an ending.
pub(super) struct FileNaming {
    pub(super) layout: Layout,
    /// Prefix of a case folder's name, lower case; empty for any.
    prefix: &'static str,
    /// Endings of the images, in the order of [`Modality::ALL`].
    images: [&'static str; Modality::COUNT],
    labels: &'static str,
    /// Whole names, without extension, under which the release hides labels as well.
    misnamed_labels: &'static [&'static str],
    /// Label schemes of releases with these names, the usual one first.
    pub(super) schemes: &'static [LabelScheme],
    /// Patient's name within a case's.
    patient: fn(&str) -> &str,
}

const TO_2021: &[LabelScheme] = &[LabelScheme::Brats2018];

const SINCE_2023: &[LabelScheme] = &[LabelScheme::Brats2023, LabelScheme::Brats2024];

/// Names of PED did not change when its labels did.
const PED: &[LabelScheme] = &[LabelScheme::Brats2023, LabelScheme::Brats2024Ped];

/// Naming since BraTS 2023.
const OF_2023: FileNaming = FileNaming {
    layout: Layout::Brats2023,
    prefix: "",
    images: ["-t1n", "-t1c", "-t2w", "-t2f"],
    labels: "-seg",
    misnamed_labels: &[],
    schemes: SINCE_2023,
    patient: without_time_point,
};

/// Naming of BraTS 2018 and 2019.
const OF_2018: FileNaming = FileNaming {
    layout: Layout::Brats2018,
    images: ["_t1", "_t1ce", "_t2", "_flair"],
    labels: "_seg",
    schemes: TO_2021,
    ..OF_2023
};

/// All namings, the stricter first: a folder belongs to the first one that fits.
pub(super) const NAMINGS: &[FileNaming] = &[
    FileNaming {
        layout: Layout::Brats2020,
        prefix: "brats20_",
        // Case 355 of the training data.
        misnamed_labels: &["W39_1998.09.19_Segm"],
        patient: whole_name,
        ..OF_2018
    },
    FileNaming { layout: Layout::Brats2021, prefix: "brats2021_", patient: whole_name, ..OF_2018 },
    FileNaming { prefix: "brats-ped-", schemes: PED, ..OF_2023 },
    OF_2023,
    OF_2018,
];

/// Name of a case that is its patient's only one: BraTS 2018 to 2021.
fn whole_name(case: &str) -> &str {
    case
}

/// Name of a case without its time point: `BraTS-GLI-00001` of `BraTS-GLI-00001-000`, as BraTS names
/// its cohorts since 2023. Names of another form are whole ones, under whatever files.
fn without_time_point(case: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some((patient, time_point)) = case.rsplit_once('-') else { return case };
    let Some((challenge, number)) = patient.rsplit_once('-') else { return case };
    let is_brats = challenge.to_ascii_lowercase().starts_with("brats-");
    if is_brats && is_number(number) && is_number(time_point) { patient } else { case }
}

/// Extensions, the preferred first where a file is there twice.
const EXTENSIONS: [&str; 2] = [".nii.gz", ".nii"];

/// The file names of one case folder that fit a naming.
pub(super) struct NamedFiles {
    pub(super) naming: &'static FileNaming,
    /// File per modality, in the order of [`Modality::ALL`]; `Err` holds the name that was looked
    /// for.
    pub(super) images: [Result<String, String>; Modality::COUNT],
    pub(super) labels: Option<String>,
    /// Files that are not taken because they are there compressed as well.
    pub(super) doubled: Vec<String>,
}

impl FileNaming {
    /// Patient of a case of this release.
    pub(super) fn patient_of(&self, case: &str) -> PatientId {
        PatientId::new((self.patient)(case))
    }

    /// Matches `files` of the folder `case`; `None` if no file fits.
    fn match_files(&'static self, case: &str, files: &BTreeSet<String>) -> Option<NamedFiles> {
        if !case.to_ascii_lowercase().starts_with(self.prefix) {
            return None;
        }
        let find = |stem: &str| {
            let names = EXTENSIONS.map(|extension| format!("{stem}{extension}"));
            names.into_iter().find(|name| files.contains(name))
        };
        let images = self.images.map(|ending| {
            let stem = format!("{case}{ending}");
            find(&stem).ok_or_else(|| format!("{stem}.nii.gz"))
        });
        let labels = find(&format!("{case}{}", self.labels))
            .or_else(|| self.misnamed_labels.iter().find_map(|stem| find(stem)));
        let fits = labels.is_some() || images.iter().any(Result::is_ok);
        let taken = images.iter().flatten().chain(&labels);
        let plain = taken.filter_map(|name| Some(format!("{}.nii", name.strip_suffix(".nii.gz")?)));
        let doubled = plain.filter(|name| files.contains(name)).collect();
        fits.then_some(NamedFiles { naming: self, images, labels, doubled })
    }
}

/// Identifies the files of a case folder by the first naming that fits. Images decide before labels
/// do: a label file named in another release's way must not hide the images beside it.
pub(super) fn identify_files(case: &str, files: &BTreeSet<String>) -> Option<NamedFiles> {
    let fitting = || NAMINGS.iter().filter_map(|naming| naming.match_files(case, files));
    fitting().find(|named| named.images.iter().any(Result::is_ok)).or_else(|| fitting().next())
}

/// Label schemes that a case's name alone allows, as that of a label file outside its folder; `None`
/// where it tells nothing.
pub fn schemes_of_case_name(case: &str) -> Option<&'static [LabelScheme]> {
    let releases: [(&str, &'static [LabelScheme]); 6] = [
        ("brats18_", TO_2021),
        ("brats19_", TO_2021),
        ("brats20_", TO_2021),
        ("brats2021_", TO_2021),
        ("brats-ped-", PED),
        ("brats-", SINCE_2023),
    ];
    let name = case.to_ascii_lowercase();
    releases.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, schemes)| schemes)
}

/// True if a path is that of the labels of the case that its folder is named after.
pub fn names_labels(path: &Path) -> bool {
    let name_of = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let (Some(case), Some(file)) = (path.parent().and_then(name_of), name_of(path)) else {
        return false;
    };
    let stem = EXTENSIONS.iter().find_map(|extension| file.strip_suffix(extension));
    NAMINGS.iter().any(|naming| {
        let usual = format!("{case}{}", naming.labels);
        stem.is_some_and(|stem| stem == usual || naming.misnamed_labels.contains(&stem))
    })
}

/// True if a file is NIfTI by its name.
pub(super) fn is_nifti(name: &str) -> bool {
    EXTENSIONS.iter().any(|extension| name.ends_with(extension))
}

/// Text of the file name patterns of all layouts.
pub(super) fn naming_patterns() -> String {
    let patterns: BTreeSet<String> = NAMINGS
        .iter()
        .map(|naming| format!("CASE/CASE{{{}}}.nii[.gz]", naming.images.join(",")))
        .collect();
    patterns.into_iter().collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(case: &str, files: &[&str]) -> Option<NamedFiles> {
        identify_files(case, &files.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_release_is_told_by_its_names() {
        for (case, file, layout, schemes) in [
            ("Brats18_2013_0_1", "_t1.nii.gz", Layout::Brats2018, TO_2021),
            ("BraTS19_CBICA_AAB_1", "_flair.nii", Layout::Brats2018, TO_2021),
            ("BraTS20_Training_001", "_t1.nii", Layout::Brats2020, TO_2021),
            ("BraTS2021_00000", "_t1ce.nii.gz", Layout::Brats2021, TO_2021),
            ("BraTS-GLI-00000-000", "-t1c.nii.gz", Layout::Brats2023, SINCE_2023),
            ("BraTS-PED-00001-000", "-t2w.nii.gz", Layout::Brats2023, PED),
            ("TCGA-DU-7294", "_t2.nii.gz", Layout::Brats2018, TO_2021),
        ] {
            let name = format!("{case}{file}");
            let found = named(case, &[&name]).unwrap();
            assert_eq!((found.naming.layout, found.naming.schemes), (layout, schemes), "{case}");
            assert_eq!(found.images.iter().flatten().collect::<Vec<_>>(), [&name]);
            let by_case_alone = (case != "TCGA-DU-7294").then_some(schemes);
            assert_eq!(schemes_of_case_name(case), by_case_alone, "{case}");
        }
    }

    #[test]
    fn each_release_knows_its_patients() {
        for (case, ending, patient) in [
            ("Brats18_TCIA01_131_1", "_t1.nii.gz", "Brats18_TCIA01_131_1"),
            ("BraTS20_Training_001", "_t1.nii.gz", "BraTS20_Training_001"),
            ("BraTS2021_00000", "_t1.nii.gz", "BraTS2021_00000"),
            ("BraTS-GLI-00001-001", "-t1n.nii.gz", "BraTS-GLI-00001"),
            ("BraTS-PED-00001-000", "-t1n.nii.gz", "BraTS-PED-00001"),
            ("BraTS-MEN-RT-0007-1", "-t1n.nii.gz", "BraTS-MEN-RT-0007"),
            ("BraTS-GLI-00001-001", "_t1.nii.gz", "BraTS-GLI-00001"),
            ("BraTS-GoAT-00003", "-t1n.nii.gz", "BraTS-GoAT-00003"),
            ("TCGA-02-0047", "-t1n.nii.gz", "TCGA-02-0047"),
        ] {
            let found = named(case, &[&format!("{case}{ending}")]).unwrap();
            assert_eq!(found.naming.patient_of(case), PatientId::new(patient), "{case}");
        }
    }

    #[test]
    fn a_file_of_another_case_is_not_taken() {
        assert!(named("b", &["a_t1.nii.gz", "b_t1.mha", "b_t1.nii.gz.part"]).is_none());
    }

    #[test]
    fn labels_named_in_another_releases_way_do_not_hide_the_images() {
        let found = named("a", &["a_t1.nii.gz", "a-seg.nii.gz"]).unwrap();
        assert_eq!((found.naming.layout, found.labels), (Layout::Brats2018, None));
        let alone = named("a", &["a-seg.nii.gz"]).unwrap();
        assert_eq!(alone.naming.layout, Layout::Brats2023);
    }

    #[test]
    fn the_compressed_file_is_preferred_and_the_misnamed_labels_are_found_in_2020_only() {
        let both = named("a", &["a_t1.nii", "a_t1.nii.gz"]).unwrap();
        assert_eq!(both.images[0], Ok("a_t1.nii.gz".to_owned()));
        assert_eq!(both.doubled, ["a_t1.nii"]);
        assert_eq!(both.images[1], Err("a_t1ce.nii.gz".to_owned()));
        let hidden = "W39_1998.09.19_Segm.nii";
        let case = "BraTS20_Training_355";
        let found = named(case, &["BraTS20_Training_355_t1.nii", hidden]).unwrap();
        assert_eq!(found.labels.as_deref(), Some(hidden));
        assert_eq!(named("a", &["a_t1.nii", hidden]).unwrap().labels, None);
    }
}
