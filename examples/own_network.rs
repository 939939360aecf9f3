//! A network of one's own in gliaflow's training loop: a Burn module that implements `Architecture`
//! is registered by its name, and everything else, from checkpoints to sliding windows, works as for
//! the built-in networks.
//!
//! `cargo run --release --example own_network`
#![allow(clippy::print_stdout, reason = "an example shows what it has")]

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use gliaflow::embed::network::{
    ConvConfig, ConvUnit, Convolution, ModelRng, Output, RunChannels, cast,
};
use gliaflow::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Settings, as `model.settings` in a configuration.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct PlainConfig {
    /// Channels of each unit.
    #[schemars(range(min = 1, max = 512))]
    width: usize,
    /// Units in a row.
    #[schemars(range(min = 1, max = 16))]
    depth: usize,
}

impl Default for PlainConfig {
    fn default() -> Self {
        Self { width: 8, depth: 3 }
    }
}

/// Convolutions in a row, at full resolution.
#[derive(Module, Debug)]
struct PlainNetwork {
    units: Vec<ConvUnit>,
    head: Convolution,
}

impl Architecture for PlainNetwork {
    const NAME: &'static str = "plain";
    type Config = PlainConfig;

    fn init(config: &PlainConfig, channels: RunChannels, device: &Device) -> Self {
        let width = |unit: usize| if unit == 0 { channels.modalities.len() } else { config.width };
        let unit = |place| ConvUnit::new([width(place), config.width], false, device);
        let head = ConvConfig { bias: true, ..ConvConfig::POINT };
        Self {
            units: (0..config.depth).map(unit).collect(),
            head: head.init([config.width, channels.regions.len()], device),
        }
    }

    fn forward(&self, images: Tensor<5>, _draws: ModelRng) -> Output {
        Output::of_logits(self.predict_logits(images))
    }

    fn predict_logits(&self, images: Tensor<5>) -> Tensor<5> {
        let features = self.units.iter().fold(images, |features, unit| unit.forward(features));
        cast(self.head.forward(features), DType::F32)
    }

    fn patch_divisor(_config: &PlainConfig) -> usize {
        1
    }

    fn smallest_patch(_config: &PlainConfig) -> usize {
        2
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    register_architecture::<PlainNetwork>()?;
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("data");
    write_phantom_cases(&data, 4, [32, 32, 32])?;
    let summary = Training::builder(data)
        .cache(scratch.path().join("cache"))
        .run_folder(scratch.path().join("run"))
        .network("plain")
        .network_settings(json!({"width": 4}))
        .patch([16, 16, 16])
        .epochs(1)
        .set("train.steps_per_epoch", 4)
        .set("data.held_out", 0.25)
        .on_step(|step| println!("step {}: loss {:.4}", step.step, step.loss))
        .run()?;
    println!("{} with {} parameters, {} steps", summary.model, summary.parameters, summary.steps);
    Ok(())
}
