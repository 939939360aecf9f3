//! The page: one self-contained HTML file, in a light and a dark theme, for a phone too.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::base::{
    capitalize_first, format_date, format_duration, format_percent, format_thousands,
};
use crate::report::curves::{self, CHART};
use crate::report::run_record::RunRecord;
use crate::report::{scores, settings};

pub(super) const CSS: &str = include_str!("page.css");

/// Policy for browsers: the page runs nothing and loads nothing.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// Head of a page.
pub(super) fn page_head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) " · gliaflow" }
            style { (PreEscaped(CSS)) }
        }
    }
}

/// Renders the page of a run, without the parts whose files are missing.
pub(super) fn render_page(record: &RunRecord) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (page_head(&record.name))
            body {
                main {
                    header {
                        h1 { (record.name) }
                        (navigation_links())
                    }
                    (overview_section(record))
                    section id="curves" {
                        h2 { "Curves" }
                        div.charts {
                            @for chart in curves::run_charts(record) {
                                (PreEscaped(chart.to_svg([0.0; 2], CHART)))
                            }
                        }
                    }
                    (scores::score_sections(record))
                    (settings::settings_sections(record))
                }
            }
        }
    };
    page.into_string()
}

fn navigation_links() -> Markup {
    let places = ["curves", "scores", "overlays", "cases", "loader", "data", "configuration"];
    html! {
        nav { @for place in places { a href={ "#" (place) } { (place) } } }
    }
}

/// State and key figures of the run.
fn overview_section(record: &RunRecord) -> Markup {
    let log = &record.event_log;
    let parameters = log.started.as_ref().map(|at| format_thousands(at.event.parameters as u64));
    let text = |name: &str| record.environment.get(name).and_then(|value| value.as_str());
    let best = log.validations.iter().rev().find(|at| at.event.best);
    html! {
        (state_line(record))
        dl {
            @if let Some(model) = &record.model {
                (definition_pair("network", model))
            }
            @if let Some(parameters) = parameters { (definition_pair("parameters", &parameters)) }
            @if let Some(device) = text("device") { (definition_pair("device", device)) }
            (definition_pair("steps", &curves::progress_text(record)))
            @if let (Some(planned), false) = (record.epochs, log.epochs.is_empty()) {
                (definition_pair("epochs", &format!("{} of {planned}", log.epochs.len())))
            }
            @if let Some(first) = log.first_time() {
                (definition_pair("began", &format_date(first)))
                (definition_pair("duration, pauses included", &format_duration(log.last_time - first)))
            }
            @if let Some(summary) = &record.summary {
                (definition_pair("training, of the last process", &format_duration(summary.train_seconds)))
                (definition_pair("of it waiting for data", &format_percent(summary.starved_ratio)))
            }
            @if let Some(best) = best {
                (definition_pair(
                    "best validation",
                    &format!("mean Dice {:.4}, epoch {}", best.event.mean_dice, best.event.epoch),
                ))
            }
            @if !log.non_finite.is_empty() {
                (definition_pair("steps that were not finite", &format_thousands(log.non_finite.len() as u64)))
            }
            @if !log.resumed.is_empty() {
                (definition_pair("went on from a checkpoint", &times_text(log.resumed.len())))
            }
        }
    }
}

fn state_line(record: &RunRecord) -> Markup {
    let log = &record.event_log;
    match &log.finished {
        None => html! {
            p.soft { "Not ended when this was written; last sign of life " (format_date(log.last_time)) "." }
        },
        Some(end) => match (end.event.state.as_str(), &end.event.cause) {
            ("failed", cause) => html! {
                p.bad { "Failed " (format_date(end.time)) @if let Some(cause) = cause { ": " (cause) } }
            },
            (state, _) => html! {
                p.soft { (capitalize_first(state)) " " (format_date(end.time)) "." }
            },
        },
    }
}

fn times_text(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

pub(super) fn definition_pair(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}
