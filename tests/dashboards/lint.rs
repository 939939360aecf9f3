//! What a dashboard must be: the rules of Grafana's dashboard-linter, and those of this project.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::expression;
use super::panels::{self, READING, Target, list, string};

/// Width of Grafana's grid.
const COLUMNS: u64 = 24;

/// Units in use; what is not here may be misspelt, and Grafana would show it as a suffix.
const UNITS: [&str; 13] = [
    "Bps",
    "bytes",
    "celsius",
    "dateTimeAsIso",
    "hertz",
    "lengthmm",
    "none",
    "percentunit",
    "s",
    "sci",
    "short",
    "suffix:/s",
    "watt",
];

/// Panels that ask Prometheus something.
const ASKING: [&str; 6] = ["timeseries", "stat", "gauge", "barchart", "xychart", "table"];

/// Variables, in the order in which each depends on those before it.
const VARIABLES: [&str; 5] = ["datasource", "job", "study", "instance", "run"];

/// The variable of a label that not every run has.
const STUDY: &str = "study";

/// The variable that a dashboard with losses has besides.
const SMOOTHING: &str = "smooth";

/// Everything that is wrong with the dashboard `name`, one line each; none if nothing is.
pub(crate) fn faults(name: &str, dashboard: &Value) -> Vec<String> {
    let mut found = whole(name, dashboard);
    found.extend(variables(dashboard));
    found.extend(annotations(dashboard));
    found.extend(identities(dashboard));
    found.extend(grid(dashboard));
    found.extend(panels_of_gpus_alone(dashboard));
    for panel in panels::all(dashboard) {
        let title = string(panel, "title");
        found.extend(panel_alone(panel).into_iter().map(|fault| format!("{title}: {fault}")));
    }
    for target in panels::targets(dashboard) {
        let Target { panel, reference, .. } = &target;
        let faults = query(&target).into_iter();
        found.extend(faults.map(|fault| format!("{panel}, {reference}: {fault}")));
    }
    found
}

/// Fields of the dashboard itself.
fn whole(name: &str, dashboard: &Value) -> Vec<String> {
    let wanted = [
        ("id", Value::Null),
        ("uid", json!(format!("gliaflow-{name}"))),
        ("schemaVersion", json!(39)),
        ("editable", json!(false)),
        ("graphTooltip", json!(1)),
    ];
    let differs = wanted.iter().filter(|(field, value)| dashboard.get(field) != Some(value));
    let mut found: Vec<String> = differs
        .map(|(field, value)| format!("{field} is {:?}, not {value}", dashboard.get(field)))
        .collect();
    for field in ["title", "description"] {
        if string(dashboard, field).is_empty() {
            found.push(format!("no {field}"));
        }
    }
    found
}

fn has_source(value: &Value) -> bool {
    value["datasource"] == json!({"type": "prometheus", "uid": "${datasource}"})
}

fn variables(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let all = list(&dashboard["templating"]["list"]);
    let names: Vec<String> = all.iter().map(|variable| string(variable, "name")).collect();
    let asked: Vec<&String> = names.iter().filter(|name| *name != SMOOTHING).collect();
    let is_smoothed = panels::targets(dashboard).iter().any(|t| t.expression.contains("$smooth"));
    if is_smoothed != names.contains(&SMOOTHING.to_owned()) {
        found.push(format!("the variable {SMOOTHING} is there: {}", !is_smoothed));
    }
    if asked != VARIABLES {
        found.push(format!("the variables are {names:?}, not {VARIABLES:?}"));
    }
    for variable in all {
        let name = string(variable, "name");
        let mut wanted = vec![("type", json!("query")), ("refresh", json!(2))];
        wanted.extend([("multi", json!(true)), ("includeAll", json!(true))]);
        // Only what a study announces has the label, and the others are not to be left out.
        wanted.push(("allValue", json!(if name == STUDY { ".*" } else { ".+" })));
        if name == SMOOTHING {
            wanted = vec![("type", json!("interval"))];
        } else if name == "datasource" {
            wanted = vec![("type", json!("datasource")), ("query", json!("prometheus"))];
        } else if !has_source(variable) {
            found.push(format!("variable {name}: not from ${{datasource}}"));
        }
        for (field, value) in wanted.iter().filter(|(field, value)| variable[field] != *value) {
            found.push(format!("variable {name}: {field} is not {value}"));
        }
        if string(variable, "label").is_empty() {
            found.push(format!("variable {name}: no label"));
        }
    }
    match panels::variables(dashboard) {
        Err(fault) => found.push(fault),
        Ok(queried) => found.extend(queried.iter().flat_map(variable_query)),
    }
    found
}

