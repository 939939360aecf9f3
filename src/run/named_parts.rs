//! Cases by the name of their part, as JSON lists them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Names of cases by the name of their part.
#[derive(Debug, Default)]
pub(super) struct NamedParts(pub(super) BTreeMap<String, Vec<String>>);

/// A part that stands twice has the cases of both places: keeping one of them, as maps do, would lose
/// cases and hide that one stands in two parts.
impl<'de> Deserialize<'de> for NamedParts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = NamedParts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("lists of cases by part")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedParts, A::Error> {
                let mut parts = NamedParts::default();
                while let Some((part, cases)) = map.next_entry::<String, Vec<String>>()? {
                    parts.0.entry(part).or_default().extend(cases);
                }
                Ok(parts)
            }
        }

        deserializer.deserialize_map(Parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_stands_twice_loses_no_case() {
        let text = r#"{"train": ["a", "b"], "validation": ["c"], "train": ["c"]}"#;
        let parts: NamedParts = serde_json::from_str(text).unwrap();
        assert_eq!(parts.0["train"], ["a", "b", "c"]);
        assert_eq!(parts.0["validation"], ["c"]);
    }
}
