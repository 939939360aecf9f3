//! The cascade of U-Nets of Lachinov et al. 2018 (arXiv 1810.04008), as Nalwade and Kisa vary it:
//! sigmoid regions in place of softmax classes.
//!
//! Stages at a quarter, half and full resolution, the coarsest first; a finer one sees the
//! probabilities of the coarser ones at the levels of their resolutions. Each stage encodes the
//! modalities separately, as groups of convolutions, and takes the maximum over them wherever
//! encoder meets decoder. Widths and biases are those of the authors' code
//! (`lachinov/brats2018-graphlabunn`).

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::ConfigError;
use crate::nets::convolution::{ConvConfig, Convolution};
use crate::nets::onnx::{GraphValue, OnnxGraph};
use crate::nets::{
    Architecture, ModelRng, Norm, Output, ResidualUnit, SideOutput, compute_probabilities,
    concatenate_channels, convert_volume, max_over_groups, mean_pool, transposed_convolution,
    weights,
};
use crate::volume::{Modality, RunChannels};

mod graph;

/// Random streams reserved for a stage: more than it has levels.
const STAGE_PLACES: u64 = 256;

/// Widths and depth of the cascade, and the weight of each stage's loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct CascadedConfig {
    /// Half the decoder channels at full resolution; doubled at each level and coarser stage.
    #[schemars(range(min = 1, max = 256), extend("x-unit" = "channels"))]
    #[default(4)]
    pub base_width: usize,
    /// Channels of four encoders together, as a multiple of the decoder's; one of fewer modalities has
    /// encoders of the same width, one a modality.
    #[schemars(range(min = 1, max = 16))]
    #[default(2)]
    pub encoder_multiplier: usize,
    /// Resolution levels of a stage, its own included.
    #[schemars(range(min = 2, max = 6))]
    #[default(4)]
    pub levels: usize,
    /// Share of values that are dropped after each strided convolution.
    #[schemars(range(min = 0, max = 0.9))]
    #[default(0.1)]
    pub dropout: f64,
    /// Added to the variance of a channel; the authors' MXNet has 1e-3.
    #[schemars(range(min = 1e-12, max = 0.1))]
    #[default(1e-5)]
    pub norm_epsilon: f64,
    /// Weight of each stage's loss, the full resolution first: as many stages as weights.
    #[schemars(length(min = 1, max = 4), inner(range(min = 0, max = 1000)))]
    #[default(vec![0.4, 0.3, 0.2])]
    pub loss_weights: Vec<f64>,
}

impl CascadedConfig {
    const fn stage_count(&self) -> usize {
        self.loss_weights.len()
    }

    /// Channels of the decoder at a level of the stage that works at `1 / 2^scale`.
    const fn decoder_width(&self, scale: usize, level: usize) -> usize {
        (2 * self.base_width) << (scale + level)
    }

    /// Channels of one encoder, and after the maximum over the encoders.
    const fn merged_width(&self, scale: usize, level: usize) -> usize {
        self.encoder_multiplier * self.decoder_width(scale, level) / Modality::COUNT
    }

    /// True if a decoder sees the coarser stage's probabilities at a level.
    const fn has_map(&self, scale: usize, level: usize) -> bool {
        level > 0 && scale + level < self.stage_count()
    }
}

/// The network; field names are the parameters' names. The coarsest stage comes first.
#[derive(Module, Debug)]
pub struct Cascaded {
    stages: Vec<CascadeStage>,
    loss_weights: Vec<f64>,
}

/// U-Net of one resolution.
#[derive(Module, Debug)]
struct CascadeStage {
    input: Convolution,
    enc: Vec<ResidualUnit>,
    down: Vec<Convolution>,
    up: Vec<UpConv>,
    fuse: Vec<Convolution>,
    dec: Vec<ResidualUnit>,
    head: Convolution,
    scale: usize,
    dropout: f64,
}

/// A transposed convolution, 2x2x2 with stride 2, without a bias.
#[derive(Module, Debug)]
struct UpConv {
    /// `[in, out, 2, 2, 2]`.
    weight: Param<Tensor<5>>,
}

impl UpConv {
    fn new([from, to]: [usize; 2], device: &Device) -> Self {
        Self { weight: Initializer::Zeros.init([from, to, 2, 2, 2], device) }
    }

    fn forward(&self, volume: Tensor<5>) -> Tensor<5> {
        transposed_convolution(volume, self.weight.val())
    }
}

