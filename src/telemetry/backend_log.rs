//! Log records of the compute backend: Burn and CubeCL write to the `log` crate, this program to
//! `tracing`.
//!
//! Every record is passed on. Two kinds are counted. A kernel that was tuned or compiled is progress in
//! the minutes before the first step of a GPU, which are silent otherwise. And a panic that the backend
//! caught in the device's thread is a kernel that did not run: the backend writes a warning and goes on
//! with whatever the memory held, so a run must not.
//!
//! `cli` installs the logger; the trainer checks the kernels after each step, `cli` at the end of a
//! verb.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

use crate::base::{Fault, format_bytes};

/// Least interval between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Targets of CubeCL's records: of operations tuned, and a line for each kernel compiled.
const TUNED: &str = "cubecl::autotune";
const COMPILED: &str = "cubecl::compilation";

/// Beginning of the one record of an operation that says which kernel won; in full, others follow it.
const WINNER: &str = "Fastest result";

/// Wording of CubeCL for a panic that it caught (`cubecl-common`, `CallError`).
const CAUGHT_PANIC: &str = "panicked on device runner thread";

/// Wording of CubeCL for memory that the driver refuses (`cubecl-server`, `command/base.rs`), ahead of its bytes. It gives
/// back what it does not need and asks again, so it is a failure only where one follows.
const REFUSED_MEMORY: &str = "out of device memory allocating ";

/// Wording of the failures that follow, one for each operation of a step.
const FOLLOWING_FAILURE: &str = "couldn't find resource for that handle";

/// Counts of the whole process: the `log` crate has one logger, and the process one device.
static COUNTS: LazyLock<Mutex<RecordCounts>> = LazyLock::new(Mutex::default);

/// Counts of tuned operations, compiled kernels and caught panics, and memory that was refused.
#[derive(Default)]
struct RecordCounts {
    tuned: u64,
    compiled: u64,
    first_record: Option<Instant>,
    last_line: Option<Instant>,
    panics: u64,
    first_panic: String,
    /// Bytes of the last request for memory that the driver refused.
    refused_bytes: Option<u64>,
}

impl RecordCounts {
    /// Counts a record; returns a line of progress if the last one is old enough.
    fn count_record(&mut self, target: &str, message: &str, now: Instant) -> Option<String> {
        if target.starts_with("cubecl") && message.contains(CAUGHT_PANIC) {
            self.panics += 1;
            if self.first_panic.is_empty() {
                self.first_panic = message.lines().next().unwrap_or_default().to_string();
            }
        }
        if let Some((_, bytes)) = message.split_once(REFUSED_MEMORY) {
            self.refused_bytes = bytes.split(' ').next().and_then(|bytes| bytes.parse().ok());
        }
        match target {
            TUNED => self.tuned += u64::from(message.starts_with(WINNER)),
            COMPILED => self.compiled += 1,
            _ => return None,
        }
        let first_record = *self.first_record.get_or_insert(now);
        if now.duration_since(self.last_line.unwrap_or(first_record)) < PROGRESS_INTERVAL {
            return None;
        }
        self.last_line = Some(now);
        Some(format!(
            "tuning kernels: {} operations tuned, {} kernels compiled, {} s so far",
            self.tuned,
            self.compiled,
            now.duration_since(first_record).as_secs()
        ))
    }

    /// Returns the fault of kernels that did not run, if any.
    fn check_kernels(&self) -> Result<(), Fault> {
        if self.panics == 0 {
            return Ok(());
        }
        Err(Fault::Environment {
            subject: "compute device".into(),
            problem: format!(
                "{} kernels did not run, and the backend went on without them; the first: {}",
                self.panics, self.first_panic
            ),
            remedy: "distrust what came after, see the log (--log warn), and try --set \
                     precision=f32, a smaller patch, or --set device=cpu"
                .into(),
        })
    }
}

/// Explains a device's failure by a problem and a way out: its memory was full, or what it says itself.
pub fn explain_failure(error: &dyn std::fmt::Display) -> [String; 2] {
    explain(COUNTS.lock().refused_bytes, error)
}

fn explain(refused_bytes: Option<u64>, error: &dyn std::fmt::Display) -> [String; 2] {
    let Some(bytes) = refused_bytes else {
        let remedy = "see the log; less memory is used with a smaller loader.batch";
        return [format!("the device failed: {error}"), remedy.into()];
    };
    [
        format!("the device's memory is full: {} more were refused", format_bytes(bytes as f64)),
        "lower loader.batch or crop.patch, or take precision = \"bf16\"; `train --dry-run` tells what a run needs".into(),
    ]
}

