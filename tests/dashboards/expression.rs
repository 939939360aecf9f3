//! PromQL, read: which metrics an expression names, where, and which labels its result has.

use std::collections::BTreeSet;

use gliaflow::internals::pipeline::{ingest, loader, whole_case};
use gliaflow::internals::telemetry::catalog::{self, CATALOGUE, RunState};
use gliaflow::internals::telemetry::{Metric, MetricKind};
use gliaflow::internals::volume::Split;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::token::{T_LAND, T_LUNLESS};
use promql_parser::parser::{self, BinaryExpr, Call, Expr, LabelModifier, VectorSelector};

use super::panels::Window;

/// Labels that every series has besides its metric's own.
pub(crate) const EVERYWHERE: [&str; 3] = ["job", "instance", "run"];

/// Labels that whoever looks at a dashboard chooses by.
const CHOSEN: [&str; 4] = ["job", "study", "instance", "run"];

/// Metrics that Prometheus adds by itself.
const PROMETHEUS_OWN: [&str; 1] = ["up"];

/// What a histogram shows itself as.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Functions that a counter is read with.
const COUNTED: [&str; 2] = ["rate", "increase"];

/// One place where an expression names a metric.
struct Mention<'a> {
    selector: &'a VectorSelector,
    /// The function around it, and how far it looks back in seconds.
    within: Option<(&'a str, u64)>,
}

pub(crate) fn parse(expression: &str) -> Result<Expr, String> {
    parser::parse(expression)
        .map_err(|error| format!("`{expression}` is no PromQL: {}", error.to_string().trim()))
}

/// Every place where a metric is named, outside in.
fn mentions(expr: &Expr) -> Vec<Mention<'_>> {
    let mut found = Vec::new();
    visit(expr, None, &mut found);
    found
}

fn visit<'a>(expr: &'a Expr, function: Option<&'a str>, found: &mut Vec<Mention<'a>>) {
    match expr {
        Expr::VectorSelector(selector) => found.push(Mention { selector, within: None }),
        Expr::MatrixSelector(matrix) => {
            let within = function.map(|function| (function, matrix.range.as_secs()));
            found.push(Mention { selector: &matrix.vs, within });
        }
        Expr::Call(Call { func, args }) => {
            args.args.iter().for_each(|argument| visit(argument, Some(func.name), found));
        }
        Expr::Binary(BinaryExpr { lhs, rhs, .. }) => {
            visit(lhs, None, found);
            visit(rhs, None, found);
        }
        Expr::Aggregate(aggregate) => visit(&aggregate.expr, None, found),
        Expr::Subquery(subquery) => visit(&subquery.expr, None, found),
        Expr::Paren(paren) => visit(&paren.expr, None, found),
        Expr::Unary(unary) => visit(&unary.expr, None, found),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

/// The metric behind a name on the wire, and whether the name is that of a part of a histogram.
fn catalogued(name: &str) -> Option<(&'static Metric, bool)> {
    let find = |wanted: &str| CATALOGUE.iter().find(|metric| metric.name == wanted);
    if let Some(metric) = find(name) {
        return Some((metric, false));
    }
    let whole = PARTS.iter().find_map(|part| name.strip_suffix(part))?;
    let metric = find(whole).filter(|metric| metric.kind == MetricKind::Histogram)?;
    Some((metric, true))
}

/// Names of the catalogued metrics in an expression that may have variables.
pub(crate) fn metrics(expression: &str) -> Vec<&'static str> {
    let filled = super::panels::READING.fill(expression);
    let Ok(expr) = parse(&filled) else { return Vec::new() };
    let named = mentions(&expr).into_iter().filter_map(|mention| {
        let (metric, _part) = catalogued(mention.selector.name.as_deref()?)?;
        Some(metric.name)
    });
    named.collect()
}

/// What is wrong with an expression, whoever asks.
pub(crate) fn faults(expr: &Expr) -> Vec<String> {
    mentions(expr).iter().filter_map(|mention| fault(mention).err()).collect()
}

fn fault(Mention { selector, within }: &Mention<'_>) -> Result<(), String> {
    let name = selector.name.as_deref().unwrap_or_default();
    if PROMETHEUS_OWN.contains(&name) {
        return Ok(());
    }
    let (metric, is_part) =
        catalogued(name).ok_or_else(|| format!("`{name}` is not in the catalogue"))?;
    let function = within.map(|(function, _)| function).unwrap_or("nothing");
    let is_counted = COUNTED.contains(&function);
    if metric.kind == MetricKind::Histogram && !is_part {
        return Err(format!("`{name}` is a histogram: ask for its buckets, sum or count"));
    }
    if (metric.kind == MetricKind::Counter || is_part) && !is_counted {
        return Err(format!("the counter `{name}` is inside {function}, not rate or increase"));
    }
    if metric.kind == MetricKind::Gauge && is_counted {
        return Err(format!("the gauge `{name}` is inside {function}"));
    }
    for Matcher { op, name: label, value } in &selector.matchers.matchers {
        let is_bucket = label == "le" && name.ends_with("_bucket");
        let known = metric.labels.contains(&label.as_str());
        if !known && !is_bucket && !CHOSEN.contains(&label.as_str()) {
            return Err(format!("`{name}` has no label `{label}`"));
        }
        let values = values_of(label);
        if *op == MatchOp::Equal && !values.is_empty() && !values.contains(&value.as_str()) {
            return Err(format!("`{name}`: {label} is never `{value}`"));
        }
    }
    Ok(())
}

/// The values of a label that has a closed set of them; empty for the others.
fn values_of(label: &str) -> Vec<&'static str> {
    match label {
        "state" => RunState::ALL.map(|(_state, value)| value).to_vec(),
        "result" => catalog::CACHE_RESULTS.to_vec(),
        "outcome" => vec!["delivered", "skipped"],
        "watcher" => catalog::WATCHERS.to_vec(),
        "stage" => {
            // The feed is where the trainer takes batches: it has a place and a queue, as a stage has.
            [&loader::ACTORS[..], &ingest::ACTORS, &whole_case::CACHE_ACTORS, &["feed"]].concat()
        }
        "split" => [Split::Train, Split::Validation].map(Split::name).to_vec(),
        _ => Vec::new(),
    }
}

