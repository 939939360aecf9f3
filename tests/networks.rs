//! Every network of the registry can be trained, saved, resumed and used.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use gliaflow::internals::augment::AugmentConfig;
use gliaflow::internals::base::{Domain, Fault, KeyedRng, SampleKey};
use gliaflow::internals::eval::{SlidingConfig, predict_case};
use gliaflow::internals::nets::learner::{OPTIMISER_FILE, WEIGHTS_FILE};
use gliaflow::internals::nets::{
    ARCHITECTURES, ArchitectureEntry, Blueprint, Learner, OptimiserConfig,
};
use gliaflow::internals::pipeline::CropConfig;
use gliaflow::internals::run::config;
use gliaflow::internals::train::{DiceBceLoss, Schedule, region_targets};
use gliaflow::internals::volume::{Dims, Modality, Region, RegionSet, RunChannels};
use serde_json::{Value, json};

mod learning;
mod monai;
mod onnx;
mod onnx_runtime;

fn images(index: u64, side: usize, device: &Device) -> Tensor<5> {
    let mut rng = KeyedRng::new(SampleKey { seed: 1, epoch: 0, index }, Domain::Phantom);
    let shape = [1, Modality::COUNT, side, side, side];
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| rng.standard_normal() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn labels(side: usize, device: &Device) -> Tensor<4, Int> {
    let values: Vec<u8> = (0..side.pow(3)).map(|place| (place / side % 4) as u8).collect();
    let data = TensorData::new(values, [1, side, side, side]);
    Tensor::from_data(data, (device, DType::U8))
}

/// The network of these settings for patches of `side`, where it must be told.
fn sized(entry: &ArchitectureEntry, side: usize, mut settings: Value) -> Box<dyn Blueprint> {
    let defaults = entry.default_blueprint().settings();
    if defaults.get("patch").is_some() {
        settings["patch"] = json!([side, side, side]);
    }
    entry.parse_settings(&settings).unwrap()
}

fn small_unet() -> Box<dyn Blueprint> {
    let settings = json!({"base_width": 2, "levels": 3, "conv_bias": false});
    ArchitectureEntry::find_by_name("unet").unwrap().parse_settings(&settings).unwrap()
}

fn small_learner(seed: u64) -> Box<dyn Learner> {
    small_unet().new_learner(&OptimiserConfig::default(), seed, &Device::flex())
}

/// One step on the batch of that number; the loss before it.
fn step(learner: &mut dyn Learner, number: u64, side: usize) -> f32 {
    let device = learner.device().clone();
    let output = learner.forward(images(number, side, &device), number);
    let parts = DiceBceLoss::default()
        .total_loss(output, region_targets(RegionSet::BRATS, labels(side, &device)));
    let loss = parts.total.clone().into_scalar();
    let update = learner.backward_and_step(parts.total, 1e-2);
    assert!(update.gradient_norm.into_scalar::<f32>() > 0.0);
    loss
}

fn probabilities(learner: &dyn Learner, side: usize) -> Vec<f32> {
    let network = learner.inference_network();
    let answer = network.predict_probabilities(images(9, side, network.device()));
    answer.into_data().try_to_vec().unwrap()
}

#[test]
fn every_architecture_trains_at_its_smallest_patch() {
    for entry in ARCHITECTURES {
        let side = entry.default_blueprint().smallest_patch();
        let blueprint = sized(entry, side, entry.default_blueprint().settings());
        assert!(blueprint.fits_patch(Dims::cube(side)).is_ok(), "{}", entry.name);
        let learner = blueprint.new_learner(&OptimiserConfig::default(), 3, &Device::flex());
        assert_eq!(learner.parameter_count(), blueprint.parameter_count(), "{}", entry.name);

        let output = learner.forward(images(0, side, learner.device()), 0);
        assert_eq!(
            output.logits.dims(),
            [1, Region::BRATS.len(), side, side, side],
            "{}",
            entry.name
        );
        let targets = region_targets(RegionSet::BRATS, labels(side, learner.device()));
        let norms =
            learner.gradient_norms(DiceBceLoss::default().total_loss(output, targets).total);
        assert!(norms.iter().all(|gradient| gradient.norm.is_finite() && gradient.norm > 0.0));
        // A bias ahead of an instance norm has none; everything else must have one.
        let mut named = norms.iter().map(|gradient| &*gradient.name).peekable();
        for parameter in blueprint.parameter_shapes() {
            if named.next_if_eq(&&*parameter.name).is_none() {
                let is_bias =
                    ["conv.bias", "conv1.bias"].iter().any(|end| parameter.name.ends_with(end));
                assert!(is_bias, "{}: {} has no gradient", entry.name, parameter.name);
            }
        }
        assert_eq!(named.next(), None, "{}", entry.name);
    }
}

#[test]
fn every_architecture_has_a_configuration() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    for entry in ARCHITECTURES {
        let file = configs.join(entry.name).with_extension("toml");
        let checked = config::load(Some(&file), &[]).map_err(|error| error.to_string()).unwrap();
        assert_eq!(checked.run.model.name, entry.name);
        assert_eq!(checked.run.crop.patch, Dims::cube(128));
        checked.blueprint.fits_patch(checked.run.crop.patch).unwrap();
        let defaults = entry.default_blueprint();
        assert_eq!(checked.blueprint.settings(), defaults.settings(), "these are the defaults");
    }
}

