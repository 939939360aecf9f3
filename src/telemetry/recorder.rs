//! The Prometheus recorder, which keeps all values, and the text that it renders.
//!
//! There is one per process, because the `metrics` crate has one; tests make their own and record
//! [`within`](Recorder::within) it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use parking_lot::RwLock;

use super::catalog::CATALOGUE;
use super::metric::{Metric, MetricKind};
use super::process;

/// Shared recorder of all metrics of one run.
#[derive(Debug, Clone)]
pub struct Recorder {
    inner: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    run: Arc<RwLock<String>>,
}

impl Recorder {
    /// Makes a separate recorder, whose series carry the label `run`.
    pub fn new(run: &str) -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in CATALOGUE.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
            // Without a match a histogram turns into a summary, which cannot be aggregated.
            builder = builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
                .expect("every histogram of the catalogue has buckets (tests/metrics.rs)");
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let run = Arc::new(RwLock::new(run.to_owned()));
        Self { inner: Arc::new(recorder), handle, run }
    }

    /// Changes the label `run` of every series, for a run that was named after the recorder was made.
    pub fn rename_run(&self, run: &str) {
        run.clone_into(&mut self.run.write());
    }

    /// Value of the label `run`.
    pub fn run_label(&self) -> String {
        self.run.read().clone()
    }

    /// Recorder of the process: installed by the first call, whose `run` stays.
    pub fn install_global(run: &str) -> Self {
        static GLOBAL: OnceLock<Recorder> = OnceLock::new();
        let install = || {
            let recorder = Self::new(run);
            if metrics::set_global_recorder(Arc::clone(&recorder.inner)).is_err() {
                tracing::warn!(
                    "another metrics recorder was installed before gliaflow's: the endpoint has \
                     nothing to show but the process"
                );
            }
            recorder
        };
        GLOBAL.get_or_init(install).clone()
    }

    /// Runs `f` and records here every metric that this thread touches.
    pub fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.inner, f)
    }

    /// Moves observations into their buckets; until then each one takes memory.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Renders the Prometheus text format, version 0.0.4, with the process's present figures.
    pub fn render(&self) -> String {
        self.within(process::publish_process_metrics);
        in_catalogue_order(&self.handle.render(), &self.run.read())
    }
}

/// Puts the exported families in the catalogue's order under the catalogue's `HELP` and `TYPE`: the
/// exporter knows no counter with a fraction ([`SecondsTotal`](super::metric::SecondsTotal)) and
/// leaves out metrics without a series. Other families follow as they came. Every series gets the
/// label `run` first: the exporter's own labels of all series are fixed before a run has its name.
fn in_catalogue_order(exported: &str, run: &str) -> String {
    let run = run.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let label = format!("run=\"{run}\"");
    let mut families = split_families(exported);
    let mut text = String::with_capacity(2 * exported.len());
    for metric in CATALOGUE {
        let Metric { name, help, .. } = metric;
        let kind = metric.kind.name();
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
            .expect("writing to a string cannot fail");
        let mut lines = families.remove(name).unwrap_or_default();
        lines.retain(|line| !line.starts_with('#'));
        if metric.kind != MetricKind::Histogram {
            // As exported they come in a new order every time; buckets are in order already.
            lines.sort_unstable();
        }
        lines.iter().for_each(|line| push_line(&mut text, line, &label));
    }
    families.values().flatten().for_each(|line| push_line(&mut text, line, &label));
    text
}

/// Splits the text into families. A line of samples belongs to the `TYPE` line before it.
fn split_families(exported: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut families = BTreeMap::new();
    for block in exported.split("\n\n") {
        let mut words = block.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let Some((name, _kind)) = words.next().and_then(|words| words.split_once(' ')) else {
            continue;
        };
        families.insert(name, block.lines().collect());
    }
    families
}

/// Appends a line; one of a sample with `label` ahead of its own labels.
fn push_line(text: &mut String, line: &str, label: &str) {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let end = line.find(|letter| !is_part(letter)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    text.push_str(name);
    match rest.strip_prefix('{') {
        _ if name.is_empty() => text.push_str(rest),
        Some(own) => text.extend(["{", label, ",", own]),
        None => text.extend(["{", label, "}", rest]),
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::catalog;
    use super::*;

    /// The first line that starts with `prefix`.
    fn line<'a>(text: &'a str, prefix: &str) -> &'a str {
        text.lines().find(|line| line.starts_with(prefix)).unwrap_or_default()
    }

    #[test]
    fn seconds_keep_their_fraction_and_show_as_a_counter() {
        let recorder = Recorder::new("fraction");
        recorder.within(|| {
            let starved = catalog::TRAIN_STARVED.with_labels([]);
            starved.set_total(Duration::from_millis(750));
            catalog::LOADER_STAGE_BUSY.with_labels(["crop"]).set_total(Duration::from_millis(1500));
        });
        let text = recorder.render();
        assert_eq!(
            line(&text, "# TYPE train_starved"),
            "# TYPE train_starved_seconds_total counter"
        );
        assert_eq!(
            line(&text, "train_starved_seconds_total"),
            r#"train_starved_seconds_total{run="fraction"} 0.75"#
        );
        assert!(line(&text, "loader_stage_busy_seconds_total{").ends_with("} 1.5"));
    }

    #[test]
    fn two_recorders_do_not_see_each_other() {
        let (one, other) = (Recorder::new("one"), Recorder::new("other"));
        one.within(|| catalog::TRAIN_SAMPLES.with_labels([]).increment(3));
        assert_eq!(
            line(&one.render(), "train_samples_total"),
            r#"train_samples_total{run="one"} 3"#
        );
        assert_eq!(line(&other.render(), "train_samples_total"), "");
    }

    #[test]
    fn a_metric_that_is_not_catalogued_is_shown_too() {
        let recorder = Recorder::new("stray");
        recorder.within(|| metrics::gauge!("stray_gauge").set(4.0));
        let text = recorder.render();
        assert!(
            text.ends_with("# TYPE stray_gauge gauge\nstray_gauge{run=\"stray\"} 4\n"),
            "{text}"
        );
    }

    #[test]
    fn a_run_that_gets_another_name_has_it_on_every_series() {
        let recorder = Recorder::new("unet-001");
        recorder.within(|| catalog::TRAIN_LOSS.with_labels(["train", "total"]).set(1.5));
        recorder.rename_run("unet-002");
        let text = recorder.render();
        assert_eq!(
            line(&text, "train_loss{"),
            r#"train_loss{run="unet-002",split="train",part="total"} 1.5"#
        );
        assert!(!text.contains("unet-001"), "{text}");
    }

    #[test]
    fn line_ends_in_label_values_do_not_break_the_text() {
        let recorder = Recorder::new("a\n\nb \"c\" \\");
        recorder.within(|| catalog::TRAIN_EPOCH.with_labels([]).set(1.0));
        let text = recorder.render();
        assert_eq!(line(&text, "train_epoch{"), r#"train_epoch{run="a\n\nb \"c\" \\"} 1"#);
    }
}
