//! Mask files with faults: the mask is named, and not the images.

use std::path::PathBuf;

use crate::cli::harness::Desk;
use crate::cli::quality::rewrite_image;

const CASE: &str = "BraTS20_Training_001";

fn file(desk: &Desk, kind: &str) -> PathBuf {
    desk.path(&format!("data/{CASE}/{CASE}_{kind}.nii.gz"))
}

/// Writes the mask of the only case: 1 where `inside` says so of a place and of T1 there.
fn write_mask(desk: &Desk, inside: impl Fn(usize, f32) -> f32) {
    rewrite_image(&file(desk, "t1"), &file(desk, "mask"), inside);
}

#[test]
fn a_faulty_mask_is_named_with_its_field_and_the_way_out() {
    let desk = Desk::with_cohort(1);
    let ingest = "ingest --data data --cache cache --json --foreground _mask";
    let problem = |words: &[&str]| {
        let done = desk.run(ingest).exits(3).json();
        let problem = done["problems"][0].as_str().unwrap().to_owned();
        for word in words.iter().chain(&["_mask", "set data.foreground to nonzero or threshold"]) {
            assert!(problem.contains(word), "`{word}` is not in: {problem}");
        }
    };
    write_mask(&desk, |_, _| 0.0);
    problem(&["_mask.nii.gz: voxels: all ", "are 0, so that the mask leaves no tissue"]);
    write_mask(&desk, |place, own| if place == 9000 { f32::NAN } else { f32::from(own != 0.0) });
    problem(&["_mask.nii.gz: voxels: 1 of ", "are NaN or infinite; write 1 for tissue"]);
    // On the air beside the brain.
    write_mask(&desk, |place, _| f32::from(place < 100));
    problem(&["mask _mask: voxels: every image has one value in all 100 that the mask calls"]);
    std::fs::write(file(&desk, "mask"), b"").unwrap();
    problem(&["_mask.nii.gz: is empty (0 bytes)"]);
    desk.run("phantom --out turned --cases 1 --seed 3 --shape 26x24x28").ok();
    let turned = desk.path(&format!("turned/{CASE}/{CASE}_t1.nii.gz"));
    std::fs::copy(turned, file(&desk, "mask")).unwrap();
    problem(&["_mask.nii.gz: is 26x24x28, but"]);

    write_mask(&desk, |_, own| f32::from(own != 0.0));
    desk.run(ingest).ok();
}

#[test]
fn a_mask_that_is_there_compressed_and_not_is_told_once() {
    let desk = Desk::with_cohort(1);
    write_mask(&desk, |_, own| f32::from(own != 0.0));
    std::fs::write(file(&desk, "mask").with_extension(""), b"another").unwrap();
    let done =
        desk.run("ingest --data data --cache cache --json --foreground _mask").exits(3).json();
    assert_eq!(done["published"], 1);
    let problems = done["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = problems[0].as_str().unwrap();
    assert!(
        problem.contains(&format!("{CASE}_mask.nii: is there compressed as well")),
        "{problem}"
    );
    desk.run("ingest --data data --cache plain").ok();
}
