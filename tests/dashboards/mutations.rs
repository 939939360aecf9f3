//! Every rule of the lint, broken once: a check that cannot fail proves nothing.

use serde_json::{Value, json};

use super::{dashboard, expression, lint};

/// What the lint says about the training dashboard after `change`.
fn faults_after(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut changed = dashboard("training");
    change(&mut changed);
    lint::faults("training", &changed)
}

/// The panel with this title.
fn panel<'a>(dashboard: &'a mut Value, title: &str) -> &'a mut Value {
    let panels = dashboard["panels"].as_array_mut().unwrap();
    panels.iter_mut().find(|panel| panel["title"] == title).unwrap()
}

#[track_caller]
fn assert_refused(change: impl FnOnce(&mut Value), words: &str) {
    let faults = faults_after(change);
    assert!(faults.iter().any(|fault| fault.contains(words)), "no `{words}` in {faults:?}");
}

#[track_caller]
fn assert_query_refused(expression: &str, words: &str) {
    let change = |board: &mut Value| panel(board, "Loss")["targets"][0]["expr"] = json!(expression);
    assert_refused(change, words);
}

#[test]
fn fields_of_the_whole_are_checked() {
    assert_refused(|board| board["id"] = json!(7), "id is");
    assert_refused(|board| board["uid"] = json!("other"), "uid is");
    assert_refused(|board| board["schemaVersion"] = json!(38), "schemaVersion is");
    assert_refused(|board| board["editable"] = json!(true), "editable is");
    assert_refused(|board| board["graphTooltip"] = json!(0), "graphTooltip is");
    assert_refused(|board| board["description"] = json!(""), "no description");
}

#[test]
fn variables_and_annotations_are_checked() {
    let list = |board: &mut Value, place: usize, field: &str, value: Value| {
        board["templating"]["list"][place][field] = value;
    };
    assert_refused(|board| list(board, 0, "query", json!("loki")), "datasource: query is not");
    assert_refused(|board| list(board, 1, "allValue", json!(".*")), "job: allValue is not");
    assert_refused(|board| list(board, 2, "allValue", json!(".+")), "study: allValue is not");
    assert_refused(|board| list(board, 4, "refresh", json!(1)), "run: refresh is not");
    assert_refused(|board| list(board, 4, "multi", json!(false)), "run: multi is not");
    assert_refused(|board| list(board, 2, "name", json!("node")), "the variables are");
    assert_refused(|board| list(board, 2, "datasource", json!("x")), "not from ${datasource}");
    let query = |board: &mut Value, place: usize, text: &str| {
        list(board, place, "query", json!({"query": text}));
    };
    assert_refused(|board| query(board, 1, "label_values(job)"), "is no label_values");
    assert_refused(|board| query(board, 1, "label_values(train_sep, job)"), "in the catalogue");
    assert_refused(|board| query(board, 1, "label_values(train_step, run)"), "asks for the label");
    assert_refused(|board| query(board, 1, "label_values(train_step{, job)"), "is no PromQL");
    let unsmoothed = |board: &mut Value| {
        board["templating"]["list"].as_array_mut().unwrap().pop();
    };
    assert_refused(unsmoothed, "the variable smooth is there: false");
    assert_refused(|board| list(board, 5, "type", json!("query")), "smooth: type is not");
    let loose = "label_values(train_step{job=~\"$job\"}, run)";
    assert_refused(|board| query(board, 4, loose), "run: does not follow $instance");
    let annotation = |board: &mut Value, field: &str, value: &str| {
        board["annotations"]["list"][1][field] = json!(value);
    };
    assert_refused(|board| annotation(board, "expr", "train_step"), "annotation Epochs: `train");
    assert_refused(|board| annotation(board, "name", "Eras"), "the annotations are");
    assert_refused(|board| annotation(board, "datasource", "x"), "not from ${datasource}");
}

