//! Every metric, spelt once: its name, kind, unit, labels and help. The endpoint's `HELP` and
//! `TYPE` lines, `docs/metrics.md`, the dashboards' lint and the tests all derive from
//! [`CATALOGUE`].
//!
//! Label values are stages, queues, splits and the like: closed sets that are known when a run
//! starts. A case's name is never one; it belongs in the journal.

use metrics::{Counter, Gauge, Histogram};
use parking_lot::Mutex;

use super::metric::{Family, Metric, SecondsTotal, Unit};
use crate::base::Reason;

/// Buckets of a stage's service time: 1 ms doubled until 30 s are covered.
pub const STAGE_BUCKETS: &[f64] = &[
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384, 32.768,
];

/// Buckets of a training step: 5 ms (small network, large GPU) to 60 s (large network, CPU).
pub const STEP_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0];

/// Buckets of writing a checkpoint: 10 ms to 120 s.
pub const CHECKPOINT_BUCKETS: &[f64] =
    &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];

/// Declares one static per metric, and the list of them in the same order.
macro_rules! catalogue {
    ($($id:ident: $handle:ident $(($buckets:ident))? =
        $name:literal, $unit:ident, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help, ".")]
            pub static $id: Family<$handle, { <[&str]>::len(&[$($label),*]) }> =
                Family::new($name, Unit::$unit, &[$($label),*], $help)
                    $(.with_buckets($buckets))?;
        )*

        /// Every metric that gliaflow can show, in the order of the documentation.
        pub static CATALOGUE: &[&Metric] = &[$($id.metric()),*];
    };
}

