//! Schema of settings: types, units, defaults, ranges and descriptions, which stand beside the
//! structs as doc comments and attributes. Checks, fingerprints and the reference read it.
//!
//! It is JSON Schema with five keywords of its own: `x-unit`; `x-ascending` for an interval, lower
//! end first; `x-decides` = false for a setting that leaves a run's result alone; `x-neutral` for
//! its value in the run's fingerprint, where that is not the default; `x-default` for the text of a
//! default that depends on the machine.

use std::fmt::{self, Display};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use toml::Value as Toml;

/// Invalid setting: its field, its value, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Network that refuses the setting, if one does.
    pub network: Option<&'static str>,
    /// Dotted path of the setting.
    pub field: String,
    /// Value that is refused.
    pub value: String,
    /// Problem, to be read after "is".
    pub problem: String,
    /// Advice on what to write instead.
    pub way_out: String,
}

impl ConfigError {
    /// Error about the value of a field.
    pub fn new(
        field: impl Into<String>,
        value: impl Display,
        problem: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self {
            network: None,
            field: field.into(),
            value: value.to_string(),
            problem: problem.into(),
            way_out: way_out.into(),
        }
    }

    /// Puts the name of a section in front of the field.
    #[must_use]
    pub fn in_section(self, section: &str) -> Self {
        Self { field: join_path(section, &self.field), ..self }
    }

