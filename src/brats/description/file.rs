//! Reading of a description's file: a built-in layout, and what the file says over it.

use std::path::Path;

use toml::{Table, Value};

use crate::base::{CaseError, ConfigError, Reason, check_value, fs, schema_of};
use crate::brats::description::{BUILT_IN_LAYOUTS, DatasetDescription};

/// Name of the file that describes the data beside it.
pub const DESCRIPTION_FILE: &str = "dataset.toml";

impl DatasetDescription {
    /// Reads a description.
    ///
    /// # Errors
    /// If the file cannot be read, names an unknown field or layout, or a value cannot be: with the
    /// file, the field and what to write.
    pub fn read_file(path: &Path) -> Result<Self, CaseError> {
        let text = fs::read_to_string(path)?;
        Self::parse_text(text.trim_start_matches('\u{feff}')).map_err(|(problem, remedy)| {
            CaseError::new(Reason::Format, path.display(), problem, remedy)
        })
    }

    /// Reads the text of a description; the error is the problem and the way out.
    pub(in crate::brats) fn parse_text(text: &str) -> Result<Self, (String, String)> {
        let own: Table = toml::from_str(text).map_err(|error| syntax_error(&error))?;
        // Alone first: only so an error tells the line.
        toml::from_str::<Self>(text).map_err(|error| syntax_error(&error))?;
        let whole = match own.get("layout").and_then(Value::as_str) {
            None => own,
            Some(name) => {
                let mut under = layout_table(name)?;
                overlay_table(&mut under, own);
                under
            }
        };
        let schema = schema_of::<Self>();
        check_value(&schema, &Value::Table(whole.clone()), "").map_err(|e| field_error(&e))?;
        let read: Self = whole.try_into().map_err(|error| syntax_error(&error))?;
        read.check_fields().map_err(|error| field_error(&error))?;
        Ok(read)
    }

    /// Writes the description as TOML, to be read again.
    ///
    /// # Errors
    /// If a value has no form in TOML.
    pub fn to_toml(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }
}

fn layout_table(name: &str) -> Result<Table, (String, String)> {
    let Some((_, text)) = BUILT_IN_LAYOUTS.iter().find(|(own, _)| *own == name) else {
        let known: Vec<&str> = BUILT_IN_LAYOUTS.iter().map(|(own, _)| *own).collect();
        let problem = format!("layout = {name:?} is no built-in layout");
        return Err((problem, format!("write one of {}", known.join(", "))));
    };
    toml::from_str(text).map_err(|error| syntax_error(&error))
}

/// Puts a table over another: tables are merged, everything else is replaced.
fn overlay_table(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay_table(below, above),
            (_, value) => _ = under.insert(key, value),
        }
    }
}

fn syntax_error(error: &toml::de::Error) -> (String, String) {
    // The parser draws its place over several lines; an error here is one.
    let text = error.to_string();
    let problem: Vec<&str> = text.lines().map(str::trim).filter(|line| *line != "|").collect();
    (problem.join(" "), "write it as docs/datasets.md does".to_owned())
}

fn field_error(error: &ConfigError) -> (String, String) {
    let ConfigError { field, value, problem, way_out, .. } = error;
    (format!("{field} = {value} is {problem}"), way_out.clone())
}
