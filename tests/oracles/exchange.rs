//! Weights cross to other programs and back: MONAI's are understood, ours survive, and what does not
//! fit is named.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use gliaflow::internals::nets::exchange::{Weight, to_bytes};
use gliaflow::internals::nets::weights::ParameterShape;
use gliaflow::internals::nets::{
    ARCHITECTURES, ArchitectureEntry, Blueprint, Learner, OptimiserConfig,
};
use gliaflow::internals::volume::{ModalitySet, Region, RegionSet, RunChannels, label};
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
fn what_fits_is_taken_what_does_not_is_named_and_less_than_half_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let blueprint = ArchitectureEntry::find_by_name("unet")
        .unwrap()
        .parse_settings(&json!({"base_width": 2}))
        .unwrap();
    let good = weights(blueprint.as_ref(), learner(blueprint.as_ref(), 5).as_ref());
    let import = |change: &dyn Fn(&mut Vec<Weight>)| {
        let mut weights = good.clone();
        change(&mut weights);
        blueprint.import_weights(&write(folder.path(), &weights))
    };
    let refused = |change: &dyn Fn(&mut Vec<Weight>)| import(change).unwrap_err().to_string();
    let misfits = |change: &dyn Fn(&mut Vec<Weight>)| {
        let taken = import(change).unwrap();
        // All but the head is loaded as it is in the file.
        for Weight { parameter: ParameterShape { name, .. }, values } in &good {
            let is_loaded = taken.values.get(name) == Some(values);
            assert!(is_loaded || name == "head.weight", "{name}");
        }
        (taken.values.len(), taken.misfits)
    };
    let at = |name: &str| good.iter().position(|weight| weight.parameter.name == name).unwrap();
    let head = at("head.weight");

    assert_eq!(misfits(&|_| ()), (good.len(), Vec::new()));
    let (loaded, named) = misfits(&|weights| drop(weights.remove(head)));
    assert_eq!(
        (loaded, named),
        (good.len() - 1, vec!["head.weight is not in the file".to_string()])
    );
    let (loaded, named) = misfits(&|weights| {
        let mut extra = weights[head].clone();
        extra.parameter.name = "tail.weight".into();
        weights.push(extra);
    });
    assert_eq!(
        (loaded, named),
        (good.len(), vec!["tail.weight is not in the network".to_string()])
    );
    let (loaded, named) = misfits(&|weights| weights[head].parameter.shape = vec![2, 3, 1, 1, 1]);
    let shapes = "head.weight is [2, 3, 1, 1, 1] for [3, 2, 1, 1, 1]";
    assert_eq!((loaded, named), (good.len() - 1, vec![shapes.to_string()]));
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

/// T1ce and FLAIR; ET, NCR and WT.
fn other_channels() -> RunChannels {
    let regions = [
        ("ET", Region::ET.labels().to_vec()),
        ("NCR", vec![label::NCR]),
        ("WT", Region::WT.labels().to_vec()),
    ];
    let named = regions.map(|(name, labels)| (name.to_owned(), labels));
    RunChannels {
        modalities: ModalitySet::of_names(["t1ce", "flair"]).unwrap(),
        regions: RegionSet::new(named, None).unwrap(),
    }
}

const NAMED: [&str; 4] = [
    "modality t1 is not in the network",
    "modality t2 is not in the network",
    "region NCR is not in the file",
    "region TC is not in the network",
];

/// Logits `[1, 1, 8, 8, 8]` of a region by its channel, of images with these modalities in these channels.
fn region_logits(
    learner: &dyn Learner,
    modalities: usize,
    channels: [usize; 2],
    region: usize,
) -> Vec<f32> {
    let images = uniform(2 * 512, 17, -2.0, 2.0);
    let mut all = vec![0.0; modalities * 512];
    for (image, channel) in images.chunks(512).zip(channels) {
        all[channel * 512..][..512].copy_from_slice(image);
    }
    let images = TensorData::new(all, [1, modalities, 8, 8, 8]);
    let images = Tensor::<5>::from_data(images, learner.device());
    let logits = learner.forward(images, 0).logits;
    logits.narrow(1, region, 1).into_data().try_to_vec().unwrap()
}

/// What a network makes of T1ce and FLAIR alone stays what it was where its weights go to a network of
/// these two, region by region; nothing goes to a channel of another name.
#[test]
fn weights_of_a_channel_go_to_the_one_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let unet = ArchitectureEntry::find_by_name("unet").unwrap();
    let unet = |_: ()| unet.parse_settings(&json!({"base_width": 2, "levels": 2})).unwrap();
    let resunet = |_: ()| resunet(&json!({}));
    let makers: [&dyn Fn(()) -> Box<dyn Blueprint>; 2] = [&unet, &resunet];
    for make in makers {
        let whole = make(());
        let source = learner(whole.as_ref(), 5);
        let file = write(folder.path(), &weights(whole.as_ref(), source.as_ref()));
        let blueprint = make(()).with_channels(other_channels());
        let mut target = learner(blueprint.as_ref(), 6);
        let drawn = region_logits(target.as_ref(), 2, [0, 1], 1);
        let mut incoming = blueprint.import_weights(&file).unwrap();
        for sentence in NAMED {
            let is_named = incoming.misfits.iter().any(|own| own.starts_with(sentence));
            assert!(is_named, "{sentence}: {:?}", incoming.misfits);
        }
        assert_eq!(incoming.misfits.len(), NAMED.len());
        incoming.complete_from(&target.weights());
        target.initialise_weights(&mut |_, name, _| incoming.values.remove(name));
        for (own, of_file) in [(0, 0), (2, 2)] {
            let found = region_logits(target.as_ref(), 2, [0, 1], own);
            let wanted = region_logits(source.as_ref(), 4, [1, 3], of_file);
            assert!(worst(&found, &wanted) < 1e-5, "{} {own}", whole.name());
        }
        let core = region_logits(source.as_ref(), 4, [1, 3], 1);
        let necrosis = region_logits(target.as_ref(), 2, [0, 1], 1);
        assert!(worst(&necrosis, &core) > 1e-3, "NCR is not TC");
        assert!(worst(&necrosis, &drawn) > 1e-3, "what is below its head is loaded");
    }
}

