//! Floor 6: networks as pure functions of tensors.
//!
//! A network knows neither files nor loaders nor losses: it maps images `[b, c, d, h, w]` to region
//! logits `[b, k, d, h, w]`, a channel for each modality and region of its [`RunChannels`],
//! and adds the outputs that only training needs. A new one is a file of its own that implements
//! [`Architecture`], and one line in [`ARCHITECTURES`]; no code above this floor matches on names.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::ConfigError;
use crate::volume::{Dims, RunChannels};

mod blocks;
mod cascaded;
pub mod convolution;
mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
pub mod exchange;
mod exported_network;
mod files;
mod freezing;
mod gradients;
mod kernel_choice;
mod kernel_winners;
pub mod learner;
mod mirrored;
pub mod model_rng;
mod norm;
pub mod onnx;
mod operations;
mod optimiser;
mod precision;
pub mod registry;
mod resunet_vae;
#[cfg(test)]
mod test_tensors;
mod unet;
pub mod update_rules;
mod volumetric;
mod weight_average;
pub mod weights;

pub use blocks::{ConvUnit, LEAKY_SLOPE, ResidualUnit, leaky_relu};
pub use cascaded::{Cascaded, CascadedConfig};
pub use convolution::convolve;
pub use exported_network::ExportedNetwork;
pub use freezing::check_frozen_parts;
pub use kernel_choice::{KernelChoice, choose_kernels};
pub use kernel_winners::keep_kernel_winners;
pub use learner::Learner;
pub use mirrored::Mirrored;
pub use model_rng::ModelRng;
pub use norm::Norm;
pub use optimiser::{OptimiserConfig, UpdateRule};
pub use precision::{Precision, cast};
pub use registry::{ArchitectureEntry, Blueprint, list_architectures, register_architecture};
pub use resunet_vae::{ResUNetVae, ResUNetVaeConfig};
pub use unet::{UNet, UNetConfig};
pub use volumetric::{
    compute_probabilities, concatenate_channels, convert_images, convert_volume, max_over_groups,
    max_pool, mean_pool, squared_error, transposed_convolution, upsample_trilinear,
};

/// Every network that can be trained, in the order of the paper's table.
pub static ARCHITECTURES: &[ArchitectureEntry] = &[
    registry::registry_entry::<unet::UNet>(),
    registry::registry_entry::<resunet_vae::ResUNetVae>(),
    registry::registry_entry::<cascaded::Cascaded>(),
];

/// Outputs of a training pass.
#[derive(Debug)]
pub struct Output {
    /// Region logits at full resolution, `[b, k, d, h, w]`.
    pub logits: Tensor<5>,
    /// Weight of the region loss of `logits` in the total loss.
    pub weight: f32,
    /// Coarser outputs for deep supervision; empty for most networks.
    pub deep_supervision: Vec<SideOutput>,
    /// Loss terms without a target, such as a variational bound; empty for most networks.
    pub aux_losses: Vec<AuxLoss>,
}

impl Output {
    /// Output with the logits alone.
    pub const fn of_logits(logits: Tensor<5>) -> Self {
        Self { logits, weight: 1.0, deep_supervision: Vec::new(), aux_losses: Vec::new() }
    }
}

/// Deep supervision output on a grid coarser by a power of two.
#[derive(Debug)]
pub struct SideOutput {
    /// Region logits, `[b, k, d/2^n, h/2^n, w/2^n]`.
    pub logits: Tensor<5>,
    /// Weight of its region loss in the total loss.
    pub weight: f32,
}

/// Auxiliary loss term computed by the network.
#[derive(Debug)]
pub struct AuxLoss {
    /// Name in the journal.
    pub name: &'static str,
    /// Weighted value, `[1]`.
    pub value: Tensor<1>,
}

