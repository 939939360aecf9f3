//! One network on the same cases with other backgrounds and a spike: its predictions hardly change.

use std::path::Path;

use crate::cli::harness::{Desk, TINY};
use crate::cli::nifti_file::NiftiFile;
use crate::cli::quality::rewrite_image;

const MODALITIES: [&str; 4] = ["t1", "t1ce", "t2", "flair"];

/// A copy of the cohort in `data` with each voxel of each image changed.
pub(crate) fn copy_changed(desk: &Desk, copy: &str, change: impl Fn(usize, f32) -> f32) {
    for case in desk.names("data").iter().filter(|name| name.starts_with("BraTS20")) {
        std::fs::create_dir_all(desk.path(&format!("{copy}/{case}"))).unwrap();
        let name =
            |folder: &str, kind: &str| desk.path(&format!("{folder}/{case}/{case}_{kind}.nii.gz"));
        std::fs::copy(name("data", "seg"), name(copy, "seg")).unwrap();
        for modality in MODALITIES {
            rewrite_image(&name("data", modality), &name(copy, modality), &change);
        }
    }
}

fn labels_below(folder: &Path) -> Vec<i64> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| NiftiFile::open(file).values()).collect()
}

#[test]
fn a_network_predicts_the_same_whatever_the_background_is_and_nearly_so_with_a_spike() {
    let desk = Desk::with_cohort(3);
    desk.run(&format!("train {TINY} --data data --run run")).ok();
    desk.run("predict --run run --data data --out clean").ok();
    let clean = labels_below(&desk.path("clean"));
    let tumour = clean.iter().filter(|label| **label != 0).count();
    assert!(tumour > 500, "an empty prediction would prove nothing");

    let around = |value: f32| move |_: usize, own: f32| if own == 0.0 { value } else { own };
    copy_changed(&desk, "minus1024", around(-1024.0));
    copy_changed(&desk, "seven", around(7.5));
    copy_changed(&desk, "scored", |_, own| (own - 55.0) / 130.0);
    // In the brain's middle. A clipped spike is still another value there, in every image: 256 voxels
    // of 8707 change, where 5202 do when it is kept (`data.quality = "warn"`).
    copy_changed(&desk, "spike", |place, own| if place == 9084 { 1e7 } else { own });
    for (folder, told, part) in [
        ("minus1024", "background: is -1024 at 8 of 8 corners", 100),
        ("seven", "background: is 7.5 at 8 of 8 corners", 100),
        ("scored", "background: is -0.4", 100),
        ("spike", "percentiles 0.5 and 99.5 are", 20),
    ] {
        let outcome =
            desk.run(&format!("predict --run run --data {folder} --out {folder}-out")).ok();
        assert!(outcome.stderr.contains(told), "{folder}: {}", outcome.stderr);
        let found = labels_below(&desk.path(&format!("{folder}-out")));
        let other = clean.iter().zip(&found).filter(|(a, b)| a != b).count();
        assert!(other <= tumour / part, "{folder}: {other} voxels of {tumour} are others");
    }
}
