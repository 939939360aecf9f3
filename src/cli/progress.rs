//! Progress display: bars with rate and time left on a terminal, a line now and then elsewhere.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use parking_lot::Mutex;

use crate::base::{
    Progress, ProgressTask, format_duration, format_rate, without_control_characters,
};

const TEMPLATE: &str = "{prefix:>10} {bar:32} {pos}/{len} {unit}  {rate}  {eta} left  {msg}";

/// Least time between two lines of a log.
const QUIET: Duration = Duration::from_secs(5);

#[derive(Clone, Default)]
pub(super) struct ProgressBars(MultiProgress);

impl ProgressBars {
    /// Writes whole lines above the bars.
    pub(super) fn line_writer(&self) -> LineWriter {
        LineWriter { bars: self.0.clone(), line: Vec::new() }
    }
}

impl Progress for ProgressBars {
    fn begin_task(&self, task: &str, unit: &'static str, total: u64) -> Box<dyn ProgressTask> {
        let style = ProgressStyle::with_template(&TEMPLATE.replace("{unit}", unit))
            .expect("the template is a constant")
            .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // What cannot be written is not shown.
                let _ = out.write_str(&format_rate(state.per_sec()));
            })
            .progress_chars("━╸─");
        let bar = self.0.add(ProgressBar::new(total).with_style(style));
        bar.set_prefix(without_control_characters(task).into_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Box::new(BarTask(bar))
    }

    fn print_line(&self, line: &str) {
        // A closed stderr must not end a training run.
        let _ = writeln!(self.line_writer(), "{}", without_control_characters(line));
    }
}

struct BarTask(ProgressBar);

impl ProgressTask for BarTask {
    fn advance_to(&self, done: u64, note: &str) {
        self.0.set_position(done);
        self.0.set_message(without_control_characters(note).into_owned());
    }
}

impl Drop for BarTask {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Collects what is written and puts it above the bars when it is dropped.
pub(super) struct LineWriter {
    bars: MultiProgress,
    line: Vec<u8>,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.line);
        // A closed stderr must not end a training run.
        let _ = self.bars.suspend(|| std::io::stderr().write_all(&line));
    }
}

/// A line every few seconds, for logs.
pub(super) struct ProgressLog;

impl Progress for ProgressLog {
    fn begin_task(&self, task: &str, unit: &'static str, total: u64) -> Box<dyn ProgressTask> {
        let now = Instant::now();
        Box::new(LineTask {
            task: task.to_string(),
            unit,
            total,
            started: now,
            last_line: Mutex::new(now),
        })
    }

    fn print_line(&self, line: &str) {
        // As above.
        let _ = writeln!(std::io::stderr(), "{}", without_control_characters(line));
    }
}

struct LineTask {
    task: String,
    unit: &'static str,
    total: u64,
    started: Instant,
    last_line: Mutex<Instant>,
}

impl ProgressTask for LineTask {
    fn advance_to(&self, done: u64, note: &str) {
        let mut last_line = self.last_line.lock();
        if done < self.total && last_line.elapsed() < QUIET {
            return;
        }
        *last_line = Instant::now();
        let line =
            progress_line(&self.task, self.unit, done, self.total, self.started.elapsed(), note);
        // A closed stderr must not end a training run.
        let _ = writeln!(std::io::stderr(), "{}", without_control_characters(&line));
    }
}

fn progress_line(
    task: &str,
    unit: &str,
    done: u64,
    total: u64,
    elapsed: Duration,
    note: &str,
) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = total.saturating_sub(done) as f64 / rate.max(1e-9);
    let note = if note.is_empty() { String::new() } else { format!(", {note}") };
    let (rate, left) = (format_rate(rate), format_duration(left));
    format!("{task}: {done}/{total} {unit}, {rate}, {left} left{note}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let text = progress_line("train", "steps", 20, 100, Duration::from_secs(10), "loss 0.5");
        assert_eq!(text, "train: 20/100 steps, 2.00/s, 40.0 s left, loss 0.5");
    }

    #[test]
    fn a_slow_task_is_told_by_its_time_for_one() {
        let text = progress_line("train", "steps", 2, 1000, Duration::from_secs(196), "");
        assert_eq!(text, "train: 2/1000 steps, 1 min 38 s each, 1 d 3 h left");
    }

    #[test]
    fn the_bar_template_is_valid() {
        assert!(ProgressStyle::with_template(&TEMPLATE.replace("{unit}", "cases")).is_ok());
    }
}
