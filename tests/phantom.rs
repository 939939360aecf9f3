//! The promise of the phantom cohort: real files in the BraTS 2020 layout, never mixed, and a task
//! that a threshold does not solve.

use std::fs;
use std::path::{Path, PathBuf};

use gliaflow::internals::brats::phantom::cohort::{MANIFEST, claim_folder, write_case};
use gliaflow::internals::brats::phantom::{PhantomConfig, generate_phantom};
use gliaflow::internals::brats::read_volume;
use gliaflow::internals::volume::{Dims, LabelScheme, Modality, Voxels};

const TINY: PhantomConfig = PhantomConfig { dims: Dims([24, 28, 32]), seed: 5 };

/// Names below a folder, sorted, two levels deep.
fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in entries(folder) {
        let below = if path.is_dir() { entries(&path) } else { Vec::new() };
        for path in below.iter().chain([&path]) {
            let name = path.strip_prefix(folder).expect("it was listed there");
            found.push(name.display().to_string());
        }
    }
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).expect("the folder is there");
    listed.map(|entry| entry.expect("readable").path()).collect()
}

fn write(folder: &Path, config: &PhantomConfig, cases: u64) -> Result<u64, String> {
    claim_folder(folder, config).map_err(|error| error.to_string())?;
    let written = (0..cases).map(|index| write_case(folder, config, index));
    let written: Result<Vec<_>, _> = written.collect();
    written.map(|ids| ids.len() as u64).map_err(|error| error.to_string())
}

#[test]
fn a_cohort_has_the_names_of_brats_2020_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(write(folder.path(), &TINY, 2), Ok(2));
    let mut expected = vec![MANIFEST.to_owned()];
    for id in ["BraTS20_Training_001", "BraTS20_Training_002"] {
        expected.push(id.to_owned());
        for suffix in ["flair", "seg", "t1", "t1ce", "t2"] {
            expected.push(format!("{id}/{id}_{suffix}.nii.gz"));
        }
    }
    expected.sort();
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn what_is_read_back_is_what_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let id = write_case(folder.path(), &TINY, 4).unwrap();
    assert_eq!(id.as_str(), "BraTS20_Training_005");
    let phantom = generate_phantom(&TINY, 4);
    let read = |suffix: &str| {
        let name = format!("{id}/{id}_{suffix}.nii.gz");
        read_volume(&folder.path().join(name)).unwrap()
    };
    for modality in Modality::ALL {
        let volume = read(modality.name());
        assert_eq!(volume.voxels, Voxels::from_whole(phantom.images[modality.index()].clone()));
        assert!(
            volume.header.world_from_voxel.distance_mm(&phantom.source.world_from_voxel) < 1e-4
        );
    }
    let scheme = LabelScheme::Brats2018;
    let labels: Vec<f64> = read("seg").voxels.iter().collect();
    let expected = phantom.labels.iter().map(|own| f64::from(scheme.to_file(*own)));
    assert!(labels.iter().copied().eq(expected));
    assert!([1.0, 2.0, 4.0].iter().all(|value| labels.contains(value)), "the case has all three");
}

#[test]
fn a_cohort_is_continued_and_whole_cases_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &TINY, 1).unwrap();
    let file = |id: &str| folder.path().join(id).join(format!("{id}_t1.nii.gz"));
    let first = file("BraTS20_Training_001");
    fs::write(&first, "mine").unwrap();
    // What a killed run leaves behind, and a case that lost a file.
    let left_behind = folder.path().join(".BraTS20_Training_003.partial");
    fs::create_dir(&left_behind).unwrap();
    fs::write(left_behind.join("half"), "half").unwrap();
    write(folder.path(), &TINY, 2).unwrap();
    fs::remove_file(file("BraTS20_Training_002")).unwrap();

    assert_eq!(write(folder.path(), &TINY, 3), Ok(3));
    assert_eq!(fs::read(&first).unwrap(), b"mine", "a complete case is not written twice");
    assert!(file("BraTS20_Training_002").is_file(), "an incomplete one is");
    assert!(file("BraTS20_Training_003").is_file() && !left_behind.exists());
}