catalogue! {
    LOADER_SAMPLES: Counter = "loader_samples_total", Plain, ["split", "outcome", "reason"],
        "Samples that left the loader, delivered or skipped";
    LOADER_BATCHES: Counter = "loader_batches_total", Plain, ["split"],
        "Batches handed to the consumer";
    LOADER_READ_BYTES: Counter = "loader_read_bytes_total", Bytes, [],
        "Compressed bytes read from source files";
    LOADER_DECODED_BYTES: Counter = "loader_decoded_bytes_total", Bytes, [],
        "Raw voxel bytes that came out of decompression";
    LOADER_QUEUE_DEPTH: Gauge = "loader_queue_depth", Plain, ["queue"],
        "Items waiting in a mailbox";
    LOADER_QUEUE_CAPACITY: Gauge = "loader_queue_capacity", Plain, ["queue"],
        "Items that a mailbox can hold";
    LOADER_STAGE_BUSY: SecondsTotal = "loader_stage_busy_seconds_total", Seconds, ["stage"],
        "Time that a stage's workers spent on items; with starved and blocked it adds up to wall \
         time times workers";
    LOADER_STAGE_STARVED: SecondsTotal = "loader_stage_starved_seconds_total", Seconds, ["stage"],
        "Time that a stage's workers waited for input";
    LOADER_STAGE_BLOCKED: SecondsTotal = "loader_stage_blocked_seconds_total", Seconds, ["stage"],
        "Time that a stage's workers waited for room downstream";
    LOADER_STAGE_SERVICE: Histogram (STAGE_BUCKETS) = "loader_stage_service_seconds", Seconds,
        ["stage"],
        "Time that a stage takes for one item";
    LOADER_STAGE_WORKERS: Gauge = "loader_stage_workers", Plain, ["stage"],
        "Workers of a stage";
    LOADER_STAGE_PLACE: Gauge = "loader_stage_place", Plain, ["stage"],
        "Place of a stage in the order of the pipeline, from 1: what stages are sorted by";
    LOADER_STAGE_RESTARTS: Counter = "loader_stage_restarts_total", Plain, ["stage"],
        "Times that a stage panicked on an item and went on with the next";
    LOADER_CACHE_REQUESTS: Counter = "loader_cache_requests_total", Plain, ["result"],
        "Requests for a case file: found, built, or found damaged";
    LOADER_CACHE_BYTES: Gauge = "loader_cache_bytes", Bytes, [],
        "Bytes of case files in the cache";
    LOADER_TICKETS_FREE: Gauge = "loader_tickets_free", Plain, [],
        "Samples that may still be issued before the loader has to wait";
    LOADER_BUFFER_BYTES: Gauge = "loader_buffer_bytes", Bytes, [],
        "Bytes of the buffers that samples are made in, those waiting to be used again included";

    TRAIN_STARVED: SecondsTotal = "train_starved_seconds_total", Seconds, [],
        "Time that the trainer waited for a batch, the wait under way included";
    TRAIN_UTILIZATION: Gauge = "train_accelerator_utilization_ratio", Ratio, [],
        "Compute time over wall time of the last window, without the first step (MLPerf \
         Storage's AU; 0.90 passes)";
    TRAIN_STEP_TIME: Histogram (STEP_BUCKETS) = "train_step_seconds", Seconds, [],
        "Forward, backward and update of one step, synchronised";
    TRAIN_CHECKPOINT_TIME: Histogram (CHECKPOINT_BUCKETS) = "train_checkpoint_seconds", Seconds,
        [],
        "Writing and verifying one checkpoint";
    TRAIN_BLOCKED: SecondsTotal = "train_blocked_seconds_total", Seconds, ["cause"],
        "Time that the trainer stood still for what is no step: checkpoint or validation";
    TRAIN_LOSS: Gauge = "train_loss", Plain, ["split", "part"],
        "Loss: its total, and its parts such as dice, bce, reconstruction and kl";
    TRAIN_SOFT_DICE: Gauge = "train_soft_dice_ratio", Ratio, ["region"],
        "Soft Dice of the last step's batches, as the loss computes it; a region that is absent from \
         them counts as 0 without loss.numerator_epsilon";
    TRAIN_DICE: Gauge = "train_dice_ratio", Ratio, ["split", "region"],
        "Mean Dice over the cases of the last validation";
    TRAIN_HD95: Gauge = "train_hd95_mm", Millimetres, ["split", "region"],
        "Mean 95 % Hausdorff distance over the cases of the last validation";
    TRAIN_BEST_DICE: Gauge = "train_best_dice_ratio", Ratio, [],
        "Best mean Dice of all validations";
    TRAIN_BEST_EPOCH: Gauge = "train_best_epoch", Plain, [],
        "Epoch of the best mean Dice";
    TRAIN_EPOCH: Gauge = "train_epoch", Plain, [],
        "Epochs finished";
    TRAIN_EPOCHS_PLANNED: Gauge = "train_epochs_planned", Plain, [],
        "Epochs that the run is to have";
    TRAIN_STEP: Gauge = "train_step", Plain, [],
        "Optimiser steps taken since the first epoch, resumes included";
    TRAIN_LEARNING_RATE: Gauge = "train_learning_rate", Plain, [],
        "Learning rate of the last step";
    TRAIN_GRADIENT_NORM: Gauge = "train_gradient_norm", Plain, [],
        "Global gradient norm of the last step, before clipping";
    TRAIN_ETA: Gauge = "train_eta_seconds", Seconds, [],
        "Estimated time until the last planned step, at the pace since the first";
    TRAIN_SAMPLES: Counter = "train_samples_total", Plain, [],
        "Samples trained on";
    TRAIN_NONFINITE_STEPS: Counter = "train_nonfinite_steps_total", Plain, [],
        "Steps whose loss was not a number or infinite";
    TRAIN_CHECKPOINTS: Counter = "train_checkpoints_total", Plain, [],
        "Checkpoints written";
    TRAIN_CHECKPOINT_TIMESTAMP: Gauge = "train_checkpoint_timestamp_seconds", Seconds, [],
        "When the last checkpoint was published, since the Unix epoch";
    TRAIN_RUN_INFO: Gauge = "train_run_info", Plain, ["version", "device", "model", "config"],
        "What the run is, to join with: 1 for the one begun last, 0 for a process' earlier ones";
    TRAIN_RUN_STATE: Gauge = "train_run_state", Plain, ["state"],
        "1 for the state that the run is in, 0 for the others";
    HEALTH_PROBLEM: Gauge = "health_problem", Plain, ["watcher"],
        "1 while /healthz answers 503 for what this watcher reports, else 0: watchdog (nothing moves \
         in the loader), trainer (it takes no batch), steps (too many are not finite), run (it \
         failed), checkpoint (the disk does not take it)";

    ENDPOINT_REFUSED_CONNECTIONS: Counter = "endpoint_refused_connections_total", Plain, [],
        "Connections to the metrics endpoint that were turned away, because as many as it serves at a \
         time were open";

    GPU_UTILIZATION: Gauge = "gpu_utilization_ratio", Ratio, ["gpu"],
        "Share of the last second in which a kernel ran";
    GPU_TENSOR_UTILIZATION: Gauge = "gpu_tensor_utilization_ratio", Ratio, ["gpu"],
        "Share of the last second in which tensor cores were at work; GPUs since Hopper";
    GPU_MEMORY_USED: Gauge = "gpu_memory_used_bytes", Bytes, ["gpu"],
        "Device memory in use, by all processes";
    GPU_MEMORY_TOTAL: Gauge = "gpu_memory_total_bytes", Bytes, ["gpu"],
        "Device memory in all";
    GPU_POWER: Gauge = "gpu_power_watts", Watts, ["gpu"],
        "Power draw";
    GPU_TEMPERATURE: Gauge = "gpu_temperature_celsius", Celsius, ["gpu"],
        "Core temperature";
    GPU_CLOCK: Gauge = "gpu_clock_hertz", Hertz, ["gpu"],
        "Clock of the streaming multiprocessors";
    GPU_PCIE: Gauge = "gpu_pcie_bytes_per_second", Plain, ["gpu", "direction"],
        "Bytes a second over PCIe, sent and received by the GPU, over a few milliseconds";

    PROCESS_CPU: SecondsTotal = "process_cpu_seconds_total", Seconds, [],
        "User and system CPU time of this process";
    PROCESS_RESIDENT: Gauge = "process_resident_memory_bytes", Bytes, [],
        "Resident memory, mapped case files included";
    PROCESS_ANONYMOUS: Gauge = "process_anonymous_memory_bytes", Bytes, [],
        "Resident memory without mapped files: heap and stacks";
    PROCESS_OPEN_FDS: Gauge = "process_open_fds", Plain, [],
        "Open file descriptors";
    PROCESS_MAX_FDS: Gauge = "process_max_fds", Plain, [],
        "File descriptors that may be open";
    PROCESS_THREADS: Gauge = "process_threads", Plain, [],
        "Threads of this process";
    PROCESS_START_TIME: Gauge = "process_start_time_seconds", Seconds, [],
        "When this process started, since the Unix epoch";
}

