//! Several runs beside each other: what differs in their settings, their scores, and their curves in one
//! chart each, on a page of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

use crate::base::{Fault, format_duration, format_thousands, join_path, write_atomically};
use crate::report::axis::ChartAxis;
use crate::report::chart::{Chart, ChartLine};
use crate::report::curves::{CHART, averaged_line, escape_xml, value_range, with_last};
use crate::report::page::page_head;
use crate::report::run_list::ListedRun;
use crate::report::run_record::RunRecord;

/// Colours of the runs, by their order.
const CLASSES: [&str; 8] = ["tc", "et", "wt", "r4", "r5", "r8", "r7", "r6"];

/// Points of a line: step, and value where there is one.
type Points = Vec<(f64, Option<f64>)>;

/// Differences between runs.
#[derive(Debug, Serialize)]
pub struct RunComparison {
    /// The runs, in the order asked for.
    pub runs: Vec<ListedRun>,
    /// Settings that are not the same in all, each with the value in every run; none where it is not set.
    pub settings: BTreeMap<String, Vec<Option<String>>>,
}

/// Compares the runs in `folders`.
///
/// # Errors
/// If one of the folders holds no run, or its configuration is damaged.
pub fn compare_runs(folders: &[PathBuf]) -> Result<RunComparison, Fault> {
    let mut settings: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for (number, folder) in folders.iter().enumerate() {
        let record = RunRecord::read(folder)?;
        // It has been parsed a moment ago.
        let table: toml::Table =
            toml::from_str(&record.config.unwrap_or_default()).unwrap_or_default();
        let mut values = Vec::new();
        flatten_settings("", &toml::Value::Table(table), &mut values);
        for (path, value) in values {
            settings.entry(path).or_insert_with(|| vec![None; folders.len()])[number] = Some(value);
        }
    }
    settings.retain(|_, values| values.iter().any(|value| *value != values[0]));
    Ok(RunComparison {
        runs: folders.iter().map(|folder| ListedRun::read(folder)).collect(),
        settings,
    })
}

fn flatten_settings(path: &str, value: &toml::Value, into: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            table
                .iter()
                .for_each(|(key, value)| flatten_settings(&join_path(path, key), value, into));
        }
        other => into.push((path.to_owned(), other.to_string())),
    }
}

/// Writes a page with the curves of the runs in `folders` over each other.
///
/// # Errors
/// If one of the folders holds no run, a file of one is damaged, or the disk does not take the page.
pub fn write_comparison(folders: &[PathBuf], page: &Path) -> Result<RunComparison, Fault> {
    let comparison = compare_runs(folders)?;
    let records =
        folders.iter().map(|folder| RunRecord::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let charts = comparison_charts(&records, &comparison.runs);
    write_atomically(page, render_page(&comparison, &charts).as_bytes())?;
    Ok(comparison)
}

fn comparison_charts(records: &[RunRecord], runs: &[ListedRun]) -> Vec<Chart> {
    let last = records.iter().map(|record| record.event_log.last_step()).max().unwrap_or_default();
    let x = ChartAxis::exactly(0.0, last.max(1) as f64);
    let x = if last > 1 { x.of_counts() } else { x };
    let lines = |points: &dyn Fn(&RunRecord) -> Points| -> Vec<ChartLine> {
        let numbered = records.iter().zip(runs).enumerate();
        numbered
            .map(|(number, (record, run))| {
                let class = CLASSES[number % CLASSES.len()];
                with_last(
                    averaged_line(class, &escape_xml(&run.name), points(record).into_iter()),
                    3,
                )
            })
            .collect()
    };
    let chart = |title: &str, lines: Vec<ChartLine>, [low, high]: [f64; 2], without| Chart {
        title: title.to_owned(),
        unit: "by step",
        lines,
        x: x.clone(),
        y: ChartAxis::around(low, high),
        marks: Vec::new(),
        without,
    };
    let steps = |record: &RunRecord| {
        let steps = record.event_log.steps.iter();
        steps.map(|at| (at.event.step as f64, Some(at.event.loss))).collect()
    };
    let mean = |record: &RunRecord| {
        let validations = record.event_log.validations.iter();
        validations.map(|at| (at.event.step as f64, Some(at.event.mean_dice))).collect()
    };
    let rate = |record: &RunRecord| {
        let steps = record.event_log.steps.iter();
        steps.map(|at| (at.event.step as f64, Some(at.event.learning_rate))).collect()
    };
    let (losses, dice, rates) = (lines(&steps), lines(&mean), lines(&rate));
    let loss_range = value_range(&losses, true);
    let rate_range = value_range(&rates, true);
    let mut charts = vec![
        chart("Training loss", losses, loss_range, "no step has been taken yet"),
        chart(
            "Validation Dice, mean over regions",
            dice,
            [0.0, 1.0],
            "nothing has been validated yet",
        ),
    ];
    let mut regions: Vec<&String> = records.iter().flat_map(|record| &record.regions).collect();
    regions.sort();
    regions.dedup();
    for region in regions {
        let by_region = |record: &RunRecord| {
            let validations = record.event_log.validations.iter();
            validations
                .map(|at| (at.event.step as f64, at.event.dice.get(region).copied()))
                .collect()
        };
        let title = format!("Validation Dice {}", escape_xml(region));
        charts.push(chart(&title, lines(&by_region), [0.0, 1.0], "nothing has been validated yet"));
    }
    charts.push(chart("Learning rate", rates, rate_range, "no step has been taken yet"));
    charts
}

fn render_page(comparison: &RunComparison, charts: &[Chart]) -> String {
    let names: Vec<&str> = comparison.runs.iter().map(|run| run.name.as_str()).collect();
    let title = names.join(", ");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (page_head(&title))
            body { main {
                header { h1 { (title) } }
                section id="runs" { h2 { "Runs" } (scores_table(&comparison.runs)) }
                section id="curves" {
                    h2 { "Curves" }
                    div.charts { @for chart in charts { (PreEscaped(chart.to_svg([0.0; 2], CHART))) } }
                }
                section id="settings" { h2 { "Settings that differ" } (settings_table(comparison)) }
            } }
        }
    };
    page.into_string()
}

