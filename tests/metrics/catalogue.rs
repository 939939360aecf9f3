//! The catalogue by itself: its names, and the page made from it.

use std::collections::BTreeSet;
use std::path::Path;

use gliaflow::internals::telemetry::catalog::CATALOGUE;
use gliaflow::internals::telemetry::{Metric, MetricKind, Unit};

use super::is_snake_case;

#[test]
fn names_follow_prometheus_conventions() {
    let names: BTreeSet<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), CATALOGUE.len(), "a name is there twice");
    for metric in CATALOGUE {
        let name = metric.name;
        assert!(is_snake_case(name) && !name.contains("__"), "{name}");
        let base = name.strip_suffix("_total");
        assert_eq!(
            base.is_some(),
            metric.kind == MetricKind::Counter,
            "{name}: `_total` is for counters"
        );
        let base = base.unwrap_or(name);
        assert!(base.ends_with(metric.unit.suffix()), "{name}: {:?}", metric.unit);
        for unit in ["seconds", "bytes", "ratio", "watts", "celsius", "hertz"] {
            let says_so = base.ends_with(&format!("_{unit}"));
            assert_eq!(says_so, metric.unit.suffix() == unit, "{name}: {:?}", metric.unit);
        }
        for scaled in ["_ms", "_millis", "_percent", "_mb", "_mib", "_gb", "_kb", "_minutes"] {
            assert!(!base.ends_with(scaled), "{name}: not a base unit");
        }
        for reserved in ["_count", "_sum", "_bucket", "_info"] {
            let allowed = name == "train_run_info" && reserved == "_info";
            assert!(!base.ends_with(reserved) || allowed, "{name}: `{reserved}` is reserved");
        }
        for label in metric.labels {
            assert!(
                is_snake_case(label) && !["run", "le", "job", "instance", "case"].contains(label)
            );
        }
        let sorted = metric.buckets.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(sorted, "{name}: buckets must ascend");
        assert_eq!(metric.buckets.is_empty(), metric.kind != MetricKind::Histogram, "{name}");
        assert!(metric.kind != MetricKind::Histogram || metric.unit == Unit::Seconds, "{name}");
        let help = metric.help;
        assert!(!help.is_empty() && !help.ends_with('.') && !help.contains(['\n', '\\', '|']));
    }
}

#[test]
fn the_documentation_is_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let generated = metrics_markdown();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, generated, "docs/metrics.md is old; run `BLESS=1 cargo test metrics`");
}

/// Text of `docs/metrics.md`.
fn metrics_markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         What `/metrics` shows. Every series has the label `run` besides those below. Times are in \
         seconds, sizes in bytes, ratios from 0 to 1. Counters and histograms of a run are there \
         from its start, at 0; a gauge appears with its first value.\n\n\
         Generated from `src/telemetry/catalog.rs`; `BLESS=1 cargo test metrics` writes it anew.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for Metric { name, kind, labels, help, .. } in CATALOGUE {
        text += &format!("| `{name}` | {} | {} | {help} |\n", kind.name(), labels.join(", "));
    }
    text += "\n## Buckets\n\nUpper bounds in seconds:\n\n";
    for Metric { name, buckets, .. } in CATALOGUE.iter().filter(|metric| !metric.buckets.is_empty())
    {
        let bounds: Vec<String> = buckets.iter().map(f64::to_string).collect();
        text += &format!("- `{name}`: {}\n", bounds.join(", "));
    }
    text
}
