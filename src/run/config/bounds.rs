//! Bounds of the settings: typing errors are refused before arithmetic with them overflows.
//!
//! The bounds are generous on purpose, far above what anybody has used; what is too much for a
//! machine is refused by the memory budget.

use crate::pipeline::loader;
use crate::run::config::RunConfig;

/// Returns the first setting that is out of bounds.
pub(super) fn first_out_of_bounds(run: &RunConfig) -> Option<String> {
    share_out_of_bounds(run).or_else(|| count_out_of_bounds(run)).or_else(|| unknown_actor(run))
}

fn unknown_actor(run: &RunConfig) -> Option<String> {
    run.drill.first_invalid_setting(&loader::ACTORS).map(|problem| format!("drill.{problem}"))
}

fn share_out_of_bounds(run: &RunConfig) -> Option<String> {
    let shares = [
        ("data.held_out", run.data.held_out),
        ("evaluation.overlap", run.evaluation.overlap),
        ("loader.skip_share", run.loader.skip_share),
    ];
    let (field, value) = shares.into_iter().find(|(_, value)| !(0.0..1.0).contains(value))?;
    Some(format!("{field} = {value} is no share below 1; write 0 to 0.99"))
}

fn count_out_of_bounds(run: &RunConfig) -> Option<String> {
    let RunConfig { crop, loader, ingest, train, evaluation, .. } = run;
    let workers = loader.workers.at_start();
    let largest_side = crop.patch.0.into_iter().max().unwrap_or_default();
    let counts = [
        ("crop.patch", largest_side as u64, 0..=4096),
        ("loader.batch", loader.batch as u64, 1..=1024),
        ("loader.prefetch", loader.prefetch as u64, 1..=1024),
        ("loader.memory_mib", loader.memory_mib as u64, 1..=(1 << 30)),
        ("loader.patches_per_case", loader.patches_per_case, 1..=(1 << 20)),
        ("loader.workers.fetch", workers.fetch as u64, 1..=1024),
        ("loader.workers.decode", workers.decode as u64, 1..=1024),
        ("loader.workers.normalize", workers.normalize as u64, 1..=1024),
        ("loader.workers.crop", workers.crop as u64, 1..=1024),
        ("loader.workers.augment", workers.augment as u64, 1..=1024),
        ("ingest.decode", ingest.decode as u64, 1..=1024),
        ("ingest.normalize", ingest.normalize as u64, 1..=1024),
        ("ingest.publish", ingest.publish as u64, 1..=1024),
        ("train.epochs", train.epochs, 1..=(1 << 30)),
        ("train.steps_per_epoch", train.steps_per_epoch, 0..=(1 << 30)),
        ("train.accumulate", train.accumulate, 1..=(1 << 20)),
        ("train.checkpoint.every_epochs", train.checkpoint.every_epochs, 0..=(1 << 30)),
        ("train.checkpoint.every_steps", train.checkpoint.every_steps, 0..=(1 << 60)),
        ("train.checkpoint.keep", train.checkpoint.keep as u64, 1..=(1 << 20)),
        ("train.validation.every_epochs", train.validation.every_epochs, 0..=(1 << 30)),
        ("drill.slow_stage_ms", run.drill.slow_stage_ms, 0..=60_000),
        ("drill.slow_step_ms", run.drill.slow_step_ms, 0..=86_400_000),
        ("drill.unhealthy_after_ms", run.drill.unhealthy_after_ms.unwrap_or(1), 1..=86_400_000),
        ("evaluation.batch", evaluation.batch as u64, 1..=1024),
    ];
    let (field, value, range) =
        counts.into_iter().find(|(_, value, range)| !range.contains(value))?;
    let (least, most) = range.into_inner();
    Some(format!("{field} = {value} is out of bounds; write {least} to {most}"))
}
