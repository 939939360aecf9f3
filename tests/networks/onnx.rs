//! Exported graphs: every parameter is in them once, and computing them gives the network's logits.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use gliaflow::internals::nets::onnx::proto::{ModelProto, NodeProto};
use gliaflow::internals::nets::onnx::{IMAGES, IR_VERSION, LOGITS, OPSET, encode_model};
use gliaflow::internals::nets::registry::registry_entry;
use gliaflow::internals::nets::{
    Architecture, ArchitectureEntry, Blueprint, ConvUnit, ExportedNetwork, ModelRng,
    OptimiserConfig, Output,
};
use gliaflow::internals::volume::{Modality, ModalitySet, RunChannels};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::networks::onnx_runtime::{GraphTensor, compute_graph};

/// A network of each kind with every part that its settings can give it, and an extent that it takes.
fn networks() -> [(&'static str, Value, [usize; 3]); 4] {
    let residual = |norm: bool| {
        json!({
            "base_width": 4, "groups": 2, "encoder_units": [1, 2, 1], "patch": [8, 8, 8], "latent": 3,
            "head_norm": norm,
        })
    };
    [
        ("unet", json!({"base_width": 2, "levels": 3}), [8, 12, 4]),
        ("resunet_vae", residual(true), [8, 12, 16]),
        ("resunet_vae", residual(false), [8, 8, 8]),
        (
            "cascaded",
            json!({"base_width": 1, "levels": 3, "loss_weights": [0.4, 0.3]}),
            [8, 16, 16],
        ),
    ]
}

/// A network whose parameters are all of different values, and none of them that of a new layer.
struct SavedNetwork {
    blueprint: Box<dyn Blueprint>,
    folder: tempfile::TempDir,
}

impl SavedNetwork {
    fn new(name: &str, settings: &Value, channels: RunChannels) -> Self {
        let entry = ArchitectureEntry::find_by_name(name).unwrap();
        let blueprint = entry.parse_settings(settings).unwrap().with_channels(channels);
        let device = Device::flex();
        let mut learner = blueprint.new_learner(&OptimiserConfig::default(), 1, &device);
        learner.initialise_weights(&mut |place, name, shape| {
            let inputs: usize = shape.iter().skip(1).product();
            let scale = (inputs as f64).sqrt().recip();
            let shift = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
            let value = |at: usize| (shift + scale * (1.7 * at as f64 + place as f64).sin()) as f32;
            Some((0..shape.iter().product()).map(value).collect())
        });
        let folder = tempfile::tempdir().unwrap();
        learner.save(folder.path()).unwrap();
        Self { blueprint, folder }
    }

    fn load(&self) -> Box<dyn ExportedNetwork> {
        self.blueprint.load_for_export(self.folder.path()).unwrap()
    }

    /// The graph as another program reads it.
    fn read_model(&self) -> ModelProto {
        let graph = self.load().describe_graph().unwrap();
        let bytes = encode_model(graph.clone(), "about", &[("key", "text".to_owned())]);
        assert_eq!(bytes, encode_model(graph, "about", &[("key", "text".to_owned())]));
        ModelProto::decode(bytes.as_slice()).unwrap()
    }
}

fn two_modalities() -> RunChannels {
    let modalities = ModalitySet::of_modalities([Modality::T1ce, Modality::Flair]).unwrap();
    RunChannels { modalities, ..RunChannels::default() }
}

#[test]
fn every_parameter_is_an_initialiser_of_its_name_and_is_taken_once() {
    for (name, settings, _) in networks() {
        let saved = SavedNetwork::new(name, &settings, RunChannels::default());
        let model = saved.read_model();
        assert_eq!(model.ir_version, Some(IR_VERSION));
        let sets: Vec<_> = model.opset_import.iter().map(|set| set.version).collect();
        assert_eq!(sets, [Some(OPSET)]);
        assert_eq!(model.metadata_props[0].value.as_deref(), Some("text"));
        let graph = model.graph.unwrap();

        let weights = saved.blueprint.load_weights(saved.folder.path()).unwrap();
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        for input in graph.node.iter().flat_map(|node| &node.input) {
            *taken.entry(input).or_default() += 1;
        }
        let mut constants: BTreeSet<&str> =
            graph.initializer.iter().map(|tensor| tensor.name.as_deref().unwrap()).collect();
        assert_eq!(constants.len(), graph.initializer.len(), "{name}: no name is there twice");
        for weight in &weights {
            let parameter = &weight.parameter;
            let found =
                graph.initializer.iter().find(|one| one.name.as_deref().unwrap() == parameter.name);
            // The autoencoder is a regulariser of training.
            if parameter.name.starts_with("vae.") {
                assert!(found.is_none(), "{}", parameter.name);
                continue;
            }
            let found = found.unwrap_or_else(|| panic!("{name} lacks {}", parameter.name));
            let shape: Vec<usize> = found.dims.iter().map(|extent| *extent as usize).collect();
            assert_eq!(shape, parameter.shape, "{}", parameter.name);
            let bytes: Vec<u8> =
                weight.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            assert!(found.raw_data.as_ref() == Some(&bytes), "{}", parameter.name);
            assert_eq!(taken.get(parameter.name.as_str()), Some(&1), "{}", parameter.name);
            constants.remove(parameter.name.as_str());
        }
        // What is left is taken, too, and is no weight.
        for constant in constants {
            assert!(taken.contains_key(constant), "{name}: {constant} is for nothing");
            let known = ["doubling", "by_", "ones_", "zeros_", "volume_axes"];
            assert!(known.iter().any(|start| constant.starts_with(start)), "{name}: {constant}");
        }
        check_order(
            &graph.node,
            graph.initializer.iter().map(|one| one.name.as_deref().unwrap()).collect(),
        );
        assert_eq!(
            graph.input.iter().map(|end| end.name.as_deref().unwrap()).collect::<Vec<_>>(),
            [IMAGES]
        );
        assert_eq!(
            graph.output.iter().map(|end| end.name.as_deref().unwrap()).collect::<Vec<_>>(),
            [LOGITS]
        );
    }
}

/// Each node takes what is there before it, and no two give a value of the same name.
fn check_order<'a>(nodes: &'a [NodeProto], mut known: BTreeSet<&'a str>) {
    known.insert(IMAGES);
    let mut names = BTreeSet::new();
    for node in nodes {
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            assert!(
                known.contains(input.as_str()),
                "{} takes {input}",
                node.name.as_deref().unwrap()
            );
        }
        for output in &node.output {
            assert!(known.insert(output), "{output} is there twice");
        }
        assert!(
            names.insert(node.name.as_deref().unwrap()),
            "{} is there twice",
            node.name.as_deref().unwrap()
        );
    }
    assert!(known.contains(LOGITS));
}

