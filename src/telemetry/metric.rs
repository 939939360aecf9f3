//! Parts of a metric: a name, a type, a unit, label keys and a sentence.
//! [`catalog`](super::catalog) lists all metrics.
//!
//! A [`Family`] carries its type and the number of its labels in its Rust type. So a gauge cannot
//! be counted up, no label can be left out, and label keys are spelt in the catalogue only.

use std::marker::PhantomData;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label};

/// Type of a metric, in Prometheus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum MetricKind {
    /// Value that only grows; meaningful inside `rate()` and `increase()`.
    Counter,
    /// Value that goes up and down.
    Gauge,
    /// Observations, counted by upper bound.
    Histogram,
}

impl MetricKind {
    /// Word after `# TYPE name`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Unit of a value. The name of a metric ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Unit {
    /// A number of things, or a number without a unit.
    #[strum(serialize = "")]
    Plain,
    /// Seconds: of duration, or since the Unix epoch.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share of the whole, 0 to 1.
    Ratio,
    /// Millimetres: the one unit that is not a base unit, because the field reports distances so.
    #[strum(serialize = "mm")]
    Millimetres,
    /// Watts.
    Watts,
    /// Degrees Celsius.
    Celsius,
    /// Hertz.
    Hertz,
}

impl Unit {
    /// Last word of a metric's name (before `_total`); empty where there is no unit.
    pub fn suffix(self) -> &'static str {
        self.into()
    }
}

/// Entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Full name on the wire.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// Unit of the value.
    pub unit: Unit,
    /// Label keys, without the global `run`.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram, ascending, without infinity; empty for the other kinds.
    pub buckets: &'static [f64],
    /// Description for the reader of a dashboard, in one sentence.
    pub help: &'static str,
}

/// Recorder of one series: [`Counter`], [`Gauge`], [`Histogram`] or [`SecondsTotal`].
pub trait MetricHandle: Sized {
    /// Type that the metric is shown as.
    const KIND: MetricKind;

    /// Registers one series, which appears at the endpoint from now on.
    fn register_series(name: &'static str, labels: Vec<Label>) -> Self;
}

/// Implements [`MetricHandle`] for the handles of the `metrics` crate.
macro_rules! metric_handles {
    ($($handle:ident by $register:ident),*) => { $(
        impl MetricHandle for $handle {
            const KIND: MetricKind = MetricKind::$handle;

            fn register_series(name: &'static str, labels: Vec<Label>) -> Self {
                metrics::$register!(name, labels)
            }
        }
    )* };
}

metric_handles!(Counter by counter, Gauge by gauge, Histogram by histogram);

/// Counter of seconds.
///
/// A [`Counter`] counts in whole numbers, and a stage that is busy for 40 ms an item would stay at
/// 0. So the sum is kept as a gauge, and the endpoint shows it as the counter that it is.
#[derive(Debug, Clone)]
pub struct SecondsTotal(Gauge);

impl SecondsTotal {
    /// Sets the sum to one that is kept elsewhere and never shrinks.
    pub fn set_total(&self, sum: Duration) {
        self.0.set(sum.as_secs_f64());
    }
}

impl MetricHandle for SecondsTotal {
    const KIND: MetricKind = MetricKind::Counter;

    fn register_series(name: &'static str, labels: Vec<Label>) -> Self {
        Self(Gauge::register_series(name, labels))
    }
}

/// Metric with the type that records it (`H`) and the number of its labels (`N`).
#[derive(Debug)]
pub struct Family<H, const N: usize> {
    metric: Metric,
    handle: PhantomData<fn() -> H>,
}

impl<H: MetricHandle, const N: usize> Family<H, N> {
    /// Makes an entry of the catalogue.
    pub(super) const fn new(
        name: &'static str,
        unit: Unit,
        labels: &'static [&'static str; N],
        help: &'static str,
    ) -> Self {
        let metric = Metric { name, kind: H::KIND, unit, labels, buckets: &[], help };
        Self { metric, handle: PhantomData }
    }

    /// Catalogue entry.
    pub const fn metric(&self) -> &Metric {
        &self.metric
    }

    /// Series with these label values, in the order of [`Metric::labels`].
    ///
    /// Looks the series up under a lock: take the handle once, not for every observation.
    pub fn with_labels(&self, values: [&str; N]) -> H {
        let keys = self.metric.labels.iter().copied();
        let labels = keys.zip(values).map(|(key, value)| Label::new(key, value.to_owned()));
        H::register_series(self.metric.name, labels.collect())
    }

    /// Makes the series appear at the endpoint before anything is recorded.
    pub fn show_series(&self, values: [&str; N]) {
        drop(self.with_labels(values));
    }
}

impl<const N: usize> Family<Histogram, N> {
    /// Sets the upper bounds.
    pub(super) const fn with_buckets(mut self, buckets: &'static [f64]) -> Self {
        self.metric.buckets = buckets;
        self
    }
}
