//! Losses as values of one trait: the paper's, and those of programs that embed the crate.
//!
//! A loss knows no architecture: deep supervision outputs get the same loss on coarser targets, auxiliary
//! losses of the network are added here. Nothing waits for the device.

use std::any::TypeId;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::{self, ConfigError, Registry, RegistryEntry, schema_of};
use crate::nets::Output;
use crate::train::{DiceBceLoss, RegionTargets};

/// Loss over the regions of a batch, whose settings are the fields of the implementing type.
///
/// [`register_loss`] makes it known by its name; a configuration chooses it as `loss.name` and sets its
/// fields under `loss.settings`. Missing fields take their defaults.
///
/// ```
/// use burn::tensor::{Tensor, activation::sigmoid};
/// use gliaflow::prelude::*;
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// /// Squared distance of probability and truth (Brier 1950).
/// #[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
/// #[serde(default, deny_unknown_fields)]
/// struct BrierLoss {}
///
/// impl RegionLoss for BrierLoss {
///     const NAME: &'static str = "brier";
///
///     fn compute_loss(&self, logits: Tensor<5>, targets: &RegionTargets) -> Tensor<1> {
///         let apart = sigmoid(logits) - targets.members.clone();
///         targets.mean_over_counted(apart.square())
///     }
/// }
///
/// register_loss::<BrierLoss>().expect("no other loss is called brier");
/// ```
pub trait RegionLoss:
    Serialize + DeserializeOwned + JsonSchema + Default + Clone + Send + Sync + 'static
{
    /// Name in configurations and in the record of a run.
    const NAME: &'static str;

    /// Checks settings that depend on each other; ranges stand beside the fields
    /// (`#[schemars(range(min = 0))]`).
    ///
    /// # Errors
    /// Names the field, its value and the way out.
    fn check_settings(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Computes the loss, `[1]`, of region logits `[b, k, d, h, w]` in f32 against targets of the same
    /// shape. It is minimised.
    ///
    /// A pure function. Targets may be soft, and are on the coarser grids of a network with deep
    /// supervision. Voxels that do not count ([`RegionTargets::counted`]) must not change it.
    fn compute_loss(&self, logits: Tensor<5>, targets: &RegionTargets) -> Tensor<1>;

    /// Computes the loss with the figures of journal and curves, at full resolution. Unless a loss has its
    /// own, Dice and cross-entropy are measured as the paper's loss has them, and have no gradient: curves of
    /// runs with different losses can be compared.
    fn compute_parts(&self, logits: Tensor<5>, targets: &RegionTargets) -> LossParts {
        let total = self.compute_loss(logits.clone(), targets);
        let measured = DiceBceLoss::default().compute_parts(logits.detach(), targets);
        LossParts { total, ..measured }
    }
}

/// Loss and its parts: one value each unless said otherwise, still on the device. Only `total` has
/// a gradient; the parts may be kept and read later without keeping the graph.
#[derive(Debug)]
pub struct LossParts {
    /// Total loss, which is minimised.
    pub total: Tensor<1>,
    /// Dice loss at full resolution.
    pub dice: Tensor<1>,
    /// Cross-entropy at full resolution.
    pub bce: Tensor<1>,
    /// Soft Dice per region at full resolution, in the order of the run's regions, `[k]`.
    pub regions: Tensor<1>,
    /// Weighted auxiliary losses by name.
    pub aux_losses: Vec<(&'static str, Tensor<1>)>,
}

/// Loss of a run, its type erased.
pub trait TrainingLoss: Send + Sync {
    /// Settings in full, defaults filled in.
    fn settings(&self) -> Value;

    /// Computes the loss of region logits `[b, k, d, h, w]` alone, `[1]`.
    fn region_total(&self, logits: Tensor<5>, targets: &RegionTargets) -> Tensor<1>;

    /// Computes the loss of a training pass: of the logits, of coarser outputs against coarser targets, and
    /// the network's own terms.
    fn pass_loss(&self, output: Output, targets: RegionTargets) -> LossParts;
}

impl<L: RegionLoss> TrainingLoss for L {
    fn settings(&self) -> Value {
        serde_json::to_value(self).expect("settings are plain data")
    }

    fn region_total(&self, logits: Tensor<5>, targets: &RegionTargets) -> Tensor<1> {
        self.compute_loss(logits, targets)
    }

    fn pass_loss(&self, output: Output, targets: RegionTargets) -> LossParts {
        sum_output_losses(self, output, targets)
    }
}

/// Sums the losses of a training pass with their weights.
pub(super) fn sum_output_losses<L: RegionLoss>(
    loss: &L,
    output: Output,
    targets: RegionTargets,
) -> LossParts {
    let full = loss.compute_parts(output.logits, &targets);
    let mut total = full.total * output.weight;
    for coarser in output.deep_supervision {
        let coarse = targets.downsample_to(&coarser.logits);
        total = total + loss.compute_loss(coarser.logits, &coarse) * coarser.weight;
    }
    let mut aux_losses = Vec::with_capacity(output.aux_losses.len());
    for aux_loss in output.aux_losses {
        total = total + aux_loss.value.clone();
        aux_losses.push((aux_loss.name, aux_loss.value.detach()));
    }
    LossParts { total, aux_losses, ..full }
}

/// Registered loss, its type erased.
pub struct LossEntry {
    /// Name in configurations.
    pub name: &'static str,
    /// Makes the schema of its settings.
    pub schema: fn() -> Value,
    parse: fn(&Value) -> Result<Box<dyn TrainingLoss>, ConfigError>,
    implementor: TypeId,
}

static SHIPPED: [LossEntry; 1] = [loss_entry::<DiceBceLoss>()];

static REGISTRY: Registry<LossEntry> = Registry::new("loss", "loss.name", &SHIPPED);

impl RegistryEntry for LossEntry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn implementor(&self) -> TypeId {
        self.implementor
    }
}

/// Lists every loss: the paper's, then those of [`register_loss`].
pub fn list_losses() -> Vec<&'static LossEntry> {
    REGISTRY.list_entries()
}