    /// Names the network whose setting it is.
    #[must_use]
    pub fn of_network(self, name: &'static str) -> Self {
        Self { network: Some(name), ..self.in_section("model.settings") }
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, field, value, problem, way_out } = self;
        match network {
            Some(name) => write!(f, "network {name}: {field}: is {value}, {problem}; {way_out}"),
            None => write!(f, "{field} = {value} is {problem}; {way_out}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Schema of a type's settings, in one piece.
pub fn schema_of<T: JsonSchema>() -> Value {
    let whole = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    whole.into_generator().into_root_schema_for::<T>().to_value()
}

/// Joins a section and a key of it.
pub fn join_path(section: &str, key: &str) -> String {
    if section.is_empty() || key.is_empty() {
        return format!("{section}{key}");
    }
    format!("{section}.{key}")
}

/// Variants of a schema that are tables.
fn table_variants(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array());
    lists.flatten().filter(|variant| variant["properties"].is_object())
}

/// The constant that tells a variant from its siblings, as `(key, value)`.
fn tag_of(variant: &Value) -> Option<(&str, &str)> {
    let mut fields = variant["properties"].as_object()?.iter();
    fields.find_map(|(key, field)| Some((key.as_str(), field["const"].as_str()?)))
}

/// Properties of a table, among variants of those that `is_chosen` by their tag.
fn properties_of(schema: &Value, is_chosen: impl Fn(&str, &str) -> bool) -> Vec<(&String, &Value)> {
    let chosen = table_variants(schema)
        .filter(|variant| tag_of(variant).is_none_or(|(key, value)| is_chosen(key, value)));
    let tables = std::iter::once(schema).chain(chosen);
    tables.filter_map(|table| table["properties"].as_object()).flatten().collect()
}

/// Checks a struct's numbers against the ranges beside its fields.
///
/// # Errors
/// The first number out of its range.
pub fn check_ranges<T: JsonSchema + Serialize>(config: &T) -> Result<(), ConfigError> {
    let value = Toml::try_from(config).map_err(|error| {
        ConfigError::new("settings", "a number", error.to_string(), "write a smaller number")
    })?;
    check_value(&schema_of::<T>(), &value, "")
}

/// Parses settings of what is chosen by name (an object; missing fields take their defaults), and checks their
/// numbers against the ranges beside the fields.
///
/// # Errors
/// On an unknown field or a value of the wrong type, with `way_out`, or the first number out of its range.
pub fn parse_settings<T: DeserializeOwned + JsonSchema + Serialize>(
    settings: &Value,
    way_out: impl FnOnce() -> String,
) -> Result<T, ConfigError> {
    let parsed: T = serde_json::from_value(settings.clone()).map_err(|error| {
        ConfigError::new("", settings, format!("unreadable: {error}"), way_out())
    })?;
    check_ranges(&parsed)?;
    Ok(parsed)
}

/// Checks the numbers of `value` against the ranges of `schema`; `path` is that of the value.
///
/// # Errors
/// The first number out of its range, or value that is no number where one belongs.
pub fn check_value(schema: &Value, value: &Toml, path: &str) -> Result<(), ConfigError> {
    match value {
        Toml::Table(table) => {
            let is_chosen = |key: &str, tag: &str| {
                table.get(key).and_then(Toml::as_str).is_some_and(|own| own == tag)
            };
            for (key, inner) in properties_of(schema, is_chosen) {
                let Some(value) = table.get(key) else { continue };
                check_value(inner, value, &join_path(path, key))?;
            }
            Ok(())
        }
        Toml::Array(items) => check_list(schema, items, path),
        number => check_number(schema, number).map_err(|(problem, way_out)| {
            ConfigError::new(path, plain_text(number), problem, way_out)
        }),
    }
}

fn check_list(schema: &Value, items: &[Toml], path: &str) -> Result<(), ConfigError> {
    let shown: Vec<String> = items.iter().map(plain_text).collect();
    let whole = format!("[{}]", shown.join(", "));
    let inner = &schema["items"];
    let refused = items.iter().find_map(|item| Some((item, check_number(inner, item).err()?)));
    if schema["x-ascending"] == json!(true) {
        let ends: Vec<f64> = items.iter().filter_map(as_number).collect();
        if refused.is_some() || !ends.is_sorted() {
            let problem = format!("no range within {}", range_text(inner));
            return Err(ConfigError::new(path, whole, problem, "write the lower end first"));
        }
    }
    let (least, most) = (&schema["minItems"], &schema["maxItems"]);
    let is_fixed = least == most;
    if !is_fixed {
        let count = Toml::Integer(items.len() as i64);
        let counts = json!({"type": "integer", "minimum": least, "maximum": most});
        check_value(&counts, &count, &format!("{path}: its length"))?;
    }
    let Some((item, (problem, way_out))) = refused else { return Ok(()) };
    Err(match is_fixed {
        true => ConfigError::new(path, whole, problem, format!("{way_out} for each")),
        false => {
            ConfigError::new(format!("{path}: one of them"), plain_text(item), problem, way_out)
        }
    })
}

/// Checks one number; the error is the problem and the way out.
fn check_number(schema: &Value, value: &Toml) -> Result<(), (String, String)> {
    let refused = |problem: &str| {
        let range = range_in_words(schema, as_number(value));
        Err((problem.to_string(), format!("write {range}")))
    };
    let number = match (schema["type"].as_str(), as_number(value)) {
        (Some("integer"), Some(_)) if value.is_float() => return refused("no whole number"),
        (Some("integer" | "number"), None) => return refused("no number"),
        (Some("integer" | "number"), Some(number)) => number,
        _ => return Ok(()),
    };
    let holds = |key: &str, fits: fn(&f64, &f64) -> bool| {
        schema[key].as_f64().is_none_or(|bound| fits(&number, &bound))
    };
    let fits = number.is_finite()
        && holds("minimum", f64::ge)
        && holds("maximum", f64::le)
        && holds("exclusiveMinimum", f64::gt)
        && holds("exclusiveMaximum", f64::lt);
    if !fits {
        return refused("out of range");
    }
    // Networks and optimisers compute in single precision: there a decay just below 1 is 1, and
    // never decays, and a tiny denominator is 0.
    let single = in_single_precision(number);
    let stays_within = |key: &str, fits: fn(&f64, &f64) -> bool| {
        schema[key].as_f64().is_none_or(|bound| fits(&single, &in_single_precision(bound)))
    };
    let is_same = schema["type"] != json!("number")
        || (stays_within("exclusiveMinimum", f64::gt)
            && stays_within("exclusiveMaximum", f64::lt)
            && single.is_finite()
            && (single == 0.0) == (number == 0.0));
    if is_same { Ok(()) } else { refused("out of range in single precision") }
}

/// Value of a number in single precision, without the subnormal numbers that devices take for 0.
fn in_single_precision(number: f64) -> f64 {
    let single = number as f32;
    if single.is_subnormal() { 0.0 } else { f64::from(single) }
}

fn as_number(value: &Toml) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
}

fn plain_text(value: &Toml) -> String {
    value.as_float().map_or_else(|| value.to_string(), float_text)
}

/// A float without its `.0`, as the ranges have them, and not in hundreds of digits.
fn float_text(number: f64) -> String {
    let size = number.abs();
    if number.is_finite() && (size >= 1e15 || (size > 0.0 && size < 1e-15)) {
        return format!("{number:e}");
    }
    number.to_string()
}

/// Range of a number, such as `0 to below 1`; empty if it has none.
pub fn range_text(schema: &Value) -> String {
    let bound = |value: &Value| match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, number) => number.map_or_else(String::new, float_text),
    };
    let end = |inclusive: &str, exclusive: &str, word: &str| match &schema[exclusive] {
        Value::Null => bound(&schema[inclusive]),
        value => format!("{word} {}", bound(value)),
    };
    let low = end("minimum", "exclusiveMinimum", "above");
    let high = end("maximum", "exclusiveMaximum", "below");
    if low.is_empty() || high.is_empty() || low == high {
        return low;
    }
    format!("{low} to {high}")
}

/// Formats a range for somebody who wrote `number`: a bound that only keeps out overflow is left out where
/// it was not the one in the way.
fn range_in_words(schema: &Value, number: Option<f64>) -> String {
    const FAR: f64 = (1_u64 << 20) as f64;
    let (least, most) = (schema["minimum"].as_i64(), schema["maximum"].as_f64());
    match (least, most) {
        (Some(least), Some(most))
            if schema["type"] == json!("integer")
                && most >= FAR
                && number.is_none_or(|number| number <= most) =>
        {
            format!("a whole number, {least} or more")
        }
        _ => range_text(schema),
    }
}

/// Replaces the settings that leave a run's result alone by their defaults.
pub fn replace_neutral_settings(schema: &Value, value: &mut Value) {
    let Value::Object(table) = value else { return };
    let tags = table.clone();
    for (key, inner) in
        properties_of(schema, |key, tag| tags.get(key).is_some_and(|own| own == tag))
    {
        if inner["x-decides"] == json!(false) {
            match inner.get("x-neutral").or_else(|| inner.get("default")) {
                Some(neutral) => table.insert(key.clone(), neutral.clone()),
                None => table.remove(key),
            };
        } else if let Some(value) = table.get_mut(key) {
            replace_neutral_settings(inner, value);
        }
    }
}
