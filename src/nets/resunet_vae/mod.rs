//! The residual U-Net of Myronenko 2018 (arXiv 1810.11654, table 1), with its variational
//! autoencoder as a regulariser.
//!
//! Residual units under group norm, strided convolutions down, trilinear up-sampling after a 1x1x1
//! convolution, skips that are added and not concatenated. Without the autoencoder and with the norm
//! ahead of the head it is MONAI's `SegResNet`; the autoencoder is the paper's, with a decoder of
//! its own, and not MONAI's, which shares the segmentation's.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};

use crate::base::ConfigError;
use crate::nets::convolution::{ConvConfig, Convolution};
use crate::nets::exchange::Dialect;
use crate::nets::onnx::{GraphValue, OnnxGraph};
use crate::nets::{
    Architecture, ModelRng, Norm, Output, ResidualUnit, convert_volume, upsample_trilinear, weights,
};
use crate::volume::{Dims, RunChannels};

mod autoencoder;
mod config;
mod graph;
mod monai;

use autoencoder::Autoencoder;
pub use config::ResUNetVaeConfig;

/// Random streams of the network: dropout after the first convolution, then the latent noise.
const INPUT_DROPOUT: u64 = 0;
const LATENT_NOISE: u64 = 1;

/// The network; field names are the parameters' names.
#[derive(Module, Debug)]
pub struct ResUNetVae {
    enc: Vec<EncoderLevel>,
    dec: Vec<UpBlock>,
    head_norm: Option<Norm>,
    head: Convolution,
    vae: Option<Autoencoder>,
    dropout: f64,
}

#[derive(Module, Debug)]
struct EncoderLevel {
    /// Convolution into this resolution: stride 2, but at the top.
    conv: Convolution,
    units: Vec<ResidualUnit>,
}

impl EncoderLevel {
    fn new(config: &ResUNetVaeConfig, modalities: usize, level: usize, device: &Device) -> Self {
        let width = config.level_width(level);
        let (from, stride) =
            if level == 0 { (modalities, 1) } else { (config.level_width(level - 1), 2) };
        let units = (0..config.encoder_units[level]).map(|_| config.new_unit(width, device));
        Self {
            conv: ConvConfig { stride, ..ConvConfig::CUBE }.init([from, width], device),
            units: units.collect(),
        }
    }

    fn apply_units(&self, volume: Tensor<5>) -> Tensor<5> {
        self.units.iter().fold(volume, |features, unit| unit.forward(features))
    }
}

/// Decoder of one resolution, of the segmentation or the autoencoder.
#[derive(Module, Debug)]
struct UpBlock {
    /// Convolution that halves the channels, ahead of the up-sampling: an eighth of the work of
    /// after it.
    conv: Convolution,
    unit: ResidualUnit,
}

impl UpBlock {
    /// Makes the blocks from `level + 1` to `level`, for each level from the bottom to the top.
    fn all_levels(config: &ResUNetVaeConfig, device: &Device) -> Vec<Self> {
        let rise = |level| Self {
            conv: ConvConfig::POINT
                .init([config.level_width(level + 1), config.level_width(level)], device),
            unit: config.new_unit(config.level_width(level), device),
        };
        (0..config.bottom_level()).rev().map(rise).collect()
    }

    fn project_and_upsample(&self, volume: Tensor<5>) -> Tensor<5> {
        upsample_trilinear(self.conv.forward(volume))
    }
}

impl ResUNetVae {
    /// Computes the features of each level, the full resolution first.
    fn encode(&self, images: Tensor<5>, draws: Option<ModelRng>) -> Vec<Tensor<5>> {
        let mut features: Vec<Tensor<5>> = Vec::with_capacity(self.enc.len());
        for level in &self.enc {
            let from = features.last().unwrap_or(&images).clone();
            let mut volume = level.conv.forward(from);
            if let (Some(draws), true) = (draws, features.is_empty()) {
                volume = draws.drop_channels(INPUT_DROPOUT, self.dropout, volume);
            }
            features.push(level.apply_units(volume));
        }
        features
    }

