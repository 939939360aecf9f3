//! The alerts, held against the catalogue and against their own tests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::panels::{list, string};
use super::{expression, text, yaml};

fn rules() -> Value {
    yaml::parse(&text("prometheus/alerts.yml"))
}

/// Everything that is wrong with a file of rules, given the file of their tests.
fn faults(rules: &Value, tests: &Value) -> Vec<String> {
    let groups = list(&rules["groups"]).iter();
    let alerts: Vec<&Value> = groups.flat_map(|group| list(&group["rules"])).collect();
    let mut found: Vec<String> = Vec::new();
    for alert in &alerts {
        let name = string(alert, "alert");
        found.extend(alone(alert).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    let expectations = expectations(tests);
    for name in alerts.iter().map(|alert| string(alert, "alert")) {
        match expectations.get(&name) {
            Some((true, true)) => {}
            Some((true, false)) => found.push(format!("{name}: no test where it stays silent")),
            _ => found.push(format!("{name}: no test where it fires")),
        }
    }
    found
}

fn alone(alert: &Value) -> Vec<String> {
    let mut found = match expression::parse(&string(alert, "expr")) {
        Ok(expr) => expression::faults(&expr),
        Err(fault) => vec![fault],
    };
    if !string(alert, "alert").starts_with("Gliaflow") {
        found.push("is not named after gliaflow".to_owned());
    }
    if !["critical", "warning"].contains(&string(&alert["labels"], "severity").as_str()) {
        found.push("neither critical nor a warning".to_owned());
    }
    let annotations = &alert["annotations"];
    if !string(annotations, "summary").contains("{{ $labels.") {
        found.push("the summary does not say what it is about".to_owned());
    }
    if !string(annotations, "description").ends_with('.') {
        found.push("no sentence says what to do".to_owned());
    }
    found
}

/// By alert: whether a test expects it to fire, and whether one expects it not to.
fn expectations(tests: &Value) -> BTreeMap<String, (bool, bool)> {
    let mut all: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    let cases = list(&tests["tests"]).iter();
    for case in cases.flat_map(|case| list(&case["alert_rule_test"])) {
        let (fires, silent) = all.entry(string(case, "alertname")).or_default();
        let expected = list(&case["exp_alerts"]).len();
        *fires |= expected > 0;
        *silent |= expected == 0;
    }
    all
}

#[test]
fn the_alerts_name_what_there_is_and_have_tests() {
    let tests = yaml::parse(&text("prometheus/alerts_test.yml"));
    let faults = faults(&rules(), &tests);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_alert_that_is_wrong_is_refused() {
    let tests = yaml::parse(&text("prometheus/alerts_test.yml"));
    let refused = |field: &str, value: Value, words: &str| {
        let mut changed = rules();
        changed["groups"][0]["rules"][0][field] = value;
        let found = faults(&changed, &tests);
        assert!(found.iter().any(|fault| fault.contains(words)), "no `{words}` in {found:?}");
    };
    refused("expr", json!("train_los > 0"), "`train_los` is not in the catalogue");
    refused("expr", json!("train_samples_total > 0"), "is inside nothing");
    refused("expr", json!("train_run_state{state=\"lost\"} == 1"), "state is never `lost`");
    refused("expr", json!("sum("), "is no PromQL");
    refused("alert", json!("GliaflowNew"), "GliaflowNew: no test where it fires");
    refused("alert", json!("Other"), "is not named after gliaflow");
    refused("labels", json!({"severity": "loud"}), "neither critical");
    refused("annotations", json!({"summary": "bad"}), "does not say what it is about");
    refused("annotations", json!({"description": ""}), "no sentence");

    let always = json!({"tests": [{"alert_rule_test": [
        {"alertname": "GliaflowRunFailed", "exp_alerts": [{}]}]}]});
    let found = faults(&rules(), &always);
    let words = "GliaflowRunFailed: no test where it stays silent";
    assert!(found.iter().any(|fault| fault == words), "{found:?}");
}
