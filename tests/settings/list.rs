//! Every setting of a schema, with what the page and the tests ask about it.

use serde_json::{Value, json};

/// Setting in a schema.
#[derive(Clone)]
pub(crate) struct Setting<'a> {
    /// Dotted path.
    pub(crate) path: String,
    /// Choice that has the setting, such as `kind = "adam"`; empty for all.
    pub(crate) choice: String,
    /// Type, range, default and description; of a choice itself, the variant.
    pub(crate) schema: &'a Value,
    /// True if the setting decides a run's result.
    pub(crate) decides: bool,
    /// True of the key that makes the choice.
    pub(crate) is_tag: bool,
}

/// Lists every setting of a schema, choices of a tagged section one after the other.
pub(crate) fn list_settings(schema: &Value) -> Vec<Setting<'_>> {
    let (path, choice) = (String::new(), String::new());
    let mut found = Vec::new();
    list_under(schema, &Setting { path, choice, schema, decides: true, is_tag: false }, &mut found);
    found
}

impl<'a> Setting<'a> {
    /// Section of the setting and its key there.
    pub(crate) fn section_and_key(&self) -> (&str, &str) {
        self.path.rsplit_once('.').unwrap_or(("", &self.path))
    }

    /// Schema of the setting's numbers, if it has any.
    pub(crate) fn number(&self) -> Option<&'a Value> {
        let schema = self.schema.get("items").unwrap_or(self.schema);
        matches!(schema["type"].as_str(), Some("integer" | "number")).then_some(schema)
    }
}

fn table_variants(schema: &Value) -> Vec<&Value> {
    let lists = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array());
    lists.flatten().filter(|variant| variant["properties"].is_object()).collect()
}

fn list_under<'a>(table: &'a Value, section: &Setting<'a>, found: &mut Vec<Setting<'a>>) {
    for (key, own) in table["properties"].as_object().into_iter().flatten() {
        let path = format!("{}.{key}", section.path).trim_start_matches('.').to_string();
        let decides = section.decides && own["x-decides"] != json!(false);
        let is_tag = own["const"].is_string();
        let schema = if is_tag { table } else { own };
        let setting = Setting { path, schema, decides, is_tag, ..section.clone() };
        if is_tag {
            found.push(setting);
            continue;
        }
        list_under(own, &setting, found);
        // A section that may also be a word, such as `auto`, is a setting itself.
        let is_section = own["properties"].is_object() || !table_variants(own).is_empty();
        if !is_section || own["anyOf"].is_array() {
            found.push(setting);
        }
    }
    for variant in table_variants(table) {
        let mut fields = variant["properties"].as_object().into_iter().flatten();
        let tag = fields.find_map(|(key, field)| Some(format!("{key} = {}", field.get("const")?)));
        let choice = tag.unwrap_or_else(|| section.choice.clone());
        list_under(variant, &Setting { choice, ..section.clone() }, found);
    }
}