    fn decode(&self, mut features: Vec<Tensor<5>>) -> Tensor<5> {
        let mut volume = features.pop().expect("there are at least two levels");
        for (rise, skip) in self.dec.iter().zip(features.into_iter().rev()) {
            volume = rise.unit.forward(rise.project_and_upsample(volume) + skip);
        }
        if let Some(norm) = &self.head_norm {
            volume = norm.forward_relu(volume);
        }
        convert_volume(self.head.forward(volume), DType::F32)
    }

    /// Training pass with the latent noise given, `[b, latent]`; without an autoencoder it is not
    /// asked for.
    pub fn forward_with(
        &self,
        images: Tensor<5>,
        draws: ModelRng,
        noise: impl FnOnce([usize; 2]) -> Tensor<2>,
    ) -> Output {
        let features = self.encode(images.clone(), Some(draws));
        let bottom = features.last().expect("there are at least two levels").clone();
        let mut output = Output::of_logits(self.decode(features));
        if let Some(vae) = &self.vae {
            let noise = noise([images.dims()[0], vae.latent_size()]);
            output.aux_losses = vae.aux_losses(bottom, images, noise).into();
        }
        output
    }
}

impl Architecture for ResUNetVae {
    const NAME: &'static str = "resunet_vae";
    const DIALECT: Option<&'static Dialect> = Some(&monai::MONAI);
    type Config = ResUNetVaeConfig;

    fn check_config(config: &ResUNetVaeConfig) -> Result<(), ConfigError> {
        config.check_divisors()
    }

    fn init(config: &ResUNetVaeConfig, channels: RunChannels, device: &Device) -> Self {
        let levels = 0..config.encoder_units.len();
        let width = config.level_width(0);
        let modalities = channels.modalities.len();
        Self {
            enc: levels.map(|level| EncoderLevel::new(config, modalities, level, device)).collect(),
            dec: UpBlock::all_levels(config, device),
            head_norm: config.head_norm.then(|| config.new_norm(width, device)),
            head: ConvConfig { bias: true, ..ConvConfig::POINT }
                .init([width, channels.regions.len()], device),
            vae: config.vae.then(|| Autoencoder::new(config, modalities, device)),
            dropout: config.dropout,
        }
    }

    /// Draws PyTorch's initial weights, as MONAI's `SegResNet` has them; the paper names none.
    ///
    /// He's would double the variance at every layer that follows no ReLU, of which the autoencoder
    /// has six: the reconstruction would begin with a squared error of 50 to 150 on images of
    /// variance 1, which training has to undo (docs/training.md).
    fn draw_weights(self, seed: u64) -> Self {
        weights::torch_uniform(self, seed)
    }

    fn forward(&self, images: Tensor<5>, draws: ModelRng) -> Output {
        let device = images.device();
        self.forward_with(images, draws, |shape| draws.sample_normal(LATENT_NOISE, shape, &device))
    }

    fn predict_logits(&self, images: Tensor<5>) -> Tensor<5> {
        self.decode(self.encode(images, None))
    }

    fn describe_graph(&self, graph: &mut OnnxGraph, images: GraphValue) -> Option<GraphValue> {
        Some(self.add_to_graph(graph, images))
    }

    fn define_for_monai(
        config: &ResUNetVaeConfig,
        channels: RunChannels,
    ) -> Result<serde_json::Value, ConfigError> {
        monai::define_network(config, channels)
    }

    fn patch_divisor(config: &ResUNetVaeConfig) -> usize {
        config.patch_divisor()
    }

    fn smallest_patch(config: &ResUNetVaeConfig) -> usize {
        // Eight voxels at the bottom: a norm over one would know nothing but the channels.
        2 << config.bottom_level()
    }

