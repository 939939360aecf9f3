//! The whole loader over its workers, warm and cold, as `drain` measures it: samples a second, CPU
//! seconds per sample, memory. Four phantoms of 240x240x155, patches of 128³, batches of two.
//!
//! `cargo bench --no-default-features --features libdeflate --bench pipeline`
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gliaflow::actor::StopLatch;
use gliaflow::augment::AugmentConfig;
use gliaflow::base::{Progress, ProgressTask};
use gliaflow::brats::phantom::{PhantomConfig, cohort};
use gliaflow::cache::PreprocessConfig;
use gliaflow::pipeline::observe::TopologyRegistry;
use gliaflow::pipeline::{CropConfig, LoaderConfig, LoaderWorkers, WorkerPlan};
use gliaflow::run::Session;
use gliaflow::run::tools::drain::{DrainConfig, drain_loader, prepare_dataset};
use gliaflow::telemetry::{Endpoint, Recorder, ShownRun};

const CASES: u64 = 4;

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipeline");
    let data = folder.join("data");
    // Written once: what is there already is left alone.
    for index in 0..CASES {
        cohort::write_case(&data, &PhantomConfig::default(), index).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    // It only ever waits, on a thread of its own.
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    let session = Session {
        runtime: handle,
        stop: StopLatch::new(),
        progress: Arc::new(NoProgress),
        board: TopologyRegistry::default(),
        endpoint: Endpoint::of_this_process(),
        shown_run: ShownRun::new(Recorder::new("bench")),
    };
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

/// Progress that is shown nowhere.
struct NoProgress;

impl Progress for NoProgress {
    fn begin_task(&self, _task: &str, _unit: &'static str, _total: u64) -> Box<dyn ProgressTask> {
        Box::new(Self)
    }

    fn print_line(&self, _line: &str) {}
}

impl ProgressTask for NoProgress {
    fn advance_to(&self, _done: u64, _note: &str) {}
}