#[test]
fn places_and_names_of_panels_are_checked() {
    let set = |title: &'static str, field: &'static str, value: Value| {
        move |board: &mut Value| panel(board, title)[field] = value
    };
    assert_refused(set("Loss", "id", json!(1)), "has the id 1 of Run");
    assert_refused(set("Loss", "id", Value::Null), "Loss: no id");
    assert_refused(set("Loss", "title", json!("")), "without a title");
    assert_refused(set("Loss", "description", json!("")), "Loss: no sentence");
    assert_refused(set("Loss", "type", json!("graph")), "`graph` is no panel");
    assert_refused(set("Loss", "targets", json!([])), "Loss: asks nothing");
    assert_refused(set("Loss", "datasource", json!(null)), "Loss: not from ${datasource}");
    assert_refused(set("Loss", "gridPos", json!({"x": 0, "y": 0, "w": 0, "h": 1})), "no place");
    let grid = |title: &'static str, side: &'static str, value: u64| {
        move |board: &mut Value| panel(board, title)["gridPos"][side] = json!(value)
    };
    assert_refused(grid("Dice", "x", 11), "Dice: lies on Loss");
    assert_refused(grid("Dice", "w", 13), "Dice: ends at column 25");
    assert_refused(grid("Learning", "w", 12), "Learning: a row is");
    let row = |board: &mut Value, field: &str, value: Value| panel(board, "GPU")[field] = value;
    assert_refused(|board| row(board, "collapsed", json!(false)), "GPU power: empty without a GPU");
    assert_refused(|board| row(board, "panels", json!([])), "panels inside if it is closed");
    let inner = |board: &mut Value| panel(board, "GPU")["panels"][1]["gridPos"]["x"] = json!(0);
    assert_refused(inner, "GPU memory: lies on GPU power");
    let twice = |board: &mut Value| panel(board, "Step time")["targets"][1]["refId"] = json!("A");
    assert_refused(twice, "are not unique");
}

#[test]
fn units_legends_and_thresholds_are_checked() {
    let defaults = |title: &'static str, field: &'static str, value: Value| {
        move |board: &mut Value| panel(board, title)["fieldConfig"]["defaults"][field] = value
    };
    assert_refused(defaults("Step time", "unit", json!("secs")), "the unit `secs`");
    assert_refused(defaults("State", "color", json!({"mode": "thresholds"})), "mean nothing");
    assert_refused(defaults("Loss per hour", "thresholds", json!({})), "mean nothing");
    let calcs = |board: &mut Value| {
        panel(board, "Loss")["options"]["legend"]["calcs"] = json!(["mean"]);
    };
    assert_refused(calcs, "no table of mean");
    let legend = |text: &'static str| {
        move |board: &mut Value| panel(board, "Loss")["targets"][0]["legendFormat"] = json!(text)
    };
    assert_refused(legend("{{run}} {{region}}"), "names `region`");
    assert_refused(legend("loss"), "names no label");
}

#[test]
fn expressions_are_checked() {
    let chosen = "job=~\"$job\", study=~\"$study\", instance=~\"$instance\", run=~\"$run\"";
    let query = |text: &str| text.replace("{}", &format!("{{{chosen}}}"));
    assert_query_refused("sum by (run) (train_loss", "is no PromQL");
    assert_query_refused(&query("train_los{}"), "`train_los` is not in the catalogue");
    assert_query_refused("train_loss", "does not say run=~");
    assert_query_refused(&query("train_samples_total{}"), "is inside nothing, not rate");
    assert_query_refused(&query("deriv(train_samples_total{}[1m])"), "is inside deriv, not rate");
    assert_query_refused(&query("rate(train_samples_total{}[5m])"), "over 300 s, not $__rate");
    assert_query_refused(&query("increase(train_samples_total{}[5m])"), "not one of Grafana's");
    assert_query_refused(&query("rate(train_loss{}[$__rate_interval])"), "the gauge `train_loss`");
    assert_query_refused(&query("train_step_seconds{}"), "is a histogram");
    assert_query_refused(&query("train_step_seconds_count{}"), "is inside nothing");
    assert_query_refused(&query("train_step_count{}"), "is not in the catalogue");
    let matched = |more: &str| format!("train_loss{{{chosen}, {more}}}");
    assert_query_refused(&matched("region=\"ET\""), "no label `region`");
    assert_query_refused(&matched("split=\"test\""), "split is never `test`");
    let stage = format!("loader_stage_workers{{{chosen}, stage=\"corp\"}}");
    assert_query_refused(&stage, "stage is never `corp`");
    assert_query_refused(&query("sum(train_loss{})"), "but the series have {}");
    assert_query_refused(&query("sum by (job) (train_loss{})"), "names `run`");
}

#[test]
fn a_healthy_expression_passes() {
    let text = "histogram_quantile(0.5, sum by (run, le) (rate(train_step_seconds_bucket[1m])))";
    let expr = expression::parse(text).unwrap();
    assert!(expression::faults(&expr).is_empty());
    assert_eq!(expression::metrics(text), ["train_step_seconds"]);
    let labels = expression::labels(&expr).unwrap();
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), ["run"]);
}