fn variable_query(variable: &panels::Variable) -> Vec<String> {
    let panels::Variable { name, selector, label } = variable;
    let place = VARIABLES.iter().position(|known| known == name).unwrap_or_default();
    let before = &VARIABLES[1..place.max(1)];
    let mut found = Vec::new();
    if name != label {
        found.push(format!("variable {name}: asks for the label {label}"));
    }
    match expression::parse(selector) {
        Err(fault) => found.push(format!("variable {name}: {fault}")),
        Ok(promql_parser::parser::Expr::VectorSelector(selector)) => {
            let named = expression::metrics(selector.name.as_deref().unwrap_or_default());
            if named.is_empty() {
                found.push(format!("variable {name}: {selector} is not in the catalogue"));
            }
            let loose = before.iter().filter(|before| !expression::follows(&selector, before));
            found.extend(loose.map(|loose| format!("variable {name}: does not follow ${loose}")));
        }
        Ok(other) => found.push(format!("variable {name}: `{other}` is no selector")),
    }
    found
}

/// Annotations look back by a fixed minute, their own step, so rates are not asked for.
fn annotations(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let ours = panels::annotations(dashboard);
    let names: Vec<&str> = ours.iter().map(|(name, _)| name.as_str()).collect();
    if names != ["Epochs", "Checkpoints", "Validations", "Starts", "Stage restarts"] {
        found.push(format!("the annotations are {names:?}"));
    }
    for (name, text) in &ours {
        let minute = panels::Window { rate_interval: 60, range: 60 };
        let faults = expression::parse(text)
            .map_or_else(|fault| vec![fault], |e| expression::faults_on_a_dashboard(&e, minute));
        found.extend(faults.into_iter().map(|fault| format!("annotation {name}: {fault}")));
    }
    let sourceless = list(&dashboard["annotations"]["list"]).iter();
    let sourceless = sourceless.filter(|all| all["builtIn"].is_null() && !has_source(all));
    found.extend(sourceless.map(|all| format!("{}: not from ${{datasource}}", all["name"])));
    found
}

/// Ids of panels, and references of targets within each.
fn identities(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut owners: BTreeMap<u64, String> = BTreeMap::new();
    for panel in panels::all(dashboard) {
        let title = string(panel, "title");
        match panel["id"].as_u64() {
            None => found.push(format!("{title}: no id")),
            Some(id) => {
                if let Some(other) = owners.insert(id, title.clone()) {
                    found.push(format!("{title}: has the id {id} of {other}"));
                }
            }
        }
        let references: Vec<String> =
            list(&panel["targets"]).iter().map(|target| string(target, "refId")).collect();
        let distinct: BTreeSet<&String> = references.iter().filter(|r| !r.is_empty()).collect();
        if distinct.len() != references.len() {
            found.push(format!("{title}: the references {references:?} are not unique"));
        }
    }
    found
}

/// Panels that ask of GPUs and nothing else, outside a closed row: empty where there is no GPU.
fn panels_of_gpus_alone(dashboard: &Value) -> Vec<String> {
    let mut open: BTreeMap<String, bool> = BTreeMap::new();
    for target in panels::targets(dashboard).iter().filter(|target| !target.is_hidden) {
        let asks_gpu = target.asks_gpu();
        open.entry(target.panel.clone()).and_modify(|all| *all &= asks_gpu).or_insert(asks_gpu);
    }
    let empty = open.into_iter().filter(|(_, asks_gpu_alone)| *asks_gpu_alone);
    empty.map(|(panel, _)| format!("{panel}: empty without a GPU, in a row that is open")).collect()
}

