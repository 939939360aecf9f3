//! Settings of the loader that a measurement chooses: those that decide no sample. They can be merged into any
//! configuration, and written into one whose comments and order stay.

use std::path::Path;

use serde::Serialize;
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::base::fs;
use crate::pipeline::LoaderWorkers;
use crate::run::Failure;

/// Threads, waiting batches and memory of a loader.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoaderSettings {
    /// Batches that may wait.
    pub prefetch: usize,
    /// Memory for samples and batches, in MiB.
    pub memory_mib: usize,
    /// Threads of the stages.
    pub workers: LoaderWorkers,
}

impl LoaderSettings {
    /// Section of a configuration.
    pub fn to_section(&self) -> String {
        let mut document = DocumentMut::new();
        self.set_in(document.as_table_mut());
        document.to_string()
    }

    /// Writes the settings into a configuration; everything else in it stays, comments too.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is not TOML.
    pub fn write_into(&self, path: &Path) -> Result<(), Failure> {
        let text = fs::read_to_string(path)?;
        fs::write(path, self.edit_text(&text, path)?)?;
        Ok(())
    }

    fn edit_text(&self, text: &str, path: &Path) -> Result<String, Failure> {
        let unfit = |problem: String| {
            let problem = problem.trim_end().replace('\n', " ");
            Failure::Usage(format!("{}: {problem}; name a run's configuration", path.display()))
        };
        let mut document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| unfit(error.to_string()))?;
        if document.get("loader").is_some_and(|loader| !loader.is_table_like()) {
            return Err(unfit("loader is no section".into()));
        }
        self.set_in(document.as_table_mut());
        Ok(document.to_string())
    }

    fn set_in(&self, document: &mut Table) {
        let section = document.entry("loader").or_insert_with(|| Item::Table(Table::new()));
        let Some(loader) = section.as_table_like_mut() else { return };
        set_value(loader, "prefetch", whole(self.prefetch));
        set_value(loader, "memory_mib", whole(self.memory_mib));
        let LoaderWorkers { fetch, decode, normalize, crop, augment } = self.workers;
        let counts = [
            ("fetch", fetch),
            ("decode", decode),
            ("normalize", normalize),
            ("crop", crop),
            ("augment", augment),
        ];
        // `workers = "auto"` has no place for numbers, nor has a section that is not there.
        if !loader.get("workers").is_some_and(Item::is_table_like) {
            set_value(loader, "workers", Value::InlineTable(InlineTable::new()));
        }
        if let Some(workers) = loader.get_mut("workers").and_then(Item::as_table_like_mut) {
            counts.into_iter().for_each(|(stage, count)| set_value(workers, stage, whole(count)));
        }
    }
}

fn whole(number: usize) -> Value {
    Value::from(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Sets a value, with the blanks and the comment that stood around the one before.
fn set_value(table: &mut dyn TableLike, key: &str, value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let around = old.decor().clone();
            *old = value;
            *old.decor_mut() = around;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> LoaderSettings {
        let workers = LoaderWorkers { fetch: 1, decode: 2, normalize: 3, crop: 4, augment: 5 };
        LoaderSettings { prefetch: 4, memory_mib: 700, workers }
    }

    fn edited(text: &str) -> String {
        settings().edit_text(text, Path::new("run.toml")).unwrap()
    }

    #[test]
    fn a_configuration_keeps_its_comments_its_order_and_what_decides_samples() {
        let text = "# My run.\nseed = 7\n\n[loader] # as fast as it goes\nworkers = \"auto\" # for now\n\
                    batch = 2 # fits\nprefetch = 2 # a guess\n\n[augment]\nprofile = \"nnunet\"\n";
        let expected = "# My run.\nseed = 7\n\n[loader] # as fast as it goes\nworkers = { fetch = 1, decode \
                        = 2, normalize = 3, crop = 4, augment = 5 } # for now\nbatch = 2 # fits\nprefetch = \
                        4 # a guess\nmemory_mib = 700\n\n[augment]\nprofile = \"nnunet\"\n";
        assert_eq!(edited(text), expected);
        assert_eq!(edited(expected), expected, "a second time changes nothing");
    }

    #[test]
    fn sections_of_any_form_are_edited_in_place() {
        for text in ["", "seed = 1\n", "loader = { batch = 3 }\n", "loader.batch = 3\n"] {
            let table: toml::Table = toml::from_str(&edited(text)).unwrap();
            assert_eq!(table["loader"]["prefetch"].as_integer(), Some(4), "{text}");
            assert_eq!(table["loader"]["workers"]["augment"].as_integer(), Some(5), "{text}");
            assert_eq!(table["loader"].get("batch").is_some(), text.contains("batch"), "{text}");
        }
        let own = edited("[loader.workers]\naugment = 9 # mine\n");
        assert!(own.contains("[loader.workers]\naugment = 5 # mine\n"), "{own}");
        let section: toml::Table = toml::from_str(&settings().to_section()).unwrap();
        assert_eq!(section["loader"].as_table().unwrap().len(), 3, "nothing that decides samples");
    }

    #[test]
    fn what_is_no_configuration_is_left_as_it_is() {
        for text in ["loader = 3\n", "[loader\n"] {
            let failure = settings().edit_text(text, Path::new("run.toml")).unwrap_err();
            assert!(failure.to_string().contains("run.toml"), "{failure}");
        }
    }
}
