//! Configuration in layers: defaults in the code, then a file, then `--set`. Each value remembers
//! which layer it came from, so that `config show` can say so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::base::{fs, join_path};
use crate::run::Failure;

/// Layer that a setting's value is from.
#[derive(derive_more::Display, Debug, Clone, PartialEq, Eq)]
pub enum SettingOrigin {
    /// The code.
    #[display("default")]
    Default,
    /// A configuration file.
    #[display("{}", _0.display())]
    File(PathBuf),
    /// The command line.
    #[display("command line")]
    Set,
}

/// A table of settings and the origin of each that is not a default, by dotted key.
#[derive(Debug, Clone)]
pub struct ConfigLayers {
    /// The merged settings.
    pub table: Table,
    origins: BTreeMap<String, SettingOrigin>,
    defaults: Table,
    /// Layers over the defaults, in order.
    merged: Vec<(Table, SettingOrigin)>,
}

impl ConfigLayers {
    /// Starts from the defaults.
    pub fn of_defaults(defaults: Table) -> Self {
        let table = defaults.clone();
        Self { table, origins: BTreeMap::new(), defaults, merged: Vec::new() }
    }

    /// Same layers over other defaults of a section.
    pub fn with_section_defaults(self, section: &str, settings: Table) -> Self {
        let mut defaults = self.defaults;
        defaults.insert(section.to_owned(), Value::Table(settings));
        let mut layers = Self::of_defaults(defaults);
        for (table, origin) in self.merged {
            layers.merge_table(table, &origin);
        }
        layers
    }

    /// Merges a file over the settings.
    ///
    /// # Errors
    /// If the file cannot be read or is not TOML.
    pub fn merge_file(&mut self, path: &Path) -> Result<(), Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            let problem = error.cause.to_string().to_lowercase();
            Failure::Usage(format!("{}: {problem}; name a TOML file", path.display()))
        })?;
        let table: Table = toml::from_str(&text)
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        self.merge_table(table, &SettingOrigin::File(path.to_path_buf()));
        Ok(())
    }

    /// Merges one `key.path=value` over the settings. The value is TOML, or else a string.
    ///
    /// # Errors
    /// If there is no `=`, or the path runs through a value that is no table.
    pub fn merge_assignment(&mut self, assignment: &str) -> Result<(), Failure> {
        let Some((key, text)) = assignment.split_once('=') else {
            return Err(Failure::Usage(format!(
                "--set {assignment}: has no `=`; write --set loader.batch=4"
            )));
        };
        let value = toml::from_str::<Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(text.to_string()));
        let nested = key.trim().rsplit('.').fold(value, |inner, part| {
            let mut table = Table::new();
            table.insert(part.to_string(), inner);
            Value::Table(table)
        });
        let Value::Table(table) = nested else { return Ok(()) };
        self.merge_table(table, &SettingOrigin::Set);
        Ok(())
    }

    /// Merges a table over the settings.
    pub fn merge_table(&mut self, over: Table, origin: &SettingOrigin) {
        self.merged.push((over.clone(), origin.clone()));
        merge_tables(&mut self.table, over, "", origin, &mut self.origins);
    }

    /// Returns the layer that the value at a dotted key is from.
    pub fn origin_of(&self, key: &str) -> &SettingOrigin {
        self.origins.get(key).unwrap_or(&SettingOrigin::Default)
    }

    /// The settings as TOML, each line with its origin as a comment.
    pub fn to_annotated_toml(&self, resolved: &Table) -> String {
        let mut text = String::new();
        self.write_annotated(resolved, "", &mut text);
        text
    }

    fn write_annotated(&self, table: &Table, prefix: &str, text: &mut String) {
        for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
            let line = format!("{key} = {value}");
            let origin = self.origin_of(&join_path(prefix, key));
            text.push_str(&format!("{line:<48} # {origin}\n"));
        }
        for (key, value) in table {
            let Value::Table(section) = value else { continue };
            let path = join_path(prefix, key);
            text.push_str(&format!("\n[{path}]\n"));
            self.write_annotated(section, &path, text);
        }
    }
}

/// Tables of names that the user chooses, which are replaced whole.
const WHOLE: [&str; 2] = ["data.labels", "data.regions"];

fn merge_tables(
    under: &mut Table,
    over: Table,
    prefix: &str,
    origin: &SettingOrigin,
    origins: &mut BTreeMap<String, SettingOrigin>,
) {
    for (key, value) in over {
        let path = join_path(prefix, &key);
        match (under.get_mut(&key), value) {
            // A tagged choice (`kind = …`) is replaced whole: the old kind's fields are not the new
            // one's.
            (Some(Value::Table(old)), Value::Table(new))
                if !new.contains_key("kind") && !WHOLE.contains(&path.as_str()) =>
            {
                merge_tables(old, new, &path, origin, origins);
            }
            (_, value) => {
                if let Value::Table(section) = &value {
                    for inner in section.keys() {
                        origins.insert(join_path(&path, inner), origin.clone());
                    }
                }
                origins.insert(path, origin.clone());
                under.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> ConfigLayers {
        ConfigLayers::of_defaults(
            toml::from_str("seed = 1\n[loader]\nbatch = 2\nprefetch = 2\n[s]\nkind = \"a\"\nx = 1")
                .unwrap(),
        )
    }

    #[test]
    fn later_layers_win_and_leave_the_rest() {
        let mut layers = defaults();
        layers.merge_assignment("loader.batch=4").unwrap();
        layers.merge_assignment("name=plain text").unwrap();
        let loader = layers.table["loader"].as_table().unwrap();
        assert_eq!(loader["batch"].as_integer(), Some(4));
        assert_eq!(loader["prefetch"].as_integer(), Some(2));
        assert_eq!(layers.table["name"].as_str(), Some("plain text"));
        assert_eq!(layers.origin_of("loader.batch"), &SettingOrigin::Set);
        assert_eq!(layers.origin_of("loader.prefetch"), &SettingOrigin::Default);
        let shown = layers.to_annotated_toml(&layers.table);
        let line = shown.lines().find(|line| line.starts_with("batch = 4")).unwrap();
        assert!(line.ends_with("# command line"), "{line}");
    }

    #[test]
    fn a_tagged_choice_is_replaced_whole() {
        let mut layers = defaults();
        layers.merge_assignment("s={ kind = \"b\", y = 2 }").unwrap();
        assert_eq!(layers.table["s"].to_string(), "{ kind = \"b\", y = 2 }");
        assert_eq!(layers.origin_of("s.y"), &SettingOrigin::Set);
    }

    #[test]
    fn an_assignment_without_a_value_is_refused() {
        let refused = defaults().merge_assignment("loader.batch").unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.to_string().contains("loader.batch=4"));
    }
}
