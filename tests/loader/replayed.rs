//! A replayed sample is the one that the network saw, and lies where it came from.

use gliaflow::internals::actor::StopLatch;
use gliaflow::internals::brats::read_volume;
use gliaflow::internals::pipeline::{
    Batch, CaseHandle, Crop, DrawnSample, ReplayedSample, replay_sample, write_sample_arrays,
};
use gliaflow::internals::volume::{Dims, LabelScheme, Region, RunChannels, Targets};
use half::f16;

use super::reference::Reference;
use super::setting::{Setting, every_transform, phantom};
use crate::deadline::{LIMIT, within};

/// What the loader delivered at a place of a batch, as it was before its voxels were made.
fn drawn(setting: &Setting, batch: &Batch, place: usize) -> DrawnSample {
    let fetch = setting.fetch("cache", &StopLatch::new());
    let case = &batch.provenance[place].case;
    let cohort = setting.cohort();
    let files = cohort.iter().find(|files| files.id == *case).unwrap();
    let crop = Crop::new(setting.crop.clone(), setting.augment.clone());
    let mixing = batch.provenance[place].drawn.mixing.as_ref();
    let donor = mixing.map(|mixing| {
        let files = cohort.iter().find(|files| files.id == mixing.donor).unwrap();
        CaseHandle::Mapped(fetch.mapped_case(files).unwrap())
    });
    let case = CaseHandle::Mapped(fetch.mapped_case(files).unwrap());
    crop.draw_sample(batch.keys[place], case, donor)
}

#[test]
fn the_files_hold_what_the_batch_held_and_the_record_what_was_drawn() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(3);
        setting.augment = every_transform();
        setting.augment.mixing.share = 0.5;
        setting.crop.patch = Dims([10, 12, 14]);
        let batches = setting.take(watch, "cache", 0, 4);
        let out = tempfile::tempdir().unwrap();
        let mut mixed = 0;
        for (batch, place) in batches.iter().zip([1, 0, 1, 0]) {
            let sample = drawn(&setting, batch, place);
            mixed += usize::from(sample.donor.is_some());
            let done = replay_sample(
                &sample,
                RunChannels::default(),
                setting.augment.background,
                Targets::Hard,
                out.path(),
            )
            .unwrap();
            assert_eq!((done.key, done.dims), (batch.keys[place], setting.crop.patch));
            assert_eq!(done.drawn, batch.provenance[place].drawn);
            let voxels = batch.dims.voxel_count();
            for channel in 0..4 {
                let from = (4 * place + channel) * voxels;
                let written = read_volume(&done.files[channel]).unwrap().voxels;
                let held = batch.images[from..from + voxels].iter().copied().map(f16::to_f64);
                assert!(written.iter().eq(held), "channel {channel} of {place}");
            }
            let labels = read_volume(&done.files[4]).unwrap().voxels;
            let held = &batch.labels[place * voxels..(place + 1) * voxels];
            let held = held.iter().map(|label| f64::from(LabelScheme::Brats2018.to_file(*label)));
            assert!(labels.iter().eq(held));
            let record = std::fs::read(&done.files[5]).unwrap();
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
            assert_eq!(record["key"]["index"], batch.keys[place].index);
            assert!(record["drawn"]["rotation"].is_array(), "{record}");

            let background = setting.augment.background;
            let done = write_sample_arrays(
                &sample,
                RunChannels::default(),
                background,
                Targets::Hard,
                out.path(),
            )
            .unwrap();
            let [images, targets] = [0, 1].map(|file| std::fs::read(&done.files[file]).unwrap());
            for (bytes, header) in [
                (&images, "{'descr': '<f2', 'fortran_order': False, 'shape': (4, 10, 12, 14), }"),
                (&targets, "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 10, 12, 14), }"),
            ] {
                assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
                assert_eq!(std::str::from_utf8(&bytes[10..128]).unwrap().trim_end(), header);
                assert_eq!(bytes[127], b'\n');
            }
            let from = 4 * place * voxels;
            let held = batch.images[from..from + 4 * voxels].iter();
            assert!(held.flat_map(|value| value.to_le_bytes()).eq(images[128..].iter().copied()));
            let held = &batch.labels[place * voxels..(place + 1) * voxels];
            let inside = Region::BRATS.iter().flat_map(|region| {
                held.iter().map(|label| u8::from(region.contains(*label)) * 255)
            });
            assert!(inside.eq(targets[128..].iter().copied()));
        }
        assert!(mixed > 0, "none of the samples was a mixed one");
    });
}

/// Place in the source file, `[x, y, z]`, of a voxel of the patch.
fn source_place(done: &ReplayedSample, of_source: &[[f64; 4]; 4], at: [usize; 3]) -> [f64; 3] {
    let affine = read_volume(&done.files[0]).unwrap().header.world_from_voxel.0;
    let world: [f64; 3] = std::array::from_fn(|row| {
        affine[row][3] + (0..3).map(|axis| affine[row][axis] * at[axis] as f64).sum::<f64>()
    });
    // The phantom's grid is turned by whole axes, so its inverse is its transpose over the spacing.
    std::array::from_fn(|axis| {
        let squared: f64 = (0..3).map(|row| of_source[row][axis].powi(2)).sum();
        let along = |row: usize| of_source[row][axis] * (world[row] - of_source[row][3]);
        (0..3).map(along).sum::<f64>() / squared
    })
}

#[test]
fn a_mirrored_patch_lies_over_the_voxels_that_it_was_cut_from() {
    within(LIMIT, |watch| {
        let mut setting = Setting::of_cases(2);
        setting.crop.patch = Dims([9, 10, 11]);
        let mut turned = 0;
        for batch in setting.take(watch, "cache", 0, 4) {
            let sample = drawn(&setting, &batch, 0);
            let out = tempfile::tempdir().unwrap();
            let done = replay_sample(
                &sample,
                RunChannels::default(),
                setting.augment.background,
                Targets::Hard,
                out.path(),
            )
            .unwrap();
            turned += usize::from(done.drawn.mirroring.contains(&true));
            let made = phantom(&done.case);
            let reference = Reference::of_phantom(&made);
            let flair = read_volume(&done.files[3]).unwrap().voxels;
            let mut tissue = 0;
            for number in (0..flair.len()).step_by(37) {
                let [z, y, x] = done.dims.zyx_from_offset(number);
                let from = source_place(&done, &made.source.world_from_voxel.0, [x, y, z]);
                let whole = from.map(|along| along.round() as usize);
                let off = (0..3).map(|axis| (from[axis] - whole[axis] as f64).abs());
                assert!(off.fold(0.0, f64::max) < 1e-3, "{from:?} is no voxel");
                let place = made.source.dims.offset_from_zyx([whole[2], whole[1], whole[0]]);
                let score = reference.score(3, place).unwrap_or(0.0);
                let error = (flair.get(number) - score).abs();
                assert!(error <= 2e-3 * score.abs().max(1.0), "{error} at {from:?}");
                tissue += usize::from(score != 0.0);
            }
            assert!(tissue > 5, "there is something to compare");
        }
        assert!(turned > 0);
    });
}