/// Encoders lie one after the other, and regions' maps behind the channels of a decoder.
#[test]
fn a_cascades_encoders_and_maps_go_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cascade = |_: ()| {
        let entry = ArchitectureEntry::find_by_name("cascaded").unwrap();
        entry.parse_settings(&json!({"base_width": 2, "levels": 3})).unwrap()
    };
    let whole = cascade(());
    let source = weights(whole.as_ref(), learner(whole.as_ref(), 5).as_ref());
    let blueprint = cascade(()).with_channels(other_channels());
    let target = learner(blueprint.as_ref(), 6);
    let mut incoming = blueprint.import_weights(&write(folder.path(), &source)).unwrap();
    assert_eq!(incoming.misfits.len(), NAMED.len(), "{:?}", incoming.misfits);
    let drawn = target.weights();
    incoming.complete_from(&drawn);
    let of_file = |name: &str| source.iter().find(|own| own.parameter.name == name).unwrap();
    let mut maps = 0;
    for own in &drawn {
        let ParameterShape { name, shape } = &own.parameter;
        let [found, file] = [&incoming.values[name], &of_file(name).values];
        if name.ends_with("input.weight") || name.ends_with("input.bias") {
            let block = found.len() / 2;
            assert_eq!(found[..block], file[block..2 * block], "{name}: T1ce");
            assert_eq!(found[block..], file[3 * block..], "{name}: FLAIR");
        }
        if name.ends_with("head.bias") {
            assert_eq!(*found, [file[0], own.values[1], file[2]], "{name}");
        }
        if name.contains(".fuse.") && name.ends_with("weight") && incoming_has_maps(shape, file) {
            maps += 1;
            let [inputs, last] = [shape[1], shape[1] - 3];
            for row in 0..shape[0] {
                let [found, file, drawn] =
                    [found, file, &own.values].map(|all| &all[row * inputs..][..inputs]);
                assert_eq!(found[..last], file[..last], "{name}");
                let wanted = [file[last], drawn[last + 1], file[last + 2]];
                assert_eq!(found[last..], wanted, "{name}: ET, NCR, WT");
            }
        }
    }
    assert!(maps > 0, "a stage takes the maps of a coarser one");
}

/// True for a fusion that was loaded in part: its regions' maps are named ET, TC and WT in the file.
fn incoming_has_maps(shape: &[usize], file: &[f32]) -> bool {
    let [outputs, inputs] = [shape[0], shape[1]];
    // Two parts of as many channels, and three maps where there are any.
    inputs * outputs == file.len() && inputs % 2 == 1
}

/// MONAI's weights of other channels, which the file names.
#[test]
fn monais_weights_of_other_channels_go_by_the_names_in_the_file() {
    let figures: Figures = fixture("segresnet");
    let mut theirs = monais(&figures);
    // The first convolution of T1ce and FLAIR alone.
    let first = theirs.iter_mut().find(|own| own.parameter.name == "convInit.conv.weight").unwrap();
    let shape = first.parameter.shape.clone();
    let block = first.values.len() / shape[0] / 4;
    let kept = first.values.chunks(4 * block).flat_map(|row| [&row[..block], &row[3 * block..]]);
    first.values = kept.flatten().copied().collect();
    first.parameter.shape[1] = 2;
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = theirs
        .iter()
        .map(|own| {
            let values = own.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (own.parameter.name.clone(), own.parameter.shape.clone(), values)
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    let save = |metadata: &[(&str, &str)]| {
        let views = bytes.iter().map(|(name, shape, values)| {
            let view = safetensors::tensor::TensorView::new(
                safetensors::Dtype::F32,
                shape.clone(),
                values,
            );
            (name.as_str(), view.unwrap())
        });
        let text: HashMap<String, String> =
            metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        fs::write(&file, safetensors::serialize(views, Some(text)).unwrap()).unwrap();
    };
    save(&[("modalities", "t1c, flair")]);
    let blueprint = resunet(&json!({})).with_channels(other_channels());
    let incoming = blueprint.import_weights(&file).unwrap();
    assert!(incoming.values.contains_key("enc.0.conv.weight"), "both modalities are there");
    let named: Vec<&str> = incoming.misfits.iter().map(String::as_str).collect();
    let head = "(conv_final.2.conv.weight, conv_final.2.conv.bias)";
    let wanted = ["NCR is not in the file", "TC is not in the network"];
    assert_eq!(named, wanted.map(|text| format!("region {text} {head}")));
    // Without names the channels would be a guess.
    save(&[]);
    let named = blueprint.import_weights(&file).unwrap().misfits.join("; ");
    assert!(
        named.contains("of t1ce,t1,t2,flair and TC,WT,ET, unless its metadata names others"),
        "{named}"
    );
    save(&[("modalities", "t1c, adc")]);
    let refused = blueprint.import_weights(&file).unwrap_err().to_string();
    assert!(refused.contains("`adc` is none") && refused.contains("\"modalities\""), "{refused}");
}
