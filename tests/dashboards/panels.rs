//! The parts of a dashboard that have expressions: targets of panels, variables, annotations.

use serde_json::Value;

/// What stands for `$__rate_interval` and `$__range` where an expression is only read: lengths that
/// nobody would write by hand.
pub(crate) const READING: Window = Window { rate_interval: 61, range: 3607 };

/// What stands for `$smooth`, the span that losses are averaged over, in seconds: the shipped choice.
const SMOOTHING: u64 = 60;

/// Lengths of Grafana's own variables, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) rate_interval: u64,
    pub(crate) range: u64,
}

impl Window {
    /// An expression as Grafana would send it, apart from the variables of the dashboard.
    pub(crate) fn fill(self, expression: &str) -> String {
        let seconds = |length: u64| format!("{length}s");
        expression
            .replace("$__rate_interval", &seconds(self.rate_interval))
            .replace("$__range", &seconds(self.range))
            .replace("$smooth", &seconds(SMOOTHING))
    }
}

/// One query of one panel.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) panel: String,
    /// The row that the panel is in.
    pub(crate) row: String,
    /// Whether that row is closed until somebody opens it.
    pub(crate) is_hidden: bool,
    pub(crate) reference: String,
    pub(crate) expression: String,
    pub(crate) legend: String,
    pub(crate) instant: bool,
}

impl Target {
    /// Whether it asks for a metric of GPUs, which a run without one has not.
    pub(crate) fn asks_gpu(&self) -> bool {
        self.expression.contains("gpu_")
    }
}

/// A field's text; empty if it is no text.
pub(crate) fn string(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// The entries of a list; none if it is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Every panel and row, those inside rows that are closed included, behind their row.
pub(crate) fn all(dashboard: &Value) -> Vec<&Value> {
    let outer = list(&dashboard["panels"]).iter();
    outer.flat_map(|panel| [panel].into_iter().chain(list(&panel["panels"]))).collect()
}

/// Every query of every panel.
pub(crate) fn targets(dashboard: &Value) -> Vec<Target> {
    let (mut row, mut is_hidden) = (String::new(), false);
    let mut found = Vec::new();
    for panel in all(dashboard) {
        if panel["type"] == "row" {
            row = string(panel, "title");
            is_hidden = panel["collapsed"] == true;
        }
        for target in list(&panel["targets"]) {
            found.push(Target {
                panel: string(panel, "title"),
                row: row.clone(),
                is_hidden,
                reference: string(target, "refId"),
                expression: string(target, "expr"),
                legend: string(target, "legendFormat"),
                instant: target["instant"] == true,
            });
        }
    }
    found
}

/// A variable whose values Prometheus knows: its name, and what stands inside `label_values(..)`.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) selector: String,
    pub(crate) label: String,
}

/// The variables that are asked for, or what is wrong with one.
pub(crate) fn variables(dashboard: &Value) -> Result<Vec<Variable>, String> {
    let queried = list(&dashboard["templating"]["list"]).iter().filter(|v| v["type"] == "query");
    queried.map(variable).collect()
}

fn variable(variable: &Value) -> Result<Variable, String> {
    let name = string(variable, "name");
    let query = string(&variable["query"], "query");
    let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let parts = inner.and_then(|inner| inner.rsplit_once(", "));
    let (selector, label) =
        parts.ok_or_else(|| format!("variable {name}: `{query}` is no label_values(..)"))?;
    Ok(Variable { name, selector: selector.to_owned(), label: label.to_owned() })
}

/// Names and expressions of the annotations, without Grafana's own.
pub(crate) fn annotations(dashboard: &Value) -> Vec<(String, String)> {
    let all = list(&dashboard["annotations"]["list"]).iter();
    let ours = all.filter(|annotation| annotation["builtIn"].is_null());
    ours.map(|annotation| (string(annotation, "name"), string(annotation, "expr"))).collect()
}