#[test]
fn the_protocol_of_monais_bundle_is_that_of_its_own_configuration() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/protocols/monai-brats2018.toml");
    let checked = config::load(Some(&file), &[]).map_err(|error| error.to_string()).unwrap();
    // `configs/train.json` of the model zoo's `brats_mri_segmentation`.
    let model = checked.blueprint.settings();
    assert_eq!(model["base_width"], 16);
    assert_eq!(model["encoder_units"], json!([1, 2, 2, 4]));
    assert_eq!((&model["dropout"], &model["vae"]), (&json!(0.2), &json!(false)));
    let run = &checked.run;
    assert_eq!((run.crop.patch, run.crop.foreground_share), (Dims([144, 224, 224]), 0.0));
    assert_eq!((run.train.epochs, run.train.learning_rate), (300, 1e-4));
    assert_eq!((run.loader.batch, run.train.validation.every_epochs), (1, 1));
    assert!(run.data.split.is_some() && run.augment.rotation.probability == 0.0);
}

#[test]
fn the_papers_configurations_hold_what_the_paper_lists_and_nothing_else() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/paper");
    let defaults = AugmentConfig::default();
    for (name, batch, learning_rate, factor) in
        [("unet", 2, 2e-4, 0.6), ("resunet_vae", 2, 2e-4, 0.6), ("cascaded", 4, 0.1, 0.85)]
    {
        let file = configs.join(name).with_extension("toml");
        let checked = config::load(Some(&file), &[]).map_err(|error| error.to_string()).unwrap();
        let run = &checked.run;
        assert_eq!(run.model.name, name);
        checked.blueprint.fits_patch(run.crop.patch).unwrap();
        assert_eq!(run.crop, CropConfig { patch: Dims::cube(128), foreground_share: 0.0 });
        assert_eq!((run.augment.gamma.probability, run.augment.noise.probability), (0.0, 0.0));
        let listed = AugmentConfig {
            gamma: run.augment.gamma.clone(),
            noise: run.augment.noise.clone(),
            ..defaults.clone()
        };
        assert_eq!(run.augment, listed);
        assert_eq!(run.loss.dice_bce, DiceBceLoss { region_sum: true, ..DiceBceLoss::default() });
        assert!(run.optimiser.decay_kernels_only);
        assert_eq!((run.optimiser.clip_norm, run.optimiser.average), (None, None));
        assert_eq!((run.train.epochs, run.loader.batch), (280, batch));
        assert_eq!(run.train.learning_rate.to_bits(), f64::to_bits(learning_rate));
        assert_eq!(run.train.schedule, Schedule::Step { factor, every_epochs: 28.0 });
        // What the paper leaves open is written down, not left to a default that may change.
        let written: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        let resolved = toml::Table::try_from(run).unwrap();
        for section in ["crop", "augment", "optimiser", "loss"] {
            assert_keys_written(&resolved[section], &written[section], section);
        }
    }
}

/// Every setting of `resolved` stands in `written`, but the ranges of transforms that are off.
fn assert_keys_written(resolved: &toml::Value, written: &toml::Value, path: &str) {
    let Some(table) = resolved.as_table() else { return };
    if written.get("probability").is_some_and(|share| share.as_float() == Some(0.0)) {
        return;
    }
    for (key, value) in table {
        let path = format!("{path}.{key}");
        let own = written.get(key).unwrap_or_else(|| panic!("{path} is not written down"));
        assert_keys_written(value, own, &path);
    }
}

#[test]
fn weights_are_a_function_of_the_seed() {
    let side = small_unet().smallest_patch();
    let drawn = probabilities(small_learner(5).as_ref(), side);
    assert_eq!(drawn, probabilities(small_learner(5).as_ref(), side));
    assert_ne!(drawn, probabilities(small_learner(6).as_ref(), side));
}

#[test]
fn steps_lower_the_loss() {
    let mut learner = small_learner(5);
    let losses: Vec<f32> = (0..8).map(|_| step(learner.as_mut(), 0, 8)).collect();
    assert!(losses[7] < losses[0] - 0.05, "{losses:?}");
}

