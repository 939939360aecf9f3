//! The metrics of a run as OpenMetrics text, for `promtool tsdb create-blocks-from openmetrics`:
//! the series that a server would have recorded. For runs that were too short to be scraped, or on
//! machines that no server reaches. It has no metrics of the loader's stages and the process,
//! because the journal has none.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::base::{Fault, without_control_characters};
use crate::run_folder::{EventLog, run_name};
use crate::telemetry::catalog::*;
use crate::telemetry::{Family, Metric, MetricHandle, MetricKind};
use crate::volume::Split;

/// Suffix of a counter's family name on sample lines, absent in its `TYPE`.
const TOTAL: &str = "_total";

/// The metric series of a run.
pub struct MetricHistory {
    run: String,
    /// All series by family, in the catalogue's order.
    families: Vec<(&'static Metric, Vec<MetricSeries>)>,
    first: f64,
    last: f64,
}

struct MetricSeries {
    /// Suffix of the family's name on the sample lines.
    suffix: &'static str,
    labels: Vec<(&'static str, String)>,
    /// Changes of the value: time in seconds since the Unix epoch, and new value.
    changes: Vec<(f64, f64)>,
}

/// Extent of an export.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OpenMetricsSummary {
    /// Number of series.
    pub series: usize,
    /// Number of samples of all series.
    pub samples: u64,
    /// Time of the first sample, in seconds since the Unix epoch.
    pub first: f64,
    /// Time of the last sample.
    pub last: f64,
}

impl MetricHistory {
    /// Reads the run in `folder` from its journal.
    ///
    /// # Errors
    /// If it has no event yet, or the journal is damaged.
    pub fn read(folder: &Path) -> Result<Self, Fault> {
        let log = EventLog::read_from(folder)?;
        let Some(first) = log.first_time() else {
            return Err(Fault::Environment {
                subject: folder.display().to_string(),
                problem: "holds no journal of a run".into(),
                remedy: "name a folder that `gliaflow train` made, once training has begun".into(),
            });
        };
        let families = CATALOGUE.iter().map(|metric| (*metric, Vec::new())).collect();
        let mut history = Self { run: run_name(folder), families, first, last: log.last_time };
        history.add_steps(&log);
        history.add_epochs(&log);
        history.add_validations(&log);
        history.add_checkpoints_and_state(&log);
        Ok(history)
    }

    /// Records a value of the series of `metric` with these label values, unless it is not finite.
    fn record_value<H: MetricHandle, const N: usize>(
        &mut self,
        family: &'static Family<H, N>,
        labels: [&str; N],
        time: f64,
        value: Option<f64>,
    ) {
        let metric = family.metric();
        let labels = metric.labels.iter().copied().zip(labels.iter().map(|&text| text.to_owned()));
        let suffix = if metric.kind == MetricKind::Counter { TOTAL } else { "" };
        self.record_change(metric, suffix, labels.collect(), time, value);
    }

    fn record_change(
        &mut self,
        metric: &'static Metric,
        suffix: &'static str,
        labels: Vec<(&'static str, String)>,
        time: f64,
        value: Option<f64>,
    ) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        let mut families = self.families.iter_mut();
        let (_, family) = families
            .find(|(other, _)| other.name == metric.name)
            .expect("every metric is in the catalogue");
        let is_it = |series: &&mut MetricSeries| series.suffix == suffix && series.labels == labels;
        match family.iter_mut().find(is_it) {
            Some(series) => series.changes.push((time, value)),
            None => family.push(MetricSeries { suffix, labels, changes: vec![(time, value)] }),
        }
    }

    /// Records a counter from times and increments. It is 0 from the beginning.
    fn record_counter<H: MetricHandle, const N: usize>(
        &mut self,
        metric: &'static Family<H, N>,
        labels: [&str; N],
        growth: impl Iterator<Item = (f64, f64)>,
    ) {
        let mut sum = 0.0;
        for (time, by) in [(self.first, 0.0)].into_iter().chain(growth) {
            sum += by;
            self.record_value(metric, labels, time, Some(sum));
        }
    }

    /// Records a histogram from times and durations in seconds.
    fn record_histogram(&mut self, metric: &'static Metric, observed: &[(f64, f64)]) {
        let bounds = metric.buckets.iter().copied().chain([f64::INFINITY]);
        for bound in bounds {
            let name = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            let mut count = 0.0;
            for &(time, seconds) in [(self.first, f64::NAN)].iter().chain(observed) {
                count += f64::from(u8::from(seconds <= bound));
                let labels = vec![("le", name.clone())];
                self.record_change(metric, "_bucket", labels, time, Some(count));
            }
        }
        let mut sum = 0.0;
        for (count, &(time, seconds)) in [(self.first, 0.0)].iter().chain(observed).enumerate() {
            sum += seconds;
            self.record_change(metric, "_count", Vec::new(), time, Some(count as f64));
            self.record_change(metric, "_sum", Vec::new(), time, Some(sum));
        }
    }

