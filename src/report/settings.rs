//! The page's sections on loader, data, configuration and environment.

use maud::{Markup, html};
use serde_json::Value;

use crate::base::{OF_CASE, format_duration, format_percent};
use crate::report::page::definition_pair;
use crate::report::run_record::RunRecord;
use crate::run_folder::{CONFIG, DATASET_LOCK, EpochEvent};
use crate::volume::Split;

/// Most items of a list that are shown.
const SHOWN: usize = 50;

pub(super) fn settings_sections(record: &RunRecord) -> Markup {
    html! {
        (loader_section(record))
        (data_section(record))
        section id="configuration" {
            h2 { "Configuration" }
            @match &record.config {
                Some(config) => details { summary { code { (CONFIG) } } pre { (config) } },
                None => p { "There is no " code { (CONFIG) } " in the run's folder." },
            }
        }
        section {
            h2 { "Environment" }
            dl {
                @for (name, value) in &record.environment {
                    (definition_pair(&name.replace('_', " "), &plain_value(value)))
                }
            }
        }
    }
}

fn plain_value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Time that the trainer waited for data, and the loader's bottleneck.
fn loader_section(record: &RunRecord) -> Markup {
    let epochs = &record.event_log.epochs;
    let sum = |of: fn(&EpochEvent) -> f64| -> f64 { epochs.iter().map(|at| of(&at.event)).sum() };
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
                    "Over all complete epochs the trainer waited " (format_duration(starved)) " of "
                    (format_duration(seconds)) ", " (format_percent(starved / seconds)) "."
                }
            }
        }
    }
}

fn data_section(record: &RunRecord) -> Markup {
    let skipped = &record.event_log.skipped;
    let parts = [Split::Train, Split::Validation, Split::Test, Split::Unlabelled];
    html! {
        section id="data" {
            h2 { "Data" }
            @if let Some(lock) = &record.lock {
                dl {
                    (definition_pair("folder", &lock.folder.display().to_string()))
                    @for part in parts {
                        @let count = lock.case_count(part);
                        @if count > 0 { (definition_pair(part.name(), &format!("{count} cases"))) }
                    }
                }
                @let left_out = lock.excluded.iter().map(|(case, cause)| format!("{case}: {cause}"));
                @let of_case = |problem: &&String| problem.starts_with(OF_CASE);
                @let incomplete = lock.problems.iter().filter(of_case).cloned();
                @let others = lock.problems.iter().filter(|problem| !of_case(problem)).cloned();
                (truncated_list("Cases left out", left_out.chain(incomplete).collect()))
                (truncated_list("Files and folders that are no cases", others.collect()))
            } @else {
                p { "There is no " code { (DATASET_LOCK) } " in the run's folder." }
            }
            @let told = skipped.iter().map(|at| format!("{}: {}", at.event.item, at.event.error));
            (truncated_list("Samples skipped", told.collect()))
        }
    }
}

fn truncated_list(title: &str, lines: Vec<String>) -> Markup {
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