#[test]
fn a_snapshot_is_left_alone_by_later_steps() {
    let mut learner = small_learner(5);
    let snapshot = learner.inference_network();
    let answer = |device: &Device| -> Vec<f32> {
        snapshot.predict_probabilities(images(9, 8, device)).into_data().try_to_vec().unwrap()
    };
    let before = answer(snapshot.device());
    step(learner.as_mut(), 0, 8);
    assert_eq!(answer(snapshot.device()), before);
    assert_ne!(probabilities(learner.as_ref(), 8), before);
}

/// Every architecture, small, with all that it draws: dropout and latent noise.
fn small_ones() -> Vec<Box<dyn Blueprint>> {
    let settings = [
        ("unet", json!({"base_width": 2, "levels": 3})),
        (
            "resunet_vae",
            json!({"base_width": 4, "groups": 2, "encoder_units": [1, 1], "latent": 3}),
        ),
        ("cascaded", json!({"base_width": 1, "levels": 2, "loss_weights": [0.4, 0.3]})),
    ];
    assert_eq!(settings.len(), ARCHITECTURES.len(), "a network is not tested");
    let blueprint =
        |(name, settings)| sized(ArchitectureEntry::find_by_name(name).unwrap(), 8, settings);
    settings.into_iter().map(blueprint).collect()
}

#[test]
fn a_saved_network_predicts_as_the_learner_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut learner = small_learner(5);
    step(learner.as_mut(), 0, 8);
    learner.save(folder.path()).unwrap();
    let network = small_unet().load_network(folder.path(), &Device::flex()).unwrap();
    let answer = network.predict_probabilities(images(9, 8, network.device()));
    let loaded: Vec<f32> = answer.into_data().try_to_vec().unwrap();
    assert_eq!(loaded, probabilities(learner.as_ref(), 8));
}

#[test]
fn a_whole_case_is_predicted_as_its_windows_are() {
    let learner = small_learner(5);
    let network = learner.inference_network();
    let window = Dims::cube(8);
    let patch: Vec<f32> = images(9, 8, network.device()).into_data().try_to_vec().unwrap();
    let predict = |case: Dims, images: &[f32]| {
        let config = SlidingConfig { batch: 2, ..SlidingConfig::default() };
        let mut windows = 0;
        let progress = |done, _| {
            windows = done;
            ControlFlow::Continue(())
        };
        let blended = predict_case(
            network.as_ref(),
            images,
            case,
            window,
            RunChannels::default(),
            &config,
            progress,
        );
        (blended.unwrap(), windows)
    };
    let (alone, windows) = predict(window, &patch);
    assert_eq!(windows, 1);
    let direct = probabilities(learner.as_ref(), 8);
    assert!(alone.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-6));

    // The windows of a case that repeats along one axis agree where each has its own middle.
    let twice: Vec<f32> = patch.chunks_exact(512).flat_map(|image| image.repeat(2)).collect();
    let (long, windows) = predict(Dims([16, 8, 8]), &twice);
    assert_eq!((windows, long.len()), (3, 3 * 1024));
    assert!(long.iter().all(|p| (0.0..=1.0).contains(p)));
    let first = Dims([16, 8, 8]).offset_from_zyx([0, 4, 4]);
    assert!((long[first] - direct[first]).abs() < 1e-6, "seen by the first window only");
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut learner = small_learner(5);
    step(learner.as_mut(), 0, 8);
    let before = probabilities(learner.as_ref(), 8);
    let refusal = |learner: &mut dyn Learner| match learner.load(folder.path()) {
        Err(Fault::Environment { subject, .. }) => subject,
        other => panic!("{other:?}"),
    };
    assert!(refusal(learner.as_mut()).ends_with(WEIGHTS_FILE), "nothing was saved yet");

    let wider = json!({"base_width": 3, "levels": 3, "conv_bias": false});
    let entry = ArchitectureEntry::find_by_name("unet").unwrap();
    let mut other = entry.parse_settings(&wider).unwrap().new_learner(
        &OptimiserConfig::default(),
        1,
        &Device::flex(),
    );
    step(other.as_mut(), 0, 8);
    other.save(folder.path()).unwrap();
    assert!(refusal(learner.as_mut()).ends_with(WEIGHTS_FILE), "another width");

    learner.save(folder.path()).unwrap();
    for file in [WEIGHTS_FILE, OPTIMISER_FILE] {
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(refusal(learner.as_mut()).ends_with(file), "{file} cut at {length}");
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(probabilities(learner.as_ref(), 8), before);
    learner.load(folder.path()).unwrap();
}
