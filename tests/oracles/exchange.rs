//! Weights cross to other programs and back: MONAI's are understood, ours survive, and what does not
//! fit is named.

use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use gliaflow::nets::exchange::{Weight, to_bytes};
use gliaflow::nets::weights::ParameterShape;
use gliaflow::nets::{ARCHITECTURES, ArchitectureEntry, Blueprint, Learner, OptimiserConfig};
use gliaflow::volume::RunChannels;
use serde::Deserialize;
use serde_json::{Value, json};

use super::counters::uniform;
use super::figures::{fixture, worst};

/// What MONAI's SegResNet computed; `scripts/oracles/segresnet.py` made it.
#[derive(Deserialize)]
struct Figures {
    tensors: Vec<(String, Vec<usize>)>,
    images: [usize; 5],
    logits: [usize; 5],
    stride: usize,
    values: Vec<f32>,
}

/// The tensors of MONAI's network, filled from counters.
fn monais(figures: &Figures) -> Vec<Weight> {
    let weight = |(place, (name, shape)): (usize, &(String, Vec<usize>))| {
        let (low, high) = match (shape.len(), name.ends_with("weight")) {
            (1, true) => (0.8, 1.2),
            (1, false) => (-0.1, 0.1),
            _ => {
                let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
                (-bound, bound)
            }
        };
        let values = uniform(shape.iter().product(), 5000 + place as u64, low, high);
        Weight { parameter: ParameterShape { name: name.clone(), shape: shape.clone() }, values }
    };
    figures.tensors.iter().enumerate().map(weight).collect()
}

fn resunet(more: &Value) -> Box<dyn Blueprint> {
    let mut settings = json!({
        "base_width": 4, "groups": 2, "encoder_units": [1, 2, 1], "dropout": 0.0, "vae": false,
    });
    for (field, value) in more.as_object().unwrap() {
        settings[field] = value.clone();
    }
    ArchitectureEntry::find_by_name("resunet_vae").unwrap().parse_settings(&settings).unwrap()
}

fn learner(blueprint: &dyn Blueprint, seed: u64) -> Box<dyn Learner> {
    blueprint.new_learner(&OptimiserConfig::default(), seed, &Device::flex())
}

fn write(folder: &Path, weights: &[Weight]) -> std::path::PathBuf {
    let file = folder.join("weights.safetensors");
    fs::write(&file, to_bytes(weights, "a test's", RunChannels::default(), &json!({})).unwrap())
        .unwrap();
    file
}

/// A learner's weights by way of a checkpoint.
fn weights(blueprint: &dyn Blueprint, learner: &dyn Learner) -> Vec<Weight> {
    let folder = tempfile::tempdir().unwrap();
    learner.save(folder.path()).unwrap();
    blueprint.load_weights(folder.path()).unwrap()
}

#[test]
fn monais_weights_give_monais_logits_on_our_channels_and_axes() {
    let figures: Figures = fixture("segresnet");
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &monais(&figures));
    let blueprint = resunet(&json!({}));
    let mut incoming = blueprint.import_weights(&file).unwrap();
    assert_eq!((incoming.program, incoming.kept.len(), incoming.unused.len()), ("MONAI", 0, 0));
    let mut learner = learner(blueprint.as_ref(), 1);
    learner.initialise_weights(&mut |_, name, _| incoming.values.remove(name));

    let values = uniform(figures.images.iter().product(), 11, -2.0, 2.0);
    let theirs = Tensor::<5>::from_data(TensorData::new(values, figures.images), learner.device());
    // Theirs are T1ce, T1, T2, FLAIR by x, y, z.
    let channel = |place: usize| theirs.clone().narrow(1, place, 1);
    let ours = Tensor::cat(vec![channel(1), channel(0), channel(2), channel(3)], 1);
    let logits = learner.forward(ours.permute([0, 1, 4, 3, 2]), 0).logits;
    let logits = logits.permute([0, 1, 4, 3, 2]);
    assert_eq!(logits.dims(), figures.logits);
    let region = |place: usize| logits.clone().narrow(1, place, 1);
    let in_their_order = Tensor::cat(vec![region(1), region(2), region(0)], 1);
    let all: Vec<f32> = in_their_order.into_data().try_to_vec().unwrap();
    let sampled: Vec<f32> = all.into_iter().step_by(figures.stride).collect();
    assert_eq!(sampled.len(), figures.values.len());
    assert!(worst(&sampled, &figures.values) < 2e-4, "{}", worst(&sampled, &figures.values));
}