/// What is wrong with an expression of a dashboard: it must follow the dashboard's variables, and
/// rates must follow the scrape interval.
pub(crate) fn faults_on_a_dashboard(expr: &Expr, window: Window) -> Vec<String> {
    let mut found = faults(expr);
    for Mention { selector, within } in mentions(expr) {
        let name = selector.name.as_deref().unwrap_or_default();
        for label in CHOSEN {
            if !follows(selector, label) {
                found.push(format!("`{name}` does not say {label}=~\"${label}\""));
            }
        }
        let Some((function, range)) = within else { continue };
        if function == "rate" && range != window.rate_interval {
            found.push(format!("rate of `{name}` over {range} s, not $__rate_interval"));
        }
        if function == "increase" && ![window.rate_interval, window.range].contains(&range) {
            found.push(format!("increase of `{name}` over {range} s, not one of Grafana's"));
        }
    }
    found
}

/// Whether a selector takes the value that is chosen for a variable of the same name.
pub(crate) fn follows(selector: &VectorSelector, label: &str) -> bool {
    selector.matchers.matchers.iter().any(|matcher| {
        let is_pattern = matches!(matcher.op, MatchOp::Re(_));
        is_pattern && matcher.name == label && matcher.value == format!("${label}")
    })
}

/// The labels that every series of the result has; `None` for a number, which has no series.
pub(crate) fn labels(expr: &Expr) -> Option<BTreeSet<String>> {
    match expr {
        Expr::VectorSelector(selector) => Some(labels_of(selector)),
        Expr::MatrixSelector(matrix) => Some(labels_of(&matrix.vs)),
        Expr::Paren(paren) => labels(&paren.expr),
        Expr::Unary(unary) => labels(&unary.expr),
        Expr::Subquery(subquery) => labels(&subquery.expr),
        Expr::Aggregate(aggregate) => {
            let inner = labels(&aggregate.expr);
            let op = aggregate.op.to_string();
            if ["topk", "bottomk"].contains(&op.as_str()) {
                return inner;
            }
            match &aggregate.modifier {
                Some(LabelModifier::Include(by)) => Some(by.labels.iter().cloned().collect()),
                Some(LabelModifier::Exclude(without)) => {
                    let kept = inner?.into_iter().filter(|label| !without.labels.contains(label));
                    Some(kept.collect())
                }
                None => Some(BTreeSet::new()),
            }
        }
        Expr::Call(Call { func, args }) => {
            let mut inner = args.args.iter().find_map(|argument| labels(argument))?;
            if func.name == "histogram_quantile" {
                inner.remove("le");
            }
            if let ("label_replace", Some(Expr::StringLiteral(added))) =
                (func.name, args.args.get(1).map(|argument| &**argument))
            {
                inner.insert(added.val.clone());
            }
            Some(inner)
        }
        Expr::Binary(binary) => labels_of_both(binary),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => None,
    }
}

fn labels_of(selector: &VectorSelector) -> BTreeSet<String> {
    let name = selector.name.as_deref().unwrap_or_default();
    let own = catalogued(name).map_or(&[][..], |(metric, _part)| metric.labels);
    let bound = name.ends_with("_bucket").then_some("le");
    own.iter().copied().chain(EVERYWHERE).chain(bound).map(str::to_owned).collect()
}

fn labels_of_both(BinaryExpr { op, lhs, rhs, .. }: &BinaryExpr) -> Option<BTreeSet<String>> {
    match (labels(lhs), labels(rhs)) {
        (Some(left), Some(_)) if [T_LAND, T_LUNLESS].contains(&op.id()) => Some(left),
        // Either side may be the result, and operands match on what both have.
        (Some(left), Some(right)) => Some(left.intersection(&right).cloned().collect()),
        (one, other) => one.or(other),
    }
}
