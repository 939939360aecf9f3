//! Cost of one optimiser step of a network on a device: time, processor time, memory.
//!
//! The step is the trainer's own: upload, forward, loss, backward, optimiser, with the loss read a
//! step late. There is no loader and no data: the same drawn batch every time, on which the loss
//! falls.

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData, Transaction};
use half::f16;
use serde::{Deserialize, Serialize};

use crate::base::{Domain, KeyedRng, SampleKey};
use crate::nets::{Learner, Precision};
use crate::pipeline::Batch;
use crate::run::Failure;
use crate::run::config::CheckedConfig;
use crate::run::device;
use crate::run::tools::kernel_times::{self, KernelTime};
use crate::telemetry::{backend_log, process};
use crate::train::TrainingLoss;
use crate::train::feed::{self, DeviceBatch};
use crate::train::readback::{PendingReadback, ReadbackReader};
use crate::volume::{Dims, Modality, RunChannels, Targets, label};

/// Number of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// Ahead of the clock: what is made once (memory pools, compiled kernels) is made in them.
    pub warmup: u64,
    /// Under the clock.
    pub steps: u64,
    /// Steps after the clock in which each kernel is timed on its own; 0 for none.
    pub kernel_steps: u64,
}

/// The figures of `bench-step`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepCost {
    /// The network.
    pub model: String,
    /// The device, with its maker's name where it has one.
    pub device: String,
    /// Precision of the network's arithmetic.
    pub precision: Precision,
    /// Number format of the factors in convolutions and matrix products: not always the precision.
    #[serde(default)]
    pub products: String,
    /// Extent of a patch, `[d, h, w]`.
    pub patch: Dims,
    /// Samples in a batch.
    pub batch: usize,
    /// Steps under the clock.
    pub steps: u64,
    /// Steps ahead of it.
    pub warmup_steps: u64,
    /// Trained values.
    pub parameters: usize,
    /// Wall seconds of the very first step, with all that is made once.
    pub first_step_seconds: f64,
    /// Wall seconds of a step, averaged.
    pub seconds_per_step: f64,
    /// Seconds of all processor cores together; absent where the system does not tell.
    pub cpu_seconds_per_step: Option<f64>,
    /// Samples trained on in a second.
    pub samples_per_second: f64,
    /// Wall seconds of the forward pass and the loss, waited for.
    pub forward_seconds: f64,
    /// Wall seconds of the backward pass, waited for.
    pub backward_seconds: f64,
    /// A pass of inference: what a sliding window costs.
    pub inference_seconds: f64,
    /// The loss at the first step.
    pub first_loss: f64,
    /// The loss at the last: lower, on the same batch.
    pub last_loss: f64,
    /// The loss of each step, from the very first to the last under the clock.
    #[serde(default)]
    pub losses: Vec<f64>,
    /// The most memory that the process ever had resident; absent where the system does not tell.
    pub peak_rss_bytes: Option<u64>,
    /// Bytes of the device's memory pool at the end, which only grows; absent on the CPU, whose
    /// memory is the process's.
    pub peak_device_bytes: Option<u64>,
    /// Seconds of each kernel over [`Repeats::kernel_steps`] steps, the longest first; empty where
    /// they were not asked for or the device has no kernels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<KernelTime>,
}

