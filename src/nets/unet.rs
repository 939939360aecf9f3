//! The U-Net of Isensee et al. 2018, "No New-Net" (arXiv 1809.10483, section 2.2).
//!
//! Two 3x3x3 units a level, maximum pooling down, parameter-free trilinear up-sampling, and the
//! channels halved in the second unit ahead of each up-sampling. Full width is 30 channels at the
//! top and 480 at the bottom of five levels.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::nets::convolution::{ConvConfig, Convolution};
use crate::nets::onnx::{GraphValue, OnnxGraph};
use crate::nets::{
    Architecture, ConvUnit, ModelRng, Output, concatenate_channels, convert_volume, max_pool,
    upsample_trilinear,
};
use crate::volume::RunChannels;

/// Width and depth of the U-Net.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct UNetConfig {
    /// Channels at full resolution; doubled at each level below.
    #[schemars(range(min = 1, max = 512), extend("x-unit" = "channels"))]
    #[default(30)]
    pub base_width: usize,
    /// Resolution levels, the full one included; a patch axis is a multiple of `2^(levels - 1)`.
    #[schemars(range(min = 2, max = 7))]
    #[default(5)]
    pub levels: usize,
    /// Bias in convolutions. Ahead of a norm it has no effect, so only weights of other programs
    /// need it.
    #[default(true)]
    pub conv_bias: bool,
}

/// The network; field names are the parameters' names.
#[derive(Module, Debug)]
pub struct UNet {
    enc: Vec<Vec<ConvUnit>>,
    bottom: Vec<ConvUnit>,
    dec: Vec<Vec<ConvUnit>>,
    head: Convolution,
}

impl Architecture for UNet {
    const NAME: &'static str = "unet";
    type Config = UNetConfig;

    fn init(config: &UNetConfig, channels: RunChannels, device: &Device) -> Self {
        let width = |level: usize| config.base_width << level;
        let pair = |channels: [usize; 3]| {
            let [from, between, to] = channels;
            vec![
                ConvUnit::new([from, between], config.conv_bias, device),
                ConvUnit::new([between, to], config.conv_bias, device),
            ]
        };
        let bottom = config.levels - 1;
        let above = |level: usize| match level {
            0 => channels.modalities.len(),
            _ => width(level - 1),
        };
        let enc = (0..bottom).map(|level| pair([above(level), width(level), width(level)]));
        let dec = (0..bottom).rev().map(|level| {
            let out = if level == 0 { width(0) } else { width(level - 1) };
            pair([2 * width(level), width(level), out])
        });
        Self {
            enc: enc.collect(),
            bottom: pair([width(bottom - 1), width(bottom), width(bottom - 1)]),
            dec: dec.collect(),
            head: ConvConfig { bias: true, ..ConvConfig::POINT }
                .init([width(0), channels.regions.len()], device),
        }
    }

    fn forward(&self, images: Tensor<5>, _draws: ModelRng) -> Output {
        Output::of_logits(self.predict_logits(images))
    }

    fn predict_logits(&self, images: Tensor<5>) -> Tensor<5> {
        let mut volume = images;
        let mut skips = Vec::with_capacity(self.enc.len());
        for level in &self.enc {
            let features = apply_units(level, volume);
            volume = max_pool(features.clone());
            skips.push(features);
        }
        volume = apply_units(&self.bottom, volume);
        for level in &self.dec {
            let skip = skips.pop().expect("the decoder has as many levels as the encoder");
            let joined = concatenate_channels(vec![skip, upsample_trilinear(volume)]);
            volume = apply_units(level, joined);
        }
        convert_volume(self.head.forward(volume), DType::F32)
    }

    fn describe_graph(&self, graph: &mut OnnxGraph, images: GraphValue) -> Option<GraphValue> {
        let mut volume = images;
        let mut skips = Vec::with_capacity(self.enc.len());
        for (level, units) in self.enc.iter().enumerate() {
            let features = add_units(graph, &format!("enc.{level}"), units, volume);
            volume = graph.max_pool(&format!("enc.{level}.pool"), &features);
            skips.push(features);
        }
        volume = add_units(graph, "bottom", &self.bottom, volume);
        for (level, units) in self.dec.iter().enumerate() {
            let skip = skips.pop().expect("the decoder has as many levels as the encoder");
            let finer = graph.upsample_trilinear(&format!("dec.{level}.upsample"), &volume);
            let joined = graph.concatenate_channels(&format!("dec.{level}.join"), &[&skip, &finer]);
            volume = add_units(graph, &format!("dec.{level}"), units, joined);
        }
        Some(self.head.add_to_graph(graph, "head", &volume))
    }

    fn patch_divisor(config: &UNetConfig) -> usize {
        1 << (config.levels - 1)
    }

    fn smallest_patch(config: &UNetConfig) -> usize {
        2 * Self::patch_divisor(config)
    }
}

fn apply_units(units: &[ConvUnit], volume: Tensor<5>) -> Tensor<5> {
    units.iter().fold(volume, |features, unit| unit.forward(features))
}

fn add_units(
    graph: &mut OnnxGraph,
    name: &str,
    units: &[ConvUnit],
    volume: GraphValue,
) -> GraphValue {
    let numbered = units.iter().enumerate();
    numbered.fold(volume, |features, (place, unit)| {
        unit.add_to_graph(graph, &format!("{name}.{place}"), &features)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{ArchitectureEntry, weights};

    fn count(config: &UNetConfig) -> usize {
        let entry = ArchitectureEntry::find_by_name(UNet::NAME).unwrap();
        entry.parse_settings(&serde_json::to_value(config).unwrap()).unwrap().parameter_count()
    }

    #[test]
    fn full_width_has_the_papers_parameters() {
        assert_eq!(count(&UNetConfig::default()), 14_493_063);
        assert_eq!(count(&UNetConfig { conv_bias: false, ..Default::default() }), 14_490_753);
    }

    #[test]
    fn shapes_count_what_a_module_really_holds() {
        let config = UNetConfig { base_width: 3, levels: 3, conv_bias: true };
        let module =
            weights::he_normal(UNet::init(&config, RunChannels::default(), &Device::flex()), 1);
        assert_eq!(count(&config), module.num_params());
    }

    #[test]
    fn sizes_that_make_no_network_are_refused_with_the_range() {
        for (field, value) in [("levels", 1), ("levels", 8), ("base_width", 0)] {
            let settings = serde_json::json!({ field: value });
            let error = ArchitectureEntry::find_by_name("unet")
                .unwrap()
                .parse_settings(&settings)
                .err()
                .unwrap();
            let text = error.to_string();
            assert!(text.contains(field) && text.contains(&value.to_string()), "{text}");
        }
    }
}
