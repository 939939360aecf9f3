//! List of all settings that the schema knows: for those that a configuration leaves unset, and for the
//! nearest name to one that is none.

use serde_json::Value;
use toml::Table;

use crate::base::{join_path, range_text};
use crate::run::Failure;
use crate::run::config::{CheckedConfig, run_schema};

/// Setting of the schema.
struct KnownSetting {
    /// Dotted path.
    path: String,
    /// Choice that has the setting, such as `kind = "adam"`; empty for all.
    choice: String,
    /// Default, range, unit and description, in a line.
    summary: String,
}

impl CheckedConfig {
    /// All settings as TOML, those too that are not set: as comments, with default, range and description.
    ///
    /// # Errors
    /// If a setting has no form in TOML.
    pub fn to_complete_toml(&self) -> Result<String, Failure> {
        let mut text = self.to_annotated_toml()?;
        let table = Table::try_from(&self.run);
        let table = toml::Value::Table(table.map_err(|error| Failure::Usage(error.to_string()))?);
        text += "\n# Not set:\n";
        for KnownSetting { path, choice, summary } in list_known_settings() {
            let is_set = path.split('.').try_fold(&table, |inner, key| inner.get(key));
            if is_set.is_none() {
                let only = if choice.is_empty() { choice } else { format!(" (for {choice})") };
                text += &format!("# {path}{only}: {summary}\n");
            }
        }
        Ok(text)
    }
}

/// Lists every setting of a run.
fn list_known_settings() -> Vec<KnownSetting> {
    let mut found = Vec::new();
    list_under(&run_schema(), "", "", &mut found);
    found
}

fn table_variants(schema: &Value) -> Vec<&Value> {
    let lists = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array());
    lists.flatten().filter(|variant| variant["properties"].is_object()).collect()
}

fn list_under(table: &Value, section: &str, choice: &str, found: &mut Vec<KnownSetting>) {
    for (key, own) in table["properties"].as_object().into_iter().flatten() {
        let path = join_path(section, key);
        let is_section = own["properties"].is_object() || !table_variants(own).is_empty();
        list_under(own, &path, choice, found);
        if !is_section || own["anyOf"].is_array() {
            let summary = summary_of(own);
            found.push(KnownSetting { path, choice: choice.to_owned(), summary });
        }
    }
    for variant in table_variants(table) {
        let mut fields = variant["properties"].as_object().into_iter().flatten();
        let tag = fields.find_map(|(key, field)| Some(format!("{key} = {}", field.get("const")?)));
        list_under(variant, section, tag.as_deref().unwrap_or(choice), found);
    }
}

fn summary_of(schema: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        parts.push(format!("default {default}"));
    }
    let number = schema.get("items").unwrap_or(schema);
    let range = match number["type"].as_str() {
        Some("integer" | "number") => range_text(number),
        _ => String::new(),
    };
    let unit = schema["x-unit"].as_str().unwrap_or_default();
    let range = format!("{range} {unit}").trim().to_owned();
    parts.extend((!range.is_empty()).then_some(range));
    parts.extend(schema["description"].as_str().map(|text| text.replace('\n', " ")));
    parts.join("; ")
}

/// Suggestion for a setting that is none, from the parser's complaint about it; empty if nothing is near.
pub(super) fn suggest_setting(complaint: &str) -> String {
    let mut quoted = complaint.split('`').skip(1).step_by(2);
    let (true, Some(unknown)) = (complaint.contains("unknown field"), quoted.next()) else {
        return String::new();
    };
    let near = |name: &str| (edit_distance(unknown, name), name.to_owned());
    let expected = quoted.map(near);
    let settings = list_known_settings().into_iter().map(|setting| {
        let last = setting.path.rsplit('.').next().unwrap_or_default().to_owned();
        (edit_distance(unknown, &last), setting.path)
    });
    // A name that the place itself knows goes ahead of one from elsewhere.
    let best = expected.chain(settings).min_by_key(|(distance, _)| *distance);
    match best {
        Some((distance, name)) if distance <= unknown.len().div_ceil(3) => {
            format!("; did you mean `{name}`?")
        }
        _ => String::new(),
    }
}

/// Number of letters to insert, delete, replace or swap between two words.
fn edit_distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::config::load;

    #[test]
    fn a_misspelt_setting_is_told_the_nearest_and_one_that_is_far_from_all_is_not() {
        let refusal = |assignment: &str| {
            load(None, &[assignment.to_owned()]).err().expect("refused").to_string()
        };
        for (wrong, right) in [
            ("loader.batsh=3", "did you mean `batch`?"),
            ("train.learning_rte=1", "did you mean `learning_rate`?"),
            ("epochs=3", "did you mean `train.epochs`?"),
            ("model.settings.base_wdith=8", "did you mean `base_width`?"),
        ] {
            assert!(refusal(wrong).contains(right), "{wrong}: {}", refusal(wrong));
        }
        assert!(!refusal("zzzzzzzzzz=3").contains("did you mean"));
    }

    #[test]
    fn letters_are_counted() {
        for (one, other, expected) in
            [("batch", "batch", 0), ("batsh", "batch", 1), ("wdith", "width", 1)]
        {
            assert_eq!(edit_distance(one, other), expected, "{one} {other}");
        }
        assert_eq!(edit_distance("", "abc"), 3);
    }
}
