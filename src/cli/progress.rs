//! Progress display: bars with rate and time left on a terminal, a line now and then elsewhere.

use std::io::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use parking_lot::Mutex;

use crate::base::{
    Progress, ProgressTask, format_duration, format_rate, without_control_characters,
};

const TEMPLATE: &str = "{prefix:>10} {bar:32} {pos}/{len} {unit}  {pace}  {msg}";

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
    fn begin_task(
        &self,
        task: &str,
        unit: &'static str,
        units: Range<u64>,
    ) -> Box<dyn ProgressTask> {
        let Range { start, end } = units;
        let style = ProgressStyle::with_template(&TEMPLATE.replace("{unit}", unit))
            .expect("the template is a constant")
            .with_key("pace", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // What cannot be written is not shown.
                let _ =
                    out.write_str(&pace_text(&(start..end), state.pos(), state.elapsed(), "  "));
            })
            .progress_chars("━╸─");
        let bar = self.0.add(ProgressBar::new(end).with_position(start).with_style(style));
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
    fn begin_task(
        &self,
        task: &str,
        unit: &'static str,
        units: Range<u64>,
    ) -> Box<dyn ProgressTask> {
        let now = Instant::now();
        Box::new(LineTask {
            task: task.to_string(),
            unit,
            units,
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
    units: Range<u64>,
    started: Instant,
    last_line: Mutex<Instant>,
}

impl ProgressTask for LineTask {
    fn advance_to(&self, done: u64, note: &str) {
        let mut last_line = self.last_line.lock();
        if done < self.units.end && last_line.elapsed() < QUIET {
            return;
        }
        *last_line = Instant::now();
        let line =
            progress_line(&self.task, self.unit, &self.units, done, self.started.elapsed(), note);
        // A closed stderr must not end a training run.
        let _ = writeln!(std::io::stderr(), "{}", without_control_characters(&line));
    }
}

fn progress_line(
    task: &str,
    unit: &str,
    units: &Range<u64>,
    done: u64,
    elapsed: Duration,
    note: &str,
) -> String {
    let note = if note.is_empty() { String::new() } else { format!(", {note}") };
    let pace = pace_text(units, done, elapsed, ", ");
    format!("{task}: {done}/{} {unit}, {pace}{note}", units.end)
}

/// Rate and time left, with `between` between them, after `elapsed` of a task.
fn pace_text(units: &Range<u64>, done: u64, elapsed: Duration, between: &str) -> String {
    if done <= units.start {
        return "time left not known yet".into();
    }
    let rate = (done - units.start) as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = units.end.saturating_sub(done) as f64 / rate.max(1e-9);
    format!("{}{between}{} left", format_rate(rate), format_duration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let text =
            progress_line("train", "steps", &(0..100), 20, Duration::from_secs(10), "loss 0.5");
        assert_eq!(text, "train: 20/100 steps, 2.00/s, 40.0 s left, loss 0.5");
    }

    #[test]
    fn a_slow_task_is_told_by_its_time_for_one() {
        let text = progress_line("train", "steps", &(0..1000), 2, Duration::from_secs(196), "");
        assert_eq!(text, "train: 2/1000 steps, 1 min 38 s each, 1 d 3 h left");
    }

    #[test]
    fn a_resumed_task_is_told_by_what_it_did_itself() {
        let text = progress_line("train", "steps", &(60..100), 80, Duration::from_secs(10), "");
        assert_eq!(text, "train: 80/100 steps, 2.00/s, 10.0 s left");
        let text = progress_line("train", "steps", &(60..100), 60, Duration::from_secs(10), "");
        assert_eq!(text, "train: 60/100 steps, time left not known yet");
    }

    #[test]
    fn the_bar_template_is_valid() {
        assert!(ProgressStyle::with_template(&TEMPLATE.replace("{unit}", "cases")).is_ok());
    }
}
