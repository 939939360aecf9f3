//! Trained network as other programs get it: a graph, logits to compare with, MONAI's version of it.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

use crate::base::{ConfigError, Fault};
use crate::nets::Architecture;
use crate::nets::exchange::{self, Weight};
use crate::nets::learner::load_module;
use crate::nets::onnx::{self, proto::GraphProto};
use crate::volume::RunChannels;

/// Trained network of any architecture, on the CPU in f32.
pub trait ExportedNetwork {
    /// Describes the inference pass as an ONNX graph.
    ///
    /// # Errors
    /// If the architecture describes no graph.
    fn describe_graph(&self) -> Result<GraphProto, Fault>;

    /// Computes the region logits `[b, k, d, h, w]` of images `[b, c, d, h, w]` of the extents `shape`.
    ///
    /// # Panics
    /// If the extents are not those of the images, or none that the network takes.
    fn compute_logits(&self, images: Vec<f32>, shape: [usize; 5]) -> Vec<f32>;

    /// Defines the network for MONAI, as `network_def` of a bundle.
    ///
    /// # Errors
    /// If MONAI has no such network.
    fn define_for_monai(&self) -> Result<Value, ConfigError>;

    /// Lists the weights under the names of the other program that has the network, in its order of axes;
    /// none if no program is known.
    fn translate_weights(&self) -> Vec<Weight>;
}

struct LoadedNetwork<A: Architecture> {
    module: A,
    config: A::Config,
    channels: RunChannels,
}

/// Loads the module that a learner left in `folder`.
pub(super) fn load_exported<A: Architecture>(
    (config, channels): (&A::Config, RunChannels),
    folder: &Path,
) -> Result<Box<dyn ExportedNetwork>, Fault> {
    let module = load_module::<A>((config, channels), folder, &Device::flex())?;
    Ok(Box::new(LoadedNetwork { module, config: config.clone(), channels }))
}

impl<A: Architecture> ExportedNetwork for LoadedNetwork<A> {
    fn describe_graph(&self) -> Result<GraphProto, Fault> {
        let graph = onnx::describe_network(&self.module, self.channels);
        graph.ok_or_else(|| Fault::Environment {
            subject: format!("network {}", A::NAME),
            problem: "describes no ONNX graph".into(),
            remedy: "implement Architecture::describe_graph for it, or export its weights with \
                     `--out`"
                .into(),
        })
    }

    fn compute_logits(&self, images: Vec<f32>, shape: [usize; 5]) -> Vec<f32> {
        let images = Tensor::from_data(TensorData::new(images, shape), &Device::flex());
        self.module.predict_logits(images).into_data().iter::<f32>().collect()
    }

    fn define_for_monai(&self) -> Result<Value, ConfigError> {
        A::define_for_monai(&self.config, self.channels)
    }

    fn translate_weights(&self) -> Vec<Weight> {
        let weights = exchange::weights_of(&self.module);
        A::DIALECT.map(|dialect| dialect.translate(weights)).unwrap_or_default()
    }
}
