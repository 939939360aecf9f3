//! The page's sections on loader, data, configuration and environment.

use maud::{Markup, html};
use serde_json::Value;

use crate::report::event_log::Epoch;
use crate::report::page::pair;
use crate::report::run_record::Record;
use crate::report::text::{duration, percent};
use crate::volume::case::Split;

/// Most items of a list that are shown.
const SHOWN: usize = 50;

pub(super) fn sections(record: &Record) -> Markup {
    html! {
        (loader(record))
        (data(record))
        section id="configuration" {
            h2 { "Configuration" }
            @match &record.config {
                Some(config) => details { summary { code { "config.toml" } } pre { (config) } },
                None => p { "There is no " code { "config.toml" } " in the run's folder." },
            }
        }
        section {
            h2 { "Environment" }
            dl {
                @for (name, value) in &record.environment {
                    (pair(&name.replace('_', " "), &plain(value)))
                }
            }
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Time that the trainer waited for data, and the loader's bottleneck.
fn loader(record: &Record) -> Markup {
    let epochs = &record.story.epochs;
    let sum = |of: fn(&Epoch) -> f64| -> f64 { epochs.iter().map(|at| of(&at.told)).sum() };
    let seconds = sum(|epoch| epoch.seconds);
    let starved = sum(|epoch| epoch.starved_seconds);
    let verdict = record.summary.as_ref().and_then(|summary| summary.loader.as_ref());
    html! {
        section id="loader" {
            h2 { "Loader" }
            @if let Some(verdict) = verdict {
                p { "Held back by: " b { (verdict.bottleneck) } ". " (verdict.sentence) "." }
            } @else {
                p { "The verdict is given at the end of a run; while it goes on, "
                    code { "/topology" } " has it." }
            }
            @if seconds > 0.0 {
                p.soft {
                    "Over all complete epochs the trainer waited " (duration(starved)) " of "
                    (duration(seconds)) ", " (percent(starved / seconds)) "."
                }
            }
        }
    }
}

fn data(record: &Record) -> Markup {
    let skipped = &record.story.skipped;
    let parts = [Split::Train, Split::Validation, Split::Test, Split::Unlabelled];
    html! {
        section id="data" {
            h2 { "Data" }
            @if let Some(lock) = &record.lock {
                dl {
                    (pair("folder", &lock.folder))
                    @for part in parts {
                        @let count = lock.count(part);
                        @if count > 0 { (pair(part.name(), &format!("{count} cases"))) }
                    }
                }
                @let left_out = lock.excluded.iter().map(|(case, cause)| format!("{case}: {cause}"));
                (list("Cases left out", left_out.chain(lock.problems.iter().cloned()).collect()))
            } @else {
                p { "There is no " code { "dataset.lock.json" } " in the run's folder." }
            }
            @let told = skipped.iter().map(|at| format!("{}: {}", at.told.item, at.told.error));
            (list("Samples skipped", told.collect()))
        }
    }
}

fn list(title: &str, lines: Vec<String>) -> Markup {
    if lines.is_empty() {
        return html! {};
    }
    let more = lines.len().saturating_sub(SHOWN);
    html! {
        p { (title) ": " (lines.len()) }
        ul {
            @for line in lines.iter().take(SHOWN) { li { (line) } }
            @if more > 0 { li.soft { "and " (more) " more, in the run's folder" } }
        }
    }
}
