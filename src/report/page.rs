//! The page: one self-contained HTML file, in a light and a dark theme, for a phone too.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::curves::{self, CHART};
use crate::report::run_record::Record;
use crate::report::scores;
use crate::report::settings;
use crate::report::text::{date, duration, percent, thousands};

const CSS: &str = include_str!("page.css");

/// Renders the page of a run, without the parts whose files are missing.
pub(super) fn html(record: &Record) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (record.name) " · gliaflow" }
                style { (PreEscaped(CSS)) }
            }
            body {
                main {
                    header {
                        h1 { (record.name) }
                        (nav())
                    }
                    (glance(record))
                    section id="curves" {
                        h2 { "Curves" }
                        div.charts {
                            @for chart in curves::charts(record) {
                                (PreEscaped(chart.svg([0.0; 2], CHART)))
                            }
                        }
                    }
                    (scores::sections(record))
                    (settings::sections(record))
                }
            }
        }
    };
    page.into_string()
}

fn nav() -> Markup {
    let places = ["curves", "scores", "overlays", "cases", "loader", "data", "configuration"];
    html! {
        nav { @for place in places { a href={ "#" (place) } { (place) } } }
    }
}

/// State and key figures of the run.
fn glance(record: &Record) -> Markup {
    let log = &record.story;
    let parameters = log.started.as_ref().map(|at| thousands(at.told.parameters));
    let text = |name: &str| record.environment.get(name).and_then(|value| value.as_str());
    let best = log.validations.iter().rev().find(|at| at.told.best);
    html! {
        (state(record))
        dl {
            @if let Some(model) = &record.model {
                (pair("network", model))
            }
            @if let Some(parameters) = parameters { (pair("parameters", &parameters)) }
            @if let Some(device) = text("device") { (pair("device", device)) }
            (pair("steps", &curves::where_it_stands(record)))
            @if let (Some(planned), false) = (record.epochs, log.epochs.is_empty()) {
                (pair("epochs", &format!("{} of {planned}", log.epochs.len())))
            }
            @if let Some(first) = log.first_time() {
                (pair("began", &date(first)))
                (pair("duration, pauses included", &duration(log.last_time - first)))
            }
            @if let Some(summary) = &record.summary {
                (pair("training, of the last process", &duration(summary.train_seconds)))
                (pair("of it waiting for data", &percent(summary.starved_ratio)))
            }
            @if let Some(best) = best {
                (pair(
                    "best validation",
                    &format!("mean Dice {:.4}, epoch {}", best.told.mean_dice, best.told.epoch),
                ))
            }
            @if !log.unsound.is_empty() {
                (pair("steps that were not finite", &thousands(log.unsound.len() as u64)))
            }
            @if !log.resumed.is_empty() {
                (pair("went on from a checkpoint", &times(log.resumed.len())))
            }
        }
    }
}

fn state(record: &Record) -> Markup {
    let log = &record.story;
    match &log.finished {
        None => html! {
            p.soft { "Not ended when this was written; last sign of life " (date(log.last_time)) "." }
        },
        Some(end) => match (end.told.state.as_str(), &end.told.cause) {
            ("failed", cause) => html! {
                p.bad { "Failed " (date(end.time)) @if let Some(cause) = cause { ": " (cause) } }
            },
            (state, _) => html! {
                p.soft { (capital(state)) " " (date(end.time)) "." }
            },
        },
    }
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

pub(super) fn pair(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}