    fn add_steps(&mut self, log: &EventLog) {
        let train = Split::Train.name();
        for at in &log.steps {
            let time = at.time;
            let step = &at.event;
            for (part, value) in step.loss_parts() {
                self.record_value(&TRAIN_LOSS, [train, part], time, Some(value));
            }
            for (region, value) in &step.soft_dice {
                self.record_value(&TRAIN_SOFT_DICE, [region], time, Some(*value));
            }
            self.record_value(&TRAIN_STEP, [], time, Some(step.step as f64));
            self.record_value(&TRAIN_LEARNING_RATE, [], time, Some(step.learning_rate));
            self.record_value(&TRAIN_GRADIENT_NORM, [], time, Some(step.gradient_norm));
        }
        let steps = log.steps.iter();
        let starved = steps.clone().map(|at| (at.time, at.event.starved_seconds));
        self.record_counter(&TRAIN_STARVED, [], starved);
        let samples = steps.clone().map(|at| (at.time, at.event.samples.len() as f64));
        self.record_counter(&TRAIN_SAMPLES, [], samples);
        let taken: Vec<(f64, f64)> = steps.map(|at| (at.time, at.event.seconds)).collect();
        self.record_histogram(TRAIN_STEP_TIME.metric(), &taken);
        let non_finite = log.non_finite.iter().map(|at| (at.time, 1.0));
        self.record_counter(&TRAIN_NONFINITE_STEPS, [], non_finite);
    }

    fn add_epochs(&mut self, log: &EventLog) {
        for at in &log.epochs {
            let done = at.event.epoch + 1;
            self.record_value(&TRAIN_EPOCH, [], at.time, Some(done as f64));
        }
    }

    fn add_validations(&mut self, log: &EventLog) {
        let split = Split::Validation.name();
        for at in &log.validations {
            let time = at.time;
            let event = &at.event;
            self.record_value(&TRAIN_LOSS, [split, "total"], time, event.loss);
            for (metric, by_region) in [(&TRAIN_DICE, &event.dice), (&TRAIN_HD95, &event.hd95_mm)] {
                for (region, value) in by_region {
                    self.record_value(metric, [split, region], time, Some(*value));
                }
            }
            if event.best {
                self.record_value(&TRAIN_BEST_DICE, [], time, Some(event.mean_dice));
                self.record_value(&TRAIN_BEST_EPOCH, [], time, Some(event.epoch as f64));
            }
        }
    }

    /// Adds the checkpoints, and the state of the run.
    fn add_checkpoints_and_state(&mut self, log: &EventLog) {
        let checkpoints = log.checkpoints.iter();
        self.record_counter(&TRAIN_CHECKPOINTS, [], checkpoints.clone().map(|at| (at.time, 1.0)));
        let taken: Vec<(f64, f64)> =
            checkpoints.clone().map(|at| (at.time, at.event.seconds)).collect();
        self.record_histogram(TRAIN_CHECKPOINT_TIME.metric(), &taken);
        let [checkpoint, validation] = BLOCK_CAUSES;
        let validated = log.validations.iter().map(|at| (at.time, at.event.seconds));
        self.record_counter(&TRAIN_BLOCKED, [checkpoint], taken.into_iter());
        self.record_counter(&TRAIN_BLOCKED, [validation], validated);
        for at in checkpoints {
            self.record_value(&TRAIN_CHECKPOINT_TIMESTAMP, [], at.time, Some(at.time));
        }
        let end = log.finished.as_ref().map(|at| (at.time, at.event.state.as_str()));
        for (_, state) in RunState::ALL {
            let is_first = state == RunState::ALL[1].1;
            let value = |holds: bool| Some(f64::from(u8::from(holds)));
            self.record_value(&TRAIN_RUN_STATE, [state], self.first, value(is_first));
            if let Some((time, end)) = end {
                self.record_value(&TRAIN_RUN_STATE, [state], time, value(state == end));
            }
        }
    }

    /// Writes the value of every series every `interval` seconds, and at the end.
    ///
    /// # Errors
    /// Errors of the writer.
    pub fn write_text(&self, interval: f64, mut out: impl Write) -> io::Result<OpenMetricsSummary> {
        let mut series = 0;
        let mut samples = 0;
        for (metric, all) in self.families.iter().filter(|(_, all)| !all.is_empty()) {
            let family = metric.name.strip_suffix(TOTAL).unwrap_or(metric.name);
            writeln!(out, "# HELP {family} {}", escape_label(metric.help))?;
            writeln!(out, "# TYPE {family} {}", metric.kind.name())?;
            for one in all {
                series += 1;
                let suffix = one.suffix;
                let labels = self.label_text(&one.labels);
                for (time, value) in self.samples_at_interval(&one.changes, interval) {
                    writeln!(out, "{family}{suffix}{{{labels}}} {value} {time:.3}")?;
                    samples += 1;
                }
            }
        }
        writeln!(out, "# EOF")?;
        out.flush()?;
        Ok(OpenMetricsSummary { series, samples, first: self.first, last: self.last })
    }

