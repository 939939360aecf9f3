//! A loss of one's own in gliaflow's training loop: focal Tversky loss, which weighs missed voxels above
//! false alarms and regions that are learnt badly above those that are learnt well (Abraham and Khan 2019).
//! Checkpoints, curves and the record of the run are those of any other run.
//!
//! `cargo run --release --example own_loss`
#![allow(clippy::print_stdout, reason = "an example shows what it has")]

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use gliaflow::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Settings, as `loss.settings` in a configuration.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FocalTverskyLoss {
    /// Weight of voxels of a region that were missed; those wrongly found weigh 1 less it.
    #[schemars(range(min = 0, max = 1))]
    missed: f64,
    /// Exponent of a region's loss; 1 for the Tversky loss.
    #[schemars(range(min = 0.1, max = 10))]
    focus: f64,
}

impl Default for FocalTverskyLoss {
    fn default() -> Self {
        Self { missed: 0.7, focus: 0.75 }
    }
}

/// Number of voxels added to both sides of the fraction, so that an absent region has a loss of 0.
const SMOOTHING: f64 = 1.0;

impl RegionLoss for FocalTverskyLoss {
    const NAME: &'static str = "focal_tversky";

    fn compute_loss(&self, logits: Tensor<5>, targets: &RegionTargets) -> Tensor<1> {
        let [_, regions, ..] = logits.dims();
        let sum = |voxels: Tensor<5>| {
            // Ignored voxels are in no sum.
            let voxels = match &targets.counted {
                Some(counted) => voxels.clone() * counted.clone().expand(voxels.dims()),
                None => voxels,
            };
            voxels.swap_dims(0, 1).reshape([regions as i32, -1]).sum_dim(1) // [k, 1]
        };
        let found = sigmoid(logits);
        let truth = targets.members.clone();
        let right = sum(found.clone() * truth.clone());
        let missed = sum(truth) - right.clone();
        let wrong = sum(found) - right.clone();
        let share = (right.clone() + SMOOTHING)
            / (right + missed * self.missed + wrong * (1.0 - self.missed) + SMOOTHING);
        // The power has no slope at 0.
        (share.neg() + 1.0).clamp_min(1e-6).powf_scalar(self.focus).mean()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("data");
    write_phantom_cases(&data, 4, [32, 32, 32])?;
    let summary = Training::builder(data)
        .cache(scratch.path().join("cache"))
        .run_folder(scratch.path().join("run"))
        .network("unet")
        .network_settings(json!({"base_width": 4, "levels": 2}))
        .loss(FocalTverskyLoss { missed: 0.6, ..FocalTverskyLoss::default() })
        .patch([16, 16, 16])
        .epochs(1)
        .set("train.steps_per_epoch", 4)
        .set("data.held_out", 0.25)
        .on_step(|step| {
            println!("step {}: loss {:.4}, Dice loss {:.4}", step.step, step.loss, step.dice_loss);
        })
        .run()?;
    println!(
        "{} steps; {} has the loss and its settings",
        summary.steps,
        summary.run.join("config.toml").display()
    );
    Ok(())
}