    fn trained_patch(config: &ResUNetVaeConfig) -> Option<Dims> {
        config.vae.then_some(config.patch)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::nets::{ArchitectureEntry, Blueprint};

    fn blueprint(settings: &Value) -> Result<Box<dyn Blueprint>, ConfigError> {
        ArchitectureEntry::find_by_name(ResUNetVae::NAME).unwrap().parse_settings(settings)
    }

    fn small() -> ResUNetVae {
        let config = ResUNetVaeConfig {
            base_width: 4,
            groups: 2,
            encoder_units: vec![1, 1],
            patch: Dims::cube(8),
            latent: 3,
            ..Default::default()
        };
        ResUNetVae::init(&config, RunChannels::default(), &Device::flex()).draw_weights(1)
    }

    #[test]
    fn full_width_has_the_papers_parameters() {
        let count = |settings| blueprint(&settings).unwrap().parameter_count();
        assert_eq!(count(json!({"vae": false})), 18_798_627);
        assert_eq!(count(json!({"vae": false, "head_norm": false})), 18_798_627 - 64);
        assert_eq!(count(json!({})), 23_273_271);
        assert_eq!(count(json!({"patch": [160, 192, 128]})), 26_032_951);
    }

    #[test]
    fn settings_that_make_no_network_are_refused_with_the_way_out() {
        for (settings, named) in [
            (json!({"groups": 7}), ["groups", "divisor of base_width = 32"]),
            (json!({"patch": [120, 128, 128]}), ["patch: is [120, 128, 128]", "multiples of 16"]),
            (json!({"dropout": 1.0}), ["dropout: is 1", "0 to 0.9"]),
            (json!({"encoder_units": []}), ["encoder_units: its length: is 0", "2 to 7"]),
        ] {
            let text = blueprint(&settings).err().unwrap().to_string();
            assert!(named.iter().all(|part| text.contains(part)), "{text}");
        }
        assert!(blueprint(&json!({"vae": false, "patch": [120, 128, 128]})).is_ok());
    }

    #[test]
    fn the_autoencoder_fits_one_patch_and_says_which() {
        let made_for_128 = blueprint(&json!({})).unwrap();
        assert!(made_for_128.fits_patch(Dims::cube(128)).is_ok());
        let text = made_for_128.fits_patch(Dims::cube(96)).unwrap_err().to_string();
        for part in ["crop.patch is [96, 96, 96]", "model.settings.patch = [96, 96, 96]"] {
            assert!(text.contains(part), "{text}");
        }
        let plain = blueprint(&json!({"vae": false})).unwrap();
        assert!(plain.fits_patch(Dims([96, 64, 24])).is_ok());
        let text = plain.fits_patch(Dims::cube(20)).unwrap_err().to_string();
        assert!(text.contains("multiple of 8 and at least 16"), "{text}");
    }

    #[test]
    fn dropout_and_noise_are_drawn_in_training_alone() {
        let net = small();
        let images = Tensor::<5>::ones([1, 4, 8, 8, 8], &Device::flex());
        let figures = |step| {
            let output = net.forward(images.clone(), ModelRng { seed: 1, step });
            let penalties: Vec<f32> =
                output.aux_losses.into_iter().map(|p| p.value.into_scalar()).collect();
            (output.logits.into_data().try_to_vec::<f32>().unwrap(), penalties)
        };
        assert_eq!(figures(1), figures(1));
        let ((logits, penalties), (others, other_penalties)) = (figures(1), figures(2));
        assert_ne!(logits, others, "dropout");
        assert_ne!(penalties, other_penalties, "noise");
        // Inference knows no step, and reads no patch: the autoencoder has no part in it.
        let wider = Tensor::<5>::ones([1, 4, 8, 12, 8], &Device::flex());
        assert_eq!(net.predict_logits(wider).dims(), [1, 3, 8, 12, 8]);
    }
}