    /// Labels of a series, including those that a scrape adds.
    fn label_text(&self, own: &[(&str, String)]) -> String {
        let run = escape_label(&self.run);
        let mut text = format!("job=\"gliaflow\",instance=\"{run}\",run=\"{run}\"");
        for (key, value) in own {
            text += &format!(",{key}=\"{}\"", escape_label(value));
        }
        text
    }

    /// Values of a series every `interval` seconds from its first change on.
    fn samples_at_interval(&self, changes: &[(f64, f64)], interval: f64) -> Vec<(f64, f64)> {
        let Some((begins, _)) = changes.first() else { return Vec::new() };
        let ticks = ((self.last - self.first) / interval).ceil().max(0.0) as u64;
        let mut found = Vec::new();
        let mut passed = 0;
        for tick in 0..=ticks {
            let time = (self.first + tick as f64 * interval).min(self.last);
            passed += changes[passed..].iter().take_while(|(changed, _)| *changed <= time).count();
            if time >= *begins
                && let Some((_, value)) = changes[..passed].last()
            {
                found.push((time, *value));
            }
        }
        found
    }
}

/// Escapes a label value or help text for OpenMetrics.
fn escape_label(text: &str) -> String {
    let text = without_control_characters(text);
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder::EVENTS;

    const JOURNAL: &str = r#"{"time":100.0,"event":"started","step":0,"steps":4,"parameters":5}
{"time":101.5,"event":"step","step":1,"loss":1.5,"dice_loss":1.0,"bce":0.5,"gradient_norm":null,"learning_rate":0.002,"seconds":0.5,"starved_seconds":0.25,"samples":[{"seed":7,"epoch":0,"index":0},{"seed":7,"epoch":0,"index":1}]}
{"time":104.0,"event":"step","step":2,"loss":1.25,"dice_loss":0.75,"bce":0.5,"gradient_norm":2.0,"learning_rate":0.001,"seconds":1.5,"starved_seconds":0.5,"samples":[{"seed":7,"epoch":0,"index":0},{"seed":7,"epoch":0,"index":1}]}
{"time":104.5,"event":"epoch","epoch":0,"loss":1.375,"seconds":4.0,"starved_seconds":0.75}
{"time":105.0,"event":"validation","epoch":1,"step":2,"mean_dice":0.5,"dice":{"ET":0.25},"hd95_mm":{"ET":9},"best":true}
{"time":106.0,"event":"finished","step":2,"state":"finished","cause":null}
"#;

    fn text(interval: f64) -> (String, OpenMetricsSummary) {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("a \"run\"");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join(EVENTS), JOURNAL).unwrap();
        let mut out = Vec::new();
        let written = MetricHistory::read(&run).unwrap().write_text(interval, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), written)
    }

    /// Value and time of the samples whose line starts so.
    fn samples<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
        let lines = text.lines().filter(|line| line.starts_with(start));
        lines.map(|line| line.split_once("} ").unwrap().1).collect()
    }

    #[test]
    fn a_series_is_what_a_scrape_would_have_seen() {
        let (text, written) = text(2.0);
        let labels = r#"job="gliaflow",instance="a \"run\"",run="a \"run\"""#;
        let loss = format!("train_loss{{{labels},split=\"train\",part=\"total\"}}");
        assert_eq!(samples(&text, &loss), ["1.5 102.000", "1.25 104.000", "1.25 106.000"]);
        let starved = samples(&text, "train_starved_seconds_total");
        assert_eq!(starved, ["0 100.000", "0.25 102.000", "0.75 104.000", "0.75 106.000"]);
        assert_eq!(samples(&text, "train_gradient_norm").len(), 2, "not known at first");
        assert_eq!(samples(&text, "train_dice_ratio"), ["0.25 106.000"]);
        let counts = samples(&text, &format!("train_step_seconds_bucket{{{labels},le=\"1\"}}"));
        assert_eq!(counts, ["0 100.000", "1 102.000", "1 104.000", "1 106.000"]);
        assert_eq!(samples(&text, "train_step_seconds_sum").last(), Some(&"2 106.000"));
        let finished = format!("train_run_state{{{labels},state=\"finished\"}}");
        assert_eq!(samples(&text, &finished).last(), Some(&"1 106.000"));
        assert_eq!((written.first, written.last), (100.0, 106.0));
        assert_eq!(written.samples as usize, text.lines().filter(|l| !l.starts_with('#')).count());
    }

    #[test]
    fn families_are_whole_counters_are_named_as_openmetrics_wants_and_the_end_is_said() {
        let (text, _) = text(0.5);
        assert!(text.contains("# TYPE train_samples counter\ntrain_samples_total{"), "{text}");
        assert!(text.ends_with("# EOF\n"));
        let mut families: Vec<&str> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split('{').next().unwrap();
            let name = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
            let name = name.unwrap_or_else(|| line.split('{').next().unwrap());
            if families.last() != Some(&name) {
                assert!(!families.contains(&name), "{name} comes twice");
                families.push(name);
            }
        }
        assert!(families.len() > 10, "{families:?}");
    }

    #[test]
    fn a_folder_without_a_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = MetricHistory::read(folder.path()).err().unwrap().to_string();
        assert!(refused.contains("holds no journal"), "{refused}");
    }
}