/// Network from images `[b, c, d, h, w]` to region logits `[b, k, d, h, w]`, whose module is the implementing
/// type and whose settings are [`Self::Config`].
///
/// [`register_architecture`] makes it known by its name; a configuration chooses it as `model.name` and sets its
/// fields under `model.settings`.
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::{Device, Tensor};
/// use gliaflow::embed::network::{ConvConfig, Convolution, ModelRng, Output, RunChannels};
/// use gliaflow::prelude::*;
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
/// #[serde(default, deny_unknown_fields)]
/// struct NoSettings {}
///
/// /// Logistic regression on the intensities of a voxel.
/// #[derive(Module, Debug)]
/// struct VoxelRegression {
///     head: Convolution,
/// }
///
/// impl Architecture for VoxelRegression {
///     const NAME: &'static str = "voxel_regression";
///     type Config = NoSettings;
///
///     fn init(_config: &NoSettings, channels: RunChannels, device: &Device) -> Self {
///         let head = ConvConfig { bias: true, ..ConvConfig::POINT };
///         Self { head: head.init([channels.modalities.len(), channels.regions.len()], device) }
///     }
///
///     fn forward(&self, images: Tensor<5>, _draws: ModelRng) -> Output {
///         Output::of_logits(self.predict_logits(images))
///     }
///
///     fn predict_logits(&self, images: Tensor<5>) -> Tensor<5> {
///         self.head.forward(images)
///     }
///
///     fn patch_divisor(_config: &NoSettings) -> usize {
///         1
///     }
///
///     fn smallest_patch(_config: &NoSettings) -> usize {
///         2
///     }
/// }
///
/// register_architecture::<VoxelRegression>()?;
/// # Ok::<(), gliaflow::embed::errors::ConfigError>(())
/// ```
pub trait Architecture: Module + ModuleDisplay + 'static {
    /// The name in configurations and tables.
    const NAME: &'static str;

    /// Another program's parameter names for this network, if there is such a program.
    const DIALECT: Option<&'static exchange::Dialect> = None;

    /// Settings of the network; missing fields take their defaults, unknown ones are refused.
    type Config: Serialize + DeserializeOwned + JsonSchema + Default + Clone + Send + Sync + 'static;

    /// Checks settings that depend on each other; ranges stand beside the settings.
    ///
    /// # Errors
    /// Names the field, its value and the way out.
    fn check_config(_config: &Self::Config) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Builds the module on `device`; [`draw_weights`](Self::draw_weights) sets its initial
    /// weights.
    fn init(config: &Self::Config, channels: RunChannels, device: &Device) -> Self;

    /// Draws the initial weights; a pure function of the seed.
    #[must_use]
    fn draw_weights(self, seed: u64) -> Self {
        weights::he_normal(self, seed)
    }

    /// Training pass over images `[b, c, d, h, w]` in the [`Precision`] to compute in; the output
    /// is f32. A pure function: all randomness comes from `draws`.
    fn forward(&self, images: Tensor<5>, draws: ModelRng) -> Output;

    /// Inference pass: region logits `[b, k, d, h, w]`, f32.
    fn predict_logits(&self, images: Tensor<5>) -> Tensor<5>;

    /// Adds the inference pass to an ONNX graph, for `gliaflow export --onnx`: from images `[b, c, d, h, w]` to
    /// the value of the region logits `[b, k, d, h, w]`, of any extent that [`Self::patch_divisor`] divides.
    /// Parameters are added under the names that they have in files of weights, once each.
    ///
    /// `None` stands for a network without a graph, whose export is refused.
    #[doc(hidden)]
    fn describe_graph(
        &self,
        _graph: &mut onnx::OnnxGraph,
        _images: onnx::GraphValue,
    ) -> Option<onnx::GraphValue> {
        None
    }

    /// Defines the network as MONAI does, the `network_def` of a bundle, for weights under the names of
    /// [`Self::DIALECT`].
    ///
    /// # Errors
    /// If MONAI has no such network.
    #[doc(hidden)]
    fn define_for_monai(
        _config: &Self::Config,
        _channels: RunChannels,
    ) -> Result<serde_json::Value, ConfigError> {
        let problem = "no network that MONAI has";
        let way_out = "export it with `--onnx`, or its weights with `--out`";
        Err(ConfigError::new("model.name", Self::NAME, problem, way_out))
    }

    /// Divisor of every patch axis.
    fn patch_divisor(config: &Self::Config) -> usize;

    /// Smallest patch axis that can be trained: norms need more than one voxel.
    fn smallest_patch(config: &Self::Config) -> usize;

    /// Patch size that the weights are shaped for, where there are such weights.
    fn trained_patch(_config: &Self::Config) -> Option<Dims> {
        None
    }
}

/// Trained network of any architecture; sliding windows, ensembles and mirroring build on it.
pub trait Network: Send {
    /// Region probabilities `[b, k, d, h, w]` of images `[b, c, d, h, w]`.
    fn predict_probabilities(&self, images: Tensor<5>) -> Tensor<5>;

    /// Divisor of every patch axis.
    fn patch_divisor(&self) -> usize;

    /// Device of the weights and of the images it takes.
    fn device(&self) -> &Device;
}