#[test]
fn monais_weights_leave_our_autoencoder_as_it_was_drawn_and_theirs_aside() {
    let figures: Figures = fixture("segresnet");
    let folder = tempfile::tempdir().unwrap();
    let mut with_theirs = monais(&figures);
    let name = "vae_fc1.bias".to_string();
    let parameter = ParameterShape { name: name.clone(), shape: vec![2] };
    with_theirs.push(Weight { parameter, values: vec![1.0, 2.0] });
    let file = write(folder.path(), &with_theirs);
    let blueprint = resunet(&json!({"vae": true, "patch": [8, 8, 8], "latent": 2}));
    let mut incoming = blueprint.import_weights(&file).unwrap();
    assert_eq!(incoming.unused, [name]);
    assert!(incoming.kept.iter().all(|name| name.starts_with("vae.")), "{:?}", incoming.kept);
    assert_eq!(incoming.kept.len() + figures.tensors.len(), blueprint.parameter_shapes().len());

    let mut started = learner(blueprint.as_ref(), 3);
    started.initialise_weights(&mut |_, name, _| incoming.values.remove(name));
    let before = weights(blueprint.as_ref(), learner(blueprint.as_ref(), 3).as_ref());
    let after = weights(blueprint.as_ref(), started.as_ref());
    for (drawn, now) in before.iter().zip(&after) {
        let is_theirs = !drawn.parameter.name.starts_with("vae.");
        assert_eq!(drawn.values != now.values, is_theirs, "{}", drawn.parameter.name);
    }
}

#[test]
fn every_networks_weights_survive_the_way_out_and_in() {
    let folder = tempfile::tempdir().unwrap();
    for entry in ARCHITECTURES {
        let settings = match entry.name {
            "resunet_vae" => json!({"base_width": 8, "patch": [16, 16, 16], "latent": 2}),
            _ => json!({"base_width": 2}),
        };
        let blueprint = entry.parse_settings(&settings).unwrap();
        let written = weights(blueprint.as_ref(), learner(blueprint.as_ref(), 5).as_ref());
        let file = write(folder.path(), &written);
        assert_eq!(
            fs::read(&file).unwrap(),
            to_bytes(&written, "a test's", RunChannels::default(), &json!({})).unwrap()
        );
        let mut incoming = blueprint.import_weights(&file).unwrap();
        assert_eq!(incoming.program, "gliaflow");
        assert!(incoming.kept.is_empty() && incoming.unused.is_empty());
        let mut other = learner(blueprint.as_ref(), 6);
        other.initialise_weights(&mut |_, name, _| incoming.values.remove(name));
        assert_eq!(weights(blueprint.as_ref(), other.as_ref()), written, "{}", entry.name);
    }
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_the_names() {
    let folder = tempfile::tempdir().unwrap();
    let blueprint = ArchitectureEntry::find_by_name("unet")
        .unwrap()
        .parse_settings(&json!({"base_width": 2}))
        .unwrap();
    let good = weights(blueprint.as_ref(), learner(blueprint.as_ref(), 5).as_ref());
    let refused = |change: &dyn Fn(&mut Vec<Weight>)| {
        let mut weights = good.clone();
        change(&mut weights);
        blueprint.import_weights(&write(folder.path(), &weights)).unwrap_err().to_string()
    };
    let at = |name: &str| good.iter().position(|weight| weight.parameter.name == name).unwrap();
    let head = at("head.weight");

    let text = refused(&|weights| drop(weights.remove(head)));
    assert!(text.contains("has no head.weight"), "{text}");
    let text = refused(&|weights| {
        let mut extra = weights[head].clone();
        extra.parameter.name = "tail.weight".into();
        weights.push(extra);
    });
    assert!(text.contains("has besides tail.weight"), "{text}");
    let text = refused(&|weights| weights[head].parameter.shape = vec![2, 3, 1, 1, 1]);
    assert!(text.contains("head.weight is [2, 3, 1, 1, 1] for [3, 2, 1, 1, 1]"), "{text}");
    let text = refused(&|weights| weights[head].values[1] = f32::NAN);
    assert!(text.contains("head.weight is not finite"), "{text}");
    let text = refused(&|weights| weights.truncate(2));
    assert!(
        text.contains("has no enc.0.0.norm.weight, ") && text.contains(" and 66 more"),
        "{text}"
    );
    assert!(text.ends_with("use the settings that it was trained with"), "{text}");

    let file = write(folder.path(), &good);
    let whole = fs::read(&file).unwrap();
    for length in [0, 7, 100, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        let text = blueprint.import_weights(&file).unwrap_err().to_string();
        assert!(text.contains("is no safetensors"), "cut at {length}: {text}");
    }
    let text = blueprint.import_weights(Path::new("nowhere.safetensors")).unwrap_err().to_string();
    assert!(text.contains("nowhere.safetensors"), "{text}");
}
