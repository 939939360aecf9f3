//! What a learner does with gradients, and that a checkpoint is the whole of it.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use gliaflow::internals::nets::learner::{AVERAGE_FILE, OPTIMISER_FILE, WEIGHTS_FILE};
use gliaflow::internals::nets::{Blueprint, Learner, OptimiserConfig};
use gliaflow::internals::train::{DiceBceLoss, region_targets};
use gliaflow::internals::volume::RegionSet;
use serde_json::json;

use super::{images, labels, probabilities, small_ones, step};

const SIDE: usize = 8;

/// Everything that has something to remember.
fn optimisers() -> [OptimiserConfig; 4] {
    [
        json!({"kind": "adam"}),
        json!({"kind": "adam", "amsgrad": true, "average": 0.9, "clip_norm": 0.1}),
        json!({"kind": "adamw", "decay_kernels_only": true}),
        json!({"kind": "sgd", "nesterov": true, "average": 0.9}),
    ]
    .map(|settings| serde_json::from_value(settings).unwrap())
}

/// Every network with every optimiser, by name.
fn learners() -> impl Iterator<Item = (String, Box<dyn Blueprint>, OptimiserConfig)> {
    small_ones().into_iter().flat_map(|blueprint| {
        let settings = blueprint.settings();
        let entry =
            gliaflow::internals::nets::ArchitectureEntry::find_by_name(blueprint.name()).unwrap();
        optimisers().into_iter().map(move |optimiser| {
            let name = format!("{} {optimiser:?}", entry.name);
            (name, entry.parse_settings(&settings).unwrap(), optimiser)
        })
    })
}

/// The files of a checkpoint, by name.
fn files(learner: &dyn Learner) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    learner.save(folder.path()).unwrap();
    let read = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(path).unwrap())
    };
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut files: Vec<_> = entries.map(|entry| read(&entry.unwrap().path())).collect();
    files.sort();
    files
}

/// A step on a batch that somebody divided by 0.
fn unsound_step(learner: &mut dyn Learner, number: u64) {
    let device = learner.device().clone();
    let output = learner.forward(images(number, SIDE, &device) * f32::NAN, number);
    let parts = DiceBceLoss::default()
        .total_loss(output, region_targets(RegionSet::BRATS, labels(SIDE, &device)));
    let update = learner.backward_and_step(parts.total.clone(), 1e-2);
    assert!(parts.total.into_scalar::<f32>().is_nan());
    assert!(update.gradient_norm.into_scalar::<f32>().is_nan());
}

#[test]
fn the_same_training_leaves_the_same_files_and_a_checkpoint_continues_it() {
    for (name, blueprint, optimiser) in learners() {
        let learner = || blueprint.new_learner(&optimiser, 5, &Device::flex());
        let mut straight = learner();
        step(straight.as_mut(), 0, SIDE);
        step(straight.as_mut(), 1, SIDE);
        let folder = tempfile::tempdir().unwrap();
        straight.save(folder.path()).unwrap();
        let loss = step(straight.as_mut(), 2, SIDE);
        let expected = files(straight.as_ref());
        let names: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
        let average = optimiser.average.map(|_| AVERAGE_FILE);
        let all: Vec<&str> = average.into_iter().chain([OPTIMISER_FILE, WEIGHTS_FILE]).collect();
        assert_eq!(names, all);

        let mut resumed = learner();
        step(resumed.as_mut(), 7, SIDE);
        resumed.load(folder.path()).unwrap();
        assert_eq!(step(resumed.as_mut(), 2, SIDE).to_bits(), loss.to_bits(), "{name}");
        assert!(files(resumed.as_ref()) == expected, "{name}: resumed");

        let mut again = learner();
        for number in 0..3 {
            step(again.as_mut(), number, SIDE);
        }
        assert!(files(again.as_ref()) == expected, "{name}: once more");
    }
}

#[test]
fn a_checkpoint_whose_parameters_have_other_ids_is_refused_and_changes_nothing() {
    const KEY: &[u8] = b"param_id";
    for (name, blueprint, optimiser) in learners() {
        let mut learner = blueprint.new_learner(&optimiser, 5, &Device::flex());
        step(learner.as_mut(), 0, SIDE);
        let kept = files(learner.as_ref());
        let folder = tempfile::tempdir().unwrap();
        for (file, bytes) in &kept {
            learner.save(folder.path()).unwrap();
            let mut crafted = bytes.clone();
            let place = crafted.windows(KEY.len()).position(|part| part == KEY).unwrap();
            // Burn reads an entry without this key, and draws an id for it.
            crafted[place + 2] = b'L';
            fs::write(folder.path().join(file), &crafted).unwrap();
            let refused = learner.load(folder.path()).unwrap_err().to_string();
            assert!(refused.contains(file) && refused.contains("other ids"), "{name}: {refused}");
            assert!(files(learner.as_ref()) == kept, "{name}: {file}");
            fs::remove_dir_all(folder.path()).unwrap();
            fs::create_dir(folder.path()).unwrap();
        }
    }
}

#[test]
fn a_batch_that_is_not_finite_leaves_no_trace() {
    for (name, blueprint, optimiser) in learners() {
        let learner = || blueprint.new_learner(&optimiser, 5, &Device::flex());
        let mut clean = learner();
        let mut tried = learner();
        unsound_step(tried.as_mut(), 0);
        assert!(files(tried.as_ref()) == files(clean.as_ref()), "{name}: ahead of all others");
        for number in 1..3 {
            step(clean.as_mut(), number, SIDE);
            step(tried.as_mut(), number, SIDE);
            unsound_step(tried.as_mut(), 9);
        }
        assert!(files(tried.as_ref()) == files(clean.as_ref()), "{name}");
    }
}

