//! A training run inside another program, the run that `gliaflow train` makes: the same checkpoints,
//! journal and summary.
//!
//! `cargo run --release --example train_unet -- DATA RUN`; without arguments on phantoms, in a folder
//! for the time being.
#![allow(clippy::print_stdout, reason = "an example shows what it has")]

use std::path::PathBuf;

use gliaflow::prelude::*;
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (data, run) = match arguments.next().zip(arguments.next()) {
        Some(folders) => folders,
        None => {
            let data = scratch.path().join("data");
            write_phantom_cases(&data, 4, [32, 32, 32])?;
            (data, scratch.path().join("run"))
        }
    };
    let summary = Training::builder(data)
        .cache(scratch.path().join("cache"))
        .run_folder(run)
        .network("unet")
        .network_settings(json!({"base_width": 4, "levels": 3}))
        .patch([16, 16, 16])
        .epochs(2)
        .set("train.steps_per_epoch", 4)
        .set("data.held_out", 0.25)
        .on_step(|step| println!("step {}: loss {:.4}", step.step, step.loss))
        .on_validation(|scored| println!("validation after {} steps", scored.step))
        .run()?;
    println!("{} steps in {}", summary.steps, summary.run.display());
    Ok(())
}
