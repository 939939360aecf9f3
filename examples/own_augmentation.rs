//! An augmentation of one's own in gliaflow's loader: a random bias field, the slowly varying brightness
//! that the coils of a scanner leave in an image, as the exponential of a random quadratic polynomial.
//! Batches are the same however often and on however many threads they are made.
//!
//! `cargo run --release --example own_augmentation`
#![allow(clippy::print_stdout, reason = "an example shows what it has")]

use gliaflow::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings, as under `augment.own` in a configuration.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct BiasField {
    /// Share of samples, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    probability: f64,
    /// Largest coefficient of the polynomial; the field is its exponential.
    #[schemars(range(min = 0, max = 2))]
    strength: f64,
}

impl Default for BiasField {
    fn default() -> Self {
        Self { probability: 0.15, strength: 0.3 }
    }
}

/// Coefficients of 1, z, y, x, zz, yy, xx, zy, zx and yx, one polynomial for each modality.
type Coefficients = [[f32; 10]; Modality::COUNT];

impl PatchFilter for BiasField {
    const NAME: &'static str = "bias_field";
    type Params = Coefficients;

    fn draw_params(&self, rng: &mut KeyedRng) -> Option<Coefficients> {
        let is_drawn = rng.draw_bool(self.probability);
        let mut coefficient = || rng.uniform(-self.strength, self.strength) as f32;
        is_drawn.then(|| [[0.0; 10]; Modality::COUNT].map(|all| all.map(|_| coefficient())))
    }

    fn filter_patch(drawn: &Coefficients, patch: &mut RenderedPatch<'_>) {
        let [depth, height, width] = patch.dims.0;
        // Places from -1 to 1. Background is 0 and stays so: the field is a factor.
        let place = |at: usize, side: usize| (2 * at + 1) as f32 / side as f32 - 1.0;
        for (modality, [one, z, y, x, zz, yy, xx, zy, zx, yx]) in
            Modality::ALL.into_iter().zip(*drawn)
        {
            let rows = patch.channel_mut(modality).chunks_exact_mut(width);
            for (row, values) in rows.enumerate() {
                let (at_z, at_y) = (place(row / height, depth), place(row % height, height));
                let constant = one + at_z * (z + zz * at_z + zy * at_y) + at_y * (y + yy * at_y);
                let slope = x + zx * at_z + yx * at_y;
                for (column, value) in values.iter_mut().enumerate() {
                    let at_x = place(column, width);
                    *value *= (constant + at_x * (slope + xx * at_x)).exp();
                }
            }
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("data");
    write_phantom_cases(&data, 3, [48, 48, 48])?;
    let builder = || {
        let builder = Loader::builder(&data).cache(scratch.path().join("cache")).seed(3);
        builder.patch([32, 32, 32]).patch_filter(BiasField { probability: 0.5, strength: 0.3 })
    };
    let batches: Vec<Batch> = builder().start()?.take(4).collect::<Result<_, _>>()?;
    for from in batches.iter().flat_map(|batch| &batch.provenance) {
        let fields: Vec<String> =
            from.drawn.own.iter().map(|own| format!("{} {}", own.name, own.params)).collect();
        println!("{}: {}", from.case, fields.join(", "));
    }
    let again: Vec<Batch> = builder().start()?.take(4).collect::<Result<_, _>>()?;
    assert!(batches == again, "the same settings give the same batches");

    // A training run draws it in the same way, and keeps it in its record.
    #[cfg(feature = "train")]
    {
        let summary = Training::builder(&data)
            .cache(scratch.path().join("cache"))
            .run_folder(scratch.path().join("run"))
            .network("unet")
            .network_settings(serde_json::json!({"base_width": 4, "levels": 2}))
            .patch_filter(BiasField::default())
            .patch([16, 16, 16])
            .epochs(1)
            .set("train.steps_per_epoch", 2)
            .set("data.held_out", 0.34)
            .run()?;
        println!("{} steps in {}", summary.steps, summary.run.display());
    }
    Ok(())
}
