//! Reading of a description's file: a built-in layout, and what the file says over it.

use std::path::Path;

use toml::{Table, Value};

use crate::base::{CaseError, ConfigError, Reason, check_value, schema_of};
use crate::brats::SchemeReason;
use crate::brats::description::example_lines::example_at;
use crate::brats::description::{BUILT_IN_LAYOUTS, DatasetDescription, JsonDescription};
use crate::storage;
use crate::volume::Modality;

/// Name of the file that describes the data beside it.
pub const DESCRIPTION_FILE: &str = "dataset.toml";

impl DatasetDescription {
    /// Reads a description; what it leaves open is taken from its built-in layout, and from the
    /// dataset's own `json`.
    ///
    /// # Errors
    /// If the file cannot be read, names an unknown field or layout, or a value cannot be: with the
    /// file, the field and what to write.
    pub(in crate::brats) fn read_file(
        path: &Path,
        json: Option<&JsonDescription>,
    ) -> Result<Self, CaseError> {
        let text = storage::read_text(path)?;
        let refused = |(problem, remedy): (String, String)| {
            CaseError::new(Reason::Format, path.display(), problem, remedy)
        };
        let text = text.trim_start_matches('\u{feff}');
        let own: Table = toml::from_str(text).map_err(|error| refused(text_error(text, &error)))?;
        // Alone first: only so an error tells the line.
        toml::from_str::<Self>(text).map_err(|error| refused(text_error(text, &error)))?;
        let layout = own.get("layout").and_then(Value::as_str);
        let mut under = match layout {
            None => Table::new(),
            Some(name) => layout_table(name).map_err(refused)?,
        };
        let json = json.filter(|json| Some(json.layout) == layout);
        if let Some(json) = json {
            overlay_table(&mut under, json.to_table(&own)?);
        }
        let is_told_here = own.contains_key("label_scheme") || own.contains_key("labels");
        overlay_table(&mut under, own);
        let scheme_reason = match json {
            Some(_) if !is_told_here => SchemeReason::DatasetJson,
            _ => SchemeReason::Description,
        };
        Ok(Self { scheme_reason, ..Self::of_table(under).map_err(refused)? })
    }

    /// Description that a dataset's own `json` tells alone.
    ///
    /// # Errors
    /// If it does not tell a field, or a value cannot be.
    pub(in crate::brats) fn of_json(json: &JsonDescription) -> Result<Self, CaseError> {
        let refused = |(problem, remedy): (String, String)| {
            CaseError::new(Reason::Format, json.path.display(), problem, remedy)
        };
        let mut table = layout_table(json.layout).map_err(refused)?;
        overlay_table(&mut table, json.to_table(&Table::new())?);
        let scheme_reason = SchemeReason::DatasetJson;
        Ok(Self { scheme_reason, ..Self::of_table(table).map_err(refused)? })
    }

    /// Checks a whole table; the error is the problem and the way out.
    fn of_table(table: Table) -> Result<Self, (String, String)> {
        let schema = schema_of::<Self>();
        check_value(&schema, &Value::Table(table.clone()), "").map_err(|e| field_error(&e))?;
        let read: Self = table.try_into().map_err(|error| syntax_error(&error))?;
        read.check_fields().map_err(|error| field_error(&error))?;
        Ok(read)
    }

    /// Writes the description as a file to be edited and read again.
    ///
    /// # Errors
    /// If a value has no form in TOML.
    pub fn to_file_text(&self) -> Result<String, String> {
        let mut fields = Table::try_from(self).map_err(|error| error.to_string())?;
        // What the layout has and the data have not is said, or it would be the layout's again.
        let none = || Value::Array(Vec::new());
        if self.layout.is_some() && self.labels.is_some() {
            fields.insert("label_scheme".to_owned(), none());
        }
        if let (Some(_), Some(Value::Table(names))) = (&self.layout, fields.get_mut("modalities")) {
            for modality in Modality::ALL {
                names.entry(modality.name()).or_insert_with(none);
            }
        }
        let fields = toml::to_string(&fields).map_err(|error| error.to_string())?;
        let head = "# How the cases of this folder are found and what they mean: docs/datasets.md of gliaflow.\n\
                    # Lines that are left out are those of the layout that is named.\n";
        Ok(format!("{head}{fields}"))
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

/// Error in the text of a file: the line, and one that would do.
fn text_error(text: &str, error: &toml::de::Error) -> (String, String) {
    let example = example_at(text, error.span().map_or(0, |span| span.start));
    (syntax_error(error).0, format!("write such as {example} (docs/datasets.md)"))
}

fn syntax_error(error: &toml::de::Error) -> (String, String) {
    // The parser draws its place over several lines; an error here is one.
    let text = error.to_string();
    let is_drawn = |line: &&str| line.chars().all(|letter| "|^ ".contains(letter));
    let problem: Vec<&str> = text.lines().map(str::trim).filter(|line| !is_drawn(line)).collect();
    (problem.join(" "), "write it as docs/datasets.md does".to_owned())
}

fn field_error(error: &ConfigError) -> (String, String) {
    let ConfigError { field, value, problem, way_out, .. } = error;
    (format!("{field} = {value} is {problem}"), way_out.clone())
}
