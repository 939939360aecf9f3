//! YAML as JSON, which is easier to ask.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::Value;

/// The one document of a YAML text.
pub(crate) fn parse(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let [document] = &documents[..] else { panic!("{} documents", documents.len()) };
    json(document)
}

fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(entries) => {
            let key = |key: &Yaml<'_>| key.as_str().expect("keys are text").to_owned();
            entries.iter().map(|(name, value)| (key(name), json(value))).collect()
        }
        other => panic!("{other:?} has no place in a configuration"),
    }
}