/// Measures the network, patch, batch, optimiser and loss of a configuration; its data is not read.
///
/// # Errors
/// If the network does not fit the patch, or the device is not there or fails.
pub fn bench_step(config: &CheckedConfig, repeats: Repeats) -> Result<StepCost, Failure> {
    let run = &config.run;
    let loss = run.loss.build_loss()?;
    let patch = run.crop.patch;
    config.blueprint.fits_patch(patch)?;
    let chosen = device::choose_for_run(run)?;
    chosen.check_precision(run.precision)?;
    let products = chosen.products(run.precision).to_string();
    let device = chosen.training_device(run.train.gradient_checkpointing);
    let name = chosen.name;
    let learner = config.blueprint.new_learner(&run.optimiser, run.seed, &device);
    let parameters = learner.parameter_count();
    let mut bench = Bench {
        batch: draw_batch(run.seed, run.loader.batch, patch),
        loss: loss.as_ref(),
        channels: config.blueprint.run_channels(),
        learning_rate: run.train.learning_rate,
        device: learner.device().clone(),
        learner,
        precision: run.precision,
        step: 0,
        losses: Vec::new(),
        reader: ReadbackReader::for_device(&device)?,
    };
    let clock = Instant::now();
    let first = bench.train_step();
    let first_loss = wait_for_loss(first)?;
    bench.losses.push(first_loss);
    let first_step_seconds = clock.elapsed().as_secs_f64();
    // Said at once: on a GPU the rest may be cut off, and this figure is minutes.
    tracing::info!("the first step took {first_step_seconds:.2} s, its loss is {first_loss:.4}");
    let mut last_loss = bench.train_steps(repeats.warmup)?.unwrap_or(first_loss);

    let processor = process::cpu_seconds();
    let clock = Instant::now();
    last_loss = bench.train_steps(repeats.steps)?.unwrap_or(last_loss);
    let seconds_per_step = clock.elapsed().as_secs_f64() / repeats.steps as f64;
    let losses = bench.losses.clone();
    let used = process::cpu_seconds().zip(processor).map(|(after, before)| after - before);
    tracing::info!("a step takes {seconds_per_step:.4} s");
    let [forward_seconds, backward_seconds] = bench.time_passes(repeats.steps.min(3))?;
    let inference_seconds = bench.time_inference(repeats.steps.min(3))?;
    let pool = device.memory_pool_usage();
    let kernels = match repeats.kernel_steps {
        0 => Vec::new(),
        steps => kernel_times::time_kernels(|| bench.train_steps(steps).map(drop))?,
    };
    Ok(StepCost {
        model: config.blueprint.name().to_string(),
        device: name,
        precision: run.precision,
        products,
        patch,
        batch: run.loader.batch,
        steps: repeats.steps,
        warmup_steps: repeats.warmup + 1,
        parameters,
        first_step_seconds,
        seconds_per_step,
        cpu_seconds_per_step: used.map(|seconds| seconds / repeats.steps as f64),
        samples_per_second: run.loader.batch as f64 / seconds_per_step,
        forward_seconds,
        backward_seconds,
        inference_seconds,
        first_loss,
        last_loss,
        losses,
        peak_rss_bytes: process::peak_rss_bytes(),
        peak_device_bytes: pool.map(|pool| pool.bytes_reserved),
        kernels,
    })
}

/// A network, and the batch that it sees again and again.
struct Bench<'a> {
    learner: Box<dyn Learner>,
    loss: &'a dyn TrainingLoss,
    channels: RunChannels,
    learning_rate: f64,
    batch: Batch,
    device: Device,
    precision: Precision,
    step: u64,
    losses: Vec<f64>,
    reader: ReadbackReader,
}

impl Bench<'_> {
    fn upload_batch(&self) -> DeviceBatch {
        feed::upload_batch(
            self.batch.clone(),
            &self.device,
            self.channels.modalities,
            self.precision,
        )
    }

    /// The loss of the batch, recorded for the backward pass.
    fn forward(&self, batch: DeviceBatch) -> Tensor<1> {
        let output = self.learner.forward(batch.images, self.step);
        let targets = batch.truth.into_regions(self.channels.regions, false);
        self.loss.pass_loss(output, targets).total
    }

    /// Enqueues a step; its loss is on its way from the device.
    fn train_step(&mut self) -> PendingReadback {
        let loss = self.forward(self.upload_batch());
        let figure = loss.clone().without_autodiff();
        self.learner.backward_and_step(loss, self.learning_rate);
        self.step += 1;
        self.reader.request_tensors(Transaction::default().register(figure))
    }

    /// The loss of the last of so many steps, once it is there: `None` of none.
    fn train_steps(&mut self, count: u64) -> Result<Option<f64>, Failure> {
        let mut pending: Option<PendingReadback> = None;
        for _ in 0..count {
            let figure = self.train_step();
            if let Some(earlier) = pending.replace(figure) {
                self.losses.push(wait_for_loss(earlier)?);
            }
        }
        let last = pending.map(wait_for_loss).transpose()?;
        self.losses.extend(last);
        self.wait_for_device()?;
        Ok(last)
    }

    /// Mean wall seconds of the forward and of the backward pass, each waited for.
    fn time_passes(&self, count: u64) -> Result<[f64; 2], Failure> {
        let mut sums = [0.0; 2];
        for _ in 0..count {
            let batch = self.upload_batch();
            self.wait_for_device()?;
            let clock = Instant::now();
            let loss = self.forward(batch);
            self.wait_for_device()?;
            sums[0] += clock.elapsed().as_secs_f64();
            let clock = Instant::now();
            let gradients = loss.backward();
            self.wait_for_device()?;
            sums[1] += clock.elapsed().as_secs_f64();
            drop(gradients);
        }
        Ok(sums.map(|seconds| seconds / count as f64))
    }

    /// Mean wall seconds of a pass of inference.
    fn time_inference(&self, count: u64) -> Result<f64, Failure> {
        let network = self.learner.inference_network();
        let images = feed::upload_batch(
            self.batch.clone(),
            network.device(),
            self.channels.modalities,
            self.precision,
        )
        .images;
        drop(network.predict_probabilities(images.clone()));
        self.wait_for_device()?;
        let clock = Instant::now();
        for _ in 0..count {
            drop(network.predict_probabilities(images.clone()));
            self.wait_for_device()?;
        }
        Ok(clock.elapsed().as_secs_f64() / count as f64)
    }

    fn wait_for_device(&self) -> Result<(), Failure> {
        self.device.sync().map_err(|error| device_failure(&error))
    }
}