/// Every panel inside the grid, none on another; the panels of a closed row have a grid of their own.
fn grid(dashboard: &Value) -> Vec<String> {
    let mut found = lay_out(list(&dashboard["panels"]));
    for row in list(&dashboard["panels"]) {
        let inner = list(&row["panels"]);
        if inner.is_empty() == (row["collapsed"] == true) {
            found.push(format!("{}: a row has panels inside if it is closed", row["title"]));
        }
        found.extend(lay_out(inner));
    }
    found
}

fn lay_out(panels: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut taken: BTreeMap<(u64, u64), String> = BTreeMap::new();
    for panel in panels {
        let title = string(panel, "title");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64());
        let (Some(x), Some(y), Some(w @ 1..), Some(h @ 1..)) = (x, y, w, h) else {
            found.push(format!("{title}: no place on the grid"));
            continue;
        };
        if x + w > COLUMNS {
            found.push(format!("{title}: ends at column {}, of {COLUMNS}", x + w));
        }
        if panel["type"] == "row" && (x, w, h) != (0, COLUMNS, 1) {
            found.push(format!("{title}: a row is one line over all columns"));
        }
        let cells = (y..y + h).flat_map(|line| (x..x + w).map(move |column| (line, column)));
        let under: BTreeSet<String> =
            cells.filter_map(|cell| taken.insert(cell, title.clone())).collect();
        found.extend(under.iter().map(|other| format!("{title}: lies on {other}")));
    }
    found
}

/// A panel by itself, without its queries.
fn panel_alone(panel: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let kind = string(panel, "type");
    if string(panel, "title").is_empty() {
        found.push(format!("a {kind} without a title"));
    }
    if kind == "row" {
        return found;
    }
    if !string(panel, "description").ends_with('.') {
        found.push("no sentence describes it".to_owned());
    }
    if kind == "text" {
        return found;
    }
    if !ASKING.contains(&kind.as_str()) {
        found.push(format!("`{kind}` is no panel of ours"));
    }
    if list(&panel["targets"]).is_empty() {
        found.push("asks nothing".to_owned());
    }
    let sourceless = list(&panel["targets"]).iter().filter(|target| !has_source(target)).count();
    if !has_source(panel) || sourceless > 0 {
        found.push("not from ${datasource}".to_owned());
    }
    let defaults = &panel["fieldConfig"]["defaults"];
    let unit = string(defaults, "unit");
    if !UNITS.contains(&unit.as_str()) {
        found.push(format!("the unit `{unit}` is not known"));
    }
    // Beside three figures, names are cut in a panel of a third.
    let is_wide = panel["gridPos"]["w"].as_u64() >= Some(COLUMNS / 2);
    let calcs: &[&str] = if is_wide { &["mean", "lastNotNull", "max"] } else { &["lastNotNull"] };
    let legend = json!({
        "displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": calcs,
    });
    if kind == "timeseries" && panel["options"]["legend"] != legend {
        found.push("the legend is no table of mean, last and max, or last alone".to_owned());
    }
    let coloured = defaults["color"]["mode"] == "thresholds";
    let steps = list(&defaults["thresholds"]["steps"]).len();
    if coloured != (steps > 1) || (kind == "timeseries" && steps > 0) {
        found.push("thresholds that mean nothing".to_owned());
    }
    found
}

/// One query of a panel.
fn query(target: &Target) -> Vec<String> {
    let filled = READING.fill(&target.expression);
    let expr = match expression::parse(&filled) {
        Ok(expr) => expr,
        Err(fault) => return vec![fault],
    };
    let mut found = expression::faults_on_a_dashboard(&expr, READING);
    let labels = expression::labels(&expr).unwrap_or_default();
    let mut named = target.legend.split("{{").skip(1).peekable();
    if named.peek().is_none() {
        found.push("the legend names no label, so that runs look alike".to_owned());
    }
    for name in named.map(|rest| rest.split("}}").next().unwrap_or_default()) {
        if !labels.contains(name) {
            found.push(format!("the legend names `{name}`, but the series have {labels:?}"));
        }
    }
    found
}