#[test]
fn the_graph_computes_the_networks_logits() {
    for (name, settings, extent) in networks() {
        for channels in [RunChannels::default(), two_modalities()] {
            let saved = SavedNetwork::new(name, &settings, channels);
            let [d, h, w] = extent;
            let shape = [2, channels.modalities.len(), d, h, w];
            let value = |place: usize| ((place * 31 % 97) as f32 - 48.0) / 30.0;
            let images: Vec<f32> = (0..shape.iter().product()).map(value).collect();
            let logits = saved.load().compute_logits(images.clone(), shape);
            let input = images.iter().map(|value| f64::from(*value)).collect();
            let graph = saved.read_model().graph.unwrap();
            let found = compute_graph(&graph, GraphTensor { shape: shape.to_vec(), values: input });
            assert_eq!(found.shape, [2, channels.regions.len(), d, h, w]);
            let differences =
                found.values.iter().zip(&logits).map(|(a, b)| (a - f64::from(*b)).abs());
            let worst = differences.fold(0.0, f64::max);
            let largest = logits.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
            assert!(worst < 1e-4 && largest > 0.3, "{name}: {worst} of {largest}");
        }
    }
}

/// A network of another program.
#[derive(Module, Debug)]
struct OwnNetwork {
    unit: ConvUnit,
}

impl Architecture for OwnNetwork {
    const NAME: &'static str = "own";
    type Config = OwnSettings;

    fn init(_: &OwnSettings, channels: RunChannels, device: &Device) -> Self {
        let ends = [channels.modalities.len(), channels.regions.len()];
        Self { unit: ConvUnit::new(ends, true, device) }
    }

    fn forward(&self, images: Tensor<5>, _draws: ModelRng) -> Output {
        Output::of_logits(self.predict_logits(images))
    }

    fn predict_logits(&self, images: Tensor<5>) -> Tensor<5> {
        self.unit.forward(images)
    }

    fn patch_divisor(_: &OwnSettings) -> usize {
        1
    }

    fn smallest_patch(_: &OwnSettings) -> usize {
        2
    }
}

#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
struct OwnSettings {}

#[test]
fn a_network_that_describes_no_graph_is_refused_with_the_way_out() {
    let entry = registry_entry::<OwnNetwork>();
    let blueprint = entry.parse_settings(&json!({})).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let learner = blueprint.new_learner(&OptimiserConfig::default(), 1, &Device::flex());
    learner.save(folder.path()).unwrap();
    let network = blueprint.load_for_export(folder.path()).unwrap();
    let refusals = [
        network.describe_graph().unwrap_err().to_string(),
        network.define_for_monai().unwrap_err().to_string(),
    ];
    for (refusal, words) in refusals.iter().zip([
        ["network own", "describes no ONNX graph", "implement Architecture::describe_graph"],
        ["own", "no network that MONAI has", "`--onnx`"],
    ]) {
        assert!(words.iter().all(|word| refusal.contains(word)), "{refusal}");
    }
    assert_eq!(network.compute_logits(vec![1.0; 4 * 8], [1, 4, 2, 2, 2]).len(), 3 * 8);
    assert!(network.translate_weights().is_empty());
}