/// Checks that every launched kernel ran.
///
/// # Errors
/// If the backend caught a panic since the process began.
pub fn check_kernels() -> Result<(), Fault> {
    COUNTS.lock().check_kernels()
}

/// Passes the backend's records on to `tracing` and lines of progress to `print_line`. Called after
/// the `tracing` subscriber is installed; a second call changes nothing.
pub fn install_logger(print_line: impl Fn(&str) + Send + Sync + 'static) {
    if log::set_boxed_logger(Box::new(BackendLog { print_line: Box::new(print_line) })).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Logger of the `log` crate.
struct BackendLog {
    print_line: Box<dyn Fn(&str) + Send + Sync>,
}

impl Log for BackendLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args().to_string();
        let target = record.target();
        // The lock is released before anything is written: a writer may log.
        let progress = COUNTS.lock().count_record(target, &message, Instant::now());
        if let Some(line) = progress {
            (self.print_line)(&line);
        }
        match record.level() {
            _ if [TUNED, COMPILED].contains(&target) => tracing::debug!("{target}: {message}"),
            // Told once, where it ends the run.
            _ if [REFUSED_MEMORY, FOLLOWING_FAILURE].iter().any(|text| message.contains(text)) => {
                tracing::debug!("{target}: {message}");
            }
            Level::Error => tracing::error!("{target}: {message}"),
            Level::Warn => tracing::warn!("{target}: {message}"),
            Level::Info => tracing::info!("{target}: {message}"),
            Level::Debug | Level::Trace => {}
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_refused_is_one_sentence_with_what_to_lower() {
        let mut counts = RecordCounts::default();
        assert!(explain(counts.refused_bytes, &"broken")[0].ends_with("failed: broken"));
        let refusal = "device allocation of 536870912 B failed (out of device memory allocating 537919488 \
                       bytes\nNo backtrace available); reclaiming and retrying";
        counts.count_record("cubecl_server::command::base", refusal, Instant::now());
        let [problem, remedy] = explain(counts.refused_bytes, &"couldn't find resource");
        assert_eq!(problem, "the device's memory is full: 513 MiB more were refused");
        assert!(remedy.starts_with("lower loader.batch or crop.patch"), "{remedy}");
    }

    #[test]
    fn minutes_of_tuning_give_a_line_every_few_seconds() {
        let mut counts = RecordCounts::default();
        let start = Instant::now();
        let mut at = |target, seconds| {
            counts.count_record(target, "Fastest result …", start + Duration::from_secs(seconds))
        };
        assert_eq!(at(COMPILED, 0), None);
        assert_eq!(at(COMPILED, 2), None);
        let line = "tuning kernels: 1 operations tuned, 2 kernels compiled, 6 s so far";
        assert_eq!(at(TUNED, 6).as_deref(), Some(line));
        assert_eq!(at(COMPILED, 9), None);
        assert!(at(COMPILED, 11).unwrap().contains("4 kernels compiled, 11 s"));
        counts.count_record(TUNED, "conv_direct: 3 ms", start);
        let mut at = |target, seconds| {
            counts.count_record(target, "Fastest result …", start + Duration::from_secs(seconds))
        };
        assert!(at(TUNED, 17).unwrap().contains("2 operations tuned, 4 kernels"));
        assert_eq!(at("wgpu_core::device", 40), None);
        assert!(counts.check_kernels().is_ok());
    }

    #[test]
    fn a_panic_that_the_backend_caught_is_a_fault_that_names_the_first() {
        let mut counts = RecordCounts::default();
        let now = Instant::now();
        let target = "cubecl_common::device::handle::channel";
        counts.count_record("cubecl_server::command::base", "device allocation of 9 B failed", now);
        counts.count_record("other", "task panicked on device runner thread: of another's", now);
        assert!(counts.check_kernels().is_ok());
        for symbol in ["cuEventElapsedTime_v2", "cuMemAlloc_v2"] {
            let text = format!(
                "CallError(task panicked on device runner thread: Missing symbol {symbol}: dlsym \
                 failed)"
            );
            counts.count_record(target, &text, now);
        }
        let text = counts.check_kernels().unwrap_err().to_string();
        assert!(text.contains("2 kernels did not run"), "{text}");
        assert!(text.contains("Missing symbol cuEventElapsedTime_v2"), "{text}");
    }
}