/// Adds a loss of an embedding program, for the rest of the process. Adding it again changes nothing.
/// [`TrainingBuilder::loss`](crate::embed::TrainingBuilder::loss) does it by itself; configurations that name
/// the loss need it first.
///
/// ```
/// use gliaflow::embed::loss::{DiceBceLoss, list_losses, register_loss};
///
/// register_loss::<DiceBceLoss>().expect("the paper's loss is there already");
/// assert!(list_losses().iter().any(|entry| entry.name == "dice_bce"));
/// ```
///
/// # Errors
/// If another loss has its name.
pub fn register_loss<L: RegionLoss>() -> Result<(), ConfigError> {
    REGISTRY.add_entry(loss_entry::<L>())
}

impl LossEntry {
    /// Finds a loss by name.
    ///
    /// # Errors
    /// If there is none; lists those that there are.
    pub(super) fn find_by_name(name: &str) -> Result<&'static Self, ConfigError> {
        REGISTRY.find_entry(name)
    }

    /// Parses settings (an object; missing fields take their defaults).
    ///
    /// # Errors
    /// On an unknown field, a value of the wrong type or out of its range, or a combination that the loss
    /// refuses.
    pub(super) fn parse_settings(
        &self,
        settings: &Value,
    ) -> Result<Box<dyn TrainingLoss>, ConfigError> {
        (self.parse)(settings)
    }
}

const fn loss_entry<L: RegionLoss>() -> LossEntry {
    LossEntry {
        name: L::NAME,
        schema: schema_of::<L>,
        parse: parse_loss::<L>,
        implementor: TypeId::of::<L>(),
    }
}

fn parse_loss<L: RegionLoss>(settings: &Value) -> Result<Box<dyn TrainingLoss>, ConfigError> {
    let way_out = || format!("write the settings that {} has", L::NAME);
    let loss: L = base::parse_settings(settings, way_out)?;
    loss.check_settings()?;
    Ok(Box::new(loss))
}