fn scores_table(runs: &[ListedRun]) -> Markup {
    let mut regions: Vec<&String> = runs.iter().flat_map(|run| run.dice.keys()).collect();
    regions.sort();
    regions.dedup();
    let figure = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
    html! {
        div.scroll { table {
            thead { tr {
                th { "run" } th { "state" } th { "network" } th { "steps" } th { "best Dice" }
                @for region in &regions { th { "Dice " (region) } }
                th { "wall time" }
            } }
            tbody { @for run in runs { tr {
                th { (run.name) } td { (run.state) } td { (run.network.as_deref().unwrap_or("–")) }
                td { (format_thousands(run.steps)) } td { (figure(run.best_dice)) }
                @for region in &regions { td { (figure(run.dice.get(*region).copied())) } }
                td { (format_duration(run.wall_seconds)) }
            } } }
        } }
    }
}

fn settings_table(comparison: &RunComparison) -> Markup {
    if comparison.settings.is_empty() {
        return html! { p { "None: the runs have the same settings." } };
    }
    html! {
        div.scroll { table {
            thead { tr { th { "setting" } @for run in &comparison.runs { th { (run.name) } } } }
            tbody { @for (path, values) in &comparison.settings { tr {
                th { (path) }
                @for value in values { td { (value.as_deref().unwrap_or("not set")) } }
            } } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs;
    use crate::run_folder::{CONFIG, EVENTS};

    const JOURNAL: &str = r#"{"time":1.0,"event":"started","step":0,"steps":2,"device":"cpu"}
{"time":2.0,"event":"step","step":1,"loss":1.5,"learning_rate":0.1,"gradient_norm":1.0}
{"time":3.0,"event":"step","step":2,"loss":1.25,"learning_rate":0.1,"gradient_norm":1.0}
{"time":4.0,"event":"validation","epoch":1,"step":2,"mean_dice":0.5,"dice":{"core":0.5},"best":true}
"#;

    #[test]
    fn what_differs_is_named_and_every_run_has_its_line() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["one", "two"].map(|name| root.path().join(name));
        for (folder, rate) in folders.iter().zip(["0.1", "0.2"]) {
            fs::create_dir_all(folder).unwrap();
            let config =
                format!("seed = 1\n[train]\nlearning_rate = {rate}\n[model]\nname = \"unet\"\n");
            fs::write(folder.join(CONFIG), config).unwrap();
            fs::write(folder.join(EVENTS), JOURNAL).unwrap();
        }
        let page = root.path().join("page.html");
        let comparison = write_comparison(&folders, &page).unwrap();
        let differing: Vec<(&str, Vec<&str>)> = comparison
            .settings
            .iter()
            .map(|(path, values)| {
                (path.as_str(), values.iter().flatten().map(String::as_str).collect())
            })
            .collect();
        assert_eq!(differing, [("train.learning_rate", vec!["0.1", "0.2"])]);
        let text = fs::read_to_string(&page).unwrap();
        for wanted in ["one 1.250", "two 1.250", "train.learning_rate", "Dice core", "one 0.500"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        let refused = compare_runs(&[root.path().join("nowhere")]).unwrap_err().to_string();
        assert!(refused.contains("holds no run"), "{refused}");
    }
}
