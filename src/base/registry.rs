//! Registry of what a configuration names: entries of the crate, and entries that an embedding program
//! adds for the rest of the process.

use std::any::TypeId;

use parking_lot::RwLock;

use crate::base::ConfigError;

/// Entry of a [`Registry`]: a type behind a name.
pub trait RegistryEntry {
    /// Name in configurations.
    fn name(&self) -> &'static str;

    /// Type that has the name.
    fn implementor(&self) -> TypeId;
}

/// Entries by name, those of the crate first.
pub struct Registry<E: 'static> {
    /// Kind of the entries, such as `loss`.
    kind: &'static str,
    /// Setting that names one.
    setting: &'static str,
    shipped: &'static [E],
    added: RwLock<Vec<&'static E>>,
}

impl<E: RegistryEntry> Registry<E> {
    /// Registry with the entries of the crate.
    pub const fn new(kind: &'static str, setting: &'static str, shipped: &'static [E]) -> Self {
        Self { kind, setting, shipped, added: RwLock::new(Vec::new()) }
    }

    /// Lists every entry: those of the crate, then those that were added.
    pub fn list_entries(&self) -> Vec<&'static E> {
        self.shipped.iter().chain(self.added.read().iter().copied()).collect()
    }

    /// Adds an entry for the rest of the process. Adding the same type again changes nothing.
    ///
    /// # Errors
    /// If another type has its name.
    pub fn add_entry(&self, entry: E) -> Result<(), ConfigError> {
        let mut added = self.added.write();
        let mut known = self.shipped.iter().chain(added.iter().copied());
        match known.find(|other| other.name() == entry.name()) {
            Some(other) if other.implementor() == entry.implementor() => Ok(()),
            Some(_) => {
                let problem = format!("the name of another {}", self.kind);
                let way_out = "give it a name of its own";
                Err(ConfigError::new("NAME", entry.name(), problem, way_out))
            }
            None => {
                // It lives as long as the process, as those of the crate do.
                added.push(Box::leak(Box::new(entry)));
                Ok(())
            }
        }
    }

    /// Finds an entry by name.
    ///
    /// # Errors
    /// If there is none; lists those that there are.
    pub fn find_entry(&self, name: &str) -> Result<&'static E, ConfigError> {
        let added = self.added.read();
        let mut known = self.shipped.iter().chain(added.iter().copied());
        known.find(|entry| entry.name() == name).ok_or_else(|| {
            let names: Vec<&str> =
                self.shipped.iter().chain(added.iter().copied()).map(E::name).collect();
            let way_out = match names.is_empty() {
                true => "register it ahead of the run, or leave it out".to_owned(),
                false => format!("choose one of {}", names.join(", ")),
            };
            let problem = format!("no {}", self.kind);
            ConfigError::new(self.setting, format!("{name:?}"), problem, way_out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Named(&'static str, TypeId);

    impl RegistryEntry for Named {
        fn name(&self) -> &'static str {
            self.0
        }

        fn implementor(&self) -> TypeId {
            self.1
        }
    }

    #[test]
    fn a_name_has_one_type_and_an_unknown_one_is_told_all() {
        static NONE: Registry<Named> = Registry::new("loss", "loss.name", &[]);
        let refused = NONE.find_entry("one").unwrap_err().to_string();
        assert_eq!(
            refused,
            "loss.name = \"one\" is no loss; register it ahead of the run, or leave it out"
        );
        let one = || Named("one", TypeId::of::<u8>());
        NONE.add_entry(one()).unwrap();
        NONE.add_entry(one()).unwrap();
        NONE.add_entry(Named("two", TypeId::of::<u16>())).unwrap();
        assert_eq!(NONE.list_entries().len(), 2);
        assert_eq!(NONE.find_entry("one").unwrap().name(), "one");
        let taken = NONE.add_entry(Named("one", TypeId::of::<u16>())).unwrap_err().to_string();
        assert!(taken.contains("the name of another loss"), "{taken}");
        let unknown = NONE.find_entry("three").unwrap_err().to_string();
        assert!(unknown.ends_with("choose one of one, two"), "{unknown}");
    }
}