impl CascadeStage {
    fn new(config: &CascadedConfig, channels: RunChannels, scale: usize, device: &Device) -> Self {
        let encoders = channels.modalities.len();
        let regions = channels.regions.len();
        let apart = ConvConfig { groups: encoders, bias: true, ..ConvConfig::CUBE };
        let strided = ConvConfig { stride: 2, ..apart };
        let together = ConvConfig { groups: 1, ..apart };
        let point = ConvConfig { bias: true, ..ConvConfig::POINT };
        let unit = |channels: usize, kernel| {
            let norm = || Norm::instance(channels, config.norm_epsilon, device);
            ResidualUnit::new(channels, norm, kernel, device)
        };
        let bottom = config.levels - 1;
        let decoder = |level| config.decoder_width(scale, level);
        let merged = |level| config.merged_width(scale, level);
        let encoder = |level| encoders * merged(level);
        let down = |level| strided.init([encoder(level), encoder(level + 1)], device);
        let up = |level| {
            let below = if level + 1 == bottom { merged(bottom) } else { decoder(level + 1) };
            UpConv::new([below, decoder(level)], device)
        };
        let fuse = |level| {
            let map = if config.has_map(scale, level) { regions } else { 0 };
            let parts = decoder(level) + merged(level) + map;
            point.init([parts, decoder(level)], device)
        };
        let rising = || (0..bottom).rev();
        Self {
            input: apart.init([encoders, encoder(0)], device),
            enc: (0..=bottom).map(|level| unit(encoder(level), apart)).collect(),
            down: (0..bottom).map(down).collect(),
            up: rising().map(up).collect(),
            fuse: rising().map(fuse).collect(),
            dec: rising().map(|level| unit(decoder(level), together)).collect(),
            head: point.init([decoder(0), regions], device),
            scale,
            dropout: config.dropout,
        }
    }

    /// Computes region logits at this stage's resolution. `maps` holds the coarser stages'
    /// probabilities by scale.
    fn forward(
        &self,
        images: Tensor<5>,
        maps: &[Option<Tensor<5>>],
        draws: Option<ModelRng>,
    ) -> Tensor<5> {
        let encoders = images.dims()[1];
        let mut volume = self.enc[0].forward(self.input.forward(images));
        let mut merged = vec![max_over_modalities(volume.clone(), encoders)];
        for (level, (down, unit)) in self.down.iter().zip(&self.enc[1..]).enumerate() {
            volume = down.forward(volume);
            if let Some(draws) = draws {
                let place = self.scale as u64 * STAGE_PLACES + level as u64;
                volume = draws.drop_values(place, self.dropout, volume);
            }
            volume = unit.forward(volume);
            merged.push(max_over_modalities(volume.clone(), encoders));
        }
        let mut volume = merged.pop().expect("every level left one");
        for ((up, fuse), unit) in self.up.iter().zip(&self.fuse).zip(&self.dec) {
            let skip = merged.pop().expect("the decoder has a level less than the encoder");
            let level = merged.len();
            let mut parts = vec![up.forward(volume), skip];
            if level > 0 {
                parts.extend(maps.get(self.scale + level).cloned().flatten());
            }
            volume = unit.forward(fuse.forward(concatenate_channels(parts)));
        }
        convert_volume(self.head.forward(volume), DType::F32)
    }
}

/// Maximum over the modalities' encoders, whose channels lie one after the other.
fn max_over_modalities(volume: Tensor<5>, encoders: usize) -> Tensor<5> {
    max_over_groups(volume, encoders)
}

impl Cascaded {
    /// Region logits by scale, the full resolution first.
    fn multiscale_logits(&self, images: Tensor<5>, draws: Option<ModelRng>) -> Vec<Tensor<5>> {
        let dtype = images.dtype();
        let mut scaled = vec![images];
        while scaled.len() < self.stages.len() {
            scaled.push(mean_pool(scaled[scaled.len() - 1].clone()));
        }
        let mut maps: Vec<Option<Tensor<5>>> = vec![None; self.stages.len()];
        let mut logits = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            let images = scaled.pop().expect("one for each stage");
            let answer = stage.forward(images, &maps, draws);
            maps[stage.scale] = Some(compute_probabilities(answer.clone(), dtype));
            logits.push(answer);
        }
        logits.reverse();
        logits
    }
}

impl Architecture for Cascaded {
    const NAME: &'static str = "cascaded";
    type Config = CascadedConfig;

    fn check_config(config: &CascadedConfig) -> Result<(), ConfigError> {
        let multiplier = config.encoder_multiplier;
        if (config.base_width * multiplier).is_multiple_of(2) {
            return Ok(());
        }
        let problem = "too odd: four encoders share 2 x base_width x encoder_multiplier channels";
        let way_out = "choose an even encoder_multiplier, or an even base_width";
        Err(ConfigError::new("encoder_multiplier", multiplier, problem, way_out))
    }

