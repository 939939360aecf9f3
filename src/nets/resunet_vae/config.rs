//! Settings of the residual U-Net and its autoencoder.

use burn::tensor::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::ConfigError;
use crate::nets::convolution::ConvConfig;
use crate::nets::{Norm, ResidualUnit};
use crate::volume::Dims;

/// Added to the variance of a group.
const EPSILON: f64 = 1e-5;

/// Width and depth of the residual U-Net, and its regularisers.
// The defaults are the paper's table, at the patch of Nalwade and Kisa.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(default, deny_unknown_fields)]
pub struct ResUNetVaeConfig {
    /// Channels at full resolution; doubled at each level below.
    #[schemars(range(min = 1, max = 512), extend("x-unit" = "channels"))]
    #[default(32)]
    pub base_width: usize,
    /// Residual units of each level of the encoder, the full resolution first.
    #[schemars(length(min = 2, max = 7), inner(range(min = 1, max = 16)))]
    #[default(vec![1, 2, 2, 4])]
    pub encoder_units: Vec<usize>,
    /// Number of groups of a norm.
    #[schemars(range(min = 1, max = 512))]
    #[default(8)]
    pub groups: usize,
    /// Share of channels that are dropped after the first convolution.
    #[schemars(range(min = 0, max = 0.9))]
    #[default(0.2)]
    pub dropout: f64,
    /// Norm and ReLU ahead of the head: as in MONAI, not in the paper's table.
    #[default(true)]
    pub head_norm: bool,
    /// Training of the autoencoder along with the network.
    #[default(true)]
    pub vae: bool,
    /// Patch that the autoencoder's dense layers are made for, `[d, h, w]`; `crop.patch`.
    #[schemars(inner(range(min = 1, max = 4096)), extend("x-unit" = "voxels"))]
    #[default(Dims::cube(128))]
    pub patch: Dims,
    /// Channels ahead of the autoencoder's dense layers.
    #[schemars(range(min = 1, max = 512), extend("x-unit" = "channels"))]
    #[default(16)]
    pub bottleneck: usize,
    /// Number of latent variables: as many means and as many variances.
    #[schemars(range(min = 1, max = 4096))]
    #[default(128)]
    pub latent: usize,
    /// Weight of the squared error of the reconstruction.
    #[schemars(range(min = 0, max = 1000))]
    #[default(0.1)]
    pub reconstruction_weight: f64,
    /// Weight of the Kullback-Leibler divergence of the latent distribution.
    #[schemars(range(min = 0, max = 1000))]
    #[default(0.1)]
    pub kl_weight: f64,
}

impl ResUNetVaeConfig {
    /// Index of the coarsest level.
    pub(super) const fn bottom_level(&self) -> usize {
        self.encoder_units.len() - 1
    }

    /// Number of channels of a level.
    pub(super) const fn level_width(&self, level: usize) -> usize {
        self.base_width << level
    }

    /// Divisor of every patch axis; the autoencoder halves the grid once more than the encoder.
    pub(super) fn patch_divisor(&self) -> usize {
        1 << (self.bottom_level() + usize::from(self.vae))
    }

    pub(super) fn new_norm(&self, channels: usize, device: &Device) -> Norm {
        Norm::group(channels, self.groups, EPSILON, device)
    }

    pub(super) fn new_unit(&self, channels: usize, device: &Device) -> ResidualUnit {
        ResidualUnit::new(channels, || self.new_norm(channels, device), ConvConfig::CUBE, device)
    }

    /// Checks settings that depend on each other.
    pub(super) fn check_divisors(&self) -> Result<(), ConfigError> {
        if !self.base_width.is_multiple_of(self.groups) {
            let way_out = format!("choose a divisor of base_width = {}", self.base_width);
            return Err(ConfigError::new("groups", self.groups, "no divisor of it", way_out));
        }
        let divisor = self.patch_divisor();
        if self.vae && self.patch.0.iter().any(|s| !s.is_multiple_of(divisor)) {
            let value = format!("{:?}", self.patch.0);
            let way_out = format!("choose multiples of {divisor}, or vae = false");
            return Err(ConfigError::new("patch", value, "indivisible", way_out));
        }
        Ok(())
    }
}
