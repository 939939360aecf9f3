//! Reference of all settings, `docs/settings.md`, made from their schema.

use std::collections::BTreeMap;

use gliaflow::internals::base::range_text;
use serde_json::Value;

use super::list::{Setting, list_settings};

const INTRODUCTION: &str = "\
# Settings

All settings of a training run, by section of its TOML file; `--set section.key=value` goes over it, \
`gliaflow config show` prints what holds, and `gliaflow config schema` prints what is here as JSON \
Schema. A run is resumed only with the same values of the settings that decide its result, \
`train.epochs` apart.

Generated from the structs of the settings; `BLESS=1 cargo test settings` writes it anew.
";

const HEAD: &str = "\
| setting | type | unit | default | range | decides | reason |
|---|---|---|---|---|---|---|
";

/// Writes the reference of all settings as Markdown.
pub(crate) fn settings_markdown(schema: &Value) -> String {
    let mut sections = BTreeMap::<String, String>::new();
    for setting in list_settings(schema) {
        let rows = sections.entry(setting.section_and_key().0.to_string()).or_default();
        rows.push_str(&table_row(&setting));
    }
    let mut text = INTRODUCTION.to_string();
    for (section, rows) in sections {
        let title = if section.is_empty() { "Run".into() } else { format!("`[{section}]`") };
        text.push_str(&format!("\n## {title}\n\n{HEAD}{rows}"));
    }
    text
}

fn table_row(setting: &Setting<'_>) -> String {
    let Setting { choice, schema, decides, is_tag, .. } = setting;
    let key = setting.section_and_key().1;
    let name = match (is_tag, choice.is_empty()) {
        (true, _) => format!("`{choice}`"),
        (false, true) => format!("`{key}`"),
        (false, false) => format!("`{key}`, for `{choice}`"),
    };
    let cells = [
        name,
        if *is_tag { "choice".into() } else { type_text(schema) },
        plain_text(&schema["x-unit"]),
        default_text(schema),
        setting.number().map(range_text).unwrap_or_default(),
        if *decides { "yes" } else { "no" }.into(),
        plain_text(&schema["description"]).replace('\n', " "),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn type_text(schema: &Value) -> String {
    let lists = ["oneOf", "anyOf", "enum"].into_iter().filter_map(|key| schema[key].as_array());
    let constants: Vec<String> = lists
        .flatten()
        .map(|variant| variant.get("const").unwrap_or(variant).as_str())
        .map(|word| word.map_or_else(|| "table".into(), |word| format!("`{word}`")))
        .collect();
    let (least, most) = (&schema["minItems"], &schema["maxItems"]);
    let items = schema["items"]["type"].as_str();
    match (constants.is_empty(), items, schema["type"].as_str()) {
        (false, ..) if schema["properties"].is_null() => constants.join(", "),
        (_, Some(kind), _) if least.is_null() && most.is_null() => format!("{kind}s"),
        (_, Some(kind), _) if least == most => format!("{least} {kind}s"),
        (_, Some(kind), _) => format!("{least} to {most} {kind}s"),
        (.., Some("object")) => "table".into(),
        (.., kind) => kind.unwrap_or_default().into(),
    }
}

fn default_text(schema: &Value) -> String {
    match (&schema["x-default"], &schema["default"]) {
        (Value::String(text), _) => text.clone(),
        (_, Value::Null | Value::Object(_)) => String::new(),
        (_, value) => format!("`{value}`"),
    }
}

fn plain_text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}