#[test]
fn a_network_predicts_with_the_average_where_there_is_one() {
    let blueprint = super::small_unet();
    let learner = |average| {
        let optimiser = OptimiserConfig { average, ..OptimiserConfig::default() };
        blueprint.new_learner(&optimiser, 5, &Device::flex())
    };
    let (mut plain, mut averaged) = (learner(None), learner(Some(0.9)));
    for learner in [&mut plain, &mut averaged] {
        step(learner.as_mut(), 0, SIDE);
    }
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let [first, same] = [&plain, &averaged].map(|learner| probabilities(learner.as_ref(), SIDE));
    assert!(near(&first, &same), "the average of one step is that step");
    for learner in [&mut plain, &mut averaged] {
        step(learner.as_mut(), 1, SIDE);
    }
    let [second, between] = [&plain, &averaged].map(|l| probabilities(l.as_ref(), SIDE));
    assert!(!near(&second, &between));

    let folder = tempfile::tempdir().unwrap();
    averaged.save(folder.path()).unwrap();
    let network = blueprint.load_network(folder.path(), &Device::flex()).unwrap();
    let loaded = network.predict_probabilities(images(9, SIDE, network.device()));
    assert_eq!(loaded.into_data().try_to_vec::<f32>().unwrap(), between);
}

#[test]
fn a_step_of_two_batches_is_a_step_down_their_mean() {
    let optimiser: OptimiserConfig =
        serde_json::from_value(json!({"kind": "sgd", "momentum": 0.0, "weight_decay": 0.0}))
            .unwrap();
    let blueprint = super::small_unet();
    let loss = |learner: &dyn Learner, number| {
        let device = learner.device().clone();
        let output = learner.forward(images(number, SIDE, &device), number);
        DiceBceLoss::default()
            .total_loss(output, region_targets(RegionSet::BRATS, labels(SIDE, &device)))
            .total
    };
    let mut gathered = blueprint.new_learner(&optimiser, 5, &Device::flex());
    let mut summed = blueprint.new_learner(&optimiser, 5, &Device::flex());
    let first = loss(gathered.as_ref(), 0);
    gathered.accumulate_gradients(first);
    let second = loss(gathered.as_ref(), 1);
    gathered.accumulate_gradients(second);
    let two = gathered.optimiser_step(0.1).gradient_norm.into_scalar::<f32>();
    let mean = (loss(summed.as_ref(), 0) + loss(summed.as_ref(), 1)) / 2.0;
    let one = summed.backward_and_step(mean, 0.1).gradient_norm.into_scalar::<f32>();
    assert!((two / one - 1.0).abs() < 1e-4, "{two} {one}");
    let [two, one] = [&gathered, &summed].map(|learner| probabilities(learner.as_ref(), SIDE));
    assert!(two.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn frozen_parts_stay_to_the_bit_and_count_in_no_norm() {
    let weights = |blueprint: &dyn Blueprint, learner: &dyn Learner| {
        let folder = tempfile::tempdir().unwrap();
        learner.save(folder.path()).unwrap();
        blueprint.load_weights(folder.path()).unwrap()
    };
    for (name, blueprint, optimiser) in learners() {
        let optimiser = OptimiserConfig { average: None, ..optimiser };
        let mut free = blueprint.new_learner(&optimiser, 5, &Device::flex());
        let mut partly = blueprint.new_learner(&optimiser, 5, &Device::flex());
        let first = blueprint.parameter_shapes()[0].name.clone();
        let part = first.split('.').take(2).collect::<Vec<_>>().join(".");
        partly.freeze_parts(std::slice::from_ref(&part));
        let before = weights(blueprint.as_ref(), partly.as_ref());
        let norm = |learner: &mut dyn Learner| {
            let device = learner.device().clone();
            let output = learner.forward(images(0, SIDE, &device), 0);
            let loss = DiceBceLoss::default()
                .total_loss(output, region_targets(RegionSet::BRATS, labels(SIDE, &device)));
            learner.backward_and_step(loss.total, 1e-2).gradient_norm.into_scalar::<f32>()
        };
        let (whole, rest) = (norm(free.as_mut()), norm(partly.as_mut()));
        assert!(rest > 0.0 && rest < whole, "{name}: {rest} {whole}");
        let after = weights(blueprint.as_ref(), partly.as_ref());
        let mut moved = 0;
        for (old, new) in before.iter().zip(&after) {
            let is_frozen = new.parameter.name.starts_with(&format!("{part}."));
            assert!(!is_frozen || old == new, "{name}: {}", new.parameter.name);
            moved += usize::from(old != new);
        }
        let frozen = before.iter().filter(|one| one.parameter.name.starts_with(&part)).count();
        assert!(frozen > 0 && moved > (before.len() - frozen) / 2, "{name}: {moved} {frozen}");
    }
}

#[test]
fn activations_computed_again_give_the_same_steps() {
    for blueprint in small_ones() {
        let checkpointing = Device::flex().autodiff().gradient_checkpointing();
        let [kept, again] = [Device::flex(), checkpointing].map(|device| {
            let mut learner = blueprint.new_learner(&OptimiserConfig::default(), 5, &device);
            (0..2).for_each(|number| {
                step(learner.as_mut(), number, SIDE);
            });
            files(learner.as_ref())
        });
        assert!(kept == again, "{}", blueprint.name());
    }
}
