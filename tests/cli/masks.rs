//! Mask files that say where tissue is: `data.foreground = "_mask"`.

use crate::cli::backgrounds::copy_changed;
use crate::cli::harness::{Desk, TINY};
use crate::cli::nifti_file::NiftiFile;
use crate::cli::quality::rewrite_image;

/// A copy of `data` whose images are not 0 anywhere around the brain, each case with a mask of it.
fn copy_unstripped(desk: &Desk, copy: &str) {
    let skull = |place: usize, own: f32| if own == 0.0 { (place % 97 + 3) as f32 } else { own };
    copy_changed(desk, copy, skull);
    let inside = |_: usize, own: f32| f32::from(own != 0.0);
    for case in desk.names(copy) {
        let stripped = desk.path(&format!("data/{case}/{case}_t1.nii.gz"));
        rewrite_image(&stripped, &desk.path(&format!("{copy}/{case}/{case}_mask.nii.gz")), inside);
    }
}

#[test]
fn under_masks_training_and_prediction_are_those_of_stripped_images() {
    let desk = Desk::with_cohort(3);
    copy_unstripped(&desk, "skulls");
    desk.run(&format!("train {TINY} --data data --run stripped")).ok();
    let masked = "--set data.foreground=_mask";
    desk.run(&format!("train {TINY} {masked} --data skulls --run masked")).ok();
    desk.run(&format!("train {TINY} --data skulls --run unmasked")).ok();
    let losses = |run: &str| -> Vec<serde_json::Value> {
        let text = desk.text(&format!("{run}/events.jsonl"));
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let losses = events.map(|event: serde_json::Value| event["loss"].clone());
        losses.filter(|loss| !loss.is_null()).collect()
    };
    let expected = losses("stripped");
    assert!(!expected.is_empty());
    assert_eq!(losses("masked"), expected);
    assert_ne!(losses("unmasked"), expected, "the skull would be seen without masks");

    desk.run("predict --run stripped --data data --out stripped-out").ok();
    desk.run("predict --run masked --data skulls --out masked-out").ok();
    for name in desk.names("stripped-out") {
        let voxels = |folder: &str| {
            let path = desk.path(&format!("{folder}/{name}"));
            NiftiFile::open(&path).values()
        };
        assert_eq!(voxels("masked-out"), voxels("stripped-out"), "{name}");
    }
}

#[test]
fn a_case_without_its_mask_is_listed_and_a_misspelt_rule_is_no_mask() {
    let desk = Desk::with_cohort(2);
    copy_unstripped(&desk, "skulls");
    let lost = "BraTS20_Training_002";
    std::fs::remove_file(desk.path(&format!("skulls/{lost}/{lost}_mask.nii.gz"))).unwrap();
    let ingest = "ingest --data skulls --cache cache --json --foreground";
    let done = desk.run(&format!("{ingest} _mask")).exits(3).json();
    assert_eq!(done["published"], 1);
    let problem = done["problems"][0].as_str().unwrap();
    assert!(problem.contains(&format!("{lost}_mask.nii.gz is not in")), "{problem}");
    for own in ["_seg", "_t1"] {
        let refused = desk.run(&format!("{ingest} {own}")).exits(3).json();
        let problem = refused["problems"][0].as_str().unwrap();
        assert!(
            problem.contains("is an image or the labels of the case, and no mask"),
            "{problem}"
        );
    }
    let refused = desk.run(&format!("{ingest} nonzer")).exits(2);
    assert!(refused.stderr.contains("such as _mask for CASE_mask.nii.gz"), "{}", refused.stderr);
    let refused = desk.run("config show --set data.foreground=nonzer").exits(2);
    assert!(refused.stderr.contains("data.foreground"), "{}", refused.stderr);
}