fn wait_for_loss(figure: PendingReadback) -> Result<f64, Failure> {
    let read = figure.wait_for_tensors().map_err(|error| device_failure(&error))?;
    let loss = read.iter().flat_map(TensorData::iter::<f64>).next().unwrap_or(f64::NAN);
    if loss.is_finite() {
        return Ok(loss);
    }
    Err(Failure::Run(crate::base::Fault::Environment {
        subject: "bench-step".into(),
        problem: format!("the loss is {loss}"),
        remedy: "lower train.learning_rate with --set, or try --precision f32".into(),
    }))
}

fn device_failure(error: &impl std::fmt::Display) -> Failure {
    let [problem, remedy] = backend_log::explain_failure(error);
    Failure::Device(format!("{problem}; {remedy}"))
}

/// Standard normal images, and labels nested as a tumour's are.
pub(super) fn draw_batch(seed: u64, size: usize, patch: Dims) -> Batch {
    let keys: Vec<SampleKey> =
        (0..size as u64).map(|index| SampleKey { seed, epoch: 0, index }).collect();
    let voxels = patch.voxel_count();
    let mut images = Vec::with_capacity(size * Modality::COUNT * voxels);
    for &key in &keys {
        let mut rng = KeyedRng::new(key, Domain::Phantom);
        let normal = || f16::from_f64(rng.standard_normal());
        images.extend(std::iter::repeat_with(normal).take(Modality::COUNT * voxels));
    }
    let nested: Vec<u8> = (0..voxels).map(|place| nested_label(patch, place)).collect();
    Batch {
        number: 0,
        next_sample: size as u64,
        images: images.into(),
        labels: nested.repeat(size).into(),
        targets: Targets::Hard,
        dims: patch,
        keys,
        provenance: Vec::new(),
    }
}

/// Cubes about the middle, the smallest innermost.
fn nested_label(patch: Dims, place: usize) -> u8 {
    let from_middle =
        |(at, extent): (usize, usize)| (2 * at).abs_diff(extent) as f64 / extent as f64;
    let sides = patch.zyx_from_offset(place).into_iter().zip(patch.0).map(from_middle);
    match sides.fold(0.0, f64::max) {
        near if near < 0.25 => label::NCR,
        near if near < 0.4 => label::ET,
        near if near < 0.6 => label::ED,
        _ => label::BACKGROUND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_batch_has_every_label_in_every_sample_and_other_voxels_in_each() {
        let batch = draw_batch(3, 2, Dims([8, 16, 8]));
        assert_eq!(batch.images.len(), 2 * 4 * 1024);
        assert_eq!(batch.labels.len(), 2 * 1024);
        for labels in batch.labels.chunks(1024) {
            for expected in [label::BACKGROUND, label::NCR, label::ED, label::ET] {
                assert!(labels.contains(&expected), "label {expected}");
            }
        }
        assert_ne!(batch.images[..4096], batch.images[4096..]);
    }
}