#[test]
fn another_seed_or_shape_or_a_real_dataset_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &TINY, 1).unwrap();
    let before = names(folder.path());
    let other_seed = PhantomConfig { seed: 6, ..TINY };
    let text = write(folder.path(), &other_seed, 2).unwrap_err();
    assert!(text.contains("seed 5") && text.contains("seed 6"), "{text}");
    assert!(text.ends_with("choose another folder or delete this one"), "{text}");
    let other_shape = PhantomConfig { dims: Dims::cube(24), ..TINY };
    let text = write(folder.path(), &other_shape, 2).unwrap_err();
    assert!(text.contains("32x28x24") && text.contains("24x24x24"), "{text}");
    assert_eq!(names(folder.path()), before);

    fs::remove_file(folder.path().join(MANIFEST)).unwrap();
    let text = write(folder.path(), &TINY, 2).unwrap_err();
    assert!(text.contains("no phantom.json"), "{text}");
}

#[test]
fn several_threads_write_the_cohort_that_one_would() {
    let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(one.path(), &TINY, 4).unwrap();
    std::thread::scope(|scope| {
        for index in (0..4).rev() {
            let folder = many.path();
            scope.spawn(move || write_case(folder, &TINY, index).unwrap());
        }
    });
    assert_eq!(names(one.path()), names(many.path()));
    for name in names(one.path()).iter().filter(|name| name.ends_with(".gz")) {
        let bytes = |folder: &Path| fs::read(folder.join(name)).unwrap();
        assert_eq!(bytes(one.path()), bytes(many.path()), "{name}");
    }
}

/// Dice of the whole tumour against `z > threshold`, for each threshold, of one case.
fn threshold_dice(image: &[i16], labels: &[u8], thresholds: &[f64]) -> Vec<f64> {
    let tissue: Vec<(f64, bool)> = image
        .iter()
        .zip(labels)
        .filter(|(value, _)| **value != 0)
        .map(|(value, label)| (f64::from(*value), *label != 0))
        .collect();
    let count = tissue.len() as f64;
    let mean = tissue.iter().map(|(value, _)| value).sum::<f64>() / count;
    let variance = tissue.iter().map(|(value, _)| (value - mean) * (value - mean)).sum::<f64>();
    let deviation = (variance / count).sqrt();
    let truth = tissue.iter().filter(|(_, tumour)| *tumour).count() as f64;
    let dice = |threshold: &f64| {
        let bright = tissue.iter().filter(|(value, _)| (value - mean) / deviation > *threshold);
        let (mut found, mut hit) = (0.0, 0.0);
        for (_, tumour) in bright {
            found += 1.0;
            hit += f64::from(u8::from(*tumour));
        }
        2.0 * hit / (found + truth)
    };
    thresholds.iter().map(dice).collect()
}

#[test]
fn the_best_threshold_on_flair_finds_the_tumour_but_does_not_solve_it() {
    let config = PhantomConfig { dims: Dims::from_nifti([64, 64, 48]), seed: 0 };
    let thresholds: Vec<f64> = (0..60).map(|step| 0.05 * f64::from(step)).collect();
    let cases = 12;
    let mut mean = vec![0.0; thresholds.len()];
    for index in 0..cases {
        let phantom = generate_phantom(&config, index);
        let flair = &phantom.images[Modality::Flair.index()];
        let dice = threshold_dice(flair, &phantom.labels, &thresholds);
        mean.iter_mut().zip(dice).for_each(|(sum, own)| *sum += own / cases as f64);
    }
    let best = mean.iter().copied().fold(0.0, f64::max);
    assert!((0.35..0.65).contains(&best), "mean WT Dice {best}");
}