/// Values of the label in `loader_cache_requests_total{result}`.
pub const CACHE_RESULTS: [&str; 3] = ["hit", "build", "corrupt"];

/// Values of the label in `train_blocked_seconds_total{cause}`.
pub const BLOCK_CAUSES: [&str; 2] = ["checkpoint", "validation"];

/// Values of the label in `gpu_pcie_bytes_per_second{direction}`.
pub const PCIE_DIRECTIONS: [&str; 2] = ["sent", "received"];

/// Values of the label in `health_problem{watcher}`.
pub const WATCHERS: [&str; 5] = ["watchdog", "trainer", "steps", "run", "checkpoint"];

/// Counter of the samples of `split` that reached the consumer.
pub fn delivered_samples(split: &str) -> Counter {
    LOADER_SAMPLES.with_labels([split, "delivered", "none"])
}

/// Counter of the samples of `split` that were skipped for `reason`.
pub fn skipped_samples(split: &str, reason: Reason) -> Counter {
    LOADER_SAMPLES.with_labels([split, "skipped", reason.label()])
}

/// Shows every counter and histogram at 0, for the stages and splits of a run.
///
/// Call it before the run starts: `rate()` does not see the first increment of a series that
/// begins with it. Gauges are left out; one that is not known yet has no value, and 0 would be a
/// lie (a Dice of 0 is a result).
pub fn register_run_series(stages: &[&str], splits: &[&str]) {
    for split in splits {
        LOADER_BATCHES.show_series([split]);
        drop(delivered_samples(split));
        for reason in Reason::ALL {
            drop(skipped_samples(split, *reason));
        }
    }
    for stage in stages {
        for clock in [&LOADER_STAGE_BUSY, &LOADER_STAGE_STARVED, &LOADER_STAGE_BLOCKED] {
            clock.show_series([stage]);
        }
        LOADER_STAGE_SERVICE.show_series([stage]);
        LOADER_STAGE_RESTARTS.show_series([stage]);
    }
    for result in CACHE_RESULTS {
        LOADER_CACHE_REQUESTS.show_series([result]);
    }
    for counter in [&LOADER_READ_BYTES, &LOADER_DECODED_BYTES, &ENDPOINT_REFUSED_CONNECTIONS] {
        counter.show_series([]);
    }
    for counter in [&TRAIN_SAMPLES, &TRAIN_NONFINITE_STEPS, &TRAIN_CHECKPOINTS] {
        counter.show_series([]);
    }
    for histogram in [&TRAIN_STEP_TIME, &TRAIN_CHECKPOINT_TIME] {
        histogram.show_series([]);
    }
    TRAIN_STARVED.show_series([]);
    for cause in BLOCK_CAUSES {
        TRAIN_BLOCKED.show_series([cause]);
    }
}

/// State of a run: the label of `train_run_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Opening the cohort and the device.
    Starting,
    /// Taking steps.
    Training,
    /// Scoring the held-out cases.
    Validating,
    /// Done.
    Finished,
    /// Ended by a fault.
    Failed,
    /// Ended on request; it may go on.
    Stopped,
}

impl RunState {
    /// Every state, with its label value.
    pub const ALL: [(Self, &str); 6] = [
        (Self::Starting, "starting"),
        (Self::Training, "training"),
        (Self::Validating, "validating"),
        (Self::Finished, "finished"),
        (Self::Failed, "failed"),
        (Self::Stopped, "stopped"),
    ];

    /// Shows this state as 1 and the others as 0.
    pub fn publish_state(self) {
        for (state, label) in Self::ALL {
            TRAIN_RUN_STATE.with_labels([label]).set(f64::from(u8::from(state == self)));
        }
    }
}

/// Shows the labels of `train_run_info` of a new run, and sets the earlier run's to 0.
pub fn show_run_info(labels: [&str; 4]) {
    static SHOWN: Mutex<Option<[String; 4]>> = Mutex::new(None);
    let mut shown = SHOWN.lock();
    if let Some(earlier) = shown.replace(labels.map(str::to_owned)) {
        TRAIN_RUN_INFO.with_labels(earlier.each_ref().map(String::as_str)).set(0.0);
    }
    TRAIN_RUN_INFO.with_labels(labels).set(1.0);
}