    fn init(config: &CascadedConfig, channels: RunChannels, device: &Device) -> Self {
        let scales = (0..config.stage_count()).rev();
        Self {
            stages: scales
                .map(|scale| CascadeStage::new(config, channels, scale, device))
                .collect(),
            loss_weights: config.loss_weights.clone(),
        }
    }

    /// Xavier initialisation, as in the authors' code.
    fn draw_weights(self, seed: u64) -> Self {
        weights::xavier_uniform(self, seed)
    }

    fn forward(&self, images: Tensor<5>, draws: ModelRng) -> Output {
        let mut weighted =
            self.multiscale_logits(images, Some(draws)).into_iter().zip(&self.loss_weights);
        let (logits, &weight) = weighted.next().expect("there is at least one stage");
        let side = weighted.map(|(logits, &weight)| SideOutput { logits, weight: weight as f32 });
        Output {
            weight: weight as f32,
            deep_supervision: side.collect(),
            ..Output::of_logits(logits)
        }
    }

    fn predict_logits(&self, images: Tensor<5>) -> Tensor<5> {
        self.multiscale_logits(images, None).swap_remove(0)
    }

    fn describe_graph(&self, graph: &mut OnnxGraph, images: GraphValue) -> Option<GraphValue> {
        Some(self.add_to_graph(graph, images))
    }

    fn patch_divisor(config: &CascadedConfig) -> usize {
        1 << (config.stage_count() - 1 + config.levels - 1)
    }

    fn smallest_patch(config: &CascadedConfig) -> usize {
        2 * Self::patch_divisor(config)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::nets::{ArchitectureEntry, Blueprint};
    use crate::volume::Dims;

    fn blueprint(settings: &Value) -> Result<Box<dyn Blueprint>, ConfigError> {
        ArchitectureEntry::find_by_name(Cascaded::NAME).unwrap().parse_settings(settings)
    }

    fn small() -> Cascaded {
        let settings = json!({"base_width": 1, "levels": 2, "loss_weights": [0.5, 0.25]});
        let config = serde_json::from_value(settings).unwrap();
        Cascaded::init(&config, RunChannels::default(), &Device::flex()).draw_weights(1)
    }

    #[test]
    fn full_width_has_the_papers_parameters() {
        let count = |settings| blueprint(&settings).unwrap().parameter_count();
        assert_eq!(count(json!({})), 9_556_985);
        assert_eq!(count(json!({"encoder_multiplier": 4})), 32_837_081);
        assert_eq!(count(json!({"base_width": 8})), 38_192_041);
    }

    #[test]
    fn the_smallest_patch_keeps_two_voxels_at_the_bottom_of_the_coarsest_stage() {
        let papers = blueprint(&json!({})).unwrap();
        assert_eq!((papers.patch_divisor(), papers.smallest_patch()), (32, 64));
        let text = papers.fits_patch(Dims::cube(32)).unwrap_err().to_string();
        assert!(text.contains("at least 64"), "{text}");
    }

    #[test]
    fn settings_that_make_no_network_are_refused_with_the_way_out() {
        for (settings, named) in [
            (json!({"base_width": 3, "encoder_multiplier": 1}), "even encoder_multiplier"),
            (json!({"loss_weights": []}), "loss_weights: its length: is 0"),
            (json!({"loss_weights": [1.0, -0.1]}), "loss_weights: one of them: is -0.1"),
            (json!({"levels": 1}), "levels: is 1"),
        ] {
            let text = blueprint(&settings).err().unwrap().to_string();
            assert!(text.contains(named), "{text}");
        }
    }

    #[test]
    fn maps_carry_their_stages_weights_and_halve_their_grids() {
        let images = Tensor::<5>::ones([1, 4, 8, 8, 12], &Device::flex());
        let output = small().forward(images, ModelRng { seed: 1, step: 1 });
        assert_eq!((output.logits.dims(), output.weight), ([1, 3, 8, 8, 12], 0.5));
        let [side] = output.deep_supervision.as_slice() else { panic!("not one map") };
        assert_eq!((side.logits.dims(), side.weight), ([1, 3, 4, 4, 6], 0.25));
    }

    #[test]
    fn dropout_is_drawn_in_training_alone() {
        let net = small();
        let images = Tensor::<5>::ones([1, 4, 8, 8, 8], &Device::flex());
        let read = |logits: Tensor<5>| logits.into_data().try_to_vec::<f32>().unwrap();
        let trained = |step| read(net.forward(images.clone(), ModelRng { seed: 1, step }).logits);
        assert_eq!(trained(1), trained(1));
        assert_ne!(trained(1), trained(2));
        assert_ne!(trained(1), read(net.predict_logits(images.clone())));
    }
}
