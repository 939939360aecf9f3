//! The whole loader over its workers, warm and cold, as `drain` measures it: samples a second, CPU
//! seconds per sample, memory. Four phantoms of 240x240x155, patches of 128³, batches of two.
//!
//! `cargo bench --no-default-features --features libdeflate --bench pipeline`
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::time::Duration;

use gliaflow::internals::augment::AugmentConfig;
use gliaflow::internals::brats::phantom::{PhantomConfig, cohort};
use gliaflow::internals::cache::PreprocessConfig;
use gliaflow::internals::pipeline::{CropConfig, LoaderConfig, LoaderWorkers, WorkerPlan};
use gliaflow::internals::run::tools::drain::{DrainConfig, drain_loader, prepare_dataset};
use gliaflow::internals::run::{LifecycleRuntime, Session};

const CASES: u64 = 4;

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipeline");
    let data = folder.join("data");
    // Written once: what is there already is left alone.
    for index in 0..CASES {
        cohort::write_case(&data, &PhantomConfig::default(), index).unwrap();
    }
    let runtime = LifecycleRuntime::start().unwrap();
    let session = Session::new_unattended(runtime.tokio_handle().clone());
    println!(
        "{:<8} {:<8} {:<7} {:>7} {:>10} {:>12} {:>9}",
        "path", "profile", "actors", "workers", "samples/s", "CPU s/sample", "peak MiB"
    );
    let profiles =
        [("light", AugmentConfig::light_profile()), ("full", AugmentConfig::full_profile())];
    for (profile, augment) in profiles {
        for (cached, fused) in [(true, false), (true, true), (false, false)] {
            for workers in [1, 2, 4] {
                let counts =
                    LoaderWorkers { decode: workers, augment: workers, ..LoaderWorkers::default() };
                let loader = LoaderConfig {
                    cached,
                    fused,
                    workers: WorkerPlan::Fixed(counts),
                    ..LoaderConfig::default()
                };
                let config = DrainConfig {
                    labels: None,
                    data: data.clone(),
                    cache: folder.join("cache"),
                    loader,
                    crop: CropConfig::default(),
                    augment: augment.clone(),
                    preprocess: PreprocessConfig::default(),
                    seed: 20181,
                    batches: if cached { 60 } else { 15 },
                    warm_up: 5,
                    step: Duration::ZERO,
                };
                let prepared = prepare_dataset(&config, &session).unwrap();
                let done = drain_loader(&config, &prepared, &session).unwrap();
                println!(
                    "{:<8} {profile:<8} {:<7} {workers:>7} {:>10.2} {:>12.4} {:>9.0}",
                    if cached { "warm" } else { "cold" },
                    if fused { "one" } else { "two" },
                    done.samples_per_second,
                    done.cpu_seconds_per_sample.unwrap_or(f64::NAN),
                    done.peak_anonymous_bytes.unwrap_or(0) as f64 / f64::from(1 << 20),
                );
            }
        }
    }
}
