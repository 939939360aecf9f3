//! Tests of how names tell a layout.

use super::*;

const TO_2021: &[LabelScheme] = &[LabelScheme::Brats2018];
const SINCE_2023: &[LabelScheme] = &[LabelScheme::Brats2023, LabelScheme::Brats2024];
const PED: &[LabelScheme] = &[LabelScheme::Brats2023, LabelScheme::Brats2024Ped];

/// The first built-in layout that has an image of this name, and its modality.
fn layout_of(folder: &str, name: &str) -> Option<(&'static DatasetDescription, NamedFile)> {
    let folder: Vec<String> = folder.split('/').map(str::to_owned).collect();
    let by_names = all_built_in().iter().filter(|layout| layout.is_told_by_names());
    by_names.into_iter().find_map(|layout| Some((layout, layout.match_image(&folder, name)?)))
}

#[test]
fn each_release_is_told_by_its_names() {
    for (case, file, layout, schemes) in [
        ("Brats18_2013_0_1", "_t1.nii.gz", "brats2018", TO_2021),
        ("BraTS19_CBICA_AAB_1", "_flair.nii", "brats2018", TO_2021),
        ("BraTS20_Training_001", "_t1.nii", "brats2020", TO_2021),
        ("BraTS2021_00000", "_t1ce.nii.gz", "brats2021", TO_2021),
        ("BraTS-GLI-00000-000", "-t1c.nii.gz", "brats2023", SINCE_2023),
        ("BraTS-MEN-00001-000", "-t1c.nii.gz", "brats2023", SINCE_2023),
        ("BraTS-MET-00001-000", "-t2w.nii.gz", "brats2023", SINCE_2023),
        ("BraTS-SSA-00002-000", "-t2f.nii.gz", "brats2023", SINCE_2023),
        ("BraTS-PED-00001-000", "-t2w.nii.gz", "brats-ped", PED),
        ("TCGA-DU-7294", "_t2.nii.gz", "brats2018", TO_2021),
    ] {
        let (found, named) = layout_of(case, &format!("{case}{file}")).unwrap();
        assert_eq!((found.layout_name().name(), found.schemes()), (layout, schemes), "{case}");
        assert_eq!((found.case_of(&named.parts), named.rank), (case.to_owned(), 0));
        let by_case_alone = (case != "TCGA-DU-7294").then_some(schemes);
        assert_eq!(schemes_of_case_name(case), by_case_alone, "{case}");
    }
}

#[test]
fn radiotherapy_scans_are_of_one_modality_and_one_tissue() {
    for name in ["BraTS-MEN-RT-0004-1_t1c.nii.gz", "BraTS-MEN-RT-0004-1-t1c.nii"] {
        let (found, named) = layout_of("BraTS-MEN-RT-0004-1", name).unwrap();
        assert_eq!(
            (found.layout_name().name(), named.modality),
            ("brats-men-rt", Some(Modality::T1ce))
        );
        assert_eq!(found.modality_set().to_string(), "t1ce");
        assert_eq!(schemes_of_case_name("BraTS-MEN-RT-0004-1"), Some(found.schemes()));
        assert_eq!(found.schemes()[0].default_regions().to_string(), "GTV");
        let patient = found.patient_of("BraTS-MEN-RT-0004-1", &named.parts);
        assert_eq!(patient, Some(PatientId::new("BraTS-MEN-RT-0004")));
    }
    assert!(names_labels(Path::new("BraTS-MEN-RT-0004-1/BraTS-MEN-RT-0004-1_gtv.nii.gz")));
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
        ("UPENN-GBM-00002_21", "_T1GD.nii.gz", "UPENN-GBM-00002"),
        ("TCGA-02-0006", "_1996.08.23_t1Gd.nii.gz", "TCGA-02-0006"),
    ] {
        let (found, named) = layout_of(case, &format!("{case}{ending}")).unwrap();
        assert_eq!(found.patient_of(case, &named.parts), Some(PatientId::new(patient)), "{case}");
    }
    let ucsf = find_built_in("ucsf-pdgm").unwrap();
    for (case, patient) in
        [("UCSF-PDGM-0429_FU001d", "UCSF-PDGM-0429"), ("UCSF-PDGM-0004", "UCSF-PDGM-0004")]
    {
        assert_eq!(ucsf.patient_of(case, &Parts::new()), Some(PatientId::new(patient)));
    }
}

#[test]
fn a_file_of_another_case_is_not_taken() {
    for name in ["a_t1.nii.gz", "b_t1.mha", "b_t1.nii.gz.part"] {
        let found = layout_of("b", name).map(|(layout, _)| layout.layout_name());
        assert!(found.is_none_or(|layout| layout.name() == "flat2018"), "{name}");
    }
}

#[test]
fn labels_are_known_by_their_names() {
    for path in [
        "data/a/a_seg.nii.gz",
        "BraTS-PED-00001-000/BraTS-PED-00001-000-seg.nii",
        "BraTS20_Training_355/W39_1998.09.19_Segm.nii",
        "images_segm/UPENN-GBM-00002_11_segm.nii.gz",
    ] {
        assert!(names_labels(Path::new(path)), "{path}");
    }
    for path in ["a/a_t1.nii.gz", "a/W39_1998.09.19_Segm.nii", "a"] {
        assert!(!names_labels(Path::new(path)), "{path}");
    }
}
