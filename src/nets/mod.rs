//! Floor 4: networks as pure functions of tensors.
//!
//! A network knows neither files nor loaders nor losses: it maps images `[b, 4, d, h, w]` to region
//! logits `[b, 3, d, h, w]` in the order of [`Region::ALL`](crate::volume::region::Region::ALL),
//! and says what else it wants trained. A new one is a file of its own that implements
//! [`Architecture`], and one line in [`ARCHITECTURES`]; nobody above this floor matches on names.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::volume::grid::Dims;

mod average;
pub mod blocks;
pub mod cascaded;
pub mod convolution;
pub mod draws;
pub mod exchange;
mod files;
mod gradients;
pub mod learner;
pub mod mirrored;
pub mod norm;
pub mod optimiser;
pub mod precision;
pub mod registry;
pub mod resunet_vae;
pub mod steps;
pub mod unet;
pub mod volumetric;
pub mod weights;

pub use draws::Draws;
pub use learner::Learner;
pub use registry::{Blueprint, Entry, InvalidConfig};

/// Every network that can be trained, in the order of the paper's table.
pub static ARCHITECTURES: &[Entry] = &[
    registry::entry::<unet::UNet>(),
    registry::entry::<resunet_vae::ResUNetVae>(),
    registry::entry::<cascaded::Cascaded>(),
];

/// What a network computes while it is trained.
#[derive(Debug)]
pub struct Output {
    /// Region logits at full resolution, `[b, 3, d, h, w]`.
    pub logits: Tensor<5>,
    /// What the region loss of `logits` counts in the total.
    pub weight: f32,
    /// Coarser maps that are trained on coarser targets; empty for most networks.
    pub side: Vec<SideOutput>,
    /// Terms that need no target, such as a variational bound; empty for most networks.
    pub penalties: Vec<Penalty>,
}

impl Output {
    /// Logits and nothing else.
    pub const fn of_logits(logits: Tensor<5>) -> Self {
        Self { logits, weight: 1.0, side: Vec::new(), penalties: Vec::new() }
    }
}

/// A coarser map: each axis is the full one divided by the same power of two.
#[derive(Debug)]
pub struct SideOutput {
    /// Region logits, `[b, 3, d / 2^n, h / 2^n, w / 2^n]`.
    pub logits: Tensor<5>,
    /// What its region loss counts in the total.
    pub weight: f32,
}

/// A term of the loss that the network brings along.
#[derive(Debug)]
pub struct Penalty {
    /// Its name in the journal.
    pub name: &'static str,
    /// Its value, already weighted, `[1]`.
    pub value: Tensor<1>,
}

/// A kind of network. Statically known; [`registry::entry`] turns it into an [`Entry`].
pub trait Architecture: Module + ModuleDisplay + 'static {
    /// The name in configurations and tables.
    const NAME: &'static str;

    /// Another program's names for this network, if there is such a program.
    const DIALECT: Option<&'static exchange::Dialect> = None;

    /// Its settings; a field that is not there takes its default, an unknown one is refused.
    type Config: Serialize + DeserializeOwned + Default + Clone + Send + Sync + 'static;

    /// Whether the settings make a network.
    ///
    /// # Errors
    /// Names the field, its value and the way out.
    fn check(config: &Self::Config) -> Result<(), InvalidConfig>;

    /// The network with the values of [`weights`](Self::draw_weights) still to be drawn.
    fn init(config: &Self::Config, device: &Device) -> Self;

    /// Draws the initial weights; a pure function of the seed.
    #[must_use]
    fn draw_weights(self, seed: u64) -> Self {
        weights::he_normal(self, seed)
    }

    /// The pass of training, images `[b, 4, d, h, w]` of the [`precision`] to compute in. A pure
    /// function: all chance is in `draws`. What it gives is f32.
    fn forward(&self, images: Tensor<5>, draws: Draws) -> Output;

    /// The pass of inference: region logits `[b, 3, d, h, w]`, f32, and nothing that only training needs.
    fn logits(&self, images: Tensor<5>) -> Tensor<5>;

    /// Every axis of a patch must be a multiple of this.
    fn patch_divisor(config: &Self::Config) -> usize;

    /// The smallest axis of a patch that can be trained: norms need more than one voxel.
    fn smallest_patch(config: &Self::Config) -> usize;

    /// The only patch that can be trained, where there are weights whose shape depends on it.
    fn trained_patch(_config: &Self::Config) -> Option<Dims> {
        None
    }
}

/// A trained network, whatever its kind. Sliding windows, ensembles and mirroring are made of it.
pub trait Network: Send {
    /// Region probabilities `[b, 3, d, h, w]` of images `[b, 4, d, h, w]`.
    fn probabilities(&self, images: Tensor<5>) -> Tensor<5>;

    /// Every axis of a patch must be a multiple of this.
    fn patch_divisor(&self) -> usize;

    /// Where its weights live; images must be made there.
    fn device(&self) -> &Device;
}
